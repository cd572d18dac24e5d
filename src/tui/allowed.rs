//! Which acts are possible now, and why the others are not. The core has the last word; this keeps the keys honest.
//!
//! Imports: tui::app, tui::keys, state. May not: change anything.

use super::app::{App, Link};
use super::keys::Action;
use crate::state::Status;

impl App {
    /// Why `action` cannot be done now, in words.
    ///
    /// # Errors
    /// Fails with the reason.
    pub fn allowed(&self, action: Action) -> Result<(), String> {
        let status = self.state.status();
        let acts = matches!(action, Action::Start | Action::Pause | Action::Resume | Action::Cancel | Action::Rollback);
        if !acts {
            return Ok(());
        }
        let refuse = |why: &str| Err(why.to_owned());
        if self.fixed.read_only {
            return refuse("this is a read-only session");
        }
        if self.state.end.is_some() {
            return refuse("the deployment has ended");
        }
        match &self.link {
            Link::Up => {}
            Link::Down { .. } => return refuse("the link to the engine is down; nothing was sent"),
            Link::Closed => return refuse("the engine is gone"),
        }
        match action {
            Action::Start if status != Status::Pending => refuse("it has started already"),
            Action::Pause if status == Status::Pending => refuse("it has not started"),
            Action::Pause if status == Status::RollingBack => refuse("it is rolling back, which needs no pause"),
            Action::Pause if self.state.cancel.is_some() => refuse("it is being cancelled"),
            Action::Resume if status != Status::Paused => refuse("it is not paused"),
            Action::Rollback if status == Status::Pending => refuse("nothing has been touched; C cancels the plan"),
            Action::Rollback if self.state.rollback.is_some() && status == Status::RollingBack => {
                refuse("it is rolling back already")
            }
            _ => Ok(()),
        }
    }
}
