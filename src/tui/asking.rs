//! The question before a command: opened with what it would do, looked at anew with every fact, answered only once it was
//! read.
//!
//! Imports: tui parts, command, core. May not: do I/O, read a clock, draw.

use super::app::{App, Dirt, Tone};
use super::confirm::{Ask, Overlay, Reason, Typed};
use super::keys::{Action, Key};
use super::update::Cmd;
use super::view;
use crate::command::Command;
use crate::core::Consequence;

pub(super) fn open(app: &mut App, command: Command) {
    if !view::fits_question(app.size) {
        let verb = command.verb();
        let (width, height) = view::QUESTION;
        app.say(format!("{verb}: enlarge to {width}x{height} first"), Tone::Refused);
        return;
    }
    match (app.fixed.oracle.consequence)(&app.state, &command, app.now) {
        Ok(consequence) => {
            let id = app.number();
            let typed = word_to_type(app, &command).map(|wanted| Typed { wanted, so_far: String::new() });
            let again = app.state.cancel.is_some();
            let mut reason = Reason::default();
            let command = command.with_reason(|given| {
                reason = Reason::given(given);
                String::new()
            });
            let ask = Ask {
                id,
                command,
                consequence,
                typed,
                reason,
                armed: false,
                changed: false,
                again,
                step: app.state.step.is_some(),
            };
            app.overlay = Some(Overlay::Ask(Box::new(ask)));
        }
        Err(refusal) => app.say(format!("{}: {refusal}", command.verb()), Tone::Refused),
    }
}

/// The word that must be typed where a `y` is not enough.
fn word_to_type(app: &App, command: &Command) -> Option<String> {
    match command {
        Command::Rollback { only: None, .. } if app.fixed.protected => Some(app.state.plan.service.clone()),
        Command::Promote { full: true } => Some("promote".to_owned()),
        _ => None,
    }
}

pub(super) fn on_key(app: &mut App, key: Key) -> Vec<Cmd> {
    if let Some(cmd) = app.aside(key) {
        return vec![cmd];
    }
    if key != Key::Ctrl('c') && app.ask().is_some_and(|ask| ask.on_reason_key(key)) {
        return Vec::new();
    }
    if matches!(key, Key::Esc | Key::Ctrl('c')) {
        app.overlay = None;
        return Vec::new();
    }
    let Some(ask) = app.ask().filter(|ask| ask.armed) else { return Vec::new() };
    let yes = match &mut ask.typed {
        None => key == Key::Char('y'),
        Some(typed) => match key {
            Key::Enter => typed.so_far == typed.wanted,
            Key::Backspace => {
                typed.so_far.pop();
                false
            }
            Key::Char(c) if typed.so_far.chars().count() < 64 => {
                typed.so_far.push(c);
                false
            }
            _ => false,
        },
    };
    if !yes {
        return Vec::new();
    }
    let command = ask.order();
    app.overlay = None;
    app.say(format!("{}: sent", command.verb()), Tone::Plain);
    // What it would do is compared with each fact that arrives; the engine refuses what has changed in between. A first
    // cancel that meets somebody else's on the way must not become the second, which stops commands. To go back is an
    // emergency: that counts whatever happened meanwhile.
    let revision = (!matches!(command, Command::Rollback { only: None, .. })).then_some(app.state.seq);
    vec![Cmd::Send { command, revision }]
}

/// A fact arrived while a question was open: what it would do may be another thing now.
pub(super) fn reconsider(app: &mut App) {
    let (state, now, consequence) = (&app.state, app.now, app.fixed.oracle.consequence);
    let verdict: Result<Consequence, String> = match &app.overlay {
        // Somebody else was quicker: the same command would stop the commands now.
        Some(Overlay::Ask(ask)) if matches!(ask.command, Command::Cancel { .. }) && ask.again != state.cancel.is_some() => {
            let again = app.fixed.keys.hint(Action::Cancel);
            Err(format!("cancel: it is being cancelled by now; {again} again stops the commands that run"))
        }
        Some(Overlay::Ask(ask)) => consequence(state, &ask.command, now).map_err(|r| format!("{}: {r}", ask.command.verb())),
        Some(Overlay::Help | Overlay::Leave | Overlay::Filter | Overlay::Command | Overlay::Search | Overlay::Themes) | None => {
            return;
        }
    };
    match verdict {
        Err(why) => close(app, &why),
        Ok(fresh) => {
            let id = app.number();
            if let Some(ask) = app.ask() {
                if ask.differs(&fresh) {
                    ask.id = id;
                    ask.armed = false;
                    ask.changed = true;
                    if let Some(typed) = &mut ask.typed {
                        typed.so_far.clear();
                    }
                }
                ask.consequence = fresh;
            }
        }
    }
}

pub(super) fn close(app: &mut App, why: &str) {
    if app.ask().is_some() {
        app.overlay = None;
        app.say(why, Tone::Refused);
    }
}

pub(super) fn disarm(app: &mut App) {
    let id = app.number();
    if let Some(ask) = app.ask() {
        ask.id = id;
        ask.armed = false;
    }
}

pub(super) fn arm(app: &mut App, id: u64) {
    if app.unseen() != Some(id) {
        return;
    }
    app.dirt = Dirt::Now;
    if let Some(ask) = app.ask() {
        ask.armed = true;
    } else if let Some(next) = &mut app.next {
        next.armed = true;
    }
}
