//! The rows of the timeline: those that have begun, each in its own; what is to come together, with the time in which it
//! is foretold.
//!
//! Imports: tui parts, core's look ahead, state, model. May not: draw; send.

use indexmap::IndexSet;

use super::{Grouping, follows};
use crate::core::{self, Ahead};
use crate::model::{Span, Timestamp};
use crate::state::{Instance, Phase};
use crate::tui::app::App;

/// Lines of what is to come.
const AHEAD: usize = 8;

/// A row of the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tui) enum Row {
    /// Over those of one batch or zone.
    Heading(String),
    /// An instance, by place in the plan.
    One(usize),
    /// Those that have not begun, by place in the plan, in batches from one number to another.
    ToCome { first: usize, last: usize, count: usize, batches: (u32, u32), window: Option<(Timestamp, Timestamp)> },
    /// Those that have no part in it.
    LeftAlone { first: usize, last: usize, count: usize },
}

impl Row {
    /// The instance that is selected with it.
    pub(in crate::tui) fn index(&self) -> Option<usize> {
        match self {
            Self::Heading(_) => None,
            Self::One(index) => Some(*index),
            Self::ToCome { first, .. } | Self::LeftAlone { first, .. } => Some(*first),
        }
    }
}

/// Which rows there are, if `height` of them are seen at once.
pub(in crate::tui) fn rows(app: &App, height: usize) -> Vec<Row> {
    let mut begun = Vec::new();
    let mut alone = Vec::new();
    let mut waits = vec![false; app.state.instances.len()];
    for index in app.list.shown() {
        let Some((_, instance)) = app.state.instances.get_index(*index) else { continue };
        if instance.phase == Phase::Skipped && instance.batch.is_none() && instance.taken_at.is_none() {
            alone.push(*index);
        } else if has_begun(app, instance) {
            begun.push(*index);
        } else if let Some(waits) = waits.get_mut(*index) {
            *waits = true;
        }
    }
    let mut rows = grouped(app, begun, grouping(app));
    if alone.len() <= 3 {
        rows.extend(alone.iter().map(|index| Row::One(*index)));
    } else if let (Some(first), Some(last)) = (alone.first(), alone.last()) {
        rows.push(Row::LeftAlone { first: *first, last: *last, count: alone.len() });
    }
    rows.extend(to_come(app, &waits, (height / 3).clamp(1, AHEAD)));
    rows
}

fn has_begun(app: &App, instance: &Instance) -> bool {
    let at_work = app.state.batch.as_ref().is_some_and(|batch| instance.batch == Some(batch.number));
    instance.phase != Phase::Pending || instance.held.is_some() || instance.taken_at.is_some() || at_work
}

/// By batch where there is room for headings.
pub(in crate::tui) fn grouping(app: &App) -> Grouping {
    let roomy = if app.size.1 >= 36 { Grouping::Batch } else { Grouping::None };
    app.timeline.grouping.unwrap_or(roomy)
}

fn grouped(app: &App, mut begun: Vec<usize>, grouping: Grouping) -> Vec<Row> {
    let instance = |index: usize| app.state.instances.get_index(index).map(|(_, instance)| instance);
    match grouping {
        Grouping::None => begun.into_iter().map(Row::One).collect(),
        Grouping::Batch => {
            let batch = |index: &usize| instance(*index).and_then(|i| i.batch);
            begun.sort_by_key(|index| batch(index).unwrap_or(u32::MAX));
            let now = app.state.batch.as_ref().map(|batch| batch.number);
            with_headings(&begun, batch, |batch| match batch {
                None => "in no batch".to_owned(),
                Some(number) if now == Some(*number) => format!("batch {number}, at work"),
                Some(number) => format!("batch {number}"),
            })
        }
        Grouping::Zone => {
            let zone = |index: &usize| app.state.plan.members.get(*index).and_then(|m| m.target.zone.as_deref());
            let mut order: IndexSet<Option<&str>> = IndexSet::new();
            order.extend(app.state.plan.members.iter().map(|m| m.target.zone.as_deref()));
            begun.sort_by_key(|index| order.get_index_of(&zone(index)));
            with_headings(&begun, zone, |zone| zone.unwrap_or("no zone").to_owned())
        }
    }
}

fn with_headings<K: PartialEq>(indexes: &[usize], key: impl Fn(&usize) -> K, words: impl Fn(&K) -> String) -> Vec<Row> {
    let mut rows = Vec::new();
    for group in indexes.chunk_by(|one, other| key(one) == key(other)) {
        rows.extend(group.first().map(|first| Row::Heading(words(&key(first)))));
        rows.extend(group.iter().map(|index| Row::One(*index)));
    }
    rows
}

/// What has not begun, in at most so many rows: the next batches each in its own, the rest together.
fn to_come(app: &App, waits: &[bool], most: usize) -> Vec<Row> {
    let ahead = predicted(app);
    let mut rows: Vec<Row> = Vec::new();
    for (place, (batch, window)) in ahead.into_iter().enumerate() {
        let members = || batch.members.iter().copied().filter(|index| waits.get(*index) == Some(&true));
        let (Some(one), Some(other)) = (members().min(), members().max()) else { continue };
        let of_batch = members().count();
        match rows.last_mut() {
            Some(Row::ToCome { first, last, count, batches, window: so_far }) if place >= most => {
                (*first, *last) = ((*first).min(one), (*last).max(other));
                (*count, batches.1) = (*count + of_batch, batch.number);
                *so_far = so_far.zip(window).map(|((from, _), (_, to))| (from, to));
            }
            _ => {
                let batches = (batch.number, batch.number);
                rows.push(Row::ToCome { first: one, last: other, count: of_batch, batches, window });
            }
        }
    }
    if rows.is_empty() {
        // Nothing is taken any more, or they are on the way back: they stay as they are.
        let left: Vec<usize> = waits.iter().enumerate().filter(|(_, waits)| **waits).map(|(index, _)| index).collect();
        if let (Some(first), Some(last)) = (left.first(), left.last()) {
            rows.push(Row::ToCome { first: *first, last: *last, count: left.len(), batches: (0, 0), window: None });
        }
    }
    rows
}

/// The batches to come, each with the time in which it will be at work: the time left is shared by how many there are.
pub(in crate::tui) fn predicted(app: &App) -> Vec<(Ahead, Option<(Timestamp, Timestamp)>)> {
    let ahead = core::ahead(&app.state);
    let forecast = app.forecast.and_then(|(told, forecast)| Some((told, forecast?.likely)));
    // How long a person or a hook takes between two batches nobody can tell.
    let canary = app.state.plan.policy.canary.as_ref();
    let steps = canary.is_some_and(|canary| usize::try_from(app.state.steps_done).is_ok_and(|done| done < canary.steps.len()));
    let forecast = forecast.filter(|_| app.state.pause.is_none() && !steps);
    let Some((told, left)) = forecast else { return ahead.into_iter().map(|batch| (batch, None)).collect() };
    let unfinished = app.state.batch.iter().flat_map(|batch| &batch.members).filter_map(|id| app.state.instance(id));
    let mut done = unfinished.filter(|i| i.is_active() || i.phase == Phase::Pending).count();
    let all = (done + ahead.iter().map(|batch| batch.members.len()).sum::<usize>()).max(1);
    let at = |place: usize| {
        let share = u128::from(left.as_millis()) * place as u128 / all as u128;
        // To ten seconds: it is no promise, and what changes costs bytes.
        let at = (told + Span::from_millis(u64::try_from(share).unwrap_or(u64::MAX))).as_millis();
        Timestamp::from_millis(if left >= Span::from_secs(60) { at / 10_000 * 10_000 } else { at / 1_000 * 1_000 })
    };
    let mut windows = Vec::with_capacity(ahead.len());
    for batch in ahead {
        let from = done;
        done += batch.members.len();
        windows.push((batch, Some((at(from), at(done)))));
    }
    windows
}

/// The first row that is seen. It goes on by half a page, so that a new row costs one row.
pub(in crate::tui) fn top(app: &App, rows: &[Row], height: usize) -> usize {
    let height = height.max(1);
    if rows.len() <= height {
        return 0;
    }
    let at_work = |row: &Row| matches!(row, Row::One(index) if app.state.active.contains(index));
    let anchor = if follows(app) && height < 6 {
        // What is to come has no room.
        rows.iter().rposition(at_work).unwrap_or(rows.len() - 1)
    } else if follows(app) {
        rows.len() - 1
    } else {
        rows.iter().position(|row| row.index() == Some(app.selected)).or_else(|| holding(rows, app.selected)).unwrap_or(0)
    };
    let half = (height / 2).max(1);
    if anchor < height { 0 } else { ((anchor - height) / half + 1) * half }
}

/// The row that has the instance among others.
pub(in crate::tui) fn holding(rows: &[Row], index: usize) -> Option<usize> {
    rows.iter().position(|row| match row {
        Row::ToCome { first, last, .. } | Row::LeftAlone { first, last, .. } => (*first..=*last).contains(&index),
        Row::Heading(_) | Row::One(_) => false,
    })
}
