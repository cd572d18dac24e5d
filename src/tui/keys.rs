//! The keymap: which key is which act, in which words. Help and the key line are made from it.
//!
//! Imports: nothing. May not: act.

/// A key, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those on the keyboard")]
pub enum Key {
    Char(char),
    Ctrl(char),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
}

/// What a key asks for. Every act names one end state; none toggles the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Begin the planned deployment.
    Start,
    /// Take no new instance.
    Pause,
    /// Take instances again.
    Resume,
    /// Bring it to rest and end.
    Cancel,
    /// Bring everything touched back.
    Rollback,
    /// Leave the console.
    Quit,
    /// Show the keys.
    Help,
    /// Out of whatever is open.
    Back,
    /// Start what is planned, or go on to what comes next.
    Enter,
    /// One up.
    Up,
    /// One down.
    Down,
    /// One column to the left.
    Left,
    /// One column to the right.
    Right,
    /// The first instance.
    First,
    /// The last instance.
    Last,
    /// Events, log, or both.
    Pane,
    /// Paint everything again.
    Repaint,
    /// Suspend the console only.
    Suspend,
}

/// One row of the keymap.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The keys.
    pub keys: &'static [Key],
    /// How they are shown.
    pub shown: &'static str,
    /// What they ask for.
    pub action: Action,
    /// In one or two words, for the key line; empty if it is not in there.
    pub label: &'static str,
    /// In a sentence, for help.
    pub words: &'static str,
}

macro_rules! keymap {
    ($($shown:literal [$($key:expr),+] $action:ident $label:literal $words:literal)*) => {
        /// Every key of the console.
        pub const KEYMAP: &[Binding] = &[$(Binding {
            keys: &[$($key),+], shown: $shown, action: Action::$action, label: $label, words: $words,
        }),*];
    };
}

keymap! {
    "s"   [Key::Char('s')] Start "start" "start what is planned (asks)"
    "p"   [Key::Char('p')] Pause "pause" "pause: take no new instance; those at work go on to a safe point"
    "r"   [Key::Char('r')] Resume "resume" "resume (asks)"
    "C"   [Key::Char('C')] Cancel "cancel" "cancel: bring what is at work to rest, then end (asks)"
    "R"   [Key::Char('R')] Rollback "rollback" "rollback: bring everything touched back (asks)"
    "Tab l" [Key::Tab, Key::BackTab, Key::Char('l')] Pane "log" "events, log, or both where there is room"
    "?"   [Key::Char('?')] Help "help" "this page"
    "q"   [Key::Char('q'), Key::Ctrl('c')] Quit "quit" "leave the console; the engine goes on (also Ctrl-C)"
    "Enter" [Key::Enter] Enter "" "start what is planned (asks); go on once it has ended"
    "Esc" [Key::Esc] Back "" "close what is open; never quits, never cancels a deployment"
    "↑ k" [Key::Up, Key::Char('k')] Up "" "instance before"
    "↓ j" [Key::Down, Key::Char('j')] Down "" "instance after"
    "← h" [Key::Left, Key::Char('h'), Key::PageUp] Left "" "a column or a page back"
    "→"   [Key::Right, Key::PageDown] Right "" "a column or a page on"
    "g"   [Key::Char('g'), Key::Home] First "" "first instance"
    "G"   [Key::Char('G'), Key::End] Last "" "last instance"
    "Ctrl-L" [Key::Ctrl('l')] Repaint "" "paint everything again"
    "Ctrl-Z" [Key::Ctrl('z')] Suspend "" "suspend the console only; the engine goes on"
}

/// What `key` asks for.
pub fn action(key: Key) -> Option<Action> {
    KEYMAP.iter().find(|binding| binding.keys.contains(&key)).map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_bound_twice_and_none_that_must_not_act() {
        let mut seen = std::collections::HashSet::new();
        for binding in KEYMAP {
            for key in binding.keys {
                assert!(seen.insert(*key), "{key:?} twice");
            }
            let heavy =
                matches!(binding.action, Action::Cancel | Action::Rollback | Action::Start | Action::Resume | Action::Pause);
            assert!(!heavy || binding.keys.iter().all(|k| matches!(k, Key::Char(_))), "{:?} on a control key", binding.action);
        }
        // tmux, screen, flow control, browsers: nothing of ours.
        for reserved in ['a', 'b', 'o', 'g', 's', 'q', 'd', 'w', 't', 'n'] {
            assert_eq!(action(Key::Ctrl(reserved)), None);
        }
    }
}
