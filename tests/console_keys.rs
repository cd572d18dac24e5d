//! Keys without end on the console's reducer: whatever is typed, nothing goes to the engine that was not confirmed as it was
//! shown, but a pause.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{World, console, fixed, plan};
use rollout::command::Command;
use rollout::model::{Confirm, OnFailure, Span};
use rollout::ports::Update;
use rollout::tui::{App, Cmd, Depth, Key, Msg, Overlay, update};

/// A generator that a seed reproduces.
struct Hand(u64);

impl Hand {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    /// Any key; those that begin and answer something more often than others.
    fn key(&mut self) -> Key {
        const SPECIAL: [Key; 14] = [
            Key::Enter,
            Key::Enter,
            Key::Esc,
            Key::Tab,
            Key::BackTab,
            Key::Backspace,
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::Home,
            Key::End,
            Key::Ctrl('c'),
            Key::Ctrl('l'),
            Key::Ctrl('r'),
        ];
        const ORDERS: &[u8] = b"RCraAtsHUBxdyyyyyyyypromote";
        match self.below(3) {
            0 => SPECIAL[self.below(SPECIAL.len())],
            1 => Key::Char(char::from(ORDERS[self.below(ORDERS.len())])),
            _ => Key::Char(char::from(u8::try_from(32 + self.below(95)).unwrap())),
        }
    }
}

/// The command that a yes to this key would be, as the screen shows it now.
fn confirmed(app: &App, key: Key) -> Option<Command> {
    let Some(Overlay::Ask(ask)) = &app.overlay else { return None };
    let yes = match &ask.typed {
        None => key == Key::Char('y'),
        Some(typed) => key == Key::Enter && typed.so_far == typed.wanted,
    };
    (yes && ask.armed).then(|| ask.command.clone())
}

/// Keys, frames that were seen or were not, time, facts of the engine, in any order. What was sent.
fn mash(seed: u64, mut world: World) -> Vec<Command> {
    let mut hand = Hand(seed);
    let mut app = console(&world, (80, 24), fixed(Depth::Rgb, false));
    let mut sent = Vec::new();
    for _ in 0..1_000 {
        let msg = match hand.below(12) {
            0 => app.unseen().map(Msg::Seen),
            1 => app.unseen().map(Msg::Armed),
            2 => Some(Msg::Tick(app.now + Span::from_millis(200))),
            3 => Some(Msg::Resize([80, 20, 1, 200][hand.below(4)], [24, 5, 1, 60][hand.below(4)])),
            4 => {
                let known = world.events.len();
                world.act();
                for event in world.events.get(known..).unwrap_or_default() {
                    update(&mut app, Msg::Update(Update::Event(event.clone())));
                }
                None
            }
            _ => None,
        };
        let (key, msg) = msg.map_or_else(
            || {
                let key = hand.key();
                (Some(key), Msg::Key(key))
            },
            |msg| (None, msg),
        );
        let wanted = key.and_then(|key| confirmed(&app, key));
        // The safe direction by its name.
        let typed = matches!(app.overlay, Some(Overlay::Command)) && app.command_line.text().trim_start().starts_with("pause");
        let leaving = matches!(app.overlay, Some(Overlay::Leave)) && app.state.started_at.is_none();
        for cmd in update(&mut app, msg) {
            let Cmd::Send { command, .. } = cmd else { continue };
            match (&command, &wanted) {
                // The safe direction.
                (Command::Pause { .. }, None) if key == Some(Key::Char('p')) || (typed && key == Some(Key::Enter)) => {}
                // Its own key, on the line that says that nothing is touched.
                (Command::Cancel { .. }, None) if leaving && key == Some(Key::Char('x')) => {}
                (command, Some(wanted)) if *command == *wanted => {}
                (command, wanted) => panic!("seed {seed}: {key:?} sent {command:?}, confirmed was {wanted:?}"),
            }
            sent.push(command);
        }
    }
    sent
}

#[test]
fn whatever_is_typed_only_what_was_confirmed_is_sent() {
    let asking = || {
        let mut plan = plan(20);
        plan.policy.strategy.confirm = Confirm::Batch;
        World::planned(plan).started()
    };
    let failing = || {
        let mut plan = plan(20);
        plan.policy.rollback.on_failure = OnFailure::Pause;
        World::planned(plan).bad().started().until(|s| s.pause.is_some() && s.active.is_empty())
    };
    let mut verbs = std::collections::BTreeSet::new();
    for seed in 0..60 {
        for world in [World::new(20), World::new(20).started(), asking(), failing()] {
            verbs.extend(mash(seed, world).iter().map(Command::verb));
        }
    }
    // The hand is quick enough to get through now and then: else nothing of this proves anything.
    for verb in ["start", "pause", "cancel", "rollback", "retry", "skip", "hold"] {
        assert!(verbs.contains(verb), "{verb} was never sent: {verbs:?}");
    }
}
