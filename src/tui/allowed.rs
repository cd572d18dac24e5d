//! Which command a key stands for now, and why the others are not possible. The core has the last word; this keeps the keys
//! honest.
//!
//! Imports: tui::app, tui::keys, command, state. May not: change anything.

use super::app::{App, Link};
use super::keymap::Bound;
use super::keys::{Action, Key};
use super::update::Cmd;
use crate::command::{Command, refused_read_only};
use crate::model::InstanceId;
use crate::state::{Awaits, Phase, Status};

/// The command that `action` stands for on this instance.
pub(super) fn command_on(action: Action, id: Option<&InstanceId>, reason: String) -> Option<Command> {
    let instance = || id.cloned();
    Some(match action {
        Action::Start => Command::Start,
        Action::Pause => Command::Pause { reason },
        Action::Resume => Command::Resume,
        Action::Cancel => Command::Cancel { reason },
        Action::Rollback => Command::Rollback { reason, only: None },
        Action::Promote => Command::Promote { full: false },
        Action::PromoteAll => Command::Promote { full: true },
        Action::Retry => Command::Retry { instance: instance()? },
        Action::Skip => Command::Skip { instance: instance()?, reason },
        Action::Hold => Command::Hold { instance: instance()?, reason },
        Action::Release => Command::Release { instance: instance()? },
        Action::BackAlone => Command::Rollback { reason, only: Some(instance()?) },
        _ => return None,
    })
}

impl App {
    /// The command that `action` stands for, on the instance that is selected now.
    pub(super) fn command(&self, action: Action) -> Option<Command> {
        command_on(action, self.selected_id().as_ref(), String::new())
    }

    /// The instance that is selected now.
    pub(super) fn selected_id(&self) -> Option<InstanceId> {
        self.selection().and_then(|index| self.id_at(index)).cloned()
    }

    /// Why `action` cannot be done now, in words.
    ///
    /// # Errors
    /// Fails with the reason.
    pub fn allowed(&self, action: Action) -> Result<(), String> {
        self.allowed_with(action, self.selected_id().as_ref())
    }

    /// Why `action` on this instance cannot be done now, as a sentence; the same from a key and from the command line.
    pub(super) fn refusal_on(&self, action: Action, id: Option<&InstanceId>) -> Option<String> {
        if action.acts() && self.fixed.read_only {
            // As the engine says it, and the command line.
            let command = command_on(action, id, String::new());
            return Some(refused_read_only(&command.map_or_else(|| action.name(), |command| command.verb().to_owned())));
        }
        self.allowed_with(action, id).err().map(|why| format!("not possible: {why}"))
    }

    /// The same on the instance that is selected now.
    pub(super) fn refusal(&self, action: Action) -> Option<String> {
        self.refusal_on(action, self.selected_id().as_ref())
    }

    /// What a key does whatever is open, if it is no text.
    pub(super) fn aside(&self, key: Key) -> Option<Cmd> {
        match self.fixed.keys.while_typing(key)? {
            Action::Suspend => Some(Cmd::Suspend),
            _ => Some(Cmd::Repaint),
        }
    }

    fn allowed_with(&self, action: Action, id: Option<&InstanceId>) -> Result<(), String> {
        if !action.acts() {
            return Ok(());
        }
        let refuse = |why: &str| Err(why.to_owned());
        if self.runs.scrub.is_some() {
            return Err(format!("this is a replay of {}", self.state.plan.deployment));
        }
        if let Some(why) = self.idle_refusal(action) {
            return Err(why);
        }
        if self.fixed.read_only {
            return refuse("this is a read-only session");
        }
        if self.state.end.is_some() {
            let undo = matches!(action, Action::Rollback | Action::BackAlone) && !self.fixed.demo;
            let quit = self.fixed.keys.hint(Action::Quit);
            let how = format!("; {quit}, then `rollout rollback` undoes it as a deployment of its own");
            let how = if undo { how } else { String::new() };
            return Err(format!("the deployment has ended{how}"));
        }
        match &self.link {
            Link::Up => {}
            Link::Down { .. } => return refuse("the link to the engine is down; nothing was sent"),
            Link::Gone { .. } | Link::Closed => return refuse("the engine is gone"),
        }
        if action.acts_on_one() { self.allowed_on_one(action, id) } else { self.allowed_on_all(action) }
    }

    /// True if the key does something now: with the deployment as it stands, and on the instance that is selected.
    pub(super) fn offers(&self, bound: &Bound) -> bool {
        // `s` is two acts, one of which it is now.
        let planned = self.state.started_at.is_none();
        let is_it = |key: &Key| self.fixed.keys.action(*key, planned) == Some(bound.binding.action);
        bound.keys.iter().any(is_it)
            && match bound.binding.action {
                Action::NextFailure => self.grave().next().is_some(),
                Action::Follow => self.state.end.is_none() && self.idle.is_none(),
                Action::Deploy => self.idle.is_some() && !self.fixed.read_only,
                Action::Pause if self.state.status() == Status::Paused => false,
                action => self.allowed(action).is_ok(),
            }
    }

    fn allowed_on_all(&self, action: Action) -> Result<(), String> {
        let state = &self.state;
        let status = state.status();
        let approval = state.awaits == Some(Awaits::Approval);
        let step = state.step.is_some();
        let refuse = |why: &str| Err(why.to_owned());
        let hint = |action| self.fixed.keys.hint(action);
        match action {
            Action::Start if status != Status::Pending => refuse("it has started already"),
            Action::Pause if status == Status::Pending => refuse("it has not started"),
            Action::Pause if state.cancel.is_some() => refuse("it is being cancelled"),
            Action::Resume if status != Status::Paused && approval => {
                Err(format!("it is not paused: it waits for approval of the next batch; {} approves it", hint(Action::Promote)))
            }
            Action::Resume if status != Status::Paused => refuse("it is not paused"),
            Action::Cancel if state.stopped.is_some() => refuse("it is being cancelled, and its commands are stopped"),
            Action::Cancel if state.cancel.is_some() && !self.runs_commands() => {
                refuse("it is being cancelled already, and no command runs that could be stopped")
            }
            Action::Rollback if status == Status::Pending => {
                Err(format!("nothing has been touched; {} cancels the plan", hint(Action::Cancel)))
            }
            Action::Rollback if state.rollback.is_some() && status == Status::RollingBack => refuse("it is rolling back already"),
            Action::Promote | Action::PromoteAll if step && state.batch.is_some() => {
                refuse("the step is updating instances; it can be promoted when they have their verdicts")
            }
            Action::Promote | Action::PromoteAll if !approval && !step => {
                refuse("no batch waits for approval, and no step is at work")
            }
            _ => Ok(()),
        }
    }

    fn allowed_on_one(&self, action: Action, id: Option<&InstanceId>) -> Result<(), String> {
        let of = id.and_then(|id| Some((id, self.state.instances.get(id)?)));
        let (Some((id, instance)), Some(command)) = (of, command_on(action, id, String::new())) else {
            return Err("no instance is selected".to_owned());
        };
        match action {
            // The core takes these as done already.
            Action::Hold if instance.held.is_some() => Err(format!("{id} is held already")),
            Action::Release if instance.held.is_none() => Err(format!("{id} is not held")),
            Action::Skip if instance.discounted => Err(format!("{id} is skipped already")),
            _ => (self.fixed.oracle.consequence)(&self.state, &command, self.now).map(|_| ()).map_err(|why| why.to_string()),
        }
    }

    /// A driver is at work somewhere.
    fn runs_commands(&self) -> bool {
        let active = self.state.active.iter().filter_map(|index| self.state.instances.get_index(*index));
        active.map(|(_, instance)| instance).any(|instance| instance.phase == Phase::Updating)
    }
}
