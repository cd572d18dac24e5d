//! Looks whether the user's own themes have changed: on a thread of its own, for a folder may lie far away.
//!
//! Imports: tui's themes. May not: understand what it finds; keep the console waiting.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::theme::ThemeFile;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(2);

/// The user's own themes, as whoever may read files finds them. It is called on a thread that may wait.
#[derive(Clone)]
pub struct OwnThemes(Arc<Look>);

/// `None` if nothing has changed since the last time and `true` was not given.
type Look = dyn Fn(bool) -> Option<Vec<ThemeFile>> + Send + Sync;

impl OwnThemes {
    /// Found so: `None` if nothing has changed since the last time, unless they are wanted anew.
    pub fn new(look: impl Fn(bool) -> Option<Vec<ThemeFile>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }
}

impl Default for OwnThemes {
    /// None.
    fn default() -> Self {
        Self::new(|_anew| None)
    }
}

impl fmt::Debug for OwnThemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnThemes")
    }
}

/// The looks of one console.
pub(super) struct Looks {
    own: OwnThemes,
    /// One at most.
    underway: JoinSet<Option<Vec<ThemeFile>>>,
    next: Instant,
}

impl Looks {
    /// Those for these, and what there is now, if that can be told in time.
    pub(super) async fn begin(own: OwnThemes, patience: Duration) -> (Self, Vec<ThemeFile>) {
        let mut looks = Self { own, underway: JoinSet::new(), next: Instant::now() };
        looks.look(true);
        let found = timeout(patience, looks.found()).await.ok().flatten();
        (looks, found.unwrap_or_default())
    }

    /// When the next one is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.underway.is_empty().then_some(self.next)
    }

    /// Looks, unless a look is under way.
    pub(super) fn look(&mut self, anew: bool) {
        if self.underway.is_empty() {
            let own = self.own.clone();
            self.underway.spawn_blocking(move || (own.0)(anew));
        }
        self.next = Instant::now() + EVERY;
    }

    /// What a look has found, if something has changed. Waits for ever if none is under way; cancelling loses nothing.
    pub(super) async fn found(&mut self) -> Option<Vec<ThemeFile>> {
        match self.underway.join_next().await {
            Some(found) => found.ok().flatten(),
            None => std::future::pending().await,
        }
    }
}
