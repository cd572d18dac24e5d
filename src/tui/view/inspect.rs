//! One instance on the whole screen: how it stands, its phases with their times, its latencies, its facts and log lines.
//!
//! Imports: tui parts, state, model. May not: decide.

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use super::panes::wrap_in;
use super::place::{Places, split};
use super::words::{gate_reading, note, word};
use super::{Canvas, panes};
use crate::model::{Evidence, InstanceId, InstanceState, Rotation, SampleResult, Span as Duration, Timestamp, Version};
use crate::state::{Instance, Phase};
use crate::tui::app::{App, Pane};
use crate::tui::chart::{Chart, Mark};
use crate::tui::history::{History, Stage};
use crate::tui::list::version_of;
use crate::tui::text::{
    clock, columns, fit, fit_right, middle, milliseconds, seconds, spark, time_of_day, trouble, wrap, zone_name,
};
use crate::tui::theme::Ui;

/// Columns of a label.
const LABEL: usize = 10;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let app = canvas.app;
    let top = places.zones;
    let title = panes::title(canvas);
    let right = if app.list.follow { vec![Span::raw("follow")] } else { Vec::new() };
    canvas.rule_with(top, title, right);
    // The line above the keys is the message's.
    let body = Rect { y: top.bottom(), height: places.keys.y.saturating_sub(1).saturating_sub(top.bottom()), ..top };
    let Some((id, instance)) = app.state.instances.get_index(app.selected) else { return };
    if body.width >= 120 {
        let (left, right) = split(body);
        let left = below(canvas, left, (id, instance), 6);
        let rest = Rect { y: left, height: body.bottom().saturating_sub(left), ..split(body).0 };
        chart(canvas, rest);
        let upper = right.height / 2;
        facts(canvas, Rect { height: upper, ..right });
        log(canvas, Rect { y: right.y + upper, height: right.height - upper, ..right }, id);
        return;
    }
    let y = below(canvas, body, (id, instance), 0);
    let rest = Rect { y, height: body.bottom().saturating_sub(y), ..body };
    if app.pane == Pane::Log { log(canvas, rest, id) } else { facts(canvas, rest) }
}

/// How it stands and its phases; returns the first row that is free.
fn below(canvas: &mut Canvas<'_, '_>, area: Rect, (id, instance): (&InstanceId, &Instance), spare: u16) -> u16 {
    let mut rows = rows(canvas.app, id, instance);
    if spare == 0 {
        // No room for the chart.
        let chart = canvas.app.charts.get(canvas.app.selected).map(|chart| brief_chart(canvas.app, chart));
        rows.insert(5, ("latency", chart.unwrap_or_default(), slower(canvas.app)));
    } else {
        let compared = canvas.app.comparison(canvas.app.selected).map(|compared| compared.words());
        rows.insert(5, ("latency", compared.unwrap_or_else(|| "none yet".to_owned()), slower(canvas.app)));
    }
    let columns = usize::from(area.width).saturating_sub(LABEL + 2);
    let mut lines = Vec::new();
    for (label, text, part) in rows {
        // What is wrong is read to its end, where there is room.
        let parts =
            if label == "trouble" && area.height >= 14 { wrap_in(&text, columns, 2) } else { vec![trouble(&text, columns)] };
        for (i, text) in parts.into_iter().enumerate() {
            let label = Span::styled(format!(" {}", fit(if i == 0 { label } else { "" }, LABEL)), canvas.ui(Ui::Quiet));
            lines.push(Line::from(vec![label, Span::styled(text, canvas.ui(part))]));
        }
    }
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(area.height);
    canvas.lines(Rect { height, ..area }, lines);
    let rest = Rect { y: area.y + height, height: area.height - height, ..area };
    let Some(history) = canvas.app.histories.get(canvas.app.selected) else { return rest.y };
    // The facts below keep at least four rows.
    let most = usize::from(rest.height.saturating_sub(if spare == 0 { 4 } else { spare + 4 })).clamp(1, 12);
    if rest.height < 3 {
        return rest.y;
    }
    canvas.rule(Rect { height: 1, ..rest }, vec![Span::raw("phases")]);
    let lines = phases(canvas, history, (usize::from(rest.width), most));
    // Their place is kept, so that what is below does not move with each phase.
    let kept = u16::try_from(if spare == 0 { most.min(6) } else { most }).unwrap_or(1);
    let shown = lines.len().saturating_sub(usize::from(kept));
    canvas.lines(Rect { y: rest.y + 1, height: kept, ..rest }, lines.into_iter().skip(shown).collect());
    (rest.y + 1 + kept).min(area.bottom())
}

type Row = (&'static str, String, Ui);

/// How it stands, always in the same rows.
fn rows(app: &App, id: &InstanceId, instance: &Instance) -> Vec<Row> {
    let member = app.state.plan.members.get(app.selected);
    let policy = &app.state.plan.policy;
    let mut state = word(app, id, instance);
    if instance.since >= app.state.started_at.unwrap_or(app.now) {
        state = format!("{state} for {}", seconds(app.now.since(instance.since)));
    }
    if let Some(until) = instance.until.filter(|_| instance.is_active()) {
        state = format!("{state}, deadline in {}", seconds(until.since(app.now)));
    }
    let arrow = if app.fixed.theme.ascii() { "->" } else { "→" };
    let versions = member.map_or_else(String::new, |m| {
        let from = m.previous.as_ref().map_or("unknown", Version::as_str);
        format!("planned {} {arrow} {}", middle(from, 28), middle(m.wanted.as_str(), 28))
    });
    let (arriving, runs) = version_of(&app.state, app.selected, instance);
    let runs = runs.map_or_else(|| "unknown".to_owned(), |v| middle(v.as_str(), 28));
    let runs = if arriving { format!("being brought to {runs}") } else { format!("runs {runs}") };
    let place = member.map_or_else(String::new, |m| {
        let zone = m.target.zone.as_ref().map_or_else(String::new, |z| {
            let named = z.to_lowercase().starts_with("zone");
            if named { format!("  {z}") } else { format!("  zone {z}") }
        });
        format!("{}:{}{zone}", m.target.host, m.target.port)
    });
    let batch = instance.batch.map_or_else(|| "no batch yet".to_owned(), |batch| format!("batch {batch}"));
    let mut rotation = if instance.serving { "in rotation" } else { "out of rotation" }.to_owned();
    if instance.slipped {
        rotation.push_str(", against our order: being taken out again");
    } else if instance.ours {
        rotation.push_str(", by this deployment");
    }
    if let Some(found) = member.map(|m| m.rotation).filter(|rotation| *rotation != Rotation::Serving) {
        rotation = format!("{rotation}, was {} at the start", found.words());
    }
    if let Some(drain) = panes::draining(app, app.selected, instance) {
        rotation = format!("{rotation}, {drain}");
    }
    let weight = app.state.weight_of(id);
    if weight != 100 {
        rotation = format!("{rotation}, at {weight}% of its own weight");
    }
    let (wrong, part) = wrong(app, id, instance);
    vec![
        ("state", state, Ui::Headline),
        ("version", format!("{runs}  {versions}"), Ui::Sentence),
        ("place", format!("{place}  {batch}"), Ui::Sentence),
        ("traffic", rotation, Ui::Sentence),
        ("probe", probe(app, id, instance, (policy.health.rise, policy.health.retries)), Ui::Sentence),
        ("decided", decided(app), Ui::Sentence),
        ("trouble", wrong, part),
    ]
}

/// The last probe, and what it counts for.
fn probe(app: &App, id: &InstanceId, instance: &Instance, (rise, retries): (u32, u32)) -> String {
    let Some(sample) = app.reading(id).and_then(|r| r.sample.as_ref()) else { return "none yet".to_owned() };
    if instance.is_active() && sample.result == SampleResult::NotListening {
        return "not listening yet".to_owned();
    }
    let mut text = sample.words();
    if matches!(sample.result, SampleResult::Starting { .. }) {
        return text;
    }
    if let (Phase::Verifying { .. }, Some(reading)) = (&instance.phase, gate_reading(app, id, instance)) {
        let (passes, misses) = (reading.passes.min(rise), reading.misses.min(retries));
        text = format!("{text}  passes {passes} of {rise}  misses {misses} of {retries}");
    }
    if let Some(version) = &sample.version {
        text = format!("{text}  reports {}", middle(version.as_str(), 28));
    }
    text
}

/// What the last decision on it rested on.
fn decided(app: &App) -> String {
    let failure = || {
        let (_, instance) = app.state.instances.get_index(app.selected)?;
        instance.failure.as_ref().map(|failure| ("failed", &failure.evidence))
    };
    let known = app.histories.get(app.selected).and_then(|h| h.evidence.as_ref()).map(|(what, evidence)| (*what, evidence));
    match known.or_else(failure) {
        Some((what, evidence)) => format!("{what} on {}", evidence_words(evidence)),
        None => "nothing yet".to_owned(),
    }
}

fn evidence_words(evidence: &Evidence) -> String {
    let mut parts = Vec::new();
    match (evidence.misses, evidence.passes) {
        (0, 0) => {}
        (0, 1) => parts.push("1 pass".to_owned()),
        (0, passes) => parts.push(format!("{passes} passes in a row")),
        (1, _) => parts.push("1 miss".to_owned()),
        (misses, _) => parts.push(format!("{misses} misses in a row")),
    }
    parts.extend(evidence.last.as_ref().map(|last| format!("last {last}")));
    if let (Some(p50), Some(p99)) = (evidence.p50_ms, evidence.p99_ms) {
        parts.push(format!("p50 {} p99 {}", milliseconds(p50), milliseconds(p99)));
    }
    if parts.is_empty() { "no probe".to_owned() } else { parts.join(", ") }
}

/// What is wrong with it, now or earlier.
fn wrong(app: &App, id: &InstanceId, instance: &Instance) -> (String, Ui) {
    let failed = |f: &crate::state::Failure| {
        let at = time_of_day(f.at, &app.fixed.zone);
        format!("failed {} at {at}: {}", f.step.words(), f.reason)
    };
    if instance.shown() == InstanceState::Failed
        && let Some(failure) = &instance.failure
    {
        return (failed(failure), Ui::Error);
    }
    let note = note(app, id, instance);
    if !note.is_empty() {
        return (note, Ui::Warning);
    }
    match &instance.failure {
        Some(failure) => (failed(failure), Ui::Sentence),
        None => ("none".to_owned(), Ui::Quiet),
    }
}

/// The phases as a timeline: when each began, what it took of what it may take, and where it lies.
fn phases(canvas: &Canvas<'_, '_>, history: &History, (columns, most): (usize, usize)) -> Vec<Line<'static>> {
    let app = canvas.app;
    let now = app.state.end.as_ref().map_or(app.now, |end| end.at);
    let ends = history.stages.iter().skip(1).map(|next| next.since).chain([now]);
    // What took no time says nothing, unless it is the present.
    let last = history.stages.len().saturating_sub(1);
    let stages: Vec<(&Stage, Timestamp)> = history
        .stages
        .iter()
        .zip(ends)
        .enumerate()
        .filter(|(place, (stage, end))| *place == last || *end > stage.since)
        .map(|(_, stage)| stage)
        .collect();
    // Where something was done: waiting before and resting after would make all else a dot.
    let works = || stages.iter().filter(|(stage, _)| stage.at_work);
    let from = works().next().map_or(now, |(stage, _)| stage.since);
    let scale = works().next_back().map_or(now, |(_, end)| *end).since(from).as_millis().max(1);
    let bar = columns.saturating_sub(45).min(60);
    let at = |time: Timestamp| {
        let offset = time.since(from).as_millis().min(scale);
        usize::try_from(offset * u64::try_from(bar).unwrap_or(0) / scale).unwrap_or(0)
    };
    let mut lines: Vec<Line<'static>> = stages
        .iter()
        .enumerate()
        .map(|(place, (stage, end))| {
            let rests = !stage.at_work && place + 1 == stages.len();
            let took = if rests { String::new() } else { brief(end.since(stage.since)) };
            let place = (stage.at_work && bar >= 10).then(|| (at(stage.since).min(bar - 1), at(*end)));
            stage_line(canvas, stage, &took, place)
        })
        .collect();
    if let Some(known_from) = app.known_from {
        let text = format!(" before {}: rollout events {}", time_of_day(known_from, &app.fixed.zone), app.state.plan.deployment);
        lines.insert(0, Line::styled(text, canvas.ui(Ui::Quiet)));
    }
    let skipped = lines.len().saturating_sub(most);
    lines.split_off(skipped)
}

fn stage_line(canvas: &Canvas<'_, '_>, stage: &Stage, took: &str, place: Option<(usize, usize)>) -> Line<'static> {
    let app = canvas.app;
    let theme = &app.fixed.theme;
    let style = theme.state(stage.shown);
    let budget = stage.budget.map_or_else(String::new, |budget| format!("of {}", brief(budget)));
    let mut spans = vec![
        Span::raw(" "),
        Span::styled(theme.glyph(stage.shown).to_string(), style),
        Span::raw(format!(" {}", fit(stage.name, 13))),
        Span::styled(time_of_day(stage.since, &app.fixed.zone), canvas.ui(Ui::Quiet)),
        Span::raw(fit_right(took, 8)),
        Span::styled(format!(" {}", fit(&budget, 10)), canvas.ui(Ui::Quiet)),
    ];
    if let Some((start, end)) = place {
        let block = if canvas.ascii() { "#" } else { "█" };
        let cells = end.saturating_sub(start).max(1);
        let solid = style.remove_modifier(Modifier::all());
        spans.extend([Span::raw(" ".repeat(start + 1)), Span::styled(block.repeat(cells), solid)]);
    }
    Line::from(spans)
}

/// A time in few columns.
pub(super) fn brief(span: Duration) -> String {
    match span.as_millis() {
        ms @ 0..1000 => format!("{ms}ms"),
        ms @ 1000..10_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        ms @ 10_000..100_000 => format!("{}s", ms / 1000),
        _ => clock(span),
    }
}

/// How the latency of the selected one is said.
fn slower(app: &App) -> Ui {
    if app.comparison(app.selected).is_some_and(|compared| compared.is_slower()) { Ui::Warning } else { Ui::Sentence }
}

/// The last latencies in one line, and what they are compared with, where that is known.
fn brief_chart(app: &App, chart: &Chart) -> String {
    let shown = chart.samples.len().min(16);
    let mut last = Chart::default();
    last.samples.extend(chart.samples.iter().skip(chart.samples.len() - shown).copied());
    let compared = app.comparison(app.selected).filter(|compared| compared.before.is_some());
    let words = compared.map_or_else(|| summary(&last), |compared| compared.words());
    format!("{} {words}", fit(&spark(&last.samples, 16, app.fixed.theme.ascii()), 16))
}

/// The latencies: bars of as many rows as there are, with the scale and what they come to.
fn chart(canvas: &mut Canvas<'_, '_>, area: Rect) {
    if area.height < 3 {
        return;
    }
    let app = canvas.app;
    canvas.rule(Rect { height: 1, ..area }, vec![Span::raw("latency of its health checks")]);
    let Some(chart) = app.charts.get(app.selected) else { return };
    let rows = usize::from(area.height - 2).min(8);
    let room = usize::from(area.width).saturating_sub(10);
    let (top, bars) = columns(&chart.samples, (room, rows), canvas.ascii());
    let mut lines: Vec<Line<'static>> = bars
        .into_iter()
        .enumerate()
        .map(|(row, bars)| {
            let label = if row == 0 { milliseconds(top) } else { String::new() };
            Line::from(vec![Span::styled(format!(" {} ", fit_right(&label, 7)), canvas.ui(Ui::Quiet)), Span::raw(bars)])
        })
        .collect();
    lines.push(Line::styled(format!(" {}", summary(chart)), canvas.ui(Ui::Quiet)));
    canvas.lines(Rect { y: area.y + 1, height: area.height - 1, ..area }, lines);
}

/// `min 11ms median 13ms max 240ms, 1 of 12 missed`.
fn summary(chart: &Chart) -> String {
    let mut passed: Vec<u64> =
        chart.samples.iter().filter_map(|mark| if let Mark::Passed(ms) = mark { Some(*ms) } else { None }).collect();
    passed.sort_unstable();
    let missed = chart.samples.iter().filter(|mark| **mark == Mark::Missed).count();
    let missed = format!("{missed} of {} missed", missed + passed.len());
    match (passed.first(), passed.get(passed.len() / 2), passed.last()) {
        (Some(min), Some(median), Some(max)) => {
            format!("min {} median {} max {}, {missed}", milliseconds(*min), milliseconds(*median), milliseconds(*max))
        }
        _ => missed,
    }
}

/// Its own facts.
fn facts(canvas: &mut Canvas<'_, '_>, area: Rect) {
    if area.height < 2 {
        return;
    }
    let app = canvas.app;
    let zone = zone_name(app.now, &app.fixed.zone);
    canvas.rule(Rect { height: 1, ..area }, vec![Span::raw(format!("its events ({zone})"))]);
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    match app.histories.get(app.selected).filter(|history| !history.facts.is_empty()) {
        Some(history) => panes::events(canvas, body, &history.facts),
        None => canvas.text(body, " none yet", Ui::Quiet),
    }
}

/// The lines of the engine's log that name it.
fn log(canvas: &mut Canvas<'_, '_>, area: Rect, id: &InstanceId) {
    if area.height < 2 {
        return;
    }
    let app = canvas.app;
    canvas.rule(Rect { height: 1, ..area }, vec![Span::raw(format!("engine log of {id}"))]);
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    let columns = usize::from(area.width).saturating_sub(2);
    let mut lines = std::collections::VecDeque::new();
    for line in app.lines.iter().rev().filter(|line| names(&line.message, id.as_str())) {
        let level = line.level.parse().unwrap_or(log::Level::Info);
        let initial = level.as_str().chars().next().unwrap_or('?');
        let text = format!("{} {initial} {}", time_of_day(line.at, &app.fixed.zone), line.message);
        for part in wrap(&text, columns).into_iter().rev() {
            lines.push_front(Line::styled(format!(" {part}"), app.fixed.theme.log(level)));
        }
        if lines.len() >= usize::from(body.height) {
            break;
        }
    }
    if lines.is_empty() {
        canvas.text(body, " no line names it", Ui::Quiet);
        return;
    }
    let skipped = lines.len().saturating_sub(usize::from(body.height));
    canvas.lines(body, lines.into_iter().skip(skipped).collect());
}

/// True if the text has this id as a word: `web-1` is not in `web-10`.
pub(in crate::tui) fn names(text: &str, id: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(id).any(|(at, found)| {
        let before = text.get(..at).and_then(|t| t.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|t| t.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn an_id_is_a_word() {
        assert!(names("probe of web-1: status 503", "web-1") && names("web-1", "web-1"));
        assert!(!names("web-10 is slow", "web-1") && !names("my-web-1", "web-1") && !names("", "web-1"));
    }
}
