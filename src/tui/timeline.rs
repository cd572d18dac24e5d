//! The timeline: the phases of every instance over time, and where the time went. Here is which rows and which time there
//! are; nothing is decided by where the clock stands, but that the axis goes on by a quarter when now reaches its edge.
//!
//! Imports: tui parts, event, state, model. May not: draw; send.

mod rows;

use super::app::{App, Tone};
use super::history::{History, Stage};
use super::keys::Action;
use super::update::Cmd;
use super::view;
use crate::event::Event;
use crate::model::{InstanceState, Span, Timestamp};
use crate::state::{Instance, State};

pub(super) use rows::{Row, grouping, holding, predicted, rows, top};

/// Milliseconds that a column may stand for.
const STEPS: [u64; 17] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000, 3_600_000,
    7_200_000,
];
/// The scale with which it begins.
const FIRST: usize = 2;
/// Columns that an instance must have at least, before the whole deployment is fitted in.
const READABLE: u64 = 3;
/// Changes of the capacity that are kept.
const KEPT: usize = 50_000;

/// How the rows are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// By batch.
    Batch,
    /// By zone.
    Zone,
    /// Not at all.
    None,
}

impl Grouping {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Batch => "by batch",
            Self::Zone => "by zone",
            Self::None => "not grouped",
        }
    }
}

/// What the timeline keeps: its place, and how many served over time.
#[derive(Debug)]
pub struct Timeline {
    /// The scale that was asked for.
    step: Option<usize>,
    /// The scale by itself: it only grows coarser while a deployment runs, so that nothing flickers.
    fitting: usize,
    /// The time at the left edge, if it was moved there.
    left: Option<Timestamp>,
    /// The rows go where work is.
    pub(super) follow: bool,
    grouping: Option<Grouping>,
    /// How many served from when on.
    pub(super) capacity: Vec<(Timestamp, u32)>,
    serving: Vec<bool>,
}

impl Default for Timeline {
    fn default() -> Self {
        let (capacity, serving) = (Vec::new(), Vec::new());
        Self { step: None, fitting: FIRST, left: None, follow: true, grouping: None, capacity, serving }
    }
}

/// In rotation, not being taken out, and not known to be down.
fn serves(instance: &Instance) -> bool {
    instance.serving && !instance.ours && !instance.down
}

/// What was counted, to be gone back to.
pub(super) type Capacity = (Vec<(Timestamp, u32)>, Vec<bool>);

impl Timeline {
    /// What was counted so far.
    pub(super) fn counted(&self) -> Capacity {
        (self.capacity.clone(), self.serving.clone())
    }

    /// Goes on from what was counted then.
    pub(super) fn count_from(&mut self, (capacity, serving): Capacity) {
        (self.capacity, self.serving) = (capacity, serving);
    }

    /// Counts who serves, all anew.
    pub(super) fn count(&mut self, state: &State, at: Timestamp) {
        self.serving = state.instances.values().map(serves).collect();
        self.keep(at);
    }

    /// A fact was taken in.
    pub(super) fn note(&mut self, state: &State, event: &Event) {
        let about = event.kind.instance().and_then(|id| state.instances.get_full(id));
        let Some((index, _, instance)) = about else { return };
        let now = serves(instance);
        if let Some(served) = self.serving.get_mut(index)
            && std::mem::replace(served, now) != now
        {
            let before = self.capacity.last().map_or(0, |(_, count)| *count);
            self.push(event.at, if now { before + 1 } else { before.saturating_sub(1) });
        }
    }

    fn keep(&mut self, at: Timestamp) {
        let count = self.serving.iter().filter(|serves| **serves).count();
        self.push(at, u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn push(&mut self, at: Timestamp, count: u32) {
        if self.capacity.len() >= KEPT {
            // The older half at half the detail; what is drawn of it is the lowest of many anyway.
            let (mut keep, half) = (false, KEPT / 2);
            let mut place = 0;
            self.capacity.retain(|_| {
                place += 1;
                keep = !keep;
                keep || place > half
            });
        }
        self.capacity.push((at, count));
    }

    /// Milliseconds of a column.
    fn step(&self) -> Span {
        Span::from_millis(STEPS.get(self.step.unwrap_or(self.fitting)).copied().unwrap_or(1_000))
    }

    /// The scale is the one that fits.
    pub fn is_fitted(&self) -> bool {
        self.step.is_none()
    }

    /// It goes on with the clock.
    pub(super) fn is_live(&self) -> bool {
        self.left.is_none()
    }
}

/// Which time each column stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) left: Timestamp,
    pub(super) step: Span,
    pub(super) columns: usize,
}

impl Axis {
    /// The column of a time; those before the left edge are 0, those beyond the right edge `columns`.
    pub(super) fn column(&self, at: Timestamp) -> usize {
        let column = at.since(self.left).as_millis() / self.step.as_millis().max(1);
        usize::try_from(column).unwrap_or(usize::MAX).min(self.columns)
    }

    /// When a column begins.
    pub(super) fn time(&self, column: usize) -> Timestamp {
        self.left + self.step.times(u64::try_from(column).unwrap_or(u64::MAX))
    }

    /// Beyond its right edge.
    pub(super) fn end(&self) -> Timestamp {
        self.time(self.columns)
    }
}

/// From when on there is something to show.
pub(super) fn begins(app: &App) -> Timestamp {
    app.state.started_at.unwrap_or(app.state.planned_at)
}

/// The present, or the end.
pub(super) fn present(app: &App) -> Timestamp {
    app.state.end.as_ref().map_or(app.now, |end| end.at).max(begins(app))
}

/// The axis in so many columns.
pub(super) fn axis(app: &App, columns: usize) -> Axis {
    let step = app.timeline.step();
    let origin = begins(app);
    let left = app.timeline.left.unwrap_or_else(|| {
        let quarter = (columns / 4).max(1);
        let now = usize::try_from(focus(app).since(origin).as_millis() / step.as_millis().max(1)).unwrap_or(usize::MAX);
        let pages = if now < columns { 0 } else { (now - columns) / quarter + 1 };
        origin + step.times(u64::try_from(pages * quarter).unwrap_or(u64::MAX))
    });
    Axis { left, step, columns }
}

/// The time that is in sight: now, or once the rows no longer follow the work, the selected one's.
fn focus(app: &App) -> Timestamp {
    let selected = app.state.instances.get_index(app.selected).map(|(_, instance)| instance);
    match selected {
        Some(instance) if !follows(app) && !instance.is_active() => {
            instance.taken_at.map_or_else(|| present(app), |taken| taken + instance.took.unwrap_or(Span::ZERO))
        }
        Some(_) | None => present(app),
    }
}

/// The rows go where work is; after the end there is none.
pub(super) fn follows(app: &App) -> bool {
    app.timeline.follow && app.state.end.is_none()
}

/// With each second: whether the whole deployment still fits in.
pub(super) fn tick(app: &mut App) {
    let columns = u64::try_from(view::chart_columns(app)).unwrap_or(1).max(1);
    let left = app.forecast.and_then(|(_, forecast)| forecast).map_or(Span::ZERO, |forecast| forecast.likely);
    let whole = present(app).since(begins(app)) + left;
    let each = app.state.instances.values().filter_map(|instance| instance.took).max();
    let most = each.map_or(u64::MAX, |each| (each.as_millis() / READABLE).max(STEPS.get(FIRST).copied().unwrap_or(1)));
    let fits = |step: &u64| *step * columns > whole.as_millis();
    let wanted = STEPS.iter().position(fits).unwrap_or(STEPS.len() - 1);
    let readable = STEPS.iter().rposition(|step| *step <= most).unwrap_or(0);
    app.timeline.fitting = app.timeline.fitting.max(wanted.min(readable));
}

/// What a column shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Cell {
    /// Nothing was done.
    #[default]
    Free,
    /// Something was done, nobody knows what.
    Unknown,
    /// The state that it showed for most of this time, or how it ended.
    State(InstanceState),
}

/// The phases of one instance along the axis. What is over ends in one glyph.
pub(super) fn cells(app: &App, index: usize, axis: &Axis) -> Vec<Cell> {
    let mut cells = vec![(0_u64, Cell::Free); axis.columns];
    let (Some((_, instance)), Some(history)) = (app.state.instances.get_index(index), app.histories.get(index)) else {
        return vec![Cell::Free; axis.columns];
    };
    let first = history.stages.front().map_or_else(|| present(app), |stage| stage.since);
    if let Some(taken) = instance.taken_at.filter(|taken| *taken < first) {
        paint(&mut cells, axis, (taken, first), Cell::Unknown);
    }
    for (stage, end) in stages(history, present(app)) {
        if stage.at_work || stage.shown == InstanceState::Held {
            paint(&mut cells, axis, (stage.since, end), Cell::State(stage.shown));
        } else if stage.shown != InstanceState::Pending {
            // The end of a bar has its column, whatever else was in it; a failure is not covered by what followed.
            let at = stage.since.max(begins(app));
            let column = axis.column(at);
            if let Some(cell) = cells.get_mut(column).filter(|_| at >= axis.left)
                && *cell != (u64::MAX, Cell::State(InstanceState::Failed))
            {
                *cell = (u64::MAX, Cell::State(stage.shown));
            }
        }
    }
    cells.into_iter().map(|(_, cell)| cell).collect()
}

/// Each stage with its end.
pub(super) fn stages(history: &History, now: Timestamp) -> impl Iterator<Item = (&Stage, Timestamp)> {
    let ends = history.stages.iter().skip(1).map(|next| next.since).chain([now]);
    history.stages.iter().zip(ends)
}

/// Of what shares a column the longest is seen.
fn paint(cells: &mut [(u64, Cell)], axis: &Axis, (from, to): (Timestamp, Timestamp), what: Cell) {
    if to <= axis.left || from >= axis.end() {
        return;
    }
    let last = axis.column(to).min(axis.columns.saturating_sub(1));
    for column in axis.column(from)..=last {
        let begins = axis.time(column);
        let share = to.min(begins + axis.step).since(from.max(begins)).as_millis();
        if let Some(cell) = cells.get_mut(column).filter(|cell| share > 0 && share >= cell.0) {
            *cell = (share, what);
        }
    }
}

/// What keys mean here alone.
pub(super) const KEYS: [(Action, &str, &str); 5] = [
    (Action::Left, "scroll", "scroll in time, with →"),
    (Action::Finer, "scale", "a finer scale; - for a coarser one"),
    (Action::Fitting, "fit", "all of it on the screen"),
    (Action::Group, "group", "by batch, by zone, not at all"),
    (Action::Follow, "follow", "follow the present"),
];

/// What `action` means here.
pub(super) fn on_action(app: &mut App, action: Action) -> Option<Vec<Cmd>> {
    match action {
        Action::Left | Action::Right => scroll(app, action == Action::Right),
        Action::Finer | Action::Coarser | Action::Fitting => rescale(app, action),
        Action::Follow => {
            (app.timeline.left, app.timeline.follow) = (None, true);
            app.say("the timeline follows the work until it is moved", Tone::Plain);
        }
        Action::Group => {
            let next = match grouping(app) {
                Grouping::Batch => Grouping::Zone,
                Grouping::Zone => Grouping::None,
                Grouping::None => Grouping::Batch,
            };
            app.timeline.grouping = Some(next);
            let key = app.fixed.keys.hint(Action::Group);
            app.say(format!("{}; {key} changes that", next.word()), Tone::Plain);
        }
        Action::NextFailure | Action::PreviousFailure => {
            app.timeline.follow = false;
            app.next_failure(action == Action::NextFailure);
        }
        Action::Up
        | Action::Down
        | Action::PageUp
        | Action::PageDown
        | Action::Previous
        | Action::Next
        | Action::First
        | Action::Last => walk(app, action),
        _ => return None,
    }
    Some(Vec::new())
}

/// By a quarter of what is seen.
fn scroll(app: &mut App, right: bool) {
    let axis = axis(app, view::chart_columns(app));
    let by = axis.step.times(u64::try_from(axis.columns / 4).unwrap_or(1).max(1));
    let (first, last) = (begins(app), present(app));
    let to = if right {
        (axis.left + by).min(last)
    } else {
        Timestamp::from_millis(axis.left.as_millis().saturating_sub(by.as_millis())).max(first)
    };
    app.timeline.left = Some(to);
}

fn rescale(app: &mut App, action: Action) {
    let now = app.timeline.step.unwrap_or(app.timeline.fitting);
    let wanted = match action {
        Action::Finer => now.saturating_sub(1),
        Action::Coarser => (now + 1).min(STEPS.len() - 1),
        _ => {
            (app.timeline.step, app.timeline.left, app.timeline.fitting) = (None, None, FIRST);
            tick(app);
            app.say("as much of the time as there is room for", Tone::Plain);
            return;
        }
    };
    if wanted == now {
        app.say(if action == Action::Finer { "there is no finer scale" } else { "there is no coarser scale" }, Tone::Refused);
        return;
    }
    // What is in the middle stays there.
    if app.timeline.left.is_some() {
        let columns = view::chart_columns(app);
        let half = u64::try_from(columns / 2).unwrap_or(0);
        let middle = axis(app, columns).time(columns / 2);
        let step = STEPS.get(wanted).copied().unwrap_or(1_000);
        let left = middle.as_millis().saturating_sub(step.saturating_mul(half));
        app.timeline.left = Some(Timestamp::from_millis(left).max(begins(app)));
    }
    app.timeline.step = Some(wanted);
    app.say(format!("a column is {}", app.timeline.step()), Tone::Plain);
}

/// From row to row, over headings.
fn walk(app: &mut App, action: Action) {
    let height = view::chart_rows(app).max(1);
    let rows = rows(app, height);
    let here = rows.iter().position(|row| row.index() == Some(app.selected)).or_else(|| holding(&rows, app.selected));
    let places: Vec<(usize, usize)> =
        rows.iter().enumerate().filter_map(|(place, row)| row.index().map(|index| (place, index))).collect();
    let at = here.and_then(|here| places.iter().position(|(place, _)| *place == here)).unwrap_or(0);
    let page = height.saturating_sub(1).max(1);
    let to = match action {
        Action::Up | Action::Previous => at.saturating_sub(1),
        Action::Down | Action::Next => at + 1,
        Action::PageUp => at.saturating_sub(page),
        Action::PageDown => at + page,
        Action::Last => usize::MAX,
        _ => 0,
    };
    if let Some((_, index)) = places.get(to.min(places.len().saturating_sub(1))) {
        app.selected = *index;
    }
    (app.timeline.follow, app.list.follow) = (false, false);
}
