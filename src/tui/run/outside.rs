//! What leaves the console's loop for elsewhere: a text to the clipboard, the screen to a file, a last word to the engine.
//!
//! Imports: tui parts, command, session. May not: draw; wait for long.

use std::time::Duration;

use tokio::time::timeout;

use super::{Console, TELL};
use crate::command::{Command, Receipt};
use crate::tui::app::Tone;
use crate::tui::keys::Action;
use crate::tui::screen::Screen;
use crate::tui::wire::{Export, export};

/// How many facts are written to a file.
const EXPORTED: u64 = 100_000;
/// How long the engine is waited for when the terminal is gone. The console must be gone a second after it.
const HANG_UP: Duration = Duration::from_millis(600);

impl Console {
    pub(super) fn copy(&mut self, what: &str, text: &str) {
        let (text, tone) = if self.screen.beside.copy(text) {
            (format!("{what}: sent to the terminal's clipboard"), Tone::Plain)
        } else {
            let key = self.app.fixed.keys.hint(Action::Export);
            (
                format!("{what}: too long for this terminal's clipboard, or it has none; {key} writes the screen to a file"),
                Tone::Refused,
            )
        };
        self.app.say(text, tone);
    }

    /// Writes the screen and the deployment to files, on a thread of its own.
    pub(super) async fn export(&mut self) {
        // Whoever cannot tell them at once does not keep the screen from being written.
        let events = match &self.app.runs.replay {
            // What it shows is what it has.
            Some(replay) => Some(replay.told().to_vec()),
            None => timeout(TELL, self.session.past(self.app.state.seq, EXPORTED)).await.ok().and_then(Result::ok),
        };
        let events = events.filter(|events| !events.is_empty());
        let what = Export::of(self.app.shown(), &Screen::picture(&self.app), events.as_deref());
        let seq = self.app.state.seq;
        self.replies.spawn_blocking(move || ("export", export(&what).map(|message| Receipt { seq, message })));
    }

    /// The terminal is gone: asks the engine for what is wanted then. It goes on by itself where it cannot be reached.
    pub(super) fn hang_up(&mut self) -> impl Future<Output = ()> + use<> {
        let state = &self.app.state;
        let command = self.on_hangup.take().filter(|command| match command {
            // A second cancel would stop the commands that run: nobody asked for that.
            Command::Cancel { .. } => state.cancel.is_none(),
            // What has not begun, or is paused by somebody, needs no other pause.
            _ => state.started_at.is_some() && state.pause.is_none(),
        });
        let sent = command.map(|command| {
            let revision = matches!(command, Command::Cancel { .. }).then_some(state.seq);
            self.session.send(command, revision)
        });
        async move {
            if let Some(sent) = sent {
                let answer = timeout(HANG_UP, sent).await;
                tracing::debug!(?answer, "the terminal is gone: the engine was asked for what is wanted then");
            }
        }
    }
}
