//! What `y` copies: a text that goes to the clipboard of the terminal, wherever that is.
//!
//! Imports: tui parts. May not: send; say that it was copied, which nobody knows.

use crate::event::clean;
use crate::tui::app::{App, Tone};
use crate::tui::keys::Action;
use crate::tui::tab::Tab;
use crate::tui::text::time_of_day;
use crate::tui::update::Cmd;

/// Sends `text`, which is `what`, to the terminal's clipboard.
pub(in crate::tui) fn copy(app: &mut App, what: &str, text: &str) -> Vec<Cmd> {
    if !app.wire.clipboard {
        let key = app.fixed.keys.hint(Action::Export);
        app.say(format!("not possible: [console] clipboard is off; {key} writes the screen to a file"), Tone::Refused);
        return Vec::new();
    }
    // Whatever a program said of itself, a terminal obeys none of it.
    vec![Cmd::Copy { what: clean(what).into_owned(), text: clean(text).into_owned() }]
}

/// What is selected on the open screen: the line that was found or stands last in the log, the deployment of the history,
/// the error of the instance that is looked at, else an instance's id.
pub(in crate::tui) fn copy_selected(app: &mut App) -> Vec<Cmd> {
    match app.tab {
        Tab::Logs => return copy_line(app),
        Tab::History => {
            if let Some(id) = app.runs.selection().map(|chapter| chapter.id.to_string()) {
                return copy(app, &id, &id);
            }
        }
        Tab::Fleet | Tab::Instance | Tab::Timeline | Tab::Plan => {}
    }
    let Some((id, instance)) = app.selection().and_then(|index| app.state.instances.get_index(index)) else {
        app.say("no instance is selected", Tone::Refused);
        return Vec::new();
    };
    let trouble = app.reading(id).and_then(|reading| reading.trouble.clone());
    let wrong = instance.failure.as_ref().map(|failure| failure.reason.clone()).or(trouble);
    let (what, text) = match wrong.filter(|_| app.tab == Tab::Instance) {
        Some(wrong) => (format!("what is wrong with {id}"), format!("{id}: {wrong}")),
        None => (id.to_string(), id.to_string()),
    };
    copy(app, &what, &text)
}

fn copy_line(app: &mut App) -> Vec<Cmd> {
    let logs = &app.logs;
    let last = logs.shown().get(logs.place()).copied();
    let Some(line) = logs.found.or(last).and_then(|number| logs.line(number)) else {
        app.say("there is no line to copy", Tone::Refused);
        return Vec::new();
    };
    let level = line.level.map_or_else(String::new, |level| format!("{level} "));
    let text = format!("{} {level}{}: {}", time_of_day(line.at, &app.fixed.zone), line.target, line.text);
    copy(app, "the line", &text)
}
