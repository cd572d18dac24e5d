//! The verbs on what is in the journal: `history`, `show`, `events`, and the last deployment in a line.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::json;

use super::args::Output;
use super::verbs::reached;
use super::{Common, Done, Failure, PERSON, Place, complain, load, say};
use crate::config::Config;
use crate::event::{Event, clean};
use crate::headless::{self, Format};
use crate::journal::{Holder, Lease, Sqlite};
use crate::model::{DeploymentId, Seq, Span};
use crate::ports::{DeploymentRow, Journal as _, JournalError, Past, Session as _, Update};
use crate::state::{State, Status, Summary};

/// All deployments of the service, and what is wrong with those that are damaged.
pub(super) fn past(config: &Config) -> Result<Past, Failure> {
    view(config)?.map_or_else(|| Ok(Past::default()), |j| j.past()).map_err(Failure::refused)
}

/// The newest deployment of the service. Refused if it is damaged: then nobody knows how it stands.
pub(super) fn last_row(config: &Config) -> Result<Option<DeploymentRow>, Failure> {
    past(config)?.latest().map_err(Failure::refused)
}

pub(super) fn view(config: &Config) -> Result<Option<Sqlite>, Failure> {
    let place = Place::of(config);
    Sqlite::view(&place.base, &place.service, &place.env).map_err(Failure::refused)
}

pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    say(&headless::json_line(value).map_err(Failure::person)?);
    Ok(())
}

/// Nothing runs: the last deployment in a line.
pub(super) fn last_status(common: &Common, config: &Config) -> Result<(), Failure> {
    let Some(row) = last_row(config)? else {
        if common.output == Output::Text {
            say(&format!("{} ({}): no deployment yet", config.service.name, config.service.env));
        }
        return Ok(());
    };
    match common.output {
        Output::Text => say(&ended_line(config, &row)?),
        Output::Json => json(&summary_of(config, &row.id)?)?,
    }
    Ok(())
}

pub(super) fn last_line(config: &Config, row: &DeploymentRow) -> String {
    let what = format!("{} to {}", row.id, row.version);
    if let Some(at) = row.ended_at {
        return format!("{what}: {} at {}, by {}", row.status, headless::local_time(at), row.started_by);
    }
    let place = Place::of(config);
    match Lease::look(&place.base, &place.service, &place.env).filter(Holder::lives) {
        None => format!("{what}: interrupted while {}; take it over with: rollout recover", row.status),
        Some(holder) if holder.is_stopped() => format!(
            "{what}: its engine is stopped while {}; let it go on with: kill -CONT {}, or take it over with: rollout recover",
            row.status, holder.process.pid
        ),
        Some(holder) => format!(
            "{what}: its engine (process {pid}) is there while {}, but does not answer; look again, or take it over with: \
             rollout recover --steal {pid}",
            row.status,
            pid = holder.process.pid
        ),
    }
}

/// As `last_line`, with what came of one that has ended, or how far one came that lost its engine and which instances
/// it left in the middle.
pub(super) fn ended_line(config: &Config, row: &DeploymentRow) -> Result<String, Failure> {
    let state = replayed(config, &row.id)?;
    let headline = state.headline();
    let Some(at) = row.ended_at else {
        let left = state.exceptions_if_dead().into_iter().map(|e| format!("  {} {}: {}", e.instance, e.state, e.reason));
        let lines = [last_line(config, row), format!("  {headline}")].into_iter().chain(left);
        return Ok(lines.map(|line| clean(&line).into_owned()).collect::<Vec<_>>().join("\n"));
    };
    let at = headless::local_time(at);
    let line = format!("{} to {}: {}, {headline}; {at}, by {}", row.id, row.version, row.status, row.started_by);
    Ok(clean(&line).into_owned())
}

pub(super) fn replayed(config: &Config, id: &DeploymentId) -> Result<State, Failure> {
    let (events, damage) = stored(config, id)?;
    damage.map_or(Ok(()), |damage| Err(Failure::refused(damage)))?;
    State::replay(&events).map_err(Failure::refused)
}

/// The events of a deployment, up to the first that is damaged.
fn stored(config: &Config, id: &DeploymentId) -> Result<(Vec<Event>, Option<JournalError>), Failure> {
    let journal = view(config)?.ok_or_else(|| Failure::refused("there is no journal yet"))?;
    journal.read_sound(id).map_err(Failure::refused)
}

/// Of a deployment that nobody runs. It may have ended since it was listed.
fn summary_of(config: &Config, id: &DeploymentId) -> Result<Summary, Failure> {
    let state = replayed(config, id)?;
    let mut summary = Summary::of(&state, (None, None));
    if state.end.is_none() {
        Status::Interrupted.word().clone_into(&mut summary.status);
        summary.exceptions = state.exceptions_if_dead();
    }
    Ok(summary)
}

/// `rollout show`.
pub(super) async fn show(common: &Common, id: &str) -> Done {
    let (_, config) = load(common)?;
    let past = past(&config)?;
    let row = find(&past, id)?;
    let live = match reached(&Place::of(&config)).await? {
        Some(client) => client.snapshot().await.ok().filter(|s| s.state.plan.deployment == row.id),
        None => None,
    };
    let (state, summary) = match live {
        Some(snapshot) => {
            let summary = Summary::of(&snapshot.state, (snapshot.progress.vip, snapshot.progress.lb));
            (snapshot.state, summary)
        }
        None => (replayed(&config, &row.id)?, summary_of(&config, &row.id)?),
    };
    match common.output {
        Output::Text => say(&headless::show_text(&state, &summary)),
        Output::Json => json(&summary)?,
    }
    Ok(0)
}

/// As `find`, where a deployment that is damaged will do as well.
pub(super) fn found_or_damaged(past: &Past, id: &str) -> Result<DeploymentId, Failure> {
    named(past, id).map(|(id, _)| id.clone())
}

/// An exact id, or the only one that begins with it. A bare number is the number of the deployment.
pub(super) fn find<'a>(past: &'a Past, id: &str) -> Result<&'a DeploymentRow, Failure> {
    named(past, id)?.1.map_err(Failure::refused)
}

/// One of the history, whole or damaged.
type Named<'a> = (&'a DeploymentId, Result<&'a DeploymentRow, &'a JournalError>);

fn named<'a>(past: &'a Past, id: &str) -> Result<Named<'a>, Failure> {
    let whole = past.rows.iter().map(|row| (&row.id, Ok(row)));
    let damaged = past.damaged.iter().filter_map(|damage| Some((damage.damaged()?, Err(damage))));
    let mut all: Vec<Named<'_>> = whole.chain(damaged).collect();
    all.sort_by_key(|(id, _)| std::cmp::Reverse(id.number()));
    if let Some(named) = all.iter().find(|(one, _)| one.to_string() == id || one.number().to_string() == id) {
        return Ok(*named);
    }
    all.retain(|(one, _)| !id.is_empty() && one.to_string().starts_with(id));
    match all.as_slice() {
        [named] => Ok(*named),
        [] => Err(Failure::usage(format!("there is no deployment {id:?}; rollout history lists them"))),
        [(first, _), .., (last, _)] => Err(Failure::usage(format!("{id} is not unique: {last} to {first}"))),
    }
}

/// `rollout history`.
pub(super) async fn history(common: &Common, limit: u32) -> Done {
    let (_, config) = load(common)?;
    let runs = match reached(&Place::of(&config)).await? {
        Some(client) => client.snapshot().await.ok().map(|snapshot| snapshot.state.plan.deployment),
        None => None,
    };
    let Past { rows, damaged } = past(&config)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let shown = rows.iter().take(limit).map(|row| Shown::of(row, runs.as_ref()));
    match common.output {
        Output::Text if rows.is_empty() && !damaged.is_empty() => {}
        Output::Text if rows.is_empty() => say(&format!("{} ({}): no deployment yet", config.service.name, config.service.env)),
        Output::Text => {
            let width = crossterm::terminal::size().map_or(WIDTH, |(width, _)| usize::from(width).min(WIDTH));
            let mut lines = table(&shown.collect::<Vec<_>>(), width);
            if rows.len() > limit {
                lines.push(format!("and {} older; rollout history -n {} lists all", rows.len() - limit, rows.len()));
            }
            say(&lines.join("\n"));
        }
        Output::Json => {
            for row in shown {
                json(&row.object(&config))?;
            }
        }
    }
    let mut damaged = damaged;
    let Some(last) = damaged.pop() else { return Ok(0) };
    for damage in damaged {
        complain(&format!("rollout: {damage}"));
    }
    Err(Failure::refused(last))
}

/// A row of the history whose status is true now.
struct Shown<'a> {
    row: &'a DeploymentRow,
    status: &'a str,
}

impl<'a> Shown<'a> {
    /// What has not ended and does not run lost its engine.
    fn of(row: &'a DeploymentRow, runs: Option<&DeploymentId>) -> Self {
        let lost = row.ended_at.is_none() && runs != Some(&row.id);
        Self { row, status: if lost { Status::Interrupted.word() } else { &row.status } }
    }

    fn took(&self) -> Option<Span> {
        Some(self.row.ended_at?.since(self.row.planned_at))
    }

    fn object(&self, config: &Config) -> serde_json::Value {
        let row = self.row;
        json!({
            "type": "deployment", "deployment": row.id.to_string(), "service": config.service.name, "env": config.service.env,
            "version": row.version, "status": self.status, "started_by": row.started_by, "planned_at": row.planned_at,
            "finished_at": row.ended_at, "duration_ms": self.took().map(Span::as_millis),
        })
    }
}

/// No line of a table is longer.
const WIDTH: usize = 80;

/// The history as a table of at most `width` columns; what is not there in full ends in `…`.
fn table(shown: &[Shown<'_>], width: usize) -> Vec<String> {
    let zone = shown.first().map(|shown| headless::local_time(shown.row.planned_at));
    let zone = zone.as_deref().and_then(|time| time.rsplit(' ').next()).unwrap_or("UTC").to_owned();
    let head = ["DEPLOYMENT", "VERSION", "STATUS", "TOOK", &format!("PLANNED ({zone})"), "BY"].map(str::to_owned);
    let body = shown.iter().map(|shown| {
        let row = shown.row;
        let took = shown.took().map_or_else(|| "-".to_owned(), |took| took.to_string());
        // To the minute: the seconds are in `show`.
        let planned: String = headless::local_time(row.planned_at).chars().take("2026-11-20 22:03".len()).collect();
        let texts = [&row.id.to_string(), &row.version, shown.status, &took, &planned, &row.started_by];
        texts.map(|text| clean(text).into_owned())
    });
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(body).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, text) in widths.iter_mut().zip(line) {
            *width = text.chars().count().max(*width);
        }
    }
    let gaps = 2 * (widths.len() - 1);
    // Names give way first, as far as they can still be told apart.
    for (column, least) in [(1, 12), (5, 6), (0, 12), (1, 6)] {
        let over = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
        if let Some(wide) = widths.get_mut(column) {
            *wide = (*wide).min((*wide - over.min(*wide)).max(least));
        }
    }
    let shown = lines.iter().map(|line| {
        let cells = line.iter().zip(widths).map(|(text, width)| format!("{:width$}", shortened(text, width)));
        let line: String = cells.collect::<Vec<_>>().join("  ").trim_end().to_owned();
        shortened(&line, width)
    });
    shown.collect()
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// `rollout events`.
pub(super) async fn events(common: &Common, id: &str, follow: bool) -> Done {
    let (_, config) = load(common)?;
    let id = find(&past(&config)?, id)?.id.clone();
    let format = match common.output {
        Output::Text => Format::Lines,
        Output::Json => Format::Json,
    };
    // Connected before the journal is read: what happens in between comes from both and is told apart by its number.
    let mut client = match reached(&Place::of(&config)).await?.filter(|_| follow) {
        Some(client) => client.snapshot().await.ok().filter(|s| s.state.plan.deployment == id).map(|_| client),
        None => None,
    };
    let mut printer = Printer { format, last: Seq(0), ended: false };
    let done = async {
        printer.stored(stored(&config, &id)?)?;
        while let Some(client) = client.as_mut().filter(|_| !printer.ended) {
            match client.next().await {
                Update::Event(event) => printer.all(std::slice::from_ref(&event))?,
                Update::Resync(_) => printer.stored(stored(&config, &id)?)?,
                Update::Gone | Update::Closed => {
                    printer.stored(stored(&config, &id)?)?;
                    break;
                }
                Update::Progress(_) | Update::Log(_) | Update::Disconnected { .. } => {}
            }
        }
        Ok(())
    };
    match done.await {
        Ok(()) => {}
        // Whoever closed the pipe has what they wanted.
        Err(Stop::Closed) => return Ok(0),
        Err(Stop::Failed(failure)) => return Err(failure),
    }
    if follow && !printer.ended {
        return Err(Failure {
            code: PERSON,
            message: format!("{id} has not ended, but its engine is gone; look with: rollout status"),
        });
    }
    Ok(0)
}

/// Prints facts in order, each once.
struct Printer {
    format: Format,
    last: Seq,
    ended: bool,
}

/// Why nothing more is printed.
enum Stop {
    Closed,
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Printer {
    /// What can be read, then what is wrong with the rest.
    fn stored(&mut self, (events, damage): (Vec<Event>, Option<JournalError>)) -> Result<(), Stop> {
        self.all(&events)?;
        damage.map_or(Ok(()), |damage| Err(Failure::refused(damage).into()))
    }

    fn all(&mut self, events: &[Event]) -> Result<(), Stop> {
        let mut out = io::stdout().lock();
        for event in events.iter().filter(|event| event.seq > self.last) {
            let line = headless::event_line(event, self.format).map_err(Failure::person)?;
            written(writeln!(out, "{line}"))?;
        }
        written(out.flush())?;
        if let Some(last) = events.last().filter(|event| event.seq > self.last) {
            self.last = last.seq;
            self.ended = last.kind.is_terminal();
        }
        Ok(())
    }
}

fn written(result: io::Result<()>) -> Result<(), Stop> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::Closed,
        _ => Stop::Failed(Failure::person(format!("cannot write: {error}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn row(number: u32, version: &str, by: &str) -> DeploymentRow {
        let at = Timestamp::from_millis(1_790_000_000_000);
        DeploymentRow {
            id: DeploymentId::new("shop", number),
            version: version.to_owned(),
            status: "completed".to_owned(),
            started_by: by.to_owned(),
            planned_at: at,
            ended_at: Some(at + Span::from_secs(90)),
        }
    }

    #[test]
    fn an_id_is_found_by_itself_its_number_and_its_beginning() {
        let rows = [row(142, "v3", "ana"), row(14, "v2", "ana"), row(2, "v1", "ana")];
        let past = Past { rows: rows.into(), damaged: Vec::new() };
        let found = |id: &str| find(&past, id).map(|row| row.id.number()).map_err(|failure| failure.message);
        assert_eq!(found("shop-142"), Ok(142));
        assert_eq!(found("142"), Ok(142));
        assert_eq!(found("shop-14"), Ok(14), "exact before unique");
        assert_eq!(found("14"), Ok(14));
        assert_eq!(found("shop-2"), Ok(2));
        assert_eq!(found("shop-1"), Err("shop-1 is not unique: shop-14 to shop-142".to_owned()));
        for nobody in ["", "shop-3", "other-2", "3"] {
            assert!(found(nobody).unwrap_err().contains("there is no deployment"), "{nobody}");
        }
    }

    #[test]
    fn no_line_of_the_table_is_wider_than_the_terminal() {
        let rows = [row(1_000_000, &"9".repeat(128), &"n".repeat(60)), row(1, "v1", "a\u{1b}[2J")];
        for width in [80, 60, 40, 20] {
            let shown: Vec<Shown<'_>> = rows.iter().map(|row| Shown::of(row, None)).collect();
            for line in table(&shown, width) {
                assert!(line.chars().count() <= width, "{width}: {line}");
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
        let shown = [Shown::of(&rows[1], None)];
        let line = table(&shown, 80).pop().unwrap();
        assert!(line.starts_with("shop-1") && line.contains("v1") && line.contains("1m30s"), "{line}");
    }

    #[test]
    fn what_has_not_ended_and_does_not_run_is_interrupted() {
        let open = DeploymentRow { status: "in_progress".to_owned(), ended_at: None, ..row(3, "v3", "ana") };
        assert_eq!(Shown::of(&open, None).status, "interrupted");
        assert_eq!(Shown::of(&open, Some(&open.id)).status, "in_progress");
        assert_eq!(Shown::of(&row(3, "v3", "ana"), None).status, "completed");
    }
}
