//! The mouse: it selects, opens and scrolls. No click ever acts on the deployment or answers a question.
//!
//! Imports: tui parts. May not: send.

use crate::tui::app::{App, Tone};
use crate::tui::keys::Action;
use crate::tui::tab::{self, Tab};
use crate::tui::update::{Cmd, on_action};
use crate::tui::view::{self, Hit};

/// Clicks and the wheel, as numbers in ASCII. Moves are not asked for.
pub(in crate::tui) const ENABLE: &[u8] = b"\x1b[?1000h\x1b[?1006h";
/// Undoes that.
pub(in crate::tui) const DISABLE: &[u8] = b"\x1b[?1006l\x1b[?1000l";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Click {
    /// The left button went down.
    Left,
    /// The wheel turned away from the hand.
    WheelUp,
    /// The wheel turned towards the hand.
    WheelDown,
}

/// What the mouse did, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MouseEvent {
    /// What.
    pub click: Click,
    /// From the left, 0 is the first.
    pub column: u16,
    /// From above, 0 is the first.
    pub row: u16,
}

/// Turns it on or off.
pub(in crate::tui) fn toggle(app: &mut App) {
    app.wire.mouse = !app.wire.mouse;
    let text = if app.wire.mouse { "mouse on: hold Shift to select text" } else { "mouse off: the terminal selects text again" };
    app.say(text, Tone::Plain);
}

/// Takes what the mouse did.
pub(in crate::tui) fn on_mouse(app: &mut App, event: MouseEvent) -> Vec<Cmd> {
    // A late report after it was turned off, or anything while something is typed or asked, or a replay is open.
    if !app.wire.mouse || app.is_typing() {
        return Vec::new();
    }
    match event.click {
        Click::Left => {
            let hit = view::hit(app, (event.column, event.row));
            on_click(app, hit)
        }
        Click::WheelUp => turn(app, Action::Up),
        Click::WheelDown => turn(app, Action::Down),
    }
}

fn on_click(app: &mut App, hit: Option<Hit>) -> Vec<Cmd> {
    match hit {
        // As its key does it.
        Some(Hit::Tab(tab)) => return on_action(app, Action::Open(tab)),
        // The second click on it looks at it.
        Some(Hit::Instance(place)) if app.position() == place && app.listed(place) == app.selection() => app.open(Tab::Instance),
        Some(Hit::Instance(place)) => {
            app.list.follow = false;
            app.select_at(place);
        }
        None => {}
    }
    Vec::new()
}

/// As the arrow keys do it on the open screen.
fn turn(app: &mut App, way: Action) -> Vec<Cmd> {
    if let Some(cmds) = tab::on_action(app, way) {
        return cmds;
    }
    if app.tab == Tab::Fleet {
        app.list.follow = false;
        view::walk(app, way);
    }
    Vec::new()
}
