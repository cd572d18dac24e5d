//! Without a terminal: one line a fact, and a summary at the end.
//!
//! Imports: session, core, state, event, model. May not: decide; hold up the engine.

mod report;

use std::io::{self, Write};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::core;
use crate::event::{Event, EventKind, FORMAT, clean};
use crate::model::{Seq, Timestamp};
use crate::ports::{Progress, Session, SessionError, Snapshot, Update};
use crate::state::{State, Status, Summary};

pub use report::{local_time, show_text, status_line, summary_text};

/// After so long without a line, the reader is told what is awaited.
const QUIET: Duration = Duration::from_secs(30);

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line a fact, for people.
    Lines,
    /// One JSON object a line, each with a `type`; the last is the summary.
    Json,
}

/// Why the output stopped. The engine is not touched by it.
#[derive(Debug, thiserror::Error)]
pub enum HeadlessError {
    /// The engine cannot be read.
    #[error("following the deployment failed: {0}")]
    Session(#[from] SessionError),
    /// Nobody takes the output.
    #[error("writing the output failed ({0}); the deployment goes on, `rollout attach` follows it again")]
    Output(#[from] io::Error),
}

/// How following a deployment came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// The deployment ended, with this exit code of the contract.
    Ended(u8),
    /// It was to be left, and is paused with no instance in the middle.
    Rests,
    /// Its engine went away before the end.
    Gone,
}

/// Follows the deployment to its end; once `leave` is cancelled, to where it rests.
///
/// # Errors
/// Fails if the deployment cannot be read or the output cannot be written.
pub async fn run(
    mut session: Box<dyn Session>,
    format: Format,
    out: &mut dyn Write,
    leave: &CancellationToken,
) -> Result<Followed, HeadlessError> {
    let snapshot = session.snapshot().await?;
    let mut printer = Printer::new(snapshot, format, TimeZone::system(), out);
    printer.begin()?;
    while printer.state.end.is_none() && !printer.closed && !(leave.is_cancelled() && printer.rests()) {
        let update = tokio::select! {
            update = timeout(QUIET, session.next()) => update,
            () = leave.cancelled(), if !leave.is_cancelled() => continue,
        };
        match update {
            Ok(update) => {
                if printer.take(update)? == Next::ReadAgain {
                    let snapshot = session.snapshot().await?;
                    printer.resync(snapshot)?;
                }
            }
            Err(_quiet) => printer.still_waiting()?,
        }
    }
    printer.end()?;
    let code = printer.state.exit_code();
    Ok(code.map_or(if printer.closed { Followed::Gone } else { Followed::Rests }, Followed::Ended))
}

/// A fact in one line, as on the reader's clock.
///
/// # Errors
/// Fails if serde cannot write it, which no event causes.
pub fn event_line(event: &Event, format: Format) -> serde_json::Result<String> {
    match format {
        Format::Lines => Ok(text_line(event.at, &event.kind.words(), &TimeZone::system())),
        Format::Json => json_line(event),
    }
}

/// A value as one line of JSON that no terminal obeys.
///
/// # Errors
/// Fails if serde cannot write it.
pub fn json_line<T: Serialize>(value: &T) -> serde_json::Result<String> {
    Ok(escape(&serde_json::to_string(value)?))
}

fn text_line(at: Timestamp, text: &str, zone: &TimeZone) -> String {
    format!("{}  {}", report::local(at, zone), clean(text))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    /// An event was missed.
    ReadAgain,
}

struct Printer<'a> {
    state: State,
    progress: Progress,
    format: Format,
    zone: TimeZone,
    out: &'a mut dyn Write,
    closed: bool,
    down: bool,
}

impl<'a> Printer<'a> {
    fn new(snapshot: Snapshot, format: Format, zone: TimeZone, out: &'a mut dyn Write) -> Self {
        let Snapshot { state, progress, .. } = snapshot;
        Self { state, progress, format, zone, out, closed: false, down: false }
    }

    /// What is known already: the plan if nothing else has happened, else how it stands.
    fn begin(&mut self) -> io::Result<()> {
        if self.state.seq == Seq(1) {
            let plan = Box::new(self.state.plan.clone());
            let kind = EventKind::DeploymentPlanned { format: FORMAT, plan };
            let deployment = self.state.plan.deployment.clone();
            return self.fact(&Event { seq: Seq(1), at: self.state.planned_at, deployment, kind });
        }
        match self.format {
            Format::Lines => {
                let text = format!("attached: {}", self.state.headline());
                self.line(self.state.at, &text)
            }
            Format::Json => {
                let status = self.state.status().word();
                self.json(
                    &json!({"type": "attached", "seq": self.state.seq, "status": status, "headline": self.state.headline()}),
                )
            }
        }
    }

    fn take(&mut self, update: Update) -> io::Result<Next> {
        match update {
            Update::Event(event) => {
                if event.seq <= self.state.seq {
                    return Ok(Next::GoOn);
                }
                let news = self.format == Format::Json || self.state.is_news(&event.kind);
                if self.state.apply(&event).is_err() {
                    return Ok(Next::ReadAgain);
                }
                self.down = false;
                if news {
                    self.fact(&event)?;
                }
            }
            Update::Progress(progress) => self.progress(progress)?,
            Update::Log(_) => {}
            Update::Resync(snapshot) => self.resync(*snapshot)?,
            Update::Disconnected { reason } => {
                if !self.down {
                    self.down = true;
                    self.note("disconnected", &format!("no link to the engine ({reason}); trying again"))?;
                }
            }
            Update::Gone | Update::Closed => self.closed = true,
        }
        Ok(Next::GoOn)
    }

    /// Readings are not printed, new troubles are.
    fn progress(&mut self, newer: Progress) -> io::Result<()> {
        let mut troubles = Vec::new();
        for (id, reading) in &newer.readings {
            let before = self.progress.readings.get(id).and_then(|r| r.trouble.as_ref());
            if let Some(trouble) = reading.trouble.as_ref().filter(|trouble| Some(*trouble) != before) {
                troubles.push(format!("{id} trouble, trying again: {trouble}"));
            }
        }
        troubles.extend(newer.troubles.iter().filter(|t| !self.progress.troubles.contains(t)).cloned());
        let at = newer.at;
        self.progress.merge(newer);
        for text in troubles {
            match self.format {
                Format::Lines => self.line(at, &text)?,
                Format::Json => self.json(&json!({"type": "trouble", "at": at, "message": text}))?,
            }
        }
        Ok(())
    }

    fn resync(&mut self, snapshot: Snapshot) -> io::Result<()> {
        let missed = snapshot.state.seq.0.saturating_sub(self.state.seq.0);
        self.state = snapshot.state;
        self.progress.merge(snapshot.progress);
        self.down = false;
        if missed == 0 {
            return Ok(());
        }
        let text = format!("{missed} facts are not listed here; {}", self.state.headline());
        self.note("resync", &text)
    }

    fn still_waiting(&mut self) -> io::Result<()> {
        if self.format == Format::Lines
            && let Some(waiting) = core::waiting(&self.state)
        {
            let until = waiting.until.map_or_else(String::new, |until| format!(" (until {})", report::local(until, &self.zone)));
            writeln!(self.out, "  still {}{until}", clean(&waiting.to_string()))?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// Paused, and no instance is in the middle.
    fn rests(&self) -> bool {
        self.state.pause.is_some() && self.state.active.is_empty()
    }

    fn end(&mut self) -> io::Result<()> {
        let mut summary = Summary::of(&self.state, (self.progress.vip, self.progress.lb));
        if self.state.end.is_none() && self.closed {
            Status::Interrupted.word().clone_into(&mut summary.status);
            summary.exceptions = self.state.exceptions_if_dead();
        }
        match self.format {
            Format::Lines => {
                if self.closed && self.state.end.is_none() {
                    writeln!(self.out, "the engine went away before the end; `rollout status` looks again")?;
                }
                write!(self.out, "\n{}", summary_text(&self.state, &summary))?;
                self.out.flush()
            }
            Format::Json => self.json(&summary),
        }
    }

    fn fact(&mut self, event: &Event) -> io::Result<()> {
        match self.format {
            Format::Lines => self.line(event.at, &event.kind.words()),
            Format::Json => self.json(event),
        }
    }

    fn note(&mut self, kind: &str, text: &str) -> io::Result<()> {
        match self.format {
            Format::Lines => {
                writeln!(self.out, "  {}", clean(text))?;
                self.out.flush()
            }
            Format::Json => self.json(&json!({"type": kind, "message": text})),
        }
    }

    fn line(&mut self, at: Timestamp, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", text_line(at, text, &self.zone))?;
        self.out.flush()
    }

    fn json<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        writeln!(self.out, "{}", json_line(value)?)?;
        self.out.flush()
    }
}

/// JSON escapes the control characters of ASCII only; the rest of what a terminal obeys is escaped here.
fn escape(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(clean(c.encode_utf8(&mut [0; 4])), std::borrow::Cow::Owned(_)) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str("\\u");
                text.extend([12, 8, 4, 0].map(|shift| char::from_digit(u32::from(*unit >> shift & 0xf), 16).unwrap_or('0')));
            }
        } else {
            text.push(c);
        }
    }
    text
}
