//! The keys as they are bound: the defaults of `keys`, and what `[console.keys]` makes of them.
//!
//! Imports: tui parts. May not: act; let an act on the deployment lie where a hand or a line may put it by itself.

use std::collections::BTreeMap;

use super::keys::{Action, Binding, KEYMAP, Key};
use super::text::width;

/// Keys that mean the same whatever is bound: whoever sits down at a console that is not theirs must get out of it.
const ALWAYS: [(Key, Action); 4] =
    [(Key::Esc, Action::Back), (Key::Enter, Action::Enter), (Key::Ctrl('c'), Action::Quit), (Key::Ctrl('z'), Action::Suspend)];

/// Control keys that never get here or mean something on the way, and what.
const TAKEN: [(char, &str); 15] = [
    ('a', "begins a command of screen and of many tmux"),
    ('b', "begins a command of tmux"),
    ('d', "is the end of input in every shell"),
    ('g', "belongs to zellij and byobu"),
    ('h', "is the same byte as Backspace"),
    ('i', "is the same byte as Tab"),
    ('j', "is the same byte as Enter"),
    ('m', "is the same byte as Enter"),
    ('n', "opens a window in a browser"),
    ('o', "belongs to zellij and byobu"),
    ('q', "is flow control: the terminal may take it"),
    ('s', "is flow control: the terminal may stand still"),
    ('t', "opens a tab in a browser"),
    ('w', "closes the tab in a browser"),
    ('v', "lets a terminal paste"),
];

/// An action with its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// As it is by default.
    pub binding: &'static Binding,
    /// Its keys, the one that is shown first.
    pub keys: Vec<Key>,
    /// By the configuration.
    pub rebound: bool,
}

impl Bound {
    /// All its keys, for help.
    pub fn shown(&self) -> String {
        if self.rebound {
            self.keys.iter().map(Key::to_string).collect::<Vec<_>>().join(" ")
        } else {
            self.binding.shown.to_owned()
        }
    }

    /// The key that is named in the key line; none if it has none.
    pub fn first(&self) -> Option<String> {
        let first = self.keys.first()?;
        Some(if self.rebound { first.to_string() } else { self.binding.shown.split(' ').next().unwrap_or_default().to_owned() })
    }
}

/// The keys of the console. Every key is of one action; only what is planned and what has begun may share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap {
    bound: Vec<Bound>,
}

impl Default for Keymap {
    fn default() -> Self {
        let bound = |binding: &'static Binding| Bound { binding, keys: binding.keys.to_vec(), rebound: false };
        Self { bound: KEYMAP.iter().map(bound).collect() }
    }
}

/// What somebody wants: the keys of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebinding {
    /// The action's name.
    pub name: String,
    /// Its keys, as written; none unbinds it.
    pub keys: Vec<String>,
}

/// Why a wish cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFault {
    /// Which wish, and which of its keys; none is the wish as a whole.
    pub at: (usize, Option<usize>),
    /// The wish and its key that it clashes with.
    pub other: Option<(usize, usize)>,
    /// What is wrong and what to do, to follow the action's name.
    pub text: String,
}

/// Where a key came from, while wishes are read.
type Origin = Option<(usize, usize)>;

impl Keymap {
    /// The defaults with these wishes; all that is wrong with them at once.
    ///
    /// # Errors
    /// Fails if a key is none, is not for this action, or would be of two actions.
    pub fn bind(wishes: &[Rebinding]) -> Result<Self, Vec<KeyFault>> {
        let mut map = Self::default();
        let mut faults = Vec::new();
        let mut origins: BTreeMap<(usize, usize), Origin> = BTreeMap::new();
        for (number, wish) in wishes.iter().enumerate() {
            let Some(row) = map.bound.iter().position(|bound| bound.binding.action.name() == wish.name) else {
                faults.push(KeyFault { at: (number, None), other: None, text: "is no action".to_owned() });
                continue;
            };
            let Some(bound) = map.bound.get_mut(row) else { continue };
            let action = bound.binding.action;
            if wish.keys.is_empty() && matches!(action, Action::Help | Action::Quit | Action::Back) {
                let text = format!("cannot be without a key; write one, or remove the line for {}", bound.binding.shown);
                faults.push(KeyFault { at: (number, None), other: None, text });
                continue;
            }
            bound.rebound = true;
            bound.keys.clear();
            for (place, text) in wish.keys.iter().enumerate() {
                match fitting(text, action) {
                    Ok(key) if bound.keys.contains(&key) => {
                        let text = format!("{} is given twice; keep one of the two", quoted(key));
                        faults.push(KeyFault { at: (number, Some(place)), other: None, text });
                    }
                    Ok(key) => {
                        origins.insert((row, bound.keys.len()), Some((number, place)));
                        bound.keys.push(key);
                    }
                    Err(text) => faults.push(KeyFault { at: (number, Some(place)), other: None, text }),
                }
            }
            let always = ALWAYS.iter().filter(|(_, of)| *of == action).map(|(key, _)| *key);
            let lacking: Vec<Key> = always.filter(|key| !bound.keys.contains(key)).collect();
            bound.keys.extend(lacking);
        }
        faults.extend(map.clashes(&origins));
        faults.sort_by_key(|fault| fault.at);
        if faults.is_empty() { Ok(map) } else { Err(faults) }
    }

    /// Every key that is of two actions, told at the later of its places.
    fn clashes(&self, origins: &BTreeMap<(usize, usize), Origin>) -> Vec<KeyFault> {
        let mut seen: Vec<(Key, Action, Origin)> = Vec::new();
        let mut faults = Vec::new();
        for (row, bound) in self.bound.iter().enumerate() {
            let action = bound.binding.action;
            for (place, key) in bound.keys.iter().enumerate() {
                let origin = origins.get(&(row, place)).copied().flatten();
                let clash = seen.iter().find(|(other, of, _)| other == key && !never_together(*of, action));
                if let Some((_, of, other)) = clash {
                    let (here, there, name) = match (origin, *other) {
                        (Some(mine), Some(theirs)) if mine < theirs => (Some(theirs), Some(mine), action.name()),
                        (Some(mine), theirs) => (Some(mine), theirs, of.name()),
                        (None, theirs) => (theirs, None, action.name()),
                    };
                    if let Some((wish, place)) = here {
                        let text =
                            format!("{} is the key of {name}; choose another, or bind that to another or to []", quoted(*key));
                        faults.push(KeyFault { at: (wish, Some(place)), other: there, text });
                    }
                }
                seen.push((*key, action, origin));
            }
        }
        faults
    }

    /// Every action with its keys, in the order of the defaults.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// What `key` asks for. The same key may start what is planned, and skip an instance of what has begun.
    pub fn action(&self, key: Key, planned: bool) -> Option<Action> {
        let other = if planned { Action::Skip } else { Action::Start };
        let is_it = |bound: &&Bound| bound.binding.action != other && bound.keys.contains(&key);
        self.bound.iter().find(is_it).map(|bound| bound.binding.action)
    }

    /// What `key` asks for while something is typed: only what is no text and touches nothing.
    pub fn while_typing(&self, key: Key) -> Option<Action> {
        let action = self.action(key, false)?;
        let plain = matches!(key, Key::Ctrl(_) | Key::F(_));
        (plain && matches!(action, Action::Suspend | Action::Repaint)).then_some(action)
    }

    /// The keys of an action.
    pub fn of(&self, action: Action) -> Option<&Bound> {
        self.bound.iter().find(|bound| bound.binding.action == action)
    }

    /// How to ask for it, in a sentence: its key, or its name on the command line where it has none.
    pub fn hint(&self, action: Action) -> String {
        self.of(action).and_then(Bound::first).unwrap_or_else(|| format!(":{}", action.name()))
    }
}

/// The names of all actions.
pub fn action_names() -> Vec<String> {
    KEYMAP.iter().map(|binding| binding.action.name()).collect()
}

/// Only one of them is possible at any time.
fn never_together(a: Action, b: Action) -> bool {
    a == b || matches!((a, b), (Action::Start, Action::Skip) | (Action::Skip, Action::Start))
}

/// The key that is written, if this action may have it.
fn fitting(text: &str, action: Action) -> Result<Key, String> {
    let key = parse(text)?;
    if let Some((_, of)) = ALWAYS.iter().find(|(always, of)| *always == key && *of != action) {
        return Err(format!("{} is always {}; choose another", quoted(key), of.name()));
    }
    if let Key::Ctrl(c) = key
        && let Some((_, why)) = TAKEN.iter().find(|(taken, _)| *taken == c)
    {
        return Err(format!("{} {why}; choose another", quoted(key)));
    }
    if action == Action::Quit && matches!(key, Key::Char('d' | 'x')) {
        return Err(format!("{} answers the question whether to leave; choose another", quoted(key)));
    }
    if !action.acts() {
        return Ok(key);
    }
    match key {
        Key::Char('y') => Err("\"y\" answers questions and cannot ask for an act; choose another".to_owned()),
        Key::Char(c) if c != ' ' => Ok(key),
        Key::F(_) => Ok(key),
        _ => Err(format!(
            "{} cannot be the key of an act: too easily hit, or cut up on a slow link; write a character or F1 to F12",
            quoted(key)
        )),
    }
}

/// The key with this name.
fn parse(text: &str) -> Result<Key, String> {
    let mut chars = text.chars();
    if let (Some(c), None) = (chars.next(), chars.next()) {
        // One column: else help would not line up.
        let fit = !c.is_control() && width(text) == 1;
        return if fit { Ok(Key::Char(c)) } else { Err(no_key(text)) };
    }
    let lower = text.to_ascii_lowercase();
    if let Some(rest) = lower.strip_prefix("ctrl-").or_else(|| lower.strip_prefix("c-")) {
        let mut letters = rest.chars();
        return match (letters.next(), letters.next()) {
            (Some(c @ 'a'..='z'), None) => Ok(Key::Ctrl(c)),
            _ => Err(format!("{} does not come as a key of its own; write Ctrl and a letter: \"Ctrl-L\"", shown(text))),
        };
    }
    if lower.starts_with("alt-") || lower.starts_with("meta-") || lower.starts_with("m-") {
        return Err(format!("{} cannot be told from Esc and a key on a slow link; choose one without Alt", shown(text)));
    }
    if let Some(n) = lower.strip_prefix('f').and_then(|n| n.parse::<u8>().ok()) {
        return if (1..=12).contains(&n) { Ok(Key::F(n)) } else { Err(no_key(text)) };
    }
    NAMED.iter().find(|(name, _)| *name == lower).map(|(_, key)| *key).ok_or_else(|| no_key(text))
}

/// Keys by their names, in small letters.
const NAMED: [(&str, Key); 18] = [
    ("enter", Key::Enter),
    ("esc", Key::Esc),
    ("space", Key::Char(' ')),
    ("tab", Key::Tab),
    ("shift-tab", Key::BackTab),
    ("backspace", Key::Backspace),
    ("delete", Key::Delete),
    ("up", Key::Up),
    ("down", Key::Down),
    ("left", Key::Left),
    ("right", Key::Right),
    ("home", Key::Home),
    ("end", Key::End),
    ("pgup", Key::PageUp),
    ("pageup", Key::PageUp),
    ("pgdn", Key::PageDown),
    ("pgdown", Key::PageDown),
    ("pagedown", Key::PageDown),
];

fn no_key(text: &str) -> String {
    let what = shown(text);
    format!("{what} is no key; write \"p\", \"Ctrl-L\", \"F5\", \"Space\", \"Tab\", \"Up\", \"PgDn\", \"Home\" or their like")
}

fn quoted(key: Key) -> String {
    format!("\"{key}\"")
}

/// What somebody wrote, short and harmless.
fn shown(text: &str) -> String {
    format!("\"{}\"", text.chars().take(20).collect::<String>().escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s_starts_what_is_planned_and_skips_in_what_has_begun() {
        let keys = Keymap::default();
        assert_eq!(keys.action(Key::Char('s'), true), Some(Action::Start));
        assert_eq!(keys.action(Key::Char('s'), false), Some(Action::Skip));
    }

    #[test]
    fn the_defaults_keep_the_rules_that_wishes_must_keep() {
        let wishes: Vec<Rebinding> = Keymap::default()
            .bound
            .iter()
            .map(|bound| Rebinding { name: bound.binding.action.name(), keys: bound.keys.iter().map(Key::to_string).collect() })
            .collect();
        let bound = Keymap::bind(&wishes).unwrap();
        for (bound, default) in bound.bound.iter().zip(&Keymap::default().bound) {
            assert_eq!(bound.keys, default.keys, "every key is written as it reads");
        }
        let names: std::collections::BTreeSet<String> = action_names().into_iter().collect();
        assert_eq!(names.len(), KEYMAP.len(), "every action has a name of its own");
    }
}
