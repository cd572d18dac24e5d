//! What lies under a place of the screen.
//!
//! Imports: tui parts. May not: draw; change anything.

use ratatui::layout::{Position, Rect};

use super::place::{Grid, Level, places};
use super::tabs;
use crate::tui::app::App;
use crate::tui::tab::Tab;

/// What can be clicked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tui) enum Hit {
    /// The name of a screen.
    Tab(Tab),
    /// The instance at this place of the list.
    Instance(usize),
}

/// What lies under this column and row.
pub(in crate::tui) fn hit(app: &App, (column, row): (u16, u16)) -> Option<Hit> {
    let places = places(app, app.size);
    let at = Position::new(column, row);
    if places.tiny {
        return None;
    }
    if places.tabs.contains(at) {
        return tabs::under(app, places.tabs, column).map(Hit::Tab);
    }
    if app.tab != Tab::Fleet || !places.grid.contains(at) {
        return None;
    }
    let place = in_grid(&places.cells, places.grid, at)?;
    app.listed(place).map(|_| Hit::Instance(place))
}

fn in_grid(grid: &Grid, area: Rect, at: Position) -> Option<usize> {
    if grid.level == Level::Bars {
        return None;
    }
    let along = usize::from(at.x - area.x).checked_sub(grid.label)?;
    let column = along.checked_div(grid.column_width)?;
    // Over the cells stands which column it is, where there is room for it.
    let header = usize::from(grid.header && area.height >= 2);
    let row = usize::from(at.y - area.y).checked_sub(header)?.checked_div(grid.height)?;
    if column >= grid.columns || row >= grid.rows {
        return None;
    }
    Some(
        grid.first
            + match grid.level {
                Level::Wide | Level::Dense => row * grid.columns + column,
                // Two share the cell: its upper one.
                Level::Half => row * 2 * grid.columns + column,
                Level::Card | Level::Row | Level::Chip | Level::Bars => column * grid.rows + row,
            },
    )
}
