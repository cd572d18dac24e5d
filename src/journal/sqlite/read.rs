//! Reading what is stored, and telling whether all of it is still as it was written.
//!
//! Imports: ports, event, model. May not: write; return less or other than what was stored without an error.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::last::Last;
use super::{Head, backup, codec, link, refused, schema};
use crate::event::{Event, FORMAT};
use crate::model::{DeploymentId, Timestamp};
use crate::ports::{DeploymentRow, JournalError, Past};

/// A store that is read, in one transaction.
pub(super) struct Reading<'a> {
    connection: &'a Connection,
    path: &'a Path,
    service: &'a str,
    /// What the note beside the store says was stored last.
    last: Option<Last>,
    layout: i64,
}

/// A deployment's line in the history.
struct Line {
    row: DeploymentRow,
    head: Head,
    /// The checksum over it, since layout 3.
    sum: Option<u64>,
}

/// The checksum over a deployment's line in the history.
pub(super) fn sum(row: &DeploymentRow, head: &Head) -> u64 {
    let ended = row.ended_at.map_or(-1, |at| at.as_millis().cast_signed());
    let (number, planned, format, last_seq) = (row.id.number(), row.planned_at.as_millis(), head.format, head.last_seq);
    let (version, status, by) = (&row.version, &row.status, &row.started_by);
    link(head.chain, &format!("{number}\0{version}\0{status}\0{by}\0{planned}\0{ended}\0{format}\0{last_seq}"))
}

impl<'a> Reading<'a> {
    /// `last` must have been read before the transaction of `connection` began: then it cannot be ahead of what is stored.
    pub(super) fn new(
        connection: &'a Connection,
        path: &'a Path,
        service: &'a str,
        last: Option<Last>,
    ) -> Result<Self, JournalError> {
        let layout = schema::layout(connection).map_err(|e| schema::explain(path, &e))?;
        Ok(Self { connection, path, service, last, layout })
    }

    fn failed(&self, error: &rusqlite::Error) -> JournalError {
        if self.layout > schema::LAYOUT {
            let (found, known) = (self.layout, schema::LAYOUT);
            return refused(self.path, format!("written by a newer rollout (layout {found}, this one knows {known}): {error}"));
        }
        schema::explain(self.path, error)
    }

    fn id(&self, number: u32) -> DeploymentId {
        DeploymentId::new(self.service, number)
    }

    fn line_is(&self, number: u32, reason: &str) -> JournalError {
        JournalError::Line { deployment: self.id(number), reason: format!("{reason}; {}", backup::remedy(self.path)) }
    }

    fn record_is(&self, number: u32, seq: u64, reason: &str) -> JournalError {
        let reason = format!("{reason}; {}", backup::remedy(self.path));
        JournalError::Damaged { deployment: self.id(number), seq, reason }
    }

    /// Nothing is wrong with the store: whoever closes it last may fold the log in.
    pub(super) fn fold_on_close(&self) {
        // A failure leaves a larger log behind, nothing else.
        schema::fold_on_close(self.connection, true).ok();
    }

    /// Every deployment whose line and last record are as they were written, and what is wrong with the others.
    pub(super) fn past(&self) -> Result<Past, JournalError> {
        let mut past = Past::default();
        let mut seen = BTreeSet::new();
        let sql = format!("{} ORDER BY number DESC", self.lines());
        let mut statement = self.connection.prepare_cached(&sql).map_err(|e| self.failed(&e))?;
        let mut rows = statement.query([]).map_err(|e| self.failed(&e))?;
        while let Some(row) = rows.next().map_err(|e| self.failed(&e))? {
            let number: u32 = row.get(0).map_err(|e| self.failed(&e))?;
            seen.insert(number);
            match self.line(row).and_then(|line| self.checked(line)) {
                Ok(row) => past.rows.push(row),
                Err(error) => past.damaged.push(error),
            }
        }
        for number in self.numbers_of_events()? {
            if seen.insert(number) {
                past.damaged.push(self.line_is(number, "its line in the history is missing"));
            }
        }
        if let Some(last) = self.last.filter(|last| seen.insert(last.deployment)) {
            past.damaged.push(self.tail_is_lost(&last, last.deployment, 0));
        }
        past.damaged.extend(self.holes(&seen)?);
        Ok(past)
    }

    fn lines(&self) -> String {
        let sum = if self.layout >= schema::SUMMED { "sum" } else { "NULL" };
        format!(
            "SELECT number, version, status, started_by, planned_at, ended_at, format, last_seq, chain, {sum} FROM deployments"
        )
    }

    fn line(&self, row: &Row<'_>) -> Result<Line, JournalError> {
        let time = |ms: i64| Timestamp::from_millis(ms.cast_unsigned());
        let read = || {
            Ok(Line {
                row: DeploymentRow {
                    id: self.id(row.get(0)?),
                    version: row.get(1)?,
                    status: row.get(2)?,
                    started_by: row.get(3)?,
                    planned_at: time(row.get(4)?),
                    ended_at: row.get::<_, Option<i64>>(5)?.map(time),
                },
                head: Head {
                    format: row.get(6)?,
                    last_seq: row.get::<_, i64>(7)?.cast_unsigned(),
                    chain: row.get::<_, i64>(8)?.cast_unsigned(),
                },
                sum: row.get::<_, Option<i64>>(9)?.map(i64::cast_unsigned),
            })
        };
        let number = row.get(0).unwrap_or_default();
        read().map_err(|e: rusqlite::Error| self.line_is(number, &format!("its line in the history cannot be read ({e})")))
    }

    /// Fails unless the line is as it was written and its last record is the one that it names.
    fn checked(&self, line: Line) -> Result<DeploymentRow, JournalError> {
        self.check_sum(&line)?;
        let (number, head) = (line.row.id.number(), &line.head);
        match self.chain_at(number, head.last_seq)? {
            Some(chain) if chain == head.chain => {}
            Some(_) => return Err(self.record_is(number, head.last_seq, CHANGED)),
            None => return Err(self.record_is(number, head.last_seq, "it is missing")),
        }
        let sql = "SELECT max(seq) FROM events WHERE deployment = ?1";
        let newest: i64 = self.one(sql, number)?.unwrap_or_default();
        if newest.cast_unsigned() != head.last_seq {
            let reason = format!("the history counts {} records", head.last_seq);
            return Err(self.record_is(number, newest.cast_unsigned(), &reason));
        }
        self.check_tail(number, head.last_seq, line.row.ended_at.is_some())?;
        Ok(line.row)
    }

    /// Fails if the note says that more was stored after record `found` of the deployment.
    fn check_tail(&self, number: u32, found: u64, ended: bool) -> Result<(), JournalError> {
        let Some(last) = self.last.filter(|last| last.deployment >= number) else { return Ok(()) };
        let same = last.deployment == number;
        if same && last.seq > found {
            return Err(self.tail_is_lost(&last, number, found));
        }
        // What has not ended is written until the next one is planned: with that one's records some of its own may be lost.
        if (same || !ended) && self.chain_at(last.deployment, last.seq)? != Some(last.chain) {
            let error = if same { self.record_is(number, last.seq, CHANGED) } else { self.tail_is_lost(&last, number, found) };
            return Err(error);
        }
        Ok(())
    }

    fn check_sum(&self, line: &Line) -> Result<(), JournalError> {
        match line.sum {
            Some(found) if found != sum(&line.row, &line.head) => {
                Err(self.line_is(line.row.id.number(), "its line in the history was changed after it was written"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn tail_is_lost(&self, last: &Last, number: u32, found: u64) -> JournalError {
        let aside = super::last::path(self.path);
        let reason = format!(
            "it is missing: record {} of {} was stored at {}; the file journal.sqlite3-wal, which held the newest records, was deleted or \
             cut short, or an older store was put in place. If they cannot be brought back, but this store is to go on without \
             them: rm {}; what the lost ones did is then unknown",
            last.seq,
            self.id(last.deployment),
            last.at,
            aside.display()
        );
        self.record_is(number, found + 1, &reason)
    }

    fn one(&self, sql: &str, number: u32) -> Result<Option<i64>, JournalError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.failed(&e))?;
        let found = statement.query_row([number], |row| row.get::<_, Option<i64>>(0)).optional();
        found.map(Option::flatten).map_err(|e| self.failed(&e))
    }

    fn chain_at(&self, number: u32, seq: u64) -> Result<Option<u64>, JournalError> {
        let sql = "SELECT chain FROM events WHERE deployment = ?1 AND seq = ?2";
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.failed(&e))?;
        let found = statement.query_row((number, seq.cast_signed()), |row| row.get::<_, i64>(0)).optional();
        found.map(|chain| chain.map(i64::cast_unsigned)).map_err(|e| self.failed(&e))
    }

    /// The deployments that have records, found by looking for the next one: not every record is touched.
    fn numbers_of_events(&self) -> Result<Vec<u32>, JournalError> {
        const SQL: &str = "WITH RECURSIVE n(x) AS (SELECT min(deployment) FROM events UNION ALL
            SELECT (SELECT min(deployment) FROM events WHERE deployment > x) FROM n WHERE x IS NOT NULL)
            SELECT x FROM n WHERE x IS NOT NULL";
        let mut statement = self.connection.prepare_cached(SQL).map_err(|e| self.failed(&e))?;
        let numbers = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect);
        numbers.map_err(|e| self.failed(&e))
    }

    /// Numbers are given out one after the other: one that is missing was taken away, and if not by us, it is damage.
    fn holes(&self, seen: &BTreeSet<u32>) -> Result<Vec<JournalError>, JournalError> {
        let mut next = self.removed()?.saturating_add(1);
        let mut holes = Vec::new();
        for number in seen.range(next..) {
            if next < *number {
                let all = if next + 1 == *number { String::new() } else { format!(", as is all up to {}", self.id(number - 1)) };
                holes.push(self.line_is(next, &format!("it is missing{all}")));
            }
            next = number.saturating_add(1);
        }
        Ok(holes)
    }

    fn is_hole(&self, number: u32) -> Result<bool, JournalError> {
        let newest = self.connection.query_row("SELECT max(number) FROM deployments", [], |row| row.get::<_, Option<u32>>(0));
        let newest = newest.map_err(|e| self.failed(&e))?.max(self.last.map(|last| last.deployment));
        Ok(number > self.removed()? && newest.is_some_and(|newest| number < newest) && self.chain_at(number, 1)?.is_none())
    }

    /// Up to which number old deployments were removed.
    fn removed(&self) -> Result<u32, JournalError> {
        if self.layout < schema::SUMMED {
            return Ok(0);
        }
        let removed = self.connection.query_row("SELECT removed FROM store", [], |row| row.get(0)).optional();
        Ok(removed.map_err(|e| self.failed(&e))?.unwrap_or(0))
    }

    /// The records of a deployment up to the first that is not as it was written, and what is wrong with that.
    pub(super) fn read(&self, id: &DeploymentId) -> Result<(Vec<Event>, Option<JournalError>), JournalError> {
        let number = id.number();
        let sql = format!("{} WHERE number = ?1", self.lines());
        let mut statement = self.connection.prepare_cached(&sql).map_err(|e| self.failed(&e))?;
        let found = statement.query_row([number], |row| Ok(self.line(row))).optional().map_err(|e| self.failed(&e))?;
        let line = found.transpose()?;
        if line.is_none() && self.is_hole(number)? {
            return Err(self.line_is(number, "it is missing"));
        }
        line.as_ref().map_or(Ok(()), |line| self.check_sum(line))?;
        let ended = line.as_ref().is_some_and(|line| line.row.ended_at.is_some());
        let head = line.map(|line| line.head);
        let format = head.as_ref().map_or(FORMAT, |head| head.format);
        let mut chain = Chain { reading: self, deployment: id, format, sum: 0, events: Vec::new() };
        let sql = "SELECT seq, body, chain FROM events WHERE deployment = ?1 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| self.failed(&e))?;
        let mut rows = statement.query([number]).map_err(|e| self.failed(&e))?;
        let error = loop {
            let taken = match rows.next() {
                Ok(Some(row)) => chain.take(row),
                Ok(None) => break chain.finish(head.as_ref(), ended).err(),
                Err(error) if schema::is_damage(&error) => Err(chain.damaged(&error.to_string())),
                Err(error) => return Err(self.failed(&error)),
            };
            if let Err(error) = taken {
                break Some(error);
            }
        };
        Ok((chain.events, error))
    }

    /// Fails at the first record, of whatever deployment, that is not as it was written.
    pub(super) fn check_all(&self) -> Result<(), JournalError> {
        if let Some(error) = self.past()?.damaged.into_iter().next() {
            return Err(error);
        }
        let sql = "SELECT deployment, seq, body, chain FROM events ORDER BY deployment, seq";
        let mut statement = self.connection.prepare(sql).map_err(|e| self.failed(&e))?;
        let mut rows = statement.query([]).map_err(|e| self.failed(&e))?;
        let mut before = (0, 0, 0);
        while let Some(row) = rows.next().map_err(|e| self.failed(&e))? {
            let read = || Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?, row.get::<_, i64>(3)?));
            let (number, seq, body, chain): (u32, _, _, _) = read().map_err(|e| self.failed(&e))?;
            let (seq, previous) = (seq.cast_unsigned(), if number == before.0 { (before.1, before.2) } else { (0, 0) });
            if seq != previous.0 + 1 || chain.cast_unsigned() != link(previous.1, &body) {
                return Err(self.record_is(number, seq, CHANGED));
            }
            before = (number, seq, chain.cast_unsigned());
        }
        Ok(())
    }
}

const CHANGED: &str = "its checksum does not match: it was changed after it was written";

/// Checks record after record while they are read.
struct Chain<'a> {
    reading: &'a Reading<'a>,
    deployment: &'a DeploymentId,
    format: u32,
    sum: u64,
    events: Vec<Event>,
}

impl Chain<'_> {
    /// The number of the record that must come next.
    fn expected(&self) -> u64 {
        self.events.len() as u64 + 1
    }

    fn damaged(&self, reason: &str) -> JournalError {
        self.reading.record_is(self.deployment.number(), self.expected(), reason)
    }

    fn take(&mut self, row: &Row<'_>) -> Result<(), JournalError> {
        let read = || Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?));
        let (seq, body, chain) = read().map_err(|e: rusqlite::Error| self.damaged(&e.to_string()))?;
        if seq.cast_unsigned() != self.expected() {
            return Err(self.damaged(&format!("it is missing, record {seq} follows")));
        }
        let expected = link(self.sum, &body);
        let noted = self.reading.last.filter(|last| last.deployment == self.deployment.number() && last.seq == self.expected());
        if chain.cast_unsigned() != expected || noted.is_some_and(|last| last.chain != expected) {
            return Err(self.damaged(CHANGED));
        }
        let event = codec::decode(&body).map_err(|e| match self.format {
            newer if newer > FORMAT => JournalError::Newer {
                deployment: self.deployment.clone(),
                seq: self.expected(),
                format: newer,
                known: FORMAT,
                reason: e.to_string(),
            },
            _ => self.damaged(&e.to_string()),
        })?;
        if event.seq.0 != self.expected() || event.deployment != *self.deployment {
            return Err(self.damaged(&format!("it holds event {} of {}", event.seq, event.deployment)));
        }
        self.sum = expected;
        self.events.push(event);
        Ok(())
    }

    fn finish(&self, head: Option<&Head>, ended: bool) -> Result<(), JournalError> {
        let (last, chain) = head.map_or((0, 0), |h| (h.last_seq, h.chain));
        let found = self.events.len() as u64;
        if found < last {
            return Err(self.damaged(&format!("it is missing, the history counts {last} records")));
        }
        if found > last || chain != self.sum {
            let reason = format!("the history counts {last} records with another checksum, {found} were found");
            return Err(self.damaged(&reason));
        }
        self.reading.check_tail(self.deployment.number(), found, ended)
    }
}

/// Gives every line of an older layout its checksum.
pub(super) fn sum_all(connection: &Connection) -> rusqlite::Result<()> {
    let reading = Reading { connection, path: Path::new(""), service: "", last: None, layout: 1 };
    let mut statement = connection.prepare(&reading.lines())?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // One that cannot be read gets none, and is found by that.
        if let Ok(line) = reading.line(row) {
            let sum = sum(&line.row, &line.head).cast_signed();
            connection.execute("UPDATE deployments SET sum = ?1 WHERE number = ?2", (sum, line.row.id.number()))?;
        }
    }
    Ok(())
}

/// What a store that is not there, but was, leaves behind.
pub(super) fn missing(path: &Path) -> Option<JournalError> {
    let trace = [super::last::path(path), super::beside(path, "-wal")].into_iter().chain([backup::path(path)]);
    let trace = trace.into_iter().find(|trace| trace.symlink_metadata().is_ok())?;
    let name = trace.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Some(refused(path, format!("is gone, though {name} beside it says that there was one; {}", backup::remedy(path))))
}
