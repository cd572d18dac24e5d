//! What is asked before a command is sent: the command, what it would do, and whether the answer counts yet.
//!
//! Imports: tui::keys, command, core. May not: send; draw.

use super::keys::Key;
use crate::command::Command;
use crate::core::Consequence;

/// A question that is open. It captures the command; moving the selection does not change it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one question")]
pub struct Ask {
    /// Its number: answers and timers of an earlier one mean nothing to it.
    pub id: u64,
    /// What would be sent.
    pub command: Command,
    /// What that would do.
    pub consequence: Consequence,
    /// The text that must be typed, and what was typed so far, if a `y` is not enough.
    pub typed: Option<Typed>,
    /// Why, for the journal.
    pub reason: Reason,
    /// It has been on the screen for long enough to be read: answers count.
    pub armed: bool,
    /// What it would do has changed since it was opened.
    pub changed: bool,
    /// A cancel of what is being cancelled: it stops the commands that run.
    pub again: bool,
    /// A promotion of a canary step; of a batch otherwise.
    pub step: bool,
}

/// A word to be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// What is wanted.
    pub wanted: String,
    /// What was typed.
    pub so_far: String,
}

/// Longer than anyone types, short enough for a line of `events`.
const REASON_MAX: usize = 120;

/// The line in which somebody says why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reason {
    /// What was typed.
    pub text: String,
    /// It is being typed: keys are text.
    pub typing: bool,
}

impl Reason {
    /// What was typed already, with the command.
    pub(super) fn given(text: &str) -> Self {
        Self { text: text.chars().take(REASON_MAX).collect(), typing: false }
    }

    /// A key while it is typed.
    fn on_key(&mut self, key: Key) {
        match key {
            Key::Enter | Key::Tab => self.typing = false,
            Key::Esc => *self = Self::default(),
            Key::Backspace => drop(self.text.pop()),
            Key::Ctrl('u') => self.text.clear(),
            Key::Char(c) if self.text.chars().count() < REASON_MAX => self.text.push(c),
            _ => {}
        }
    }
}

impl Ask {
    /// A command that tells the journal why.
    pub fn takes_reason(&self) -> bool {
        matches!(self.command, Command::Cancel { .. } | Command::Rollback { .. } | Command::Skip { .. } | Command::Hold { .. })
    }

    /// Takes a key that is about the reason; false if it is not.
    pub(super) fn on_reason_key(&mut self, key: Key) -> bool {
        if self.reason.typing {
            self.reason.on_key(key);
            return true;
        }
        let begins = key == Key::Tab && self.armed && self.takes_reason();
        self.reason.typing = begins;
        begins
    }

    /// The command as it is sent: with the reason.
    pub(super) fn order(&self) -> Command {
        self.command.clone().with_reason(|_none| self.reason.text.trim().to_owned())
    }

    /// A box with everything in it for what is heavy, a bar for the rest.
    pub fn is_heavy(&self) -> bool {
        matches!(self.command, Command::Cancel { .. } | Command::Rollback { only: None, .. } | Command::Promote { full: true })
    }

    /// It lets the deployment take instances.
    pub fn is_forward(&self) -> bool {
        matches!(self.command, Command::Start | Command::Resume | Command::Promote { .. })
    }

    /// The heading.
    pub fn title(&self) -> String {
        match &self.command {
            Command::Cancel { .. } if self.again => "STOP THE COMMANDS".to_owned(),
            Command::Rollback { only: None, .. } => "FORCE ROLLBACK".to_owned(),
            Command::Rollback { only: Some(instance), .. } => format!("ROLL BACK {instance}"),
            Command::Promote { full: true } if self.step => "PROMOTE ALL STEPS".to_owned(),
            Command::Promote { full: false } if self.step => "PROMOTE THE STEP".to_owned(),
            Command::Promote { full: true } => "APPROVE ALL BATCHES".to_owned(),
            Command::Promote { full: false } => "APPROVE THE NEXT BATCH".to_owned(),
            Command::Retry { instance }
            | Command::Release { instance }
            | Command::Skip { instance, .. }
            | Command::Hold { instance, .. } => {
                format!("{} {instance}", self.command.verb().to_uppercase())
            }
            Command::Start | Command::Resume | Command::Cancel { .. } | Command::Pause { .. } => {
                self.command.verb().to_uppercase()
            }
        }
    }

    /// The words on the button that does it.
    pub fn yes(&self) -> &'static str {
        match self.command {
            Command::Cancel { .. } if self.again => "stop the commands",
            Command::Cancel { .. } => "cancel the deployment",
            Command::Rollback { .. } => "roll back",
            Command::Promote { full: false } if self.step => "promote",
            Command::Promote { full: true } if self.step => "promote all that follow",
            Command::Promote { full: false } => "approve",
            Command::Promote { full: true } => "approve all that follow",
            Command::Start
            | Command::Resume
            | Command::Pause { .. }
            | Command::Retry { .. }
            | Command::Skip { .. }
            | Command::Hold { .. }
            | Command::Release { .. } => self.command.verb(),
        }
    }

    /// The words on the button that does not.
    pub fn no(&self) -> &'static str {
        match self.command {
            Command::Start => "not yet",
            Command::Resume => "stay paused",
            Command::Cancel { .. } if self.again => "let them finish",
            Command::Cancel { .. } | Command::Rollback { only: None, .. } | Command::Pause { .. } => "keep running",
            Command::Promote { .. } => "keep waiting",
            Command::Rollback { only: Some(_), .. }
            | Command::Retry { .. }
            | Command::Skip { .. }
            | Command::Hold { .. }
            | Command::Release { .. } => "leave it",
        }
    }

    /// True if `now` differs from what was shown in a way that matters. The fleet moves on all the time, and in an emergency
    /// the answer must count: stopping is always what it was, and going back is another thing only if fewer would serve.
    pub fn differs(&self, now: &Consequence) -> bool {
        match self.command {
            Command::Cancel { .. } | Command::Pause { .. } => false,
            Command::Rollback { .. } => now.lowest_serving < self.consequence.lowest_serving,
            Command::Start
            | Command::Resume
            | Command::Promote { .. }
            | Command::Retry { .. }
            | Command::Skip { .. }
            | Command::Hold { .. }
            | Command::Release { .. } => self.consequence.changes != now.changes || self.consequence.then != now.then,
        }
    }
}

/// What lies over the screen.
#[derive(Debug, Clone)]
pub enum Overlay {
    /// The keys.
    Help,
    /// A question before a command.
    Ask(Box<Ask>),
    /// Whether to leave.
    Leave,
    /// The line in which the filter is typed.
    Filter,
    /// The line in which a command is typed.
    Command,
    /// The place in which a search in the log is typed.
    Search,
    /// The list of themes.
    Themes,
}
