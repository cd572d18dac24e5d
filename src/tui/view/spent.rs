//! Under the timeline: where the time went, who was slow, and how many served.
//!
//! Imports: tui parts, state, model. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use super::inspect::brief;
use super::timeline::Layout;
use crate::model::{Count, InstanceState, Span as Duration, Timestamp};
use crate::state::Instance;
use crate::tui::app::App;
use crate::tui::history::{History, Stage};
use crate::tui::plan::batches_so_far;
use crate::tui::text::{clip, fit, fit_right, width};
use crate::tui::theme::Ui;
use crate::tui::timeline::{Axis, begins, present, stages};

/// The parts of an update, as the states that show them.
const PARTS: [(InstanceState, &str); 3] =
    [(InstanceState::Draining, "drain"), (InstanceState::Updating, "update"), (InstanceState::HealthChecking, "health")];

/// What each part took, of each instance that is through.
struct Spent {
    /// By part, sorted.
    took: [Vec<Duration>; 3],
    /// The slowest: its place in the plan, all that it took, and what of it each part.
    slowest: Option<(usize, Duration, [Duration; 3])>,
}

/// Which part of the way forward this is.
fn part(stage: &Stage) -> Option<usize> {
    PARTS.iter().position(|(state, _)| *state == stage.shown && stage.at_work && stage.name != "returning")
}

/// Of those whose whole way is known.
fn of_one(instance: &Instance, history: &History, now: Timestamp) -> Option<[Duration; 3]> {
    instance.verdict?;
    let (taken, first) = (instance.taken_at?, history.stages.front()?.since);
    if taken < first || instance.is_active() {
        return None;
    }
    let mut took = [Duration::ZERO; 3];
    for (stage, end) in stages(history, now) {
        if let Some(part) = part(stage).and_then(|part| took.get_mut(part)) {
            *part = *part + end.since(stage.since);
        }
    }
    Some(took)
}

fn spent(app: &App) -> Spent {
    let now = present(app);
    let mut spent = Spent { took: [Vec::new(), Vec::new(), Vec::new()], slowest: None };
    for (index, (instance, history)) in app.state.instances.values().zip(&app.histories).enumerate() {
        let Some(took) = of_one(instance, history, now) else { continue };
        for (all, one) in spent.took.iter_mut().zip(took) {
            all.push(one);
        }
        let sum = took.into_iter().fold(Duration::ZERO, |a, b| a + b);
        if spent.slowest.is_none_or(|(_, slowest, _)| sum > slowest) {
            spent.slowest = Some((index, sum, took));
        }
    }
    spent.took.iter_mut().for_each(|all| all.sort_unstable());
    spent
}

/// So many of a hundred are at most this.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

/// A line for each part, and beside them what stands out.
pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let spent = spent(app);
    let finished = spent.took.first().map_or(0, Vec::len);
    let title = match finished {
        0 => "where the time went: no instance is through yet".to_owned(),
        1 => "where the time went: p50, p95, max of the one that is through".to_owned(),
        n => format!("where the time went: p50, p95, max of {n} that are through"),
    };
    canvas.rule(Rect { height: 1, ..area }, vec![Span::raw(title)]);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let columns = usize::from(area.width);
    let left = if columns >= 100 { 60 } else { columns.min(40) };
    let notes = [slowest(app, &spent), outliers(app, &spent), gaps(app, columns >= 100)];
    let most = spent.took.iter().map(|all| percentile(all, 50).as_millis()).max().unwrap_or(0).max(1);
    let theme = &app.fixed.theme;
    let block = if canvas.ascii() { "#" } else { "█" };
    let mut lines = Vec::new();
    for (((state, name), all), note) in PARTS.into_iter().zip(&spent.took).zip(notes) {
        let mut spans = vec![
            Span::raw(" "),
            Span::styled(theme.glyph(state).to_string(), theme.state(state)),
            Span::raw(format!(" {}", fit(name, 7))),
        ];
        let values = [50, 95, 100].map(|percent| if all.is_empty() { "-".to_owned() } else { brief(percentile(all, percent)) });
        spans.extend(values.iter().map(|value| Span::raw(fit_right(value, 7))));
        spans.push(Span::raw("  "));
        let room = u64::try_from(left.saturating_sub(33)).unwrap_or(0);
        let median = percentile(all, 50).as_millis();
        let cells = usize::try_from((median * room).div_ceil(most)).unwrap_or(0);
        spans.push(Span::styled(block.repeat(cells), theme.state(state)));
        let used: usize = spans.iter().map(|s| width(&s.content)).sum();
        spans.push(Span::raw(" ".repeat(left.saturating_sub(used) + 1)));
        spans.push(Span::styled(clip(&note, columns.saturating_sub(left + 2)), canvas.ui(Ui::Sentence)));
        lines.push(Line::from(spans));
    }
    canvas.lines(body, lines);
}

/// Who took longest, and what of it.
fn slowest(app: &App, spent: &Spent) -> String {
    let Some((index, sum, took)) = spent.slowest else { return String::new() };
    let name = app.id_at(index).map_or("", |id| id.as_str());
    // What was most above the usual.
    let above = took.iter().zip(&spent.took).map(|(one, all)| *one - percentile(all, 50));
    let worst = above.zip(took).zip(PARTS).max_by_key(|((above, _), _)| *above);
    let why = worst.map_or_else(String::new, |((_, took), (_, part))| format!(" ({part} {})", brief(took)));
    format!("slowest {name} {}{why}", brief(sum))
}

/// Those at work that take longer than any before them.
fn outliers(app: &App, spent: &Spent) -> String {
    const NAMED: usize = 3;
    let active = app.state.active.iter().filter_map(|index| {
        let stage = app.histories.get(*index)?.stages.back()?;
        let part = part(stage)?;
        let longest = spent.took.get(part)?.last()?;
        let so_far = app.now.since(stage.since);
        (so_far > *longest).then(|| Some(format!("{} in {}", app.id_at(*index)?, PARTS.get(part)?.1)))?
    });
    let names: Vec<String> = active.collect();
    let more = names.len().saturating_sub(NAMED);
    match names.len() {
        0 if app.state.end.is_some() || app.state.active.is_empty() => String::new(),
        0 => "none at work is slower than those".to_owned(),
        _ => {
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let first: Vec<String> = names.into_iter().take(NAMED).collect();
            format!("longer than any before: {}{more}", first.join(", "))
        }
    }
}

/// The time in which no batch was at work.
fn gaps(app: &App, wide: bool) -> String {
    let batches = batches_so_far(app);
    let gaps: Vec<Duration> =
        batches.iter().zip(batches.iter().skip(1)).filter_map(|(one, next)| Some(next.started?.since(one.ended?))).collect();
    if gaps.is_empty() {
        return String::new();
    }
    let all = gaps.iter().fold(Duration::ZERO, |a, b| a + *b);
    let until = batches.last().and_then(|last| last.ended).unwrap_or_else(|| present(app));
    let share = all.as_millis() * 100 / until.since(begins(app)).as_millis().max(1);
    let mut sorted = gaps;
    sorted.sort_unstable();
    let (median, count) = (brief(percentile(&sorted, 50)), sorted.len());
    let plural = if count == 1 { "" } else { "s" };
    if wide {
        return format!("{count} gap{plural} between batches: {median} p50, {} in all, {share}% of the time", brief(all));
    }
    format!("{count} gap{plural} between batches: {}, {share}%", brief(all))
}

/// How many served in each step of time, against what the plan allows.
pub(super) fn capacity(canvas: &mut Canvas<'_, '_>, area: Rect, layout: &Layout, axis: &Axis) {
    let app = canvas.app;
    let total = app.state.total().saturating_add(app.state.plan.spares());
    let strategy = &app.state.plan.policy.strategy;
    let fleet = app.state.total();
    let out = match strategy.max_unavailable {
        Count::Absolute(n) => n,
        share @ Count::Percent(_) => share.floor_min_one_of(fleet),
    };
    let allowed = fleet.saturating_sub(out).max(strategy.min_serving.ceil_of(fleet)).min(fleet);
    let now = app.timeline.capacity.last().map_or(0, |(_, count)| *count);
    let lowest = app.timeline.capacity.iter().map(|(_, count)| *count).min().unwrap_or(0);
    let mut title = vec![Span::raw(format!("serving: {now} of {fleet} now, {lowest} at the lowest"))];
    if lowest < allowed {
        title.push(Span::styled(format!(", fewer than the {allowed} that the plan leaves"), canvas.ui(Ui::Error)));
    } else {
        title.push(Span::raw(format!(", the plan leaves {allowed}")));
    }
    canvas.rule(Rect { height: 1, ..area }, title);
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
    let rows = u32::from(body.height);
    // What the plan leaves is in the middle; what is below it stands out.
    let bottom = allowed.saturating_sub(total.saturating_sub(allowed).max(1));
    let height = total.saturating_sub(bottom).max(1);
    let served = by_column(app, axis);
    let line = rows.saturating_sub((allowed.saturating_sub(bottom) * rows).div_ceil(height));
    let lines = (0..rows)
        .map(|row| {
            let label = if row == 0 {
                total.to_string()
            } else if row == line {
                allowed.to_string()
            } else {
                String::new()
            };
            let above = rows - 1 - row;
            let mut spans = vec![Span::styled(format!("{} ", fit_right(&label, layout.label - 1)), canvas.ui(Ui::Quiet))];
            let columns: Vec<(char, Ui)> = served
                .iter()
                .map(|count| column(canvas, *count, (bottom, height, rows), (above, row == line), allowed))
                .collect();
            for run in columns.chunk_by(|one, other| one.1 == other.1) {
                let text: String = run.iter().map(|(c, _)| *c).collect();
                spans.push(Span::styled(text, canvas.ui(run.first().map_or(Ui::Quiet, |(_, part)| *part))));
            }
            Line::from(spans)
        })
        .collect();
    canvas.lines(body, lines);
}

/// One cell of the chart.
fn column(
    canvas: &Canvas<'_, '_>,
    count: Option<u32>,
    (bottom, height, rows): (u32, u32, u32),
    (above, at_line): (u32, bool),
    allowed: u32,
) -> (char, Ui) {
    let steps = if canvas.ascii() {
        [' ', '.', '.', ':', ':', '|', '|', '#', '#']
    } else {
        [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    };
    let line = if canvas.ascii() { '_' } else { '╌' };
    let Some(count) = count else { return (if at_line { line } else { ' ' }, Ui::Quiet) };
    let eighths = u64::from(count.saturating_sub(bottom)) * u64::from(rows) * 8 / u64::from(height);
    let eighths = usize::try_from(eighths.saturating_sub(u64::from(above) * 8).min(8)).unwrap_or(8);
    let part = if count < allowed { Ui::Error } else { Ui::Bar };
    match steps.get(eighths).copied().unwrap_or(' ') {
        ' ' if at_line => (line, Ui::Quiet),
        ' ' => (' ', Ui::Quiet),
        bar => (bar, part),
    }
}

/// The fewest that served in each column; none before it is known and after now.
fn by_column(app: &App, axis: &Axis) -> Vec<Option<u32>> {
    let changes = &app.timeline.capacity;
    let now = present(app);
    let mut next = changes.partition_point(|(at, _)| *at <= axis.left);
    let mut count = next.checked_sub(1).and_then(|before| changes.get(before)).map(|(_, count)| *count);
    (0..axis.columns)
        .map(|column| {
            let (from, to) = (axis.time(column), axis.time(column + 1));
            let mut lowest = count;
            while let Some((_, changed)) = changes.get(next).filter(|(at, _)| *at < to) {
                count = Some(*changed);
                lowest = Some(lowest.map_or(*changed, |lowest| lowest.min(*changed)));
                next += 1;
            }
            lowest.filter(|_| from <= now)
        })
        .collect()
}
