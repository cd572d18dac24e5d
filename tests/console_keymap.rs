//! Keys of somebody's own: what they may be, what they do, where they are named; and the table of the README.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, clippy::panic, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{LARGE, SMALL, World, console, fixed, picture, plan, press};
use rollout::command::Command;
use rollout::model::{Confirm, OnFailure, Span};
use rollout::ports::Update;
use rollout::state::Awaits;
use rollout::tui::{Action, App, Binding, Cmd, Depth, Fixed, KEYMAP, Key, Keymap, Msg, Overlay, Rebinding, Tab, update};

fn wish(name: &str, keys: &[&str]) -> Rebinding {
    Rebinding { name: name.to_owned(), keys: keys.iter().map(ToString::to_string).collect() }
}

fn bound(wishes: &[(&str, &[&str])]) -> Keymap {
    let wishes: Vec<Rebinding> = wishes.iter().map(|(name, keys)| wish(name, keys)).collect();
    Keymap::bind(&wishes).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn with(keys: Keymap) -> Fixed {
    Fixed { keys, ..fixed(Depth::Rgb, false) }
}

fn char(app: &mut App, key: char) -> Vec<Cmd> {
    press(app, Key::Char(key))
}

fn said(app: &App) -> String {
    app.message.clone().map_or_else(String::new, |(text, _)| text)
}

/// A plan in which each batch waits for a person.
fn asking() -> World {
    let mut plan = plan(20);
    plan.policy.strategy.confirm = Confirm::Batch;
    World::planned(plan).started()
}

#[test]
fn keys_are_read_as_they_are_written() {
    for (text, key) in [
        ("p", Key::Char('p')),
        ("Ä", Key::Char('Ä')),
        ("Ctrl-l", Key::Ctrl('l')),
        ("ctrl-L", Key::Ctrl('l')),
        ("F5", Key::F(5)),
        ("f12", Key::F(12)),
        ("f", Key::Char('f')),
        ("Space", Key::Char(' ')),
        ("Shift-Tab", Key::BackTab),
        ("Delete", Key::Delete),
        ("PageDown", Key::PageDown),
        ("-", Key::Char('-')),
    ] {
        // What had the key gives it up.
        let mut wishes = vec![wish("sort-again", &[text])];
        let had = Keymap::default().action(key, false).filter(|action| *action != Action::SortAgain);
        wishes.extend(had.map(|action| wish(&action.name(), &[])));
        let keys = Keymap::bind(&wishes).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        assert_eq!(keys.action(key, false), Some(Action::SortAgain), "{text}");
        assert_eq!(keys.action(Key::Char('O'), false), (key == Key::Char('O')).then_some(Action::SortAgain));
    }
}

#[test]
fn whatever_is_bound_there_is_a_way_out() {
    let keys = bound(&[("quit", &["Q"]), ("back", &["Backspace"]), ("enter", &["v"]), ("suspend", &["F8"])]);
    for (key, action) in [
        (Key::Ctrl('c'), Action::Quit),
        (Key::Char('Q'), Action::Quit),
        (Key::Esc, Action::Back),
        (Key::Backspace, Action::Back),
        (Key::Enter, Action::Enter),
        (Key::Ctrl('z'), Action::Suspend),
        (Key::F(8), Action::Suspend),
    ] {
        assert_eq!(keys.action(key, false), Some(action), "{key}");
    }
    assert_eq!(keys.action(Key::Char('q'), false), None);
}

#[test]
fn two_may_change_places_and_an_act_may_be_without_a_key() {
    let keys = bound(&[("pause", &["r"]), ("resume", &["p"]), ("promote-all", &[])]);
    assert_eq!(keys.action(Key::Char('r'), false), Some(Action::Pause));
    assert_eq!(keys.action(Key::Char('p'), false), Some(Action::Resume));
    assert_eq!(keys.action(Key::Char('A'), false), None);
    assert_eq!(keys.hint(Action::PromoteAll), ":promote-all");
    // What is planned and what has begun are never both possible.
    let keys = bound(&[("start", &["F2"]), ("skip", &["F2"])]);
    assert_eq!(keys.action(Key::F(2), true), Some(Action::Start));
    assert_eq!(keys.action(Key::F(2), false), Some(Action::Skip));
}

#[test]
fn every_fault_of_a_keymap_is_told_with_its_place() {
    let wishes = [
        wish("pause", &["z", "Ctrl-C"]),
        wish("cancel", &["z"]),
        wish("quit", &[]),
        wish("nothing", &["p"]),
        wish("retry", &["Enter"]),
        wish("hold", &["Delete"]),
        wish("sort", &["Ctrl-b"]),
    ];
    let faults = Keymap::bind(&wishes).unwrap_err();
    let places: Vec<_> = faults.iter().map(|fault| fault.at).collect();
    let wanted = [(0, Some(1)), (1, Some(0)), (2, None), (3, None), (4, Some(0)), (5, Some(0)), (6, Some(0))];
    assert_eq!(places, wanted, "{faults:#?}");
    assert_eq!(faults[1].other, Some((0, 0)));
    assert!(faults[1].text.contains("\"z\" is the key of pause"), "{}", faults[1].text);
    assert!(faults[6].text.contains("begins a command of tmux"), "{}", faults[6].text);
}

/// Everything is on another key: nothing on the screen and nothing that is said names the old one.
#[test]
fn no_message_names_a_key_that_is_rebound() {
    let keys = || {
        bound(&[
            ("pause", &["F2"]),
            ("resume", &["F3"]),
            ("cancel", &["F4"]),
            ("rollback", &["F5"]),
            ("promote", &["F6"]),
            ("quit", &["F7"]),
            ("help", &["F8"]),
            ("sort", &["F9"]),
            ("sort-again", &["F11"]),
            ("plan", &["F12"]),
            ("previous", &["("]),
            ("next", &[")"]),
        ])
    };
    let world = asking().until(|s| s.awaits == Some(Awaits::Approval));
    let mut app = console(&world, LARGE, with(keys()));
    let text = picture(&app);
    let foot = text.lines().rev().find(|line| line.contains("pause")).unwrap().to_owned();
    for wanted in ["F6 approve", "F2 pause", "F4 cancel", "F5 rollback", "F9 sort", "F8 help", "F7 quit"] {
        assert!(foot.contains(wanted), "{wanted}: {foot}");
    }
    assert!(text.contains("F12 Plan"), "{text}");
    for key in ['p', 'r', 'C', 'R', 'a', 'q', '?', 'O', '5', '['] {
        assert!(char(&mut app, key).is_empty() && app.overlay.is_none() && app.tab == Tab::Fleet, "{key}");
        assert_eq!(said(&app), format!("{key} does nothing here; F8 shows the keys"));
    }
    press(&mut app, Key::F(3));
    assert!(said(&app).contains("F6 approves it"), "{}", said(&app));
    press(&mut app, Key::F(9));
    assert!(said(&app).contains("F11 sorts again"), "{}", said(&app));
    press(&mut app, Key::Enter);
    assert!(picture(&app).contains("( previous") && picture(&app).contains(") next"));
    let mut planned = console(&World::new(20), SMALL, with(keys()));
    press(&mut planned, Key::F(5));
    assert!(said(&planned).contains("F4 cancels the plan"), "{}", said(&planned));
    let mut done = console(&World::new(4).started().until(|s| s.end.is_some()), SMALL, with(keys()));
    press(&mut done, Key::F(5));
    assert!(said(&done).contains("; F7, then"), "{}", said(&done));
    let mut cancelling = asking();
    let mut app = console(&cancelling, SMALL, with(keys()));
    press(&mut app, Key::F(4));
    let known = cancelling.events.len();
    cancelling.command(Command::Cancel { reason: String::new() });
    for event in &cancelling.events[known..] {
        update(&mut app, Msg::Update(Update::Event(event.clone())));
    }
    assert!(said(&app).contains("F4 again stops the commands"), "{}", said(&app));
}

#[test]
fn help_shows_the_keys_as_they_are_bound() {
    let keys = bound(&[("pause", &["F2"]), ("promote-all", &[]), ("next-failure", &["_", "F3"])]);
    let mut app = console(&World::new(20).started(), LARGE, with(keys));
    char(&mut app, '?');
    insta::assert_snapshot!("help_rebound_large", picture(&app));
    // Looked for by name, key or words; what is typed is no act.
    for key in "/pau".chars() {
        assert!(char(&mut app, key).is_empty());
    }
    let text = picture(&app);
    assert!(text.contains("*F2") && text.contains("take no new instance") && !text.contains("roll back"), "{text}");
    press(&mut app, Key::Esc);
    assert!(picture(&app).contains("roll back"), "Esc shows all again");
    press(&mut app, Key::Esc);
    assert!(app.overlay.is_none());
}

#[test]
fn help_is_leafed_through_and_begins_with_the_keys_of_its_screen() {
    let mut app = console(&World::new(20).started(), SMALL, fixed(Depth::Rgb, false));
    char(&mut app, '4');
    char(&mut app, '?');
    insta::assert_snapshot!("help_logs_small", picture(&app));
    press(&mut app, Key::PageDown);
    insta::assert_snapshot!("help_logs_small_2", picture(&app));
    for _ in 0..5 {
        press(&mut app, Key::PageDown);
    }
    let last = picture(&app);
    assert!(last.contains("a check that did not pass"), "the legend is its end: {last}");
    press(&mut app, Key::Up);
    assert_ne!(picture(&app), last);
    // An act closes it and nothing else.
    assert!(char(&mut app, 'p').is_empty());
    assert!(app.overlay.is_none());
    for size in [(1, 1), (3, 2), (37, 10), (40, 10), (500, 100), (200, 3)] {
        update(&mut app, Msg::Resize(size.0, size.1));
        char(&mut app, '?');
        for key in [Key::PageDown, Key::End, Key::Char('/'), Key::Char('x'), Key::Enter] {
            press(&mut app, key);
            picture(&app);
        }
        press(&mut app, Key::Esc);
        press(&mut app, Key::Esc);
    }
}

/// A generator that a seed reproduces.
struct Hand(u64);

impl Hand {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

/// Every act on a key of its own, chosen by the hand.
fn random_keys(hand: &mut Hand) -> Keymap {
    // `y` answers questions, `d` and `x` the one whether to leave.
    let mut free: Vec<char> = ('!'..='~').filter(|c| !matches!(c, 'y' | 'd' | 'x')).collect();
    let wishes: Vec<Rebinding> = KEYMAP
        .iter()
        .map(|binding| {
            // An act may have two.
            let count = if binding.action.acts() { 1 + hand.below(2) } else { 1 };
            let keys = (0..count).map(|_| free.swap_remove(hand.below(free.len())).to_string()).collect();
            Rebinding { name: binding.action.name(), keys }
        })
        .collect();
    Keymap::bind(&wishes).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// The command that a yes to this key would be, as the screen shows it now.
fn confirmed(app: &App, key: Key) -> Option<Command> {
    let Some(Overlay::Ask(ask)) = &app.overlay else { return None };
    let yes = match &ask.typed {
        None => key == Key::Char('y') && !ask.reason.typing,
        Some(typed) => key == Key::Enter && typed.so_far == typed.wanted,
    };
    let reason = ask.reason.text.trim().to_owned();
    (yes && ask.armed).then(|| ask.command.clone().with_reason(|_| reason))
}

#[test]
fn whatever_the_keys_are_no_act_goes_without_its_question() {
    let mut verbs = std::collections::BTreeSet::new();
    for seed in 0..80 {
        let mut hand = Hand(seed);
        let keys = random_keys(&mut hand);
        let mut world = match seed % 4 {
            0 => World::new(20),
            1 => World::new(20).started(),
            2 => asking(),
            _ => {
                let mut plan = plan(20);
                plan.policy.rollback.on_failure = OnFailure::Pause;
                World::planned(plan).bad().started().until(|s| s.pause.is_some() && s.active.is_empty())
            }
        };
        let acts: Vec<Key> = keys.bound().iter().filter(|b| b.binding.action.acts()).map(|b| b.keys[0]).collect();
        let mut app = console(&world, SMALL, with(keys.clone()));
        for _ in 0..1_000 {
            let key = match hand.below(4) {
                0 => Key::Char('y'),
                1 => acts[hand.below(acts.len())],
                2 => [Key::Enter, Key::Esc, Key::Tab, Key::Ctrl('c'), Key::Backspace, Key::F(5)][hand.below(6)],
                _ => Key::Char(char::from(u8::try_from(32 + hand.below(95)).unwrap())),
            };
            match hand.below(10) {
                0..=2 => {
                    if let Some(id) = app.unseen() {
                        update(&mut app, Msg::Seen(id));
                        update(&mut app, Msg::Armed(id));
                    }
                }
                3 => {
                    let known = world.events.len();
                    world.act();
                    for event in world.events[known..].iter().cloned() {
                        update(&mut app, Msg::Update(Update::Event(event)));
                    }
                }
                4 => {
                    let later = app.now + Span::from_millis(200);
                    update(&mut app, Msg::Tick(later));
                }
                _ => {}
            }
            let wanted = confirmed(&app, key);
            let planned = app.state.started_at.is_none();
            let pauses = app.overlay.is_none() && keys.action(key, planned) == Some(Action::Pause);
            let line = matches!(app.overlay, Some(Overlay::Command)).then(|| app.command_line.text().trim_start());
            let typed = key == Key::Enter && line.is_some_and(|line| line.starts_with("pause"));
            let leaves = planned && matches!(app.overlay, Some(Overlay::Leave)) && key == Key::Char('x');
            for cmd in press(&mut app, key) {
                let Cmd::Send { command, .. } = cmd else { continue };
                match (&command, &wanted) {
                    (Command::Pause { .. }, None) if pauses || typed => {}
                    (Command::Cancel { .. }, None) if leaves => {}
                    (command, Some(wanted)) if command == wanted => {}
                    (command, wanted) => panic!("seed {seed}: {key} sent {command:?}, confirmed was {wanted:?}"),
                }
                verbs.insert(command.verb());
            }
        }
    }
    // The hand is quick enough to get through now and then: else nothing of this proves anything.
    for verb in ["start", "pause", "cancel", "rollback", "retry", "skip", "hold"] {
        assert!(verbs.contains(verb), "{verb} was never sent: {verbs:?}");
    }
}

/// How an act is confirmed.
fn asks(action: Action) -> &'static str {
    match action {
        Action::Rollback => "dialog, `y` (in a protected environment the service's name)",
        Action::Cancel => "dialog, `y`",
        Action::PromoteAll => "dialog, the word `promote`",
        Action::Pause => "no",
        action if action.acts() => "`y`",
        _ => "",
    }
}

fn table() -> String {
    const HEAD: &str = "| key | name in `[console.keys]` and after `:` | what it does | asks |\n|---|---|---|---|\n";
    let row = |binding: &Binding| {
        let keys: Vec<String> = binding.keys.iter().map(|key| format!("`{key}`")).collect();
        let words = binding.words.replace(" (asks)", "").replace('|', "\\|");
        let row = [keys.join(" "), format!("`{}`", binding.action.name()), words, asks(binding.action).to_owned()];
        format!("| {} |\n", row.join(" | "))
    };
    [HEAD.to_owned()].into_iter().chain(KEYMAP.iter().map(row)).collect()
}

#[test]
fn the_readme_has_the_keys_of_the_program() {
    const MARKS: (&str, &str) = ("<!-- keys: a test compares what follows with the program -->\n", "<!-- end of keys -->");
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, rest) = readme.split_once(MARKS.0).unwrap();
    let (has, _) = rest.split_once(MARKS.1).unwrap();
    let wanted = table();
    assert!(has.trim() == wanted.trim(), "the table of keys in the README is not the program's; this is:\n\n{wanted}");
}
