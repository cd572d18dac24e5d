//! The screens that the console has, and which one is open. Each takes the keys that mean something on it; the rest are the same
//! everywhere.
//!
//! Imports: tui parts. May not: draw; send.

use super::app::App;
use super::keys::Action;
use super::update::Cmd;
use super::{logs, plan, runs, timeline};

/// A screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tab {
    /// The grid of instances.
    #[default]
    Fleet,
    /// One instance.
    Instance,
    /// Every instance's phases over time.
    Timeline,
    /// The engine's log.
    Logs,
    /// What happens next.
    Plan,
    /// Earlier deployments.
    History,
}

impl Tab {
    /// All of them, in the order of their keys.
    pub const ALL: [Self; 6] = [Self::Fleet, Self::Instance, Self::Timeline, Self::Logs, Self::Plan, Self::History];

    /// In a word, and shorter where it is narrow.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Fleet => ("Fleet", "Fleet"),
            Self::Instance => ("Instance", "Inst"),
            Self::Timeline => ("Timeline", "Time"),
            Self::Logs => ("Logs", "Logs"),
            Self::Plan => ("Plan", "Plan"),
            Self::History => ("History", "Hist"),
        }
    }
}

impl Tab {
    /// What keys mean on it and nowhere else: their label, and their words for help.
    pub(super) fn keys(self) -> &'static [(Action, &'static str, &'static str)] {
        match self {
            Self::Logs => &logs::KEYS,
            Self::Timeline => &timeline::KEYS,
            Self::History => &runs::KEYS,
            Self::Fleet | Self::Instance | Self::Plan => &[],
        }
    }
}

impl App {
    /// One instance has the screen.
    pub(super) fn inspecting(&self) -> bool {
        self.tab == Tab::Instance
    }

    /// Opens a screen. Esc on it leads to the fleet, from one instance to where it was opened.
    pub(super) fn open(&mut self, tab: Tab) {
        if tab == Tab::Instance && self.tab != Tab::Instance {
            self.came_from = self.tab;
        }
        self.tab = tab;
    }

    /// Out of this screen; `false` on the fleet.
    pub(super) fn close_tab(&mut self) -> bool {
        let to = if self.inspecting() { self.came_from } else { Tab::Fleet };
        let was = std::mem::replace(&mut self.tab, to);
        was != Tab::Fleet
    }
}

/// What `action` means on the open screen; `None` where it means what it means everywhere.
pub(super) fn on_action(app: &mut App, action: Action) -> Option<Vec<Cmd>> {
    match app.tab {
        Tab::Fleet | Tab::Instance => None,
        Tab::Timeline => timeline::on_action(app, action),
        Tab::Logs => logs::on_action(app, action),
        Tab::Plan => plan::on_action(app, action),
        Tab::History => runs::on_action(app, action),
    }
}
