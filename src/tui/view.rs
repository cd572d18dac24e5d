//! The screen as a function of what is known: which parts there are, and where.
//!
//! Imports: tui parts, state, model. May not: change anything that is not the view's own place; do I/O; read a clock.

mod card;
mod chooser;
mod dialog;
mod foot;
mod grid;
mod header;
mod help;
mod hit;
mod idle;
mod inspect;
mod logs;
mod next;
mod panes;
mod place;
mod plan;
mod runs;
mod scrub;
mod spent;
mod strip;
mod tabs;
mod timeline;
mod words;
mod zones;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::app::App;
use super::confirm::Overlay;
use super::tab::Tab;
use super::text::{clip, width, wrap};
use super::theme::Ui;

pub(super) use help::{page as help_page, plain_arrows};
pub(super) use hit::{Hit, hit};
pub(super) use inspect::names;
pub(super) use logs::rows as log_rows;
pub(super) use place::{Level, set_detail, walk};
pub(super) use runs::page as runs_page;

/// A question is only asked where all of it can be read.
pub(super) const QUESTION: (u16, u16) = (40, 14);

/// True if a question can be read in full on a terminal of this size.
pub(super) fn fits_question(size: (u16, u16)) -> bool {
    size.0 >= QUESTION.0 && size.1 >= QUESTION.1
}

/// True if events and log stand beside each other.
pub(super) fn shows_both(size: (u16, u16)) -> bool {
    size.0 >= 120
}

/// Columns of time on the timeline.
pub(super) fn chart_columns(app: &App) -> usize {
    timeline::layout(app, place::places(app, app.size).body).columns
}

/// Rows of the timeline.
pub(super) fn chart_rows(app: &App) -> usize {
    usize::from(timeline::layout(app, place::places(app, app.size).body).chart.height)
}

/// Columns and rows of the plan, without the line over it.
pub(super) fn plan_room(app: &App) -> (usize, usize) {
    let body = place::places(app, app.size).body;
    (usize::from(body.width), usize::from(body.height.saturating_sub(1)))
}

/// Draws everything.
pub fn view(app: &App, frame: &mut Frame<'_>) {
    // A replay lies over what is live.
    let app = app.shown();
    let area = frame.area();
    if area.is_empty() {
        return;
    }
    let places = place::places(app, (area.width, area.height));
    let mut canvas = Canvas { app, frame };
    if places.tiny {
        tiny(&mut canvas, area);
        return;
    }
    header::draw(&mut canvas, &places);
    tabs::draw(&mut canvas, places.tabs);
    scrub::draw(&mut canvas, places.scrub);
    strip::draw(&mut canvas, places.strip);
    match app.tab {
        Tab::Fleet => {
            grid::draw(&mut canvas, &places);
            panes::draw(&mut canvas, &places);
        }
        Tab::Instance => inspect::draw(&mut canvas, &places),
        Tab::Timeline | Tab::Plan if app.idle.is_some() => idle::nothing(&mut canvas, places.body),
        Tab::Timeline => timeline::draw(&mut canvas, places.body),
        Tab::Logs => logs::draw(&mut canvas, places.body),
        Tab::Plan => plan::draw(&mut canvas, places.body),
        Tab::History => runs::draw(&mut canvas, places.body),
    }
    foot::draw(&mut canvas, &places);
    match &app.overlay {
        Some(Overlay::Help) => help::draw(&mut canvas, area),
        Some(Overlay::Ask(ask)) => dialog::ask(&mut canvas, area, ask),
        Some(Overlay::Leave) => dialog::leave(&mut canvas, area),
        Some(Overlay::Themes) => chooser::draw(&mut canvas, &places, area),
        Some(Overlay::Filter | Overlay::Command | Overlay::Search) | None => {}
    }
}

/// Too small for a screen: how it stands, and what to do about it.
fn tiny(canvas: &mut Canvas<'_, '_>, area: Rect) {
    let app = canvas.app;
    let mut lines: Vec<Line<'static>> =
        wrap(&app.headline(), usize::from(area.width)).into_iter().map(|l| Line::styled(l, canvas.ui(Ui::Headline))).collect();
    lines.push(header::badge_line(app));
    lines.extend(wrap("enlarge to 40x10", usize::from(area.width)).into_iter().map(Line::from));
    canvas.lines(area, lines);
}

/// What the parts draw on.
struct Canvas<'a, 'f> {
    app: &'a App,
    frame: &'a mut Frame<'f>,
}

impl Canvas<'_, '_> {
    fn ui(&self, part: Ui) -> ratatui::style::Style {
        self.app.fixed.theme.ui(part)
    }

    fn ascii(&self) -> bool {
        self.app.fixed.theme.ascii()
    }

    /// As many of the lines as fit.
    fn lines(&mut self, area: Rect, lines: Vec<Line<'static>>) {
        for (row, line) in area.rows().zip(lines) {
            line.render(row, self.frame.buffer_mut());
        }
    }

    /// A line across with a title in it.
    fn rule(&mut self, area: Rect, title: Vec<Span<'static>>) {
        self.rule_with(area, title, Vec::new());
    }

    /// A line across with a title in it, and something at its right end.
    fn rule_with(&mut self, area: Rect, title: Vec<Span<'static>>, right: Vec<Span<'static>>) {
        let dash = if self.ascii() { "-" } else { "─" };
        let border = self.ui(Ui::Border);
        let columns = |spans: &[Span<'static>]| spans.iter().map(|s| width(&s.content)).sum::<usize>();
        let mut spans = vec![Span::styled(dash, border)];
        if !title.is_empty() {
            spans.push(Span::raw(" "));
            spans.extend(title);
            spans.push(Span::raw(" "));
        }
        let tail = if right.is_empty() { 0 } else { columns(&right) + 3 };
        let rest = usize::from(area.width).saturating_sub(columns(&spans) + tail);
        spans.push(Span::styled(dash.repeat(rest), border));
        if !right.is_empty() {
            spans.push(Span::raw(" "));
            spans.extend(right);
            spans.extend([Span::raw(" "), Span::styled(dash, border)]);
        }
        self.lines(area, vec![Line::from(spans)]);
    }

    /// One text in one style, cut to fit.
    fn text(&mut self, area: Rect, text: &str, part: Ui) {
        let line = Line::styled(clip(text, usize::from(area.width)), self.ui(part));
        self.lines(area, vec![line]);
    }

    /// Makes room.
    fn clear(&mut self, area: Rect) {
        Clear.render(area, self.frame.buffer_mut());
    }
}
