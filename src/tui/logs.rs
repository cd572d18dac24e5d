//! The engine's log on the whole screen.
//!
//! Imports: tui parts, state, model. May not: draw; send.

use super::app::App;
use super::keys::Action;
use super::update::Cmd;

/// What `action` means here.
pub(super) fn on_action(_app: &mut App, _action: Action) -> Option<Vec<Cmd>> {
    None
}

/// What keys mean here, for help.
pub(super) const KEYS: [(Action, &str); 0] = [];
