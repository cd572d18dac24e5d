//! What the screen costs on the line, in bytes: so that a bad link stays usable.
//!
//! Imports: the library, the console's fixture. May not: start anything.
#![expect(clippy::unwrap_used, reason = "in the functions that tests share, too")]

#[path = "fixtures/console.rs"]
mod fixture;

use fixture::{LARGE, SMALL, World, console, fixed};
use ratatui::Terminal;
use ratatui::backend::{Backend as _, TestBackend};
use ratatui::buffer::Cell;
use ratatui::style::Modifier;
use rollout::model::{InstanceId, InstanceState, Sample, SampleResult, Span};
use rollout::ports::{Progress, Reading, Update};
use rollout::state::Phase;
use rollout::tui::{App, Depth, Encoder, Key, Msg, update, view};

const DEPTHS: [Depth; 4] = [Depth::Mono, Depth::Ansi16, Depth::Indexed, Depth::Rgb];

/// A terminal that knows what it shows.
struct Painted {
    app: App,
    terminal: Terminal<Encoder>,
}

impl Painted {
    /// With what the first paint cost.
    fn new(app: App, depth: Depth) -> (Self, usize) {
        let terminal = Terminal::new(Encoder::new(app.size.into(), depth, false)).unwrap();
        let mut painted = Self { app, terminal };
        let first = painted.frame().len();
        (painted, first)
    }

    /// The bytes of the next frame.
    fn frame(&mut self) -> String {
        self.terminal.draw(|frame| view(&self.app, frame)).unwrap();
        String::from_utf8(self.terminal.backend_mut().take()).unwrap()
    }

    fn after(&mut self, msg: Msg) -> String {
        update(&mut self.app, msg);
        self.frame()
    }
}

/// In the middle of it: some done, one in its health gate.
fn running(total: usize) -> World {
    World::new(total)
        .started()
        .until(|s| s.batches == 3 && s.instances.values().any(|i| matches!(i.phase, Phase::Verifying { .. })))
}

/// A reading of this instance, as slow as that.
fn slower(app: &App, id: &InstanceId, by: u64) -> (InstanceId, Reading) {
    let before = app.reading(id).unwrap().sample.as_ref().unwrap().latency;
    let sample = Sample {
        at: app.now,
        latency: before + Span::from_millis(by),
        result: SampleResult::Pass { status: Some(200) },
        version: None,
    };
    (id.clone(), Reading { sample: Some(sample), passes: 1, misses: 0, sessions: None, trouble: None })
}

fn news(app: &App, readings: impl IntoIterator<Item = (InstanceId, Reading)>) -> Msg {
    let readings = readings.into_iter().collect();
    let progress = Progress { at: app.now, readings, vip: app.progress.vip, lb: None, troubles: Vec::new() };
    Msg::Update(Update::Progress(progress))
}

fn at_most(what: &str, frame: &str, budget: usize) {
    assert!(frame.len() <= budget, "{what}: {} bytes, at most {budget}: {frame:?}", frame.len());
}

#[test]
fn nothing_new_is_no_byte() {
    for depth in DEPTHS {
        let (mut painted, _) = Painted::new(console(&running(20), LARGE, fixed(depth, false)), depth);
        assert_eq!(painted.frame(), "", "{depth:?}");
        let app = &painted.app;
        let same: Vec<_> = app.state.instances.keys().map(|id| slower(app, id, 0)).collect();
        // The same moment: a sparkline would grow by a second one.
        let msg = news(app, same);
        assert_eq!(painted.after(msg), "", "{depth:?}");
    }
}

/// Clock, countdowns, and what else counts seconds.
#[test]
fn a_second_that_passes_costs_little() {
    for (depth, size) in [(Depth::Indexed, SMALL), (Depth::Indexed, LARGE), (Depth::Rgb, LARGE)] {
        let (mut painted, _) = Painted::new(console(&running(20), size, fixed(depth, false)), depth);
        for second in 1..=9 {
            let later = painted.app.now + Span::from_secs(1);
            let msg = news(&painted.app, []);
            update(&mut painted.app, msg);
            let frame = painted.after(Msg::Tick(later));
            at_most(&format!("{depth:?} {size:?} second {second}"), &frame, 60);
        }
    }
}

#[test]
fn an_event_costs_little() {
    for (depth, size) in [(Depth::Indexed, SMALL), (Depth::Indexed, LARGE), (Depth::Rgb, LARGE)] {
        let mut world = running(200);
        let (mut painted, _) = Painted::new(console(&world, size, fixed(depth, false)), depth);
        let known = world.events.len();
        while world.events.len() < known + 6 {
            world.act();
        }
        for event in &world.events[known..] {
            let frame = painted.after(Msg::Update(Update::Event(event.clone())));
            // Most of it is the list of events, which moves up by one.
            at_most(&format!("{depth:?} {size:?} {}", event.kind.words()), &frame, if size == SMALL { 450 } else { 800 });
        }
    }
}

#[test]
fn a_latency_costs_little() {
    for depth in DEPTHS {
        let (mut painted, _) = Painted::new(console(&running(200), LARGE, fixed(depth, false)), depth);
        let id = InstanceId::new("web-150").unwrap();
        let reading = slower(&painted.app, &id, 17);
        let msg = news(&painted.app, [reading]);
        let frame = painted.after(msg);
        assert_ne!(frame, "");
        at_most(&format!("{depth:?}"), &frame, 45);
    }
}

#[test]
fn a_first_paint_fits_a_bad_link() {
    for (total, budget) in [(20, 30_000), (200, 30_000), (2_000, 20_000), (10_000, 20_000)] {
        // Their number counts, not how far they are: ten thousand in this world's time take long to get anywhere.
        let world = if total <= 200 { running(total) } else { World::new(total).started() };
        for depth in DEPTHS {
            let (_, first) = Painted::new(console(&world, LARGE, fixed(depth, false)), depth);
            assert!(first <= budget, "{depth:?} {total}: {first}");
        }
    }
}

/// Every depth and a fleet in all its states: what was sent is what is shown.
#[test]
fn what_a_terminal_makes_of_the_bytes_is_what_was_drawn() {
    for (depth, size) in [(Depth::Mono, SMALL), (Depth::Indexed, LARGE), (Depth::Rgb, (57, 17))] {
        let mut world = World::new(40).bad().started();
        let (mut painted, _) = Painted::new(console(&world, size, fixed(depth, false)), depth);
        let mut screen = vt100::Parser::new(size.1.try_into().unwrap(), size.0.try_into().unwrap(), 0);
        painted.terminal.clear().unwrap();
        let keys = ["j", "?", "?", "2", "1", "+", "-", "R", "n", "3", "4", "5", "6", "1", "o", "l"];
        for turn in 0..160 {
            let known = world.events.len();
            world.act();
            for event in &world.events[known..] {
                update(&mut painted.app, Msg::Update(Update::Event(event.clone())));
            }
            update(&mut painted.app, Msg::Update(Update::Progress(world.progress(0))));
            let key = if turn % 5 == 0 { Key::Esc } else { Key::Char(keys[turn % keys.len()].chars().next().unwrap()) };
            update(&mut painted.app, Msg::Key(key));
            update(&mut painted.app, Msg::Tick(world.now));
            let bytes = painted.frame();
            screen.process(bytes.as_bytes());
            let mut test = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
            let drawn = test.draw(|frame| view(&painted.app, frame)).unwrap().buffer.clone();
            for (y, row) in screen.screen().rows(0, size.0).enumerate() {
                let wanted: String = (0..size.0).map(|x| drawn[(x, u16::try_from(y).unwrap())].symbol().to_owned()).collect();
                assert_eq!(row.trim_end(), wanted.trim_end(), "{depth:?} {size:?} turn {turn} row {y} of {bytes:?}");
            }
            for (x, y) in (0..size.0).flat_map(|x| (0..size.1).map(move |y| (x, y))) {
                let cell = screen.screen().cell(y, x).unwrap();
                let wanted = drawn[(x, y)].modifier;
                let seen = wanted & (Modifier::REVERSED | Modifier::UNDERLINED);
                let is = (cell.inverse(), cell.underline());
                assert_eq!(
                    is,
                    (seen.contains(Modifier::REVERSED), seen.contains(Modifier::UNDERLINED)),
                    "{x},{y} turn {turn} {bytes:?}"
                );
                // This terminal is bold or dim, never both.
                if cell.has_contents() && cell.contents() != " " && !wanted.contains(Modifier::DIM) {
                    assert_eq!(cell.bold(), wanted.contains(Modifier::BOLD), "{x},{y} turn {turn} {bytes:?}");
                }
            }
        }
    }
}

/// As many instances of many in this phase, at once, with all that is told of them elsewhere on the screen.
fn share(depth: Depth, phase: &Phase) -> String {
    let many = World::new(2_000).started();
    let (mut painted, _) = Painted::new(console(&many, LARGE, fixed(depth, false)), depth);
    for index in (0..2_000).step_by(100) {
        let (_, instance) = painted.app.state.instances.get_index_mut(index).unwrap();
        instance.phase = phase.clone();
    }
    painted.frame()
}

#[test]
fn some_of_many_cost_their_share() {
    for depth in DEPTHS {
        for phase in [Phase::Updating, Phase::Draining, Phase::Healthy] {
            let frame = share(depth, &phase);
            assert_ne!(frame, "");
            at_most(&format!("{depth:?} 1 % of 2,000 {phase:?}"), &frame, 1_000);
        }
        // The gravest are named, too, and other keys are of use then.
        at_most(&format!("{depth:?} 1 % of 2,000 failed"), &share(depth, &Phase::Failed), 1_200);
    }
}

/// Its glyph in its place, in another colour than all around it.
#[test]
fn a_state_costs_a_cell() {
    for depth in DEPTHS {
        let theme = fixed(depth, false).theme;
        for state in InstanceState::ALL {
            let mut cell = Cell::default();
            cell.set_char(theme.glyph(state)).set_style(theme.state(state));
            let mut encoder = Encoder::new(LARGE.into(), depth, false);
            encoder.draw(std::iter::once((140, 40, &cell))).unwrap();
            at_most(&format!("{depth:?} {state} alone"), &String::from_utf8(encoder.take()).unwrap(), 80);
        }
        // With the tallies of its zone over the grid.
        let world = World::new(2_000).started();
        let (mut painted, _) = Painted::new(console(&world, LARGE, fixed(depth, false)), depth);
        let (_, instance) = painted.app.state.instances.get_index_mut(777).unwrap();
        instance.phase = Phase::Updating;
        let frame = painted.frame();
        assert_ne!(frame, "");
        at_most(&format!("{depth:?} one state and its tallies"), &frame, 150);
    }
}
