//! The zones: the line of tallies over the grid, and the bars where there is no room for instances.
//!
//! Imports: tui parts, model. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::Span;

use super::Canvas;
use super::grid::line;
use crate::event::thousands;
use crate::model::{InstanceId, InstanceState};
use crate::tui::app::App;
use crate::tui::list::{GRAVEST, Sort};
use crate::tui::text::{clip, fit, time_of_day, width};
use crate::tui::theme::Ui;

/// One zone's tally, in the order of `InstanceState::ALL`.
struct Zone {
    name: String,
    counts: [usize; 10],
    /// Failed ones.
    worst: Vec<InstanceId>,
}

impl Zone {
    fn total(&self) -> usize {
        self.counts.iter().sum()
    }
}

/// The zones in the order in which they first come, of so many instances.
fn zones(app: &App, count: usize, index: impl Fn(usize) -> usize) -> Vec<Zone> {
    let mut zones: indexmap::IndexMap<&str, Zone> = indexmap::IndexMap::new();
    for index in (0..count).map(index) {
        let (Some(member), Some((id, instance))) = (app.state.plan.members.get(index), app.state.instances.get_index(index))
        else {
            continue;
        };
        let name = member.target.zone.as_deref().unwrap_or("fleet");
        let zone = zones.entry(name).or_insert_with(|| Zone { name: name.to_owned(), counts: [0; 10], worst: Vec::new() });
        let shown = instance.shown();
        if let Some(count) = zone.counts.get_mut(shown as usize) {
            *count += 1;
        }
        if shown == InstanceState::Failed && zone.worst.len() < 3 {
            zone.worst.push(id.clone());
        }
    }
    zones.into_values().collect()
}

/// The line over the grid: every zone's tally, and to the right how the list is filtered and sorted.
pub(super) fn rule(canvas: &mut Canvas<'_, '_>, area: Rect, pages: (usize, usize)) {
    let zones = zones(canvas.app, canvas.app.state.instances.len(), |index| index);
    let listed = listed(canvas, usize::from(area.width), pages);
    let taken: usize = listed.iter().map(|s| width(&s.content)).sum::<usize>() + if listed.is_empty() { 0 } else { 3 };
    let mut spans = Vec::new();
    let mut used = 4 + taken;
    for (i, zone) in zones.iter().enumerate() {
        let mut of_zone = vec![Span::raw(if i == 0 { zone.name.clone() } else { format!("   {}", zone.name) })];
        of_zone.extend(tally(canvas, zone));
        let needed: usize = of_zone.iter().map(|s| width(&s.content)).sum();
        if used + needed + 6 > usize::from(area.width) {
            spans.push(Span::raw(format!("  +{}", zones.len() - i)));
            break;
        }
        used += needed;
        spans.extend(of_zone);
    }
    canvas.rule_with(area, spans, listed);
}

/// How the list is filtered and sorted, where it differs from the plan.
fn listed(canvas: &Canvas<'_, '_>, columns: usize, (page, pages): (usize, usize)) -> Vec<Span<'static>> {
    let app = canvas.app;
    let list = &app.list;
    let mut parts: Vec<(String, Ui)> = Vec::new();
    if !list.filter.is_empty() {
        let count = format!("{} of {}", list.shown().len(), app.state.instances.len());
        parts.push((format!("/{} {count}", clip(list.filter.text().trim(), columns * 2 / 5)), Ui::Key));
        let hidden = app.hidden_exceptions();
        if hidden > 0 {
            parts.push((format!("{hidden} failed or held not in it"), Ui::Error));
        }
    }
    if list.sort != Sort::Plan {
        let at = if list.sort.is_of_a_moment() && columns >= 100 {
            format!(" at {}", time_of_day(list.sorted_at, &app.fixed.zone))
        } else {
            String::new()
        };
        parts.push((format!("by {}{at}", list.sort.word()), Ui::Sentence));
    }
    if pages > 1 {
        parts.push((format!("page {} of {pages}", page + 1), Ui::Sentence));
    }
    if list.follow {
        parts.push(("follow".to_owned(), Ui::Sentence));
    }
    let mut spans = Vec::new();
    for (i, (text, part)) in parts.into_iter().enumerate() {
        if i > 0 {
            spans.push(Span::raw("  "));
        }
        spans.push(Span::styled(text, canvas.ui(part)));
    }
    spans
}

/// ` ✓4 ▸1`.
fn tally(canvas: &Canvas<'_, '_>, zone: &Zone) -> Vec<Span<'static>> {
    let theme = &canvas.app.fixed.theme;
    InstanceState::ALL
        .iter()
        .zip(zone.counts)
        .filter(|(_, count)| *count > 0)
        .flat_map(|(state, count)| {
            let count = thousands(u64::try_from(count).unwrap_or(u64::MAX));
            [Span::raw(" "), Span::styled(format!("{}{count}", theme.glyph(*state)), theme.state(*state))]
        })
        .collect()
}

/// A bar for each zone, its tally, and its failed instances by name.
pub(super) fn bars(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let shown = canvas.app.list.shown();
    let zones = &zones(canvas.app, shown.len(), |at| shown.get(at).copied().unwrap_or(usize::MAX));
    let rows = usize::from(area.height);
    // Where there is one row only, the line above has told the zones apart.
    let fleet = (rows == 1 && zones.len() > 1).then(|| [together(zones)]);
    let zones = fleet.as_ref().map_or(zones.as_slice(), <[Zone; 1]>::as_slice);
    let name_width = zones.iter().map(|z| width(&z.name)).max().unwrap_or(0).min(16);
    let bar_width = (usize::from(area.width) / 3).min(60);
    for (row, zone) in zones.iter().take(rows).enumerate() {
        if row + 1 == rows && zones.len() > rows {
            line(canvas, area, row, vec![Span::raw(format!(" and {} more zones", zones.len() - row))]);
            break;
        }
        let theme = &canvas.app.fixed.theme;
        let mut spans = vec![Span::raw(format!(" {} ", fit(&zone.name, name_width)))];
        for (state, cells) in shares(zone, bar_width) {
            // The glyph itself is the bar: shares can be told without colours.
            spans.push(Span::styled(theme.glyph(state).to_string().repeat(cells), theme.state(state)));
        }
        spans.push(Span::raw(" "));
        spans.extend(tally(canvas, zone));
        for id in &zone.worst {
            spans.push(Span::styled(format!(" {id}"), theme.ui(Ui::Error)));
        }
        line(canvas, area, row, spans);
    }
}

/// All zones as one.
fn together(zones: &[Zone]) -> Zone {
    let mut fleet = Zone { name: "fleet".to_owned(), counts: [0; 10], worst: Vec::new() };
    for zone in zones {
        for (sum, count) in fleet.counts.iter_mut().zip(zone.counts) {
            *sum += count;
        }
    }
    fleet
}

/// Cells for each state, the gravest first; what exists has at least one.
fn shares(zone: &Zone, columns: usize) -> Vec<(InstanceState, usize)> {
    let total = zone.total().max(1);
    let mut left = columns;
    let mut shares = Vec::new();
    for state in GRAVEST {
        let count = zone.counts.get(state as usize).copied().unwrap_or(0);
        if count == 0 || left == 0 {
            continue;
        }
        let cells = (columns * count / total).max(1).min(left);
        left -= cells;
        shares.push((state, cells));
    }
    // What rounding left goes to the largest share.
    if let Some((_, cells)) = shares.iter_mut().max_by_key(|(_, cells)| *cells) {
        *cells += left;
    }
    shares
}
