//! What `e` writes: the screen as text, the deployment's summary, and its events, in a new folder that only its user may
//! read. Nothing that is not on the screen or in the journal.
//!
//! Imports: event, state, ports, tui parts. May not: write over anything.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ratatui::buffer::Buffer;

use crate::event::Event;
use crate::state::Summary;
use crate::tui::app::App;
use crate::tui::text::{stamp, width};

/// How many folders of the same second there may be.
const SAME: u32 = 100;

/// What is to be written.
#[derive(Debug, Clone)]
pub(in crate::tui) struct Export {
    name: String,
    screen: String,
    /// Of a deployment; none where nothing runs.
    summary: Option<String>,
    events: Option<String>,
}

impl Export {
    /// Of the screen as it stands; `events` if somebody told them.
    pub(in crate::tui) fn of(app: &App, screen: &Buffer, events: Option<&[Event]>) -> Self {
        let summary = || Summary::of(&app.state, (app.progress.vip, app.progress.lb));
        let of = if app.idle.is_some() { app.state.plan.service.clone() } else { app.state.plan.deployment.to_string() };
        let json = |event| serde_json::to_string(event).unwrap_or_default();
        Self {
            name: format!("rollout-{of}-{}", stamp(app.now, &app.fixed.zone)),
            screen: text(screen),
            summary: app.idle.is_none().then(|| format!("{}\n", serde_json::to_string_pretty(&summary()).unwrap_or_default())),
            events: events.map(|events| events.iter().map(|event| json(event) + "\n").collect()),
        }
    }
}

/// The screen in lines, without what is blank at their ends.
fn text(screen: &Buffer) -> String {
    let mut text = String::new();
    for y in screen.area.rows() {
        let mut line = String::new();
        let mut skip = 0;
        for x in y.columns() {
            let symbol = screen.cell((x.x, y.y)).map_or(" ", |cell| cell.symbol());
            if skip > 0 {
                skip -= 1;
                continue;
            }
            skip = width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Writes it into a new folder here, or among the temporary ones. Where, and what is missing.
pub(in crate::tui) fn export(what: &Export) -> Result<String, String> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let written = write(what, &here).or_else(|_| write(what, &std::env::temp_dir()));
    let folder = written.map_err(|error| format!("nothing was written: {error}"))?;
    let missing =
        if what.events.is_some() || what.summary.is_none() { "" } else { "; without the events, which nobody told in time" };
    Ok(format!("written to {}{missing}", folder.display()))
}

fn write(what: &Export, into: &Path) -> io::Result<PathBuf> {
    let folder = new_folder(into, &what.name)?;
    let file = |name: &str, text: &str| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name))?;
        file.write_all(text.as_bytes())
    };
    file("screen.txt", &what.screen)?;
    if let Some(summary) = &what.summary {
        file("summary.json", summary)?;
    }
    if let Some(events) = &what.events {
        file("events.jsonl", events)?;
    }
    Ok(folder)
}

fn new_folder(into: &Path, name: &str) -> io::Result<PathBuf> {
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for number in 1..=SAME {
        let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        let folder = into.join(name);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn each_goes_into_a_folder_of_its_own_that_only_its_user_reads() {
        let dir = tempfile::tempdir().unwrap();
        let what = |screen: &str| Export {
            name: "rollout-shop-7".to_owned(),
            screen: screen.to_owned(),
            summary: Some("{}".to_owned()),
            events: Some(String::new()),
        };
        let first = write(&what("one"), dir.path()).unwrap();
        let second = write(&what("two"), dir.path()).unwrap();
        assert_eq!(
            (first.file_name().unwrap(), second.file_name().unwrap()),
            ("rollout-shop-7".as_ref(), "rollout-shop-7-2".as_ref())
        );
        assert_eq!(std::fs::read_to_string(first.join("screen.txt")).unwrap(), "one");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&first), 0o700);
        for file in ["screen.txt", "summary.json", "events.jsonl"] {
            assert_eq!(mode(&first.join(file)), 0o600, "{file}");
        }
    }

    #[test]
    fn the_screen_is_text_also_with_wide_characters() {
        let screen = Buffer::with_lines(["漢字 ok  ", "", " a b "]);
        assert_eq!(text(&screen), "漢字 ok\n\n a b\n");
    }
}
