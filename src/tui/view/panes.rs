//! Below the grid: exceptions, the proof through the balancer, the selected instance in words, events and log, the keys.
//!
//! Imports: tui parts, state, model. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use tui_logger::{TuiLoggerLevelOutput, TuiLoggerWidget};

use super::place::{Places, split};
use super::{Canvas, grid, shows_both};
use crate::event::thousands;
use crate::model::{InstanceState, Rotation};
use crate::state::Phase;
use crate::tui::app::{App, Pane, Tone};
use crate::tui::keys::{Action, KEYMAP};
use crate::tui::text::{clip, seconds, time_of_day, width, zone_name};
use crate::tui::theme::Ui;

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, places: &Places) {
    if !places.aside.is_empty() {
        canvas.rule(places.aside, vec![Span::raw("fleet")]);
    }
    exceptions(canvas, places.exceptions);
    vip(canvas, places.vip);
    selected(canvas, places);
    lower(canvas, places);
    message(canvas, places.message);
    keys(canvas, places.keys);
}

/// Failed and held instances by name, whatever the level of detail.
fn exceptions(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let theme = &app.fixed.theme;
    let rows = usize::from(area.height);
    if rows == 0 {
        return;
    }
    let all: Vec<_> = app.exceptions().collect();
    if all.is_empty() {
        let going_back = app.state.rollback.as_ref().filter(|_| app.state.end.is_none());
        let (text, part) = match going_back {
            Some(rollback) => (format!(" rollback by {}: {}", rollback.by.name(), rollback.reason), Ui::Warning),
            None => (" no failed instances".to_owned(), Ui::Quiet),
        };
        canvas.text(area, &text, part);
        return;
    }
    let described = |(index, id, shown): &(usize, &crate::model::InstanceId, InstanceState)| {
        let why = app.state.instances.get_index(*index).and_then(|(_, i)| i.complaint()).unwrap_or_default();
        (format!("{} {id}", theme.glyph(*shown)), format!(" {why}"), theme.state(*shown))
    };
    let mut lines = Vec::new();
    if rows == 1 {
        let mut spans = vec![Span::raw(" ")];
        let more = if all.len() > 5 { format!("  and {} more", all.len() - 5) } else { String::new() };
        let each = usize::from(area.width).saturating_sub(1 + width(&more)) / all.len().min(5);
        for entry in all.iter().take(5) {
            let (name, why, style) = described(entry);
            let name = clip(&name, each.saturating_sub(1));
            let why = clip(&why, each.saturating_sub(width(&name) + 1));
            spans.extend([Span::styled(name, style), Span::raw(why), Span::raw(" ")]);
        }
        spans.push(Span::styled(more, theme.ui(Ui::Error)));
        lines.push(Line::from(spans));
    } else {
        let shown = if all.len() > rows { rows - 1 } else { all.len() };
        for entry in all.iter().take(shown) {
            let (name, why, style) = described(entry);
            let why = clip(&why, usize::from(area.width).saturating_sub(width(&name) + 2));
            lines.push(Line::from(vec![Span::raw(" "), Span::styled(name, style), Span::raw(why)]));
        }
        if all.len() > shown {
            lines.push(Line::styled(format!(" and {} more", all.len() - shown), theme.ui(Ui::Error)));
        }
    }
    canvas.lines(area, lines);
}

/// What the probe through the balancer has counted.
fn vip(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let counted = app.state.end.as_ref().and_then(|end| end.vip).or(app.progress.vip);
    let (text, part) = match counted {
        Some(vip) => (
            format!(
                " {} requests through the balancer, {} failed, p99 {} ms",
                thousands(vip.requests),
                thousands(vip.failed),
                vip.p99_ms
            ),
            if vip.failed == 0 { Ui::Sentence } else { Ui::Error },
        ),
        None => (" no requests through the balancer counted".to_owned(), Ui::Quiet),
    };
    canvas.text(area, &text, part);
}

/// The selected instance in words.
fn selected(canvas: &mut Canvas<'_, '_>, places: &Places) {
    let app = canvas.app;
    let Some((id, instance)) = app.state.instances.get_index(app.selected) else { return };
    let theme = &app.fixed.theme;
    let shown = instance.shown();
    let mut title = vec![
        Span::styled(id.to_string(), theme.ui(Ui::Key)),
        Span::raw("  "),
        Span::styled(format!("{} {shown}", theme.glyph(shown)), theme.state(shown)),
    ];
    if let Some(batch) = instance.batch {
        title.push(Span::raw(format!("  batch {batch}")));
    }
    title.push(Span::raw(format!("  {} of {}", app.selected + 1, app.state.instances.len())));
    canvas.rule(places.selected, title);
    let mut lines = detail(app);
    if places.selected.height == 0 {
        lines = vec![format!("{id} {shown}: {}", lines.join("  "))];
    }
    let columns = usize::from(places.detail.width).saturating_sub(1);
    let lines = lines.into_iter().map(|line| Line::raw(format!(" {}", clip(&line, columns)))).collect();
    canvas.lines(places.detail, lines);
}

/// Three lines: what the probe says, where it stands, what is wrong with it or where it is.
fn detail(app: &App) -> Vec<String> {
    let Some((id, instance)) = app.state.instances.get_index(app.selected) else { return Vec::new() };
    let member = app.state.plan.members.get(app.selected);
    let reading = app.reading(id);
    let health = &app.state.plan.policy.health;
    let mut probe = vec![match reading.and_then(|r| r.sample.as_ref()) {
        Some(sample) => format!("probe {}", sample.words()),
        None => "no probe yet".to_owned(),
    }];
    if let (Phase::Verifying { .. }, Some(reading)) = (&instance.phase, reading) {
        probe.push(format!("passes {} of {}", reading.passes.min(health.rise), health.rise));
        probe.push(format!("misses {} of {}", reading.misses.min(health.retries), health.retries));
    }
    if let Some(until) = instance.until.filter(|_| instance.is_active()) {
        probe.push(format!("deadline in {}", seconds(until.since(app.now))));
    }
    let mut stands = Vec::new();
    if instance.is_active() {
        stands.push(format!("{} for {}", grid::word(app, id, instance), seconds(app.now.since(instance.since))));
    }
    stands.push(if instance.serving { "in rotation" } else { "out of rotation" }.to_owned());
    if let Some(left) = reading.and_then(|r| r.sessions).filter(|_| instance.phase == Phase::Draining) {
        stands.push(format!("{left} connections left"));
    }
    stands.push(format!("version {}", grid::version(app, app.selected, instance)));
    let place = member.map(|m| {
        let found =
            if m.rotation == Rotation::Serving { String::new() } else { format!("  was {} at the start", m.rotation.words()) };
        let zone = m.target.zone.as_ref().map_or_else(String::new, |z| format!("  {z}"));
        format!("{}:{}{zone}{found}", m.target.host, m.target.port)
    });
    let note = grid::note(app, id, instance);
    let failed_before =
        instance.failure.as_ref().filter(|_| note.is_empty()).map(|f| format!("failed {}: {}", f.step.words(), f.reason));
    let second = stands.join("  ");
    let mut lines = vec![probe.join("  ")];
    // What is wrong comes before where it is: at 80x24 there are two lines.
    match (note.is_empty(), failed_before) {
        (false, _) => lines.extend([note, second]),
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
        events(canvas, left);
        log(canvas, right);
    } else if app.pane == Pane::Log {
        canvas.rule(rule, title("engine log"));
        log(canvas, area);
    } else {
        canvas.rule(rule, title("events"));
        events(canvas, area);
    }
}

fn events(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let rows = usize::from(area.height);
    let skip = app.facts.len().saturating_sub(rows);
    let columns = usize::from(area.width).saturating_sub(10);
    let lines = app
        .facts
        .iter()
        .skip(skip)
        .map(|fact| {
            let style = if fact.grave { canvas.ui(Ui::Error) } else { ratatui::style::Style::new() };
            Line::from(vec![
                Span::styled(format!(" {} ", time_of_day(fact.at, &app.fixed.zone)), canvas.ui(Ui::Quiet)),
                Span::styled(clip(&fact.text, columns), style),
            ])
        })
        .collect();
    canvas.lines(area, lines);
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
        .output_level(Some(TuiLoggerLevelOutput::Abbreviated))
        .output_target(true)
        .output_separator(' ')
        .output_file(false)
        .output_line(false)
        .state(&canvas.app.log.0)
        .render(area, canvas.frame.buffer_mut());
}

fn message(canvas: &mut Canvas<'_, '_>, area: Rect) {
    match &canvas.app.message {
        Some((text, tone)) => {
            let part = if *tone == Tone::Refused { Ui::Warning } else { Ui::Message };
            canvas.text(area, &format!(" {text}"), part);
        }
        None => canvas.rule(area, Vec::new()),
    }
}

/// The keys that matter, always in the same place, dim when off.
fn keys(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let wide = area.width >= 78;
    let mut spans = Vec::new();
    let mut right = Vec::new();
    for binding in KEYMAP.iter().filter(|b| !b.label.is_empty()) {
        let off = app.allowed(binding.action).is_err();
        let key = binding.shown.split(' ').next().unwrap_or(binding.shown);
        let (key_part, label_part) = if off { (Ui::KeyOff, Ui::KeyOff) } else { (Ui::Key, Ui::Sentence) };
        let label = if wide { format!(" {}  ", binding.label) } else { " ".to_owned() };
        let into = if matches!(binding.action, Action::Help | Action::Quit) { &mut right } else { &mut spans };
        into.push(Span::styled(key, canvas.ui(key_part)));
        into.push(Span::styled(label, canvas.ui(label_part)));
    }
    let used: usize = spans.iter().chain(&right).map(|s| width(&s.content)).sum();
    spans.push(Span::raw(" ".repeat(usize::from(area.width).saturating_sub(used))));
    spans.extend(right);
    canvas.lines(area, vec![Line::from(spans)]);
}
