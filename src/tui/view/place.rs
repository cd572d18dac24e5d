//! Where everything is: the parts' places and the grid's level of detail. They depend on the size of the terminal and on
//! the fleet, not on what happens, so that nothing jumps.
//!
//! Imports: tui parts. May not: draw.

use ratatui::layout::Rect;

use crate::tui::app::App;
use crate::tui::keys::Action;
use crate::tui::text::{width, wrap};

/// How much of each instance is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Level {
    /// A box of its own: what a row has, a long sparkline or what is wrong.
    Card,
    /// Glyph, name, word, latency, version, sparkline.
    Row,
    /// Glyph and name, and the latency where there is room.
    Chip,
    /// Glyph and a gap.
    Wide,
    /// Glyph.
    Dense,
    /// One bar for each zone.
    #[default]
    Bars,
}

/// Columns that a card takes at least, and its rows.
const CARD: (usize, usize) = (38, 4);
/// Columns of a latency.
pub(super) const LATENCY: usize = 6;

/// The grid: instances in plan order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) level: Level,
    /// Instances beside each other.
    pub(super) columns: usize,
    /// Columns of the terminal for each.
    pub(super) column_width: usize,
    /// Instances below each other.
    pub(super) rows: usize,
    /// Rows of the terminal for each.
    pub(super) height: usize,
    /// Columns of the terminal for a row's label.
    pub(super) label: usize,
}

/// Where each part is. An empty place is not drawn.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Places {
    pub(super) tiny: bool,
    /// How the grid fills its place.
    pub(super) cells: Grid,
    pub(super) title: Rect,
    pub(super) headline: Rect,
    pub(super) sentence: Rect,
    pub(super) zones: Rect,
    pub(super) grid: Rect,
    pub(super) exceptions: Rect,
    pub(super) vip: Rect,
    pub(super) selected: Rect,
    pub(super) detail: Rect,
    /// The rule over exceptions and proof, where they stand beside the selected instance.
    pub(super) aside: Rect,
    pub(super) pane_rule: Rect,
    pub(super) pane: Rect,
    pub(super) message: Rect,
    pub(super) keys: Rect,
}

/// Rows of the parts other than grid and pane.
#[derive(Default)]
struct Heights {
    sentence: u16,
    exceptions: u16,
    vip: u16,
    selected: u16,
    detail: u16,
    pane_rule: u16,
    pane_min: u16,
    /// 0 where a message takes the place of the rule over the pane.
    message: u16,
    /// Exceptions and proof stand to the right of the selected instance.
    beside: bool,
}

fn heights(size: (u16, u16)) -> Heights {
    let of = |rows: [u16; 8], beside| {
        let [sentence, exceptions, vip, selected, detail, pane_rule, pane_min, message] = rows;
        Heights { sentence, exceptions, vip, selected, detail, pane_rule, pane_min, message, beside }
    };
    match size {
        (120.., 36..) => of([1, 0, 0, 1, 4, 1, 8, 1], true),
        (60.., 36..) => of([2, 4, 1, 1, 3, 1, 6, 1], false),
        (60.., 30..) => of([2, 2, 1, 1, 3, 1, 4, 1], false),
        (60.., 24..) => of([1, 1, 1, 1, 2, 1, 3, 0], false),
        (60.., 16..) => of([1, 1, 1, 0, 1, 0, 0, 1], false),
        _ => of([2, 1, 0, 0, 0, 0, 0, 1], false),
    }
}

/// The left and the right part of a place; the same everywhere.
pub(super) fn split(area: Rect) -> (Rect, Rect) {
    let left = area.width * 3 / 5;
    (Rect { width: left, ..area }, Rect { x: area.x + left + 1, width: area.width.saturating_sub(left + 1), ..area })
}

/// The places on a terminal of this size.
pub(super) fn places(app: &App, size: (u16, u16)) -> Places {
    let (width, height) = size;
    if width < 40 || height < 10 {
        return Places { tiny: true, ..Places::default() };
    }
    let heights = heights(size);
    let headline = headline_rows(app, width);
    // Title, zones and keys have one row each.
    let below = heights.exceptions + heights.vip + heights.selected + heights.detail + heights.pane_rule + heights.message;
    let fixed = 3 + headline + heights.sentence + below;
    let room = height.saturating_sub(fixed);
    let most = room.saturating_sub(heights.pane_min).max(1);
    let grid = grid_in(app, size, most);
    let grid_rows = u16::try_from(grid.rows * grid.height).unwrap_or(most).min(most);
    let mut y = 0;
    let mut take = |rows: u16| {
        let rows = rows.min(height.saturating_sub(y));
        let area = Rect::new(0, y, width, rows);
        y += rows;
        area
    };
    let mut places = Places {
        tiny: false,
        cells: grid,
        title: take(1),
        headline: take(headline),
        sentence: take(heights.sentence),
        zones: take(1),
        grid: take(if heights.pane_rule == 0 { room } else { grid_rows }),
        exceptions: take(heights.exceptions),
        vip: take(heights.vip),
        selected: take(heights.selected),
        detail: take(heights.detail),
        pane_rule: take(heights.pane_rule),
        ..Places::default()
    };
    places.pane = take(height.saturating_sub(fixed + places.grid.height));
    places.message = if heights.message == 0 { places.pane_rule } else { take(heights.message) };
    places.keys = take(1);
    if heights.beside {
        (places.selected, places.aside) = split(places.selected);
        let (left, right) = split(places.detail);
        places.detail = left;
        places.vip = Rect { height: 1, ..right };
        places.exceptions = Rect { y: right.y + 1, height: right.height.saturating_sub(1), ..right };
    }
    places
}

fn headline_rows(app: &App, columns: u16) -> u16 {
    let rows = wrap(&app.state.headline(), usize::from(columns)).len();
    u16::try_from(rows).unwrap_or(1)
}

/// The grid on a terminal of this size, in at most `most` rows.
fn grid_in(app: &App, size: (u16, u16), most: u16) -> Grid {
    let (columns, most) = (usize::from(size.0), usize::from(most));
    let count = app.state.instances.len().max(1);
    let longest = app.state.instances.keys().map(|id| width(id.as_str())).max().unwrap_or(1);
    let bars =
        Grid { level: Level::Bars, columns: 1, column_width: columns, rows: zones(app).min(most).max(1), height: 1, label: 0 };
    if size.0 < 60 || size.1 < 16 {
        return bars;
    }
    let beside = (columns / CARD.0).max(1);
    let rows = count.div_ceil(beside);
    if size.0 >= 100 && rows * CARD.1 <= most {
        return Grid { level: Level::Card, columns: beside, column_width: columns / beside, rows, height: CARD.1, label: 0 };
    }
    for beside in (columns / 80).max(1)..=(columns / 40).max(1) {
        let rows = count.div_ceil(beside);
        if rows <= most {
            return Grid { level: Level::Row, columns: beside, column_width: columns / beside, rows, height: 1, label: 0 };
        }
    }
    let chip = longest.min(20) + 3;
    let label = longest.min(14) + 1;
    let cells = columns.saturating_sub(label).max(1);
    let timed = chip + LATENCY + 1;
    let chips = [(Level::Chip, columns / timed, timed, 0), (Level::Chip, columns / chip, chip, 0)];
    let others = [(Level::Wide, cells / 2, 2, label), (Level::Dense, cells, 1, label)];
    for (level, beside, column_width, label) in chips.into_iter().chain(others) {
        let beside = match level {
            // Tens can be counted at a glance.
            Level::Wide | Level::Dense if beside > 10 => beside / 10 * 10,
            _ => beside.max(1),
        };
        let rows = count.div_ceil(beside);
        if rows <= most {
            return Grid { level, columns: beside, column_width, rows, height: 1, label };
        }
    }
    bars
}

/// How many zones there are; a fleet without any is one.
fn zones(app: &App) -> usize {
    let mut names: Vec<Option<&str>> = app.state.plan.members.iter().map(|m| m.target.zone.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

/// Moves the selection. Cards, rows and chips run downwards, cells run to the right.
pub(in crate::tui) fn walk(app: &mut App, way: Action) {
    let places = places(app, app.size);
    let (across, down) = match places.cells.level {
        Level::Card | Level::Row | Level::Chip => (places.cells.rows, 1),
        Level::Wide | Level::Dense => (1, places.cells.columns),
        Level::Bars => (10, 1),
    };
    let last = app.state.instances.len().saturating_sub(1);
    app.selected = match way {
        Action::Up => app.selected.saturating_sub(down),
        Action::Down => app.selected + down,
        Action::Left => app.selected.saturating_sub(across),
        Action::Right => app.selected + across,
        Action::First => 0,
        Action::Last => last,
        _ => app.selected,
    }
    .min(last);
}
