//! A theme's file as it is written: every key known, every value in its place, all faults at once.
//!
//! Imports: tui::theme's parts, colours, glyphs, faults; model; os' text. May not: know another file.

use ratatui::style::{Color, Modifier};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::color::{self, Shade};
use super::depth::Depth;
use super::fault::{Faults, ThemeError};
use super::glyph;
use super::part::Part;
use super::surface::{Background, Sight};
use crate::model::InstanceState;
use crate::os::text::{nearest, sanitise_within};

/// What one file says.
#[derive(Debug, Clone, Default)]
pub(super) struct File {
    /// The theme that it changes, and where that is said.
    pub(super) extends: Option<(String, usize)>,
    pub(super) about: Option<String>,
    /// With sixteen colours, with 256, with 24 bit.
    pub(super) background: Option<[Background; 3]>,
    pub(super) safe_for: Option<Vec<Sight>>,
    pub(super) depth: Option<Depth>,
    pub(super) contrast: Option<f64>,
    pub(super) palette: Vec<(String, Shade)>,
    pub(super) styles: Vec<(Part, Patch)>,
    pub(super) glyphs: Vec<(InstanceState, GlyphPatch)>,
    /// Names that must be in a palette, with their keys and places.
    pub(super) names: Vec<(String, String, usize)>,
}

/// What a file says of one style.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Patch {
    pub(super) fg: Option<Paint>,
    pub(super) bg: Option<Paint>,
    pub(super) attr: Option<Modifier>,
}

/// What a file says of the glyph of one state.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct GlyphPatch {
    pub(super) glyph: Option<char>,
    pub(super) ascii: Option<char>,
}

/// A colour where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Paint {
    /// By its name: that of `[palette]`, else one of the sixteen.
    Named(String),
    /// As such.
    Shade(Shade),
}

/// The keys at the top of a file.
const TOP: [&str; 12] =
    ["extends", "about", "background", "safe_for", "depth", "contrast", "palette", "glyphs", "state", "ui", "badge", "log"];
/// The keys of a colour for each depth.
const DEPTHS: [&str; 3] = ["c16", "c256", "rgb"];
/// The attributes.
const ATTRIBUTES: [(&str, Modifier); 4] =
    [("bold", Modifier::BOLD), ("dim", Modifier::DIM), ("reverse", Modifier::REVERSED), ("underline", Modifier::UNDERLINED)];
const COLOUR: &str = "a name of [palette], \"default\", one of the sixteen like \"bright-red\", a number from 0 to 255, \
    \"#rrggbb\", or { c16 = …, c256 = …, rgb = … }";
/// The highest contrast that there is: black on white.
const CONTRAST_MAX: f64 = 21.0;

/// A value with its place.
type Value<'i> = Spanned<DeValue<'i>>;
/// The values of a table, with the names and places of their keys.
type Entries<'i> = Vec<(String, usize, Value<'i>)>;

/// Reads the file at `place`.
///
/// # Errors
/// Fails with every fault.
pub(super) fn read(place: &str, text: &str) -> Result<File, ThemeError> {
    let mut reader = Reader { faults: Faults::new(place, text), file: File::default() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let message = sanitise_within(error.message(), 100);
        reader.faults.add(error.span().map_or(0, |span| span.start), "", format!("is not valid TOML: {message}"));
    }
    // What follows from half a file would only mislead.
    if errors.is_empty() {
        reader.top(entries(table.into_inner()));
    }
    let Reader { faults, file } = reader;
    faults.finish(file)
}

struct Reader<'a> {
    faults: Faults<'a>,
    file: File,
}

impl Reader<'_> {
    fn top(&mut self, entries: Entries<'_>) {
        for (key, at, value) in entries {
            match key.as_str() {
                "extends" => self.file.extends = self.text("extends", &value).map(|name| (name, value.span().start)),
                "about" => self.file.about = self.text("about", &value).map(|text| sanitise_within(&text, 100)),
                "background" => self.background(value),
                "safe_for" => self.file.safe_for = self.words("safe_for", &value, &Sight::ALL),
                "depth" => self.file.depth = self.text("depth", &value).and_then(|t| self.word("depth", &t, &value, &Depth::ALL)),
                "contrast" => self.contrast(&value),
                "palette" => self.palette(at, value),
                "glyphs" => self.glyphs(at, value),
                "state" | "ui" | "badge" | "log" => self.styles(&key, at, value),
                _ => self.unknown("", &key, at, &TOP),
            }
        }
    }

    /// A key that nobody knows.
    fn unknown(&mut self, table: &str, key: &str, at: usize, known: &[&str]) {
        let advice = match nearest(key, known.iter().copied()) {
            Some(near) => format!("unknown key; the nearest known is {near}"),
            None => format!("unknown key; known here: {}", known.join(", ")),
        };
        self.faults.add(at, &joined(table, key), advice);
    }

    fn wrong(&mut self, key: &str, value: &Value<'_>, wanted: &str) {
        self.faults.add(value.span().start, key, format!("is {}; write {wanted}", kind(value.get_ref())));
    }

    fn text(&mut self, key: &str, value: &Value<'_>) -> Option<String> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong(key, value, "a text");
            return None;
        };
        Some(text.to_string())
    }

    /// One of several words.
    fn word<T: Copy>(&mut self, key: &str, text: &str, value: &Value<'_>, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let near = nearest(text, words.iter().map(|(word, _)| *word));
            let near = near.map_or_else(String::new, |near| format!("the nearest is \"{near}\"; "));
            let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let text = shown(text);
            self.faults.add(value.span().start, key, format!("{text} is unknown; {near}write one of {}", all.join(", ")));
        }
        found.map(|(_, meant)| *meant)
    }

    /// A list of words.
    fn words<T: Copy>(&mut self, key: &str, value: &Value<'_>, words: &[(&str, T)]) -> Option<Vec<T>> {
        let DeValue::Array(list) = value.get_ref() else {
            self.wrong(key, value, "a list like [\"…\"]");
            return None;
        };
        let mut found = Vec::new();
        for item in list {
            let text = self.text(key, item);
            found.extend(text.and_then(|text| self.word(key, &text, item, words)));
        }
        Some(found)
    }

    /// The entries of a table; none if it is something else.
    fn table<'i>(&mut self, key: &str, at: usize, value: Value<'i>) -> Entries<'i> {
        let what = kind(value.get_ref());
        if let DeValue::Table(table) = value.into_inner() {
            return entries(table);
        }
        self.faults.add(at, key, format!("is {what}; write a table"));
        Vec::new()
    }

    fn background(&mut self, value: Value<'_>) {
        const KEY: &str = "background";
        if !matches!(value.get_ref(), DeValue::Table(_)) {
            let all = self.text(KEY, &value).and_then(|text| self.word(KEY, &text, &value, &Background::ALL));
            self.file.background = all.map(|all| [all; 3]);
            return;
        }
        let at = value.span().start;
        let mut found = [None; 3];
        for (key, place, value) in self.table(KEY, at, value) {
            let path = joined(KEY, &key);
            let Some(slot) = DEPTHS.iter().position(|depth| *depth == key).and_then(|n| found.get_mut(n)) else {
                self.unknown(KEY, &key, place, &DEPTHS);
                continue;
            };
            *slot = self.text(&path, &value).and_then(|text| self.word(&path, &text, &value, &Background::ALL));
        }
        match found {
            [Some(c16), Some(c256), Some(rgb)] => self.file.background = Some([c16, c256, rgb]),
            _ => self.faults.add(at, KEY, "needs c16, c256 and rgb; or write one word for all"),
        }
    }

    fn contrast(&mut self, value: &Value<'_>) {
        let written = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            _ => None,
        };
        match written.filter(|ratio| (1.0..=CONTRAST_MAX).contains(ratio)) {
            Some(ratio) => self.file.contrast = Some(ratio),
            None => self.wrong("contrast", value, "a ratio from 1 to 21, like 4.5"),
        }
    }

    fn palette(&mut self, at: usize, value: Value<'_>) {
        for (name, place, value) in self.table("palette", at, value) {
            let path = joined("palette", &name);
            match self.paint(&path, value) {
                Some(Paint::Shade(tone)) => self.file.palette.push((name, tone)),
                Some(Paint::Named(other)) => {
                    let other = shown(&other);
                    self.faults.add(place, &path, format!("{other} is no colour; a colour of the palette names no other"));
                }
                None => {}
            }
        }
    }

    /// A colour; a name that is none of the sixteen is looked up later.
    fn paint(&mut self, key: &str, value: Value<'_>) -> Option<Paint> {
        let at = value.span().start;
        if matches!(value.get_ref(), DeValue::Table(_)) {
            return self.depths(key, at, value);
        }
        let text = self.colour(key, &value)?;
        let palette = key.starts_with("palette.");
        Some(match Shade::parse(&text) {
            Some(tone) if palette || !text.starts_with(|c: char| c.is_ascii_alphabetic()) => Paint::Shade(tone),
            Some(_) => Paint::Named(text),
            None => {
                self.file.names.push((key.to_owned(), text.clone(), at));
                Paint::Named(text)
            }
        })
    }

    /// A colour as written.
    fn colour(&mut self, key: &str, value: &Value<'_>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) if color::plain(number.as_str()).is_some() => Some(number.as_str().to_owned()),
            DeValue::Integer(number) => {
                let number = sanitise_within(number.as_str(), 20);
                self.faults.add(value.span().start, key, format!("{number} is no colour; numbers go from 0 to 255"));
                None
            }
            _ => {
                self.wrong(key, value, COLOUR);
                None
            }
        }
    }

    /// A colour for each depth.
    fn depths(&mut self, key: &str, at: usize, value: Value<'_>) -> Option<Paint> {
        let mut colors: [Option<Color>; 3] = [None; 3];
        let mut sound = true;
        for (depth, place, value) in self.table(key, at, value) {
            let path = joined(key, &depth);
            let Some(slot) = DEPTHS.iter().position(|known| *known == depth).and_then(|n| colors.get_mut(n)) else {
                self.unknown(key, &depth, place, &DEPTHS);
                sound = false;
                continue;
            };
            let text = self.colour(&path, &value);
            *slot = text.as_deref().and_then(color::plain);
            sound &= slot.is_some();
            if let (None, Some(text)) = (*slot, text) {
                let near = near_color(&text, std::iter::empty());
                self.faults.add(value.span().start, &path, format!("{} is no colour{near}", shown(&text)));
            }
        }
        if sound && colors == [None; 3] {
            self.faults.add(at, key, "names no colour; give one of c16, c256, rgb");
        }
        (colors != [None; 3]).then(|| Paint::Shade(Shade::of(colors)))
    }

    fn styles(&mut self, table: &str, at: usize, value: Value<'_>) {
        let parts: Vec<Part> = Part::all().filter(|part| part.table() == table).collect();
        for (name, place, value) in self.table(table, at, value) {
            let Some(part) = parts.iter().find(|part| part.name() == name) else {
                let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
                self.unknown(table, &name, place, &names);
                continue;
            };
            let path = joined(table, &name);
            let entries = self.table(&path, place, value);
            self.style(&path, *part, entries);
        }
    }

    fn style(&mut self, table: &str, part: Part, entries: Entries<'_>) {
        const STYLE: [&str; 3] = ["fg", "bg", "attr"];
        const STATE: [&str; 5] = ["fg", "bg", "attr", "glyph", "ascii"];
        let (mut patch, mut glyphs) = (Patch::default(), GlyphPatch::default());
        for (key, at, value) in entries {
            let place = joined(table, &key);
            match (key.as_str(), part) {
                ("fg", _) => patch.fg = self.paint(&place, value),
                ("bg", _) => patch.bg = self.paint(&place, value),
                ("attr", _) => {
                    let found = self.words(&place, &value, &ATTRIBUTES);
                    patch.attr = found.map(|list| list.into_iter().fold(Modifier::empty(), |all, one| all | one));
                }
                ("glyph", Part::State(_)) => glyphs.glyph = self.glyph(&place, &value, glyph::glyph),
                ("ascii", Part::State(_)) => glyphs.ascii = self.glyph(&place, &value, glyph::ascii),
                (_, Part::State(_)) => self.unknown(table, &key, at, &STATE),
                _ => self.unknown(table, &key, at, &STYLE),
            }
        }
        self.file.styles.push((part, patch));
        if let Part::State(state) = part {
            self.file.glyphs.push((state, glyphs));
        }
    }

    fn glyph(&mut self, key: &str, value: &Value<'_>, rule: fn(&str) -> Result<char, String>) -> Option<char> {
        let text = self.text(key, value)?;
        rule(&text).map_err(|why| self.faults.add(value.span().start, key, why)).ok()
    }

    /// `[glyphs]`: a whole set at a glance; each a character, or one for each character set.
    fn glyphs(&mut self, at: usize, value: Value<'_>) {
        const SETS: [&str; 2] = ["glyph", "ascii"];
        let states = InstanceState::ALL.map(InstanceState::word);
        for (name, place, value) in self.table("glyphs", at, value) {
            let path = joined("glyphs", &name);
            let Some(state) = InstanceState::ALL.into_iter().find(|state| state.word() == name) else {
                self.unknown("glyphs", &name, place, &states);
                continue;
            };
            let mut glyphs = GlyphPatch::default();
            if matches!(value.get_ref(), DeValue::Table(_)) {
                for (set, at, value) in self.table(&path, place, value) {
                    let key = joined(&path, &set);
                    match set.as_str() {
                        "glyph" => glyphs.glyph = self.glyph(&key, &value, glyph::glyph),
                        "ascii" => glyphs.ascii = self.glyph(&key, &value, glyph::ascii),
                        _ => self.unknown(&path, &set, at, &SETS),
                    }
                }
            } else {
                glyphs.glyph = self.glyph(&path, &value, glyph::glyph);
            }
            self.file.glyphs.push((state, glyphs));
        }
    }
}

/// The advice for a colour that is none: the nearest that is one.
pub(super) fn near_color<'a>(text: &str, palette: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = color::ANSI.iter().map(|(name, _)| *name).chain(palette).collect();
    nearest(text, names.into_iter()).map_or_else(String::new, |near| format!("; the nearest is \"{near}\""))
}

/// A text as it was written, quoted, short and harmless.
pub(super) fn shown(text: &str) -> String {
    format!("\"{}\"", sanitise_within(text, 40))
}

fn joined(table: &str, key: &str) -> String {
    let key = sanitise_within(key, 40);
    if table.is_empty() { key } else { format!("{table}.{key}") }
}

fn entries(table: DeTable<'_>) -> Entries<'_> {
    let mut entries: Entries<'_> =
        table.into_iter().map(|(key, value)| (key.get_ref().to_string(), key.span().start, value)).collect();
    entries.sort_by_key(|(_, at, _)| *at);
    entries
}

/// What it is, to follow "is".
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
