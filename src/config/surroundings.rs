//! `[service]`, `[journal]`, `[env.NAME]`, `[console]`, and the tables of the contract that are not in this version.
//!
//! Imports: config's reader. May not: touch the terminal or a file.

use indexmap::IndexMap;

use super::document::Value;
use super::fault::Place;
use super::section::{Placed, Section};
use super::value::shown;
use crate::tui::{KeyFault, Keymap, Notify, Rebinding, Signal, action_names};

/// `[service]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `name`.
    pub name: String,
    /// `env`, `default` by default.
    pub env: String,
}

/// `[env.NAME]`: how an environment is told from the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvSettings {
    /// `stripe`: a colour by its name in the theme or among the sixteen, a number (0 to 255) or `#rrggbb`.
    pub stripe: Option<String>,
    /// `protected`: dangerous verbs ask for the service's name.
    pub protected: bool,
}

/// `[console]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// `theme`, `default` by default: a name, of one that comes with the program or of the user's own.
    pub theme: String,
    /// `color`.
    pub color: ColorDepth,
    /// `ascii`: no character beyond ASCII.
    pub ascii: bool,
    /// `read_only`: no verb that changes anything.
    pub read_only: bool,
    /// `on_hangup`: what a lost terminal does to the deployment.
    pub on_hangup: OnHangup,
    /// `clipboard`: texts may be sent to that of the terminal.
    pub clipboard: bool,
    /// `[console.notify]`.
    pub notify: Notify,
    /// `[console.keys]`.
    pub keys: Keymap,
}

/// How many colours the console uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorDepth {
    /// As many as the terminal says it has.
    Auto,
    /// None.
    Mono,
    /// The 16 of the terminal.
    Ansi16,
    /// 256.
    Ansi256,
    /// Any.
    Truecolor,
}

/// What a lost terminal does to the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnHangup {
    /// Nothing: it goes on.
    Continue,
    /// It pauses, and waits for a person.
    Pause,
    /// It is cancelled.
    Cancel,
}

/// Reads `[service]`. What is faulty is replaced, so that the rest can be read.
pub(super) fn read_service(root: &mut Section<'_>) -> Service {
    let mut section = root.table("service");
    let name = section.plain("name");
    section.require("name", "is missing; add name = \"shop\"");
    let env = section.plain("env");
    let service = Service {
        name: name.map_or_else(|| "service".to_owned(), |name| checked_name(&section, "name", name)),
        env: env.map_or_else(|| "default".to_owned(), |env| checked_name(&section, "env", env)),
    };
    section.finish();
    service
}

/// Names become parts of ids and of file names.
fn checked_name(section: &Section<'_>, key: &str, name: Placed<String>) -> String {
    if !is_name(&name.value) {
        const RULE: &str = "write up to 63 letters, digits and . _ - beginning with a letter or digit";
        section.fault(name.place, key, format!("{} is no name; {RULE}", shown(&name.value)));
    }
    name.value
}

pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// `[journal]` as written.
#[derive(Debug)]
pub(super) struct JournalSettings {
    pub(super) dir: Option<String>,
    pub(super) keep: u32,
}

/// Reads `[journal]`.
pub(super) fn read_journal(root: &mut Section<'_>) -> JournalSettings {
    let mut section = root.table("journal");
    let dir = section.text("dir");
    if let Some(dir) = dir.as_ref().filter(|dir| dir.value.full.is_empty()) {
        section.fault(dir.place, "dir", "is empty; write a directory, or remove the key");
    }
    // The fewest are as many as estimates and a rollback after the end look at.
    let keep = section.number("keep", 500, (10, 100_000)).value;
    section.later("url", "use journal.dir");
    section.finish();
    JournalSettings { dir: dir.map(|dir| dir.value.full), keep }
}

/// Reads `[env.NAME]`.
pub(super) fn read_envs(root: &mut Section<'_>, current: &Service) -> IndexMap<String, EnvSettings> {
    let mut section = root.table("env");
    let mut envs = IndexMap::new();
    for (name, entry) in section.rest() {
        if !is_name(&name) {
            section.fault(entry.key, &super::fault::shown_key(&name), "is no name; write letters, digits and . _ -");
            continue;
        }
        let place = entry.key;
        if !matches!(entry.node.value, Value::Table(_)) {
            let kind = entry.node.value.kind();
            section.fault(place, &name, format!("is {kind}; write a table [env.NAME], or env = \"{name}\" in [service]"));
            continue;
        }
        let Some(mut item) = section.item(&name, entry.node) else { continue };
        let stripe = stripe(&mut item);
        let protected = item.flag("protected", false).value;
        item.finish();
        envs.insert(name, EnvSettings { stripe, protected });
    }
    if !envs.is_empty() && !envs.contains_key(&current.env) {
        let names: Vec<&str> = envs.keys().map(String::as_str).collect();
        section.warn(format!("has {} but not {:?}, which service.env names", names.join(", "), current.env));
    }
    envs
}

fn stripe(section: &mut Section<'_>) -> Option<String> {
    let stripe = section.plain("stripe")?;
    if !crate::tui::is_stripe(&stripe.value) {
        let remedy = format!("{} is no colour; write \"red\", a number from 0 to 255 or \"#rrggbb\"", shown(&stripe.value));
        section.fault(stripe.place, "stripe", remedy);
    }
    Some(stripe.value)
}

/// Reads `[console]`.
pub(super) fn read_console(root: &mut Section<'_>) -> Console {
    let mut section = root.table("console");
    let theme = section.plain("theme");
    if let Some(theme) = theme.as_ref().filter(|theme| !crate::tui::is_name(&theme.value)) {
        // Whose themes there are is known where the console is: this file is shared by many.
        let remedy = format!("{} is no theme's name; `rollout theme list` has them all", shown(&theme.value));
        section.fault(theme.place, "theme", remedy);
    }
    let theme = theme.map_or_else(|| crate::tui::DEFAULT.to_owned(), |theme| theme.value);
    let depths = [
        ("auto", ColorDepth::Auto),
        ("mono", ColorDepth::Mono),
        ("16", ColorDepth::Ansi16),
        ("256", ColorDepth::Ansi256),
        ("truecolor", ColorDepth::Truecolor),
    ];
    let color = section.choice("color", &depths, &[]).map_or(ColorDepth::Auto, |choice| choice.value);
    let ascii = section.flag("ascii", false).value;
    let read_only = section.flag("read_only", false).value;
    let hangups = [("continue", OnHangup::Continue), ("pause", OnHangup::Pause), ("cancel", OnHangup::Cancel)];
    let on_hangup = section.choice("on_hangup", &hangups, &[]).map_or(OnHangup::Continue, |choice| choice.value);
    let clipboards = [("osc52", true), ("off", false)];
    let clipboard = section.choice("clipboard", &clipboards, &[]).is_none_or(|choice| choice.value);
    let notify = read_notify(&mut section);
    let keys = read_keys(&mut section);
    section.finish();
    Console { theme, color, ascii, read_only, on_hangup, clipboard, notify, keys }
}

/// Reads `[console.notify]`.
fn read_notify(console: &mut Section<'_>) -> Notify {
    let mut section = console.table("notify");
    let signals = [("none", Signal::None), ("bell", Signal::Bell), ("osc9", Signal::Osc9), ("osc777", Signal::Osc777)];
    let mut of = |key: &str| section.choice(key, &signals, &[]).map_or(Signal::Bell, |choice| choice.value);
    let notify = Notify { failed: of("failed"), waiting: of("waiting"), ended: of("ended"), link: of("link") };
    section.finish();
    notify
}

/// Reads `[console.keys]`: which keys there are and who may have them is known to the console alone.
fn read_keys(console: &mut Section<'_>) -> Keymap {
    let mut section = console.table("keys");
    let mut wishes: Vec<Rebinding> = Vec::new();
    // By wish: where its value stands, and each of its keys.
    let mut places: Vec<(Place, Vec<Place>)> = Vec::new();
    for name in action_names() {
        let Some(keys) = section.texts(&name).filter(|keys| keys.sound) else { continue };
        let (of_keys, texts) = keys.value.into_iter().map(|(place, text)| (place, text.raw)).unzip();
        wishes.push(Rebinding { name, keys: texts });
        places.push((keys.place, of_keys));
    }
    let place_of = |(wish, key): (usize, Option<usize>)| {
        let (whole, of_keys) = places.get(wish)?;
        Some(key.map_or(*whole, |key| of_keys.get(key).copied().unwrap_or(*whole)))
    };
    let keys = Keymap::bind(&wishes).unwrap_or_else(|faults| {
        for KeyFault { at, other, text } in faults {
            let (Some(place), Some(wish)) = (place_of(at), wishes.get(at.0)) else { continue };
            match other.and_then(|(wish, key)| place_of((wish, Some(key)))) {
                Some(other) => section.fault_with(place, other, &wish.name, text),
                None => section.fault(place, &wish.name, text),
            }
        }
        Keymap::default()
    });
    section.finish();
    keys
}

/// Refuses the tables of the contract that are not in this version.
pub(super) fn refuse_later(root: &mut Section<'_>) {
    root.later("notify", "remove the table and read rollout deploy --output json");
}
