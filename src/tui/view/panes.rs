//! Below the grid: exceptions, the proof through the balancer, the selected instance in words, events and log.
//!
//! Imports: tui parts, state, model. May not: decide.

use std::collections::VecDeque;

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use tui_logger::TuiLoggerWidget;

use super::place::{Places, split};
use super::words::{gate_reading, note, version, word};
use super::{Canvas, shows_both};
use crate::event::{Actor, thousands};
use crate::model::{InstanceState, Rotation, SampleResult};
use crate::state::{Instance, Phase};
use crate::tui::app::{App, Fact, Pane};
use crate::tui::text::{clip, connections, fit, milliseconds, seconds, time_of_day, trouble, width, wrap, zone_name};
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, places: &Places) {
    if !places.aside.is_empty() {
        canvas.rule(places.aside, vec![Span::raw("fleet")]);
    }
    exceptions(canvas, places.exceptions);
    vip(canvas, places.vip, !places.aside.is_empty());
    selected(canvas, places);
    lower(canvas, places);
}

/// Failed and held instances by name, whatever the level of detail.
fn exceptions(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let theme = &app.fixed.theme;
    let rows = usize::from(area.height);
    if rows == 0 {
        return;
    }
    let mut all: Vec<_> = app.exceptions().collect();
    all.sort_by_key(|(_, _, shown)| *shown != InstanceState::Failed);
    let Some(first) = all.first() else {
        all_is_well(canvas, area);
        return;
    };
    let described = |(index, id, shown): &(usize, &crate::model::InstanceId, InstanceState)| {
        let why = app.state.instances.get_index(*index).map(|(id, i)| i.complaint().unwrap_or_else(|| note(app, id, i)));
        let why = why.unwrap_or_default();
        (format!("{} {id}", theme.glyph(*shown)), format!(" {why}"), theme.state(*shown))
    };
    let mut lines = Vec::new();
    if rows == 1 {
        // The reason of the first one, the names of the others.
        let (name, why, style) = described(first);
        let others: Vec<_> = all.iter().skip(1).take(usize::from(area.width) / 20).map(described).collect();
        let hidden = all.len() - 1 - others.len();
        let more = if hidden > 0 { format!("  and {hidden} more") } else { String::new() };
        let taken: usize = others.iter().map(|(name, ..)| width(name) + 2).sum();
        let room = usize::from(area.width).saturating_sub(2 + width(&name) + taken + width(&more));
        let mut spans = vec![Span::raw(" "), Span::styled(name, style), Span::raw(trouble(&why, room))];
        for (name, _, style) in others {
            spans.extend([Span::raw("  "), Span::styled(name, style)]);
        }
        spans.push(Span::styled(more, theme.ui(Ui::Error)));
        lines.push(Line::from(spans));
    } else {
        let shown = if all.len() > rows { rows - 1 } else { all.len() };
        for entry in all.iter().take(shown) {
            let (name, why, style) = described(entry);
            let why = trouble(&why, usize::from(area.width).saturating_sub(width(&name) + 2));
            lines.push(Line::from(vec![Span::raw(" "), Span::styled(name, style), Span::raw(why)]));
        }
        if all.len() > shown {
            lines.push(Line::styled(format!(" and {} more", all.len() - shown), theme.ui(Ui::Error)));
        }
    }
    canvas.lines(area, lines);
}

/// No instance failed: why it goes back all the same, or what that would cost now, and how the latencies compare.
fn all_is_well(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let columns = usize::from(area.width).saturating_sub(2);
    let (text, part) = match &app.state.rollback {
        Some(rollback) if rollback.reason.starts_with("asked for by ") => (format!("rollback {}", rollback.reason), Ui::Warning),
        // By whom only if it was a person: the reason needs the room.
        Some(rollback) if rollback.by == Actor::Engine => (format!("rollback: {}", rollback.reason), Ui::Warning),
        Some(rollback) => (format!("rollback by {}: {}", rollback.by.name(), rollback.reason), Ui::Warning),
        None if app.idle.is_some() => (app.idle_health(), Ui::Quiet),
        None => ("no failed instances".to_owned(), Ui::Quiet),
    };
    let mut said = vec![(text, part)];
    if app.state.rollback.is_none() && app.state.end.is_none() && app.idle.is_none() {
        let cost = rollback_words(app);
        match said.first_mut().filter(|_| area.height == 1) {
            Some((first, _)) if width(first) + width(&cost) + 2 <= columns => *first = format!("{first}; {cost}"),
            Some(_) => {}
            None => said.push((cost, Ui::Quiet)),
        }
    }
    said.extend(app.fleet_comparison().map(|compared| {
        let part = if compared.is_slower() { Ui::Warning } else { Ui::Quiet };
        (format!("updated ones: {}", compared.words()), part)
    }));
    let lines = said.into_iter().flat_map(|(text, part)| {
        let style = canvas.ui(part);
        let rows = usize::from(area.height);
        wrap_in(&text, columns, rows).into_iter().map(move |line| Line::styled(format!(" {line}"), style))
    });
    let lines = lines.collect();
    canvas.lines(area, lines);
}

/// What a rollback would take and leave now; before anything is touched, whether every instance has a version to go back to.
fn rollback_words(app: &App) -> String {
    let unknown = app.state.plan.fleet().filter(|m| m.previous.is_none() && m.excluded.is_none()).count();
    let lost = match unknown {
        0 => String::new(),
        n => format!("; {n} cannot: their version is not known"),
    };
    match &app.back {
        Some(back) if !back.changes.is_empty() => {
            let takes = back.takes.map_or_else(String::new, |takes| format!(" in about {}", seconds(takes)));
            format!("rollback now: {} go back{takes}, never below {}{lost}", back.changes.len(), back.lowest_serving)
        }
        Some(_) | None if unknown == 0 => "nothing to roll back yet; each knows its version".to_owned(),
        Some(_) | None => format!("nothing to roll back yet{lost}"),
    }
}

/// At most `rows` lines; what does not fit is cut at the end.
pub(super) fn wrap_in(text: &str, columns: usize, rows: usize) -> Vec<String> {
    let mut lines = wrap(text, columns);
    if lines.len() > rows {
        let rest = lines.split_off(rows.saturating_sub(1)).join(" ");
        lines.push(clip(&rest, columns));
    }
    lines
}

/// What comes next, and what the probe through the balancer has counted: the proof is cut before the failures are.
fn vip(canvas: &mut Canvas<'_, '_>, area: Rect, beside: bool) {
    let columns = usize::from(area.width).saturating_sub(2);
    let (long, short, part) = counted(canvas.app);
    // On a wide screen it stands beside the sentence.
    let next = if beside { String::new() } else { super::next::words(canvas.app) };
    let fits = |proof: &str| next.is_empty() || width(&next) + width(proof) + 3 <= columns;
    let proof = if fits(&long) { long } else { short };
    let room = columns.saturating_sub(width(&proof) + 3);
    let mut spans = vec![Span::raw(" ")];
    if !next.is_empty() && room >= 16 {
        spans.extend([Span::raw(fit(&clip(&next, room), room)), Span::raw("   ")]);
    }
    spans.push(Span::styled(clip(&proof, columns), canvas.ui(part)));
    canvas.lines(area, vec![Line::from(spans)]);
}

/// The requests through the balancer, at length and in brief.
fn counted(app: &App) -> (String, String, Ui) {
    let counted = app.state.end.as_ref().and_then(|end| end.vip).or(app.progress.vip);
    let by_balancer = app.state.end.as_ref().and_then(|end| end.lb).or(app.progress.lb);
    match counted {
        Some(vip) => {
            let (requests, failed) = (thousands(vip.requests), thousands(vip.failed));
            let rest = format!("{failed} failed, p99 {}", milliseconds(vip.p99_ms));
            let part = if vip.failed == 0 { Ui::Sentence } else { Ui::Error };
            (format!("{requests} requests through the balancer, {rest}"), format!("{requests} requests, {failed} failed"), part)
        }
        None if by_balancer.is_some_and(|lb| lb.requests > 0) => {
            let lb = by_balancer.unwrap_or_default();
            let (requests, errors) = (thousands(lb.requests), thousands(lb.errors));
            let part = if lb.errors == 0 { Ui::Sentence } else { Ui::Error };
            let long = format!("{requests} requests by the balancers' own count, {errors} errors");
            (long, format!("{requests} requests, {errors} errors"), part)
        }
        None if app.state.started_at.is_none() => {
            ("no requests through the balancer counted yet".to_owned(), "no requests counted yet".to_owned(), Ui::Quiet)
        }
        None => ("no requests through the balancer counted".to_owned(), "no requests counted".to_owned(), Ui::Quiet),
    }
}

/// The selected instance in words.
fn selected(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let app = canvas.app;
    let Some((id, instance)) = app.selection().and_then(|index| app.state.instances.get_index(index)) else {
        canvas.rule(places.selected, vec![Span::raw("no instance selected")]);
        return;
    };
    let shown = instance.shown();
    let title = title(canvas);
    canvas.rule(places.selected, title);
    let mut lines = detail(app);
    let wrong = note(app, id, instance);
    // What is wrong is kept to its end.
    let cut = if wrong.is_empty() { clip } else { trouble };
    if places.selected.height == 0 {
        lines = vec![format!("{id} {shown}: {}", if wrong.is_empty() { lines.join("  ") } else { wrong })];
    }
    let columns = usize::from(places.detail.width).saturating_sub(1);
    let lines = lines.into_iter().map(|line| Line::raw(format!(" {}", cut(&line, columns)))).collect();
    canvas.lines(places.detail, lines);
}

/// The selected instance's name, state, batch and place.
pub(super) fn title(canvas: &Canvas<'_, '_>) -> Vec<Span<'static>> {
    let app = canvas.app;
    let theme = &app.fixed.theme;
    let Some((id, instance)) = app.state.instances.get_index(app.selected) else { return Vec::new() };
    let shown = instance.shown();
    let mut title = vec![
        Span::styled(id.to_string(), theme.ui(Ui::Key)),
        Span::raw("  "),
        Span::styled(format!("{} {shown}", theme.glyph(shown)), theme.state(shown)),
    ];
    if let Some(batch) = instance.batch {
        title.push(Span::raw(format!("  batch {batch}")));
    }
    title.push(Span::raw(format!("  {} of {}", app.position() + 1, app.list.shown().len())));
    title
}

/// What an instance that drains still has, and when that is gone.
pub(super) fn draining(app: &App, index: usize, instance: &Instance) -> Option<String> {
    if instance.phase != Phase::Draining {
        return None;
    }
    let timeout = (instance.until, app.state.plan.policy.drain.on_timeout);
    let curve = app.drains.get(&index).and_then(|drain| drain.words(app.now, timeout, app.fixed.theme.ascii()));
    curve.or_else(|| instance.sessions.map(connections))
}

/// Three lines: what the probe says, where it stands, what is wrong with it or where it is.
fn detail(app: &App) -> Vec<String> {
    let Some((id, instance)) = app.state.instances.get_index(app.selected) else { return Vec::new() };
    let member = app.state.plan.members.get(app.selected);
    let reading = app.reading(id);
    let health = &app.state.plan.policy.health;
    let sample = reading.and_then(|r| r.sample.as_ref());
    let starting = instance.is_active() && sample.is_some_and(|s| s.result == SampleResult::NotListening);
    let mut probe = vec![match sample {
        Some(_) if starting => "probe not listening yet".to_owned(),
        Some(sample) => format!("probe {}", sample.words()),
        None => "no probe yet".to_owned(),
    }];
    if let (Phase::Verifying { .. }, Some(reading), false) = (&instance.phase, gate_reading(app, id, instance), starting) {
        probe.push(format!("passes {} of {}", reading.passes.min(health.rise), health.rise));
        probe.push(format!("misses {} of {}", reading.misses.min(health.retries), health.retries));
    }
    if let Some(until) = instance.until.filter(|_| instance.is_active()) {
        probe.push(format!("deadline in {}", seconds(until.since(app.now))));
    }
    let mut stands = Vec::new();
    if instance.is_active() {
        stands.push(format!("{} for {}", word(app, id, instance), seconds(app.now.since(instance.since))));
    }
    stands.push(if instance.serving { "in rotation" } else { "out of rotation" }.to_owned());
    stands.extend(draining(app, app.selected, instance));
    stands.push(format!("version {}", version(app, app.selected, instance)));
    let place = member.map(|m| {
        let found =
            if m.rotation == Rotation::Serving { String::new() } else { format!("  was {} at the start", m.rotation.words()) };
        let zone = m.target.zone.as_ref().map_or_else(String::new, |z| format!("  {z}"));
        format!("{}:{}{zone}{found}", m.target.host, m.target.port)
    });
    let wrong = note(app, id, instance);
    let failed_before =
        instance.failure.as_ref().filter(|_| wrong.is_empty()).map(|f| format!("failed {}: {}", f.step.words(), f.reason));
    let second = stands.join("  ");
    let mut lines = vec![probe.join("  ")];
    // What is wrong comes before where it is: at 80x24 there are two lines.
    match (wrong.is_empty(), failed_before) {
        (false, _) => lines.extend([wrong, second]),
        (true, Some(failed)) => lines.extend([failed, second]),
        (true, None) => lines.push(second),
    }
    lines.extend(place);
    lines
}

/// Events, log, or both.
fn lower(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let app = canvas.app;
    let (rule, area) = (places.pane_rule, places.pane);
    if area.is_empty() {
        return;
    }
    let both = app.pane == Pane::Both && shows_both((area.width, 0));
    let zone = zone_name(app.now, &app.fixed.zone);
    let title = |of: &str| vec![Span::raw(format!("{of} ({zone})"))];
    if both {
        let ((rule_left, rule_right), (left, right)) = (split(rule), split(area));
        canvas.rule(rule_left, title("events"));
        canvas.rule(rule_right, title("engine log"));
        events(canvas, left, &app.facts);
        log(canvas, right);
    } else if app.pane == Pane::Log {
        canvas.rule(rule, title("engine log"));
        log(canvas, area);
    } else {
        canvas.rule(rule, title("events"));
        events(canvas, area, &app.facts);
    }
}

/// The last facts.
pub(super) fn events(canvas: &mut Canvas<'_, '_>, area: Rect, facts: &VecDeque<Fact>) {
    let app = canvas.app;
    let rows = usize::from(area.height);
    let columns = usize::from(area.width).saturating_sub(10);
    let mut lines = VecDeque::new();
    for fact in facts.iter().rev() {
        let style = if fact.grave { canvas.ui(Ui::Error) } else { ratatui::style::Style::new() };
        let text = wrap_in(&fact.text, columns, 2);
        if lines.len() + text.len() > rows {
            break;
        }
        for (i, line) in text.into_iter().enumerate().rev() {
            let time = if i == 0 { time_of_day(fact.at, &app.fixed.zone) } else { String::new() };
            let time = Span::styled(format!(" {time:8} "), canvas.ui(Ui::Quiet));
            lines.push_front(Line::from(vec![time, Span::styled(line, style)]));
        }
    }
    canvas.lines(area, lines.into());
}

fn log(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let theme = &canvas.app.fixed.theme;
    TuiLoggerWidget::default()
        .style_error(theme.log(log::Level::Error))
        .style_warn(theme.log(log::Level::Warn))
        .style_info(theme.log(log::Level::Info))
        .style_debug(theme.log(log::Level::Debug))
        .style_trace(theme.log(log::Level::Trace))
        // The line's own time is in its text; the widget would show when it arrived.
        .output_timestamp(None)
        // Its part and level are there, too, so that the columns are ours.
        .output_level(None)
        .output_target(false)
        .output_separator(' ')
        .output_file(false)
        .output_line(false)
        .state(&canvas.app.log.0)
        .render(area, canvas.frame.buffer_mut());
}
