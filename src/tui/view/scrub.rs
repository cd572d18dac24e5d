//! Where a replay stands: the whole deployment as a line, with its turns on it.
//!
//! Imports: tui parts, session, model. May not: decide.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::Canvas;
use crate::model::{InstanceState, Timestamp};
use crate::ports::Turn;
use crate::tui::replay::Scrub;
use crate::tui::text::{time_of_day, width};
use crate::tui::theme::Ui;

/// From the least grave on: what shares a column is shown by its gravest.
const GRAVEST: [Turn; 5] = [Turn::Person, Turn::End, Turn::Pause, Turn::Rollback, Turn::Failure];

pub(super) fn draw(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let Some(scrub) = app.runs.scrub.as_ref().filter(|_| !area.is_empty()) else { return };
    let zone = &app.fixed.zone;
    let plays = if scrub.playing { "playing" } else { "halted " };
    // Everything has its place whatever it says.
    let digits = scrub.of.to_string().len();
    let left = format!(" {plays} {:4} {} {:>digits$}/{} ", scrub.speed(), time_of_day(app.now, zone), scrub.at, scrub.of);
    let right = format!(" {}", time_of_day(scrub.end, zone));
    let columns = usize::from(area.width);
    let room = columns.saturating_sub(width(&left) + width(&right));
    let (left, right, room) = if room < 10 { (String::new(), String::new(), columns) } else { (left, right, room) };
    let mut spans = vec![Span::styled(left, canvas.ui(Ui::Headline))];
    spans.extend(bar(canvas, scrub, room));
    spans.push(Span::styled(right, canvas.ui(Ui::Quiet)));
    canvas.lines(area, vec![Line::from(spans)]);
}

/// The line itself.
fn bar(canvas: &Canvas<'_, '_>, scrub: &Scrub, columns: usize) -> Vec<Span<'static>> {
    let ascii = canvas.ascii();
    let theme = &canvas.app.fixed.theme;
    let place = |at: Timestamp| place(scrub, at, columns);
    let here = place(canvas.app.now);
    let mut marks: Vec<Option<Turn>> = vec![None; columns];
    for (at, turn) in &scrub.marks {
        if let Some(mark) = marks.get_mut(place(*at)) {
            let rank = |turn: &Turn| GRAVEST.iter().position(|one| one == turn);
            if mark.as_ref().and_then(rank) < rank(turn) {
                *mark = Some(*turn);
            }
        }
    }
    let (before, after) = if ascii { ("=", "-") } else { ("━", "─") };
    let cell = |(index, mark): (usize, Option<Turn>)| match mark {
        _ if index == here => Span::styled("|", theme.ui(Ui::Selected)),
        Some(turn) => {
            let (glyph, style) = match turn {
                Turn::Failure => (theme.glyph(InstanceState::Failed), theme.state(InstanceState::Failed)),
                Turn::Rollback => (theme.glyph(InstanceState::RolledBack), theme.state(InstanceState::RolledBack)),
                Turn::Pause => (theme.glyph(InstanceState::Held), theme.state(InstanceState::Held)),
                Turn::End => (']', theme.ui(Ui::Sentence)),
                Turn::Person => ('@', theme.ui(Ui::Key)),
            };
            Span::styled(glyph.to_string(), style)
        }
        None if index < here => Span::styled(before, theme.ui(Ui::Bar)),
        None => Span::styled(after, theme.ui(Ui::Quiet)),
    };
    marks.into_iter().enumerate().map(cell).collect()
}

/// The column of a time.
fn place(scrub: &Scrub, at: Timestamp, columns: usize) -> usize {
    let whole = scrub.end.since(scrub.begin).as_millis().max(1);
    let last = u64::try_from(columns.saturating_sub(1)).unwrap_or(0);
    let passed = at.since(scrub.begin).as_millis().min(whole);
    usize::try_from(passed.saturating_mul(last) / whole).unwrap_or(0)
}
