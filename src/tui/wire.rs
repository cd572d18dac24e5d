//! The way to the terminal: how quick it is, and what goes over it beside the picture.
//!
//! Imports: tui parts. May not: write; draw.

mod beside;
mod copy;
mod export;
mod meter;
mod mouse;
mod notice;
mod osc;
mod stray;

use std::time::Duration;

use super::app::{App, Link};
use crate::event::Event;
use crate::model::{Seq, Span, Timestamp};
use notice::Before;

pub(super) use beside::Beside;
pub(super) use copy::copy_selected;
pub(super) use export::{Export, export};
pub use meter::Meter;
pub use mouse::{Click, MouseEvent};
pub(super) use mouse::{DISABLE, ENABLE, on_mouse, toggle};
pub(super) use notice::Notices;
pub use notice::{Notify, Signal};
pub(super) use osc::{Dialect, POP_TITLE};
pub(super) use stray::Stray;

/// What is known of the way to the terminal.
#[derive(Debug, Clone, Default)]
pub struct Wire {
    /// How quick it is.
    pub meter: Meter,
    /// Clicks and the wheel come to the console; text is selected with Shift held.
    pub mouse: bool,
    /// Texts may be sent to its clipboard.
    pub clipboard: bool,
    /// What is worth calling a person for.
    pub(super) notices: Notices,
}

impl App {
    /// How it stands, to be compared with how it stands after what arrives now.
    pub(super) fn before(&self) -> Before {
        let down = match &self.link {
            Link::Down { since, .. } | Link::Gone { since } => Some(*since),
            Link::Up | Link::Closed => None,
        };
        Before::of(&self.state, down)
    }

    /// A frame was on its way for so long, with this fact as its last.
    pub(super) fn took(&mut self, took: Duration, seq: Seq, now: Timestamp) {
        self.wire.meter.wrote(took, now);
        self.wire.notices.back(Span::from(took), seq, &self.state);
    }

    /// Something arrived: it may be worth a call.
    pub(super) fn notice_since(&mut self, before: Before, event: Option<&Event>) {
        self.wire.notices.judge(before, &self.state, event, self.now);
    }
}

impl Wire {
    /// With these settings.
    pub fn new(notify: Notify, clipboard: bool) -> Self {
        Self { clipboard, notices: Notices::new(notify), ..Self::default() }
    }
}
