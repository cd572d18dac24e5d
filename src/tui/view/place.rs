//! Where everything is: the parts' places and the grid's level of detail. They depend on the size of the terminal and on
//! the fleet, not on what happens, so that nothing jumps.
//!
//! Imports: tui parts. May not: draw.

use ratatui::layout::Rect;

use crate::model::InstanceState;
use crate::tui::app::{App, Tone};
use crate::tui::keys::Action;
use crate::tui::steps::has_strip;
use crate::tui::text::{width, wrap};

/// How much of each instance is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::tui) enum Level {
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
    /// Half a block: colour alone, two instances above each other in a cell.
    Half,
    /// One bar for each zone.
    #[default]
    Bars,
}

/// From the most to the least.
const LEVELS: [Level; 7] = [Level::Card, Level::Row, Level::Chip, Level::Wide, Level::Dense, Level::Half, Level::Bars];

/// Columns that a card takes at least, and its rows.
const CARD: (usize, usize) = (38, 4);
/// Rows of cells of which one may be given to their header.
const PAGE: usize = 6;
/// Columns of a latency.
pub(super) const LATENCY: usize = 6;

/// The grid: the listed instances, or a page of them.
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
    /// Over the cells stands which column it is.
    pub(super) header: bool,
    /// The place in the list of the first one on this page.
    pub(super) first: usize,
    /// How many are listed.
    count: usize,
}

impl Grid {
    /// How many there is room for.
    fn page(&self) -> usize {
        if self.level == Level::Bars { self.count.max(1) } else { (self.columns * self.rows * self.per_cell()).max(1) }
    }

    /// How many share a cell.
    fn per_cell(&self) -> usize {
        if self.level == Level::Half { 2 } else { 1 }
    }

    /// Rows of the terminal.
    fn lines(&self) -> usize {
        self.rows * self.height + usize::from(self.header)
    }

    /// Which page this is, from 0, and how many there are.
    pub(super) fn pages(&self) -> (usize, usize) {
        (self.first / self.page(), self.count.div_ceil(self.page()))
    }
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
    pub(super) tabs: Rect,
    /// Where a replay stands.
    pub(super) scrub: Rect,
    /// Where steps and checks stand.
    pub(super) strip: Rect,
    /// Everything between the tabs and the line above the keys, for every other screen than the fleet.
    pub(super) body: Rect,
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
    tabs: u16,
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
        // Where there is no room for their names, the keys open the screens all the same.
        let tabs = u16::from(size.0 >= 60 && size.1 >= 20);
        Heights { sentence, tabs, exceptions, vip, selected, detail, pane_rule, pane_min, message, beside }
    };
    match size {
        (120.., 36..) => of([1, 0, 0, 1, 4, 1, 8, 1], true),
        (60.., 36..) => of([2, 4, 1, 1, 3, 1, 6, 1], false),
        (60.., 30..) => of([2, 2, 1, 1, 3, 1, 4, 1], false),
        (60.., 24..) => of([1, 1, 1, 1, 2, 1, 2, 0], false),
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
    let scrub = u16::from(app.runs.scrub.is_some());
    // Where it is lowest, the sentence says what a step waits for.
    let strip = u16::from(has_strip(&app.state) && height >= 16);
    let fixed = 3 + headline + heights.sentence + heights.tabs + scrub + strip + below;
    let room = height.saturating_sub(fixed);
    let most = room.saturating_sub(heights.pane_min.saturating_sub(scrub + strip)).max(1);
    let (grid, grid_height) = grid_in(app, size, most);
    let grid_rows = u16::try_from(grid_height).unwrap_or(most).min(most);
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
        tabs: take(heights.tabs),
        scrub: take(scrub),
        strip: take(strip),
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
    let top = places.zones.y;
    places.body = Rect { y: top, height: places.keys.y.saturating_sub(1).saturating_sub(top), ..places.keys };
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
    let rows = wrap(&app.headline(), usize::from(columns)).len();
    u16::try_from(rows).unwrap_or(1)
}

/// The grid on a terminal of this size, in at most `most` rows. While a filter is typed its height stays, so that nothing
/// below it moves.
fn grid_in(app: &App, size: (u16, u16), most: u16) -> (Grid, usize) {
    let room = (usize::from(size.0), usize::from(most));
    let bars = size.0 < 60 || size.1 < 16;
    let wanted = if bars { Some(Level::Bars) } else { app.list.level };
    let whole = shape(app, room, wanted, app.state.instances.len());
    let height = whole.lines();
    if app.list.filter.is_empty() {
        return (turned(whole, app), height);
    }
    let height = if whole.level == Level::Bars { room.1 } else { height };
    (turned(shape(app, (room.0, height), wanted, app.list.shown().len()), app), height)
}

/// On the page that has the selected one.
fn turned(mut grid: Grid, app: &App) -> Grid {
    grid.first = app.position() / grid.page() * grid.page();
    grid
}

/// The grid of so many instances: at the level that is wanted, else at the finest that has room for all.
fn shape(app: &App, (columns, most): (usize, usize), wanted: Option<Level>, count: usize) -> Grid {
    let fits = |grid: &Grid| grid.rows * grid.height <= most;
    let found = match wanted {
        None => shapes(app, columns, count).into_iter().find(fits),
        Some(Level::Bars) => None,
        Some(Level::Half) if !told_by_colour(app) => None,
        Some(level) => {
            let mut of_level: Vec<Grid> = shapes_of(app, level, columns, count.max(1))
                .into_iter()
                .filter(|_| level != Level::Card || most >= CARD.1)
                .collect();
            let all = of_level.iter().position(fits).unwrap_or_else(|| of_level.len().saturating_sub(1));
            (!of_level.is_empty()).then(|| of_level.swap_remove(all))
        }
    };
    let bars = Grid { level: Level::Bars, columns: 1, column_width: columns, rows: zones(app), height: 1, ..Grid::default() };
    let mut grid = found.unwrap_or(bars);
    // So that a place can be said aloud: its row's name and its column. On pages there is room for that, too.
    let room = most > grid.rows || most >= PAGE;
    grid.header = matches!(grid.level, Level::Wide | Level::Dense | Level::Half) && room;
    let most = most - usize::from(grid.header);
    grid.rows = grid.rows.min(most / grid.height.max(1)).max(1);
    grid.count = count;
    grid
}

/// All shapes that may be chosen by room, the finest first.
fn shapes(app: &App, columns: usize, count: usize) -> Vec<Grid> {
    LEVELS
        .into_iter()
        .filter(|level| *level != Level::Card || columns >= 100)
        .filter(|level| *level != Level::Half || told_by_colour(app))
        .flat_map(|level| shapes_of(app, level, columns, count.max(1)))
        .collect()
}

/// The shapes of one level, the roomiest first.
fn shapes_of(app: &App, level: Level, columns: usize, count: usize) -> Vec<Grid> {
    let longest = app.state.instances.keys().map(|id| width(id.as_str())).max().unwrap_or(1);
    let grid = |beside: usize, column_width: usize, height: usize, label: usize| {
        let columns = beside.max(1);
        Grid { level, columns, column_width, rows: count.div_ceil(columns), height, label, ..Grid::default() }
    };
    match level {
        Level::Card => {
            let beside = (columns / CARD.0).max(1);
            vec![grid(beside, columns / beside, CARD.1, 0)]
        }
        Level::Row => {
            let most = (columns / 40).max(1);
            ((columns / 80).max(1)..=most).map(|beside| grid(beside, columns / beside, 1, 0)).collect()
        }
        Level::Chip => {
            let chip = longest.min(20) + 3;
            let timed = chip + LATENCY + 1;
            vec![grid(columns / timed, timed, 1, 0), grid(columns / chip, chip, 1, 0)]
        }
        Level::Wide | Level::Dense | Level::Half => {
            let label = longest.min(14) + 1;
            let cell = if level == Level::Wide { 2 } else { 1 };
            let beside = columns.saturating_sub(label).max(1) / cell;
            // Tens can be counted at a glance.
            let beside = if beside > 10 { beside / 10 * 10 } else { beside };
            let cells = grid(beside, cell, 1, label);
            vec![Grid { rows: cells.rows.div_ceil(cells.per_cell()), ..cells }]
        }
        Level::Bars => Vec::new(),
    }
}

/// What is grave, at work, done and untouched has each a colour of its own.
fn told_by_colour(app: &App) -> bool {
    let theme = &app.fixed.theme;
    let states = [InstanceState::Failed, InstanceState::Updating, InstanceState::Healthy, InstanceState::Pending];
    let colours = states.map(|state| theme.state(state).fg);
    let told = |colour| colours.iter().filter(|other| *other == colour).count() == 1;
    !theme.ascii() && colours.iter().all(told)
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
    let cells = places(app, app.size).cells;
    let (across, down) = match cells.level {
        Level::Card | Level::Row | Level::Chip => (cells.rows, 1),
        Level::Wide | Level::Dense | Level::Half => (1, cells.columns),
        Level::Bars => (10, 1),
    };
    // One at a time, in the view of one.
    let (across, down) = if app.inspecting() { (1, 1) } else { (across, down) };
    let page = match cells.pages().1 {
        0 | 1 => across.max(down),
        _ => cells.page(),
    };
    let here = app.position();
    app.select_at(match way {
        Action::Up => here.saturating_sub(down),
        Action::Down => here + down,
        Action::Left => here.saturating_sub(across),
        Action::Right => here + across,
        Action::PageUp => here.saturating_sub(page),
        Action::PageDown => here + page,
        Action::Previous => here.saturating_sub(1),
        Action::Next => here + 1,
        Action::First => 0,
        Action::Last => usize::MAX,
        _ => here,
    });
}

/// More or less of each instance than there would be.
pub(in crate::tui) fn set_detail(app: &mut App, way: Action) {
    let now = places(app, app.size).cells.level;
    let levels: Vec<Level> = LEVELS.into_iter().filter(|level| *level != Level::Half || told_by_colour(app)).collect();
    let at = levels.iter().position(|level| *level == now).unwrap_or(0);
    let wanted = match way {
        Action::Finer => levels.get(at.saturating_sub(1)),
        Action::Coarser => levels.get(at + 1),
        _ => {
            app.list.level = None;
            app.say("as much of each instance as there is room for", Tone::Plain);
            return;
        }
    };
    let before = std::mem::replace(&mut app.list.level, wanted.copied());
    if wanted.is_none() || wanted == Some(&now) || places(app, app.size).cells.level == now {
        app.list.level = before;
        let text = if way == Action::Finer { "there is no room for more of each" } else { "there is nothing coarser" };
        app.say(text, Tone::Refused);
    }
}
