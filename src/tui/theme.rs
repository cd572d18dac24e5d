//! Colours, attributes and glyphs: read from a theme file, brought to the terminal's colour depth.
//!
//! Imports: model. May not: be by-passed; no other file of the console names a colour.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use crate::model::InstanceState;

/// A theme that comes with the program.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// Its name: what `[console] theme` takes.
    pub name: &'static str,
    /// What it is for, in a few words.
    pub about: &'static str,
    /// Its file.
    pub text: &'static str,
}

/// Every theme that comes with the program, the default first.
pub const THEMES: &[BuiltIn] = &[
    BuiltIn {
        name: "default",
        about: "calm colours that can be read on dark and on light terminals",
        text: include_str!("../../themes/default.toml"),
    },
    BuiltIn { name: "light", about: "darker colours, for a white background", text: include_str!("../../themes/light.toml") },
    BuiltIn {
        name: "high-contrast",
        about: "bright colours, nothing dim, what is grave reversed",
        text: include_str!("../../themes/high-contrast.toml"),
    },
    BuiltIn { name: "mono", about: "no colour; shapes, bold and reverse only", text: include_str!("../../themes/mono.toml") },
];

/// How many colours the terminal gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// None at all; attributes only.
    Mono,
    /// The terminal's own sixteen, by their own codes.
    Ansi16,
    /// The palette of 256.
    Indexed,
    /// 24 bit.
    Rgb,
}

/// `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// By `NO_COLOR`, `COLORTERM` and `TERM`.
    #[default]
    Auto,
    /// No colours.
    Mono,
    /// 16.
    Ansi16,
    /// 256.
    Indexed,
    /// 24 bit.
    Truecolor,
}

impl ColorChoice {
    /// The depth on standard output.
    pub fn depth(self) -> Depth {
        match self {
            Self::Mono => Depth::Mono,
            Self::Ansi16 => Depth::Ansi16,
            Self::Indexed => Depth::Indexed,
            Self::Truecolor => Depth::Rgb,
            Self::Auto => automatic(|name| std::env::var(name).ok()),
        }
    }
}

/// The depth by the environment. `NO_COLOR` counts if it is not empty (no-color.org); that it is a terminal is known here.
fn automatic(env: impl Fn(&str) -> Option<String>) -> Depth {
    let (term, colorterm) = (env("TERM").unwrap_or_default(), env("COLORTERM").unwrap_or_default());
    let forced =
        env("FORCE_COLOR").or_else(|| env("CLICOLOR_FORCE")).filter(|force| !matches!(force.as_str(), "" | "0" | "false"));
    if forced.is_none() && env("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return Depth::Mono;
    }
    let many = colorterm == "truecolor" || colorterm == "24bit" || term.ends_with("direct") || term.ends_with("truecolor");
    match forced.as_deref() {
        Some("3") => Depth::Rgb,
        Some("2") => Depth::Indexed,
        _ if many => Depth::Rgb,
        _ if term.ends_with("256color") || term.ends_with("256") => Depth::Indexed,
        // A terminal of which nothing is known.
        None if term.is_empty() || term == "dumb" || term.starts_with("vt") => Depth::Mono,
        Some(_) | None => Depth::Ansi16,
    }
}

impl std::str::FromStr for ColorChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "mono" => Ok(Self::Mono),
            "16" => Ok(Self::Ansi16),
            "256" => Ok(Self::Indexed),
            "truecolor" => Ok(Self::Truecolor),
            _ => Err(format!("{text:?} is none of auto, mono, 16, 256, truecolor")),
        }
    }
}

/// A part of the screen that has a style of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the theme file")]
pub enum Ui {
    Header,
    Headline,
    Sentence,
    Quiet,
    Border,
    Bar,
    Key,
    KeyOff,
    Selected,
    Message,
    Error,
    Warning,
    Dialog,
}

/// What the badge in the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the theme file")]
pub enum Badge {
    Planned,
    Run,
    Paused,
    Rollback,
    Cancelling,
    Done,
    Failed,
    ReadOnly,
}

/// Why a theme could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("theme: {0}")]
pub struct ThemeError(String);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    palette: BTreeMap<String, PaletteEntry>,
    state: StateFile,
    ui: UiFile,
    badge: BadgeFile,
    log: LogFile,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PaletteEntry {
    c16: Paint,
    c256: Paint,
    rgb: Paint,
}

/// A colour as written: a name, a number or `#rrggbb`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Paint(String);

impl<'de> Deserialize<'de> for Paint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl serde::de::Visitor<'_> for Either {
            type Value = Paint;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a colour's name, a number from 0 to 255 or \"#rrggbb\"")
            }
            fn visit_str<E>(self, text: &str) -> Result<Paint, E> {
                Ok(Paint(text.to_owned()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Paint, E> {
                Ok(Paint(number.to_string()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StyleFile {
    fg: Option<Paint>,
    bg: Option<Paint>,
    attr: Vec<Attr>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Attr {
    Bold,
    Dim,
    Reverse,
    Underline,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GlyphFile {
    fg: Option<Paint>,
    bg: Option<Paint>,
    #[serde(default)]
    attr: Vec<Attr>,
    glyph: char,
    ascii: char,
}

macro_rules! table {
    ($name:ident: $of:ty { $($field:ident),* $(,)? }) => {
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $name { $($field: $of),* }
    };
}

table!(StateFile: GlyphFile { pending, draining, updating, health_checking, healthy, failed, rolling_back, rolled_back, skipped, held });
table!(UiFile: StyleFile {
    header, headline, sentence, quiet, border, bar, key, key_off, selected, message, error, warning, dialog,
});
table!(BadgeFile: StyleFile { planned, run, paused, rollback, cancelling, done, failed, read_only });
table!(LogFile: StyleFile { error, warn, info, debug, trace });

/// A theme at one colour depth.
#[derive(Debug, Clone)]
pub struct Theme {
    file: File,
    depth: Depth,
    ascii: bool,
}

/// Every name of the sixteen, for messages and for reading.
const ANSI: [(&str, Color); 17] = [
    ("default", Color::Reset),
    ("black", Color::Black),
    ("red", Color::Red),
    ("green", Color::Green),
    ("yellow", Color::Yellow),
    ("blue", Color::Blue),
    ("magenta", Color::Magenta),
    ("cyan", Color::Cyan),
    ("white", Color::Gray),
    ("bright-black", Color::DarkGray),
    ("bright-red", Color::LightRed),
    ("bright-green", Color::LightGreen),
    ("bright-yellow", Color::LightYellow),
    ("bright-blue", Color::LightBlue),
    ("bright-magenta", Color::LightMagenta),
    ("bright-cyan", Color::LightCyan),
    ("bright-white", Color::White),
];

impl Theme {
    /// The theme of this name.
    ///
    /// # Errors
    /// Fails if there is none of that name.
    pub fn named(name: &str, depth: Depth, ascii: bool) -> Result<Self, ThemeError> {
        let Some(theme) = THEMES.iter().find(|theme| theme.name == name) else {
            let names: Vec<&str> = THEMES.iter().map(|theme| theme.name).collect();
            return Err(ThemeError(format!("there is no theme {name:?}; there are: {}", names.join(", "))));
        };
        // Not even the stripe of an environment.
        let depth = if name == "mono" { Depth::Mono } else { depth };
        Self::parse(theme.text, depth, ascii)
    }

    /// The theme in `text`.
    ///
    /// # Errors
    /// Fails with the place and the reason if it cannot be read.
    pub fn parse(text: &str, depth: Depth, ascii: bool) -> Result<Self, ThemeError> {
        let file: File = toml::from_str(text).map_err(|e| ThemeError(e.to_string()))?;
        let theme = Self { file, depth, ascii };
        for (name, entry) in &theme.file.palette {
            for paint in [&entry.c16, &entry.c256, &entry.rgb] {
                plain(paint).ok_or_else(|| ThemeError(format!("palette.{name}: {:?} is no colour", paint.0)))?;
            }
        }
        for (place, paint) in theme.paints() {
            if !theme.file.palette.contains_key(&paint.0) && plain(paint).is_none() {
                return Err(ThemeError(format!("{place}: {:?} is no colour and not in [palette]", paint.0)));
            }
        }
        Ok(theme)
    }

    /// Every colour that a style names, with its place.
    fn paints(&self) -> Vec<(String, &Paint)> {
        let mut paints = Vec::new();
        for state in InstanceState::ALL {
            let glyph = self.glyph_file(state);
            paints.extend(glyph.fg.iter().chain(&glyph.bg).map(|p| (format!("state.{state}"), p)));
        }
        let UiFile { header, headline, sentence, quiet, border, bar, key, key_off, selected, message, error, warning, dialog } =
            &self.file.ui;
        let BadgeFile { planned, run, paused, rollback, cancelling, done, failed, read_only } = &self.file.badge;
        let log = &self.file.log;
        let styles = IndexMap::from([
            ("ui", vec![header, headline, sentence, quiet, border, bar, key, key_off, selected, message, error, warning, dialog]),
            ("badge", vec![planned, run, paused, rollback, cancelling, done, failed, read_only]),
            ("log", vec![&log.error, &log.warn, &log.info, &log.debug, &log.trace]),
        ]);
        for (table, of) in styles {
            paints.extend(of.into_iter().flat_map(|s| s.fg.iter().chain(&s.bg)).map(|p| (table.to_owned(), p)));
        }
        paints
    }

    /// How many colours it draws with.
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// True if only ASCII may be drawn.
    pub fn ascii(&self) -> bool {
        self.ascii
    }

    /// The style of an instance in this state.
    pub fn state(&self, state: InstanceState) -> Style {
        let file = self.glyph_file(state);
        self.style(file.fg.as_ref(), file.bg.as_ref(), &file.attr)
    }

    /// The glyph of an instance in this state.
    pub fn glyph(&self, state: InstanceState) -> char {
        let file = self.glyph_file(state);
        if self.ascii { file.ascii } else { file.glyph }
    }

    /// The style of a part of the screen.
    pub fn ui(&self, part: Ui) -> Style {
        let ui = &self.file.ui;
        self.of(match part {
            Ui::Header => &ui.header,
            Ui::Headline => &ui.headline,
            Ui::Sentence => &ui.sentence,
            Ui::Quiet => &ui.quiet,
            Ui::Border => &ui.border,
            Ui::Bar => &ui.bar,
            Ui::Key => &ui.key,
            Ui::KeyOff => &ui.key_off,
            Ui::Selected => &ui.selected,
            Ui::Message => &ui.message,
            Ui::Error => &ui.error,
            Ui::Warning => &ui.warning,
            Ui::Dialog => &ui.dialog,
        })
    }

    /// A cell in this style that is selected: reversed, or back again and underlined if it is reversed anyway.
    pub fn selected(&self, style: Style) -> Style {
        if style.add_modifier.contains(Modifier::REVERSED) {
            return style.remove_modifier(Modifier::REVERSED).add_modifier(Modifier::UNDERLINED);
        }
        style.patch(self.ui(Ui::Selected))
    }

    /// The style of a badge.
    pub fn badge(&self, badge: Badge) -> Style {
        let file = &self.file.badge;
        self.of(match badge {
            Badge::Planned => &file.planned,
            Badge::Run => &file.run,
            Badge::Paused => &file.paused,
            Badge::Rollback => &file.rollback,
            Badge::Cancelling => &file.cancelling,
            Badge::Done => &file.done,
            Badge::Failed => &file.failed,
            Badge::ReadOnly => &file.read_only,
        })
    }

    /// The style of a log line.
    pub fn log(&self, level: log::Level) -> Style {
        let file = &self.file.log;
        self.of(match level {
            log::Level::Error => &file.error,
            log::Level::Warn => &file.warn,
            log::Level::Info => &file.info,
            log::Level::Debug => &file.debug,
            log::Level::Trace => &file.trace,
        })
    }

    /// The stripe that marks an environment: its colour reversed, so that its name stands out on any background.
    pub fn stripe(&self, color: &str) -> Style {
        self.style(Some(&Paint(color.to_owned())), None, &[Attr::Bold, Attr::Reverse])
    }

    fn of(&self, file: &StyleFile) -> Style {
        self.style(file.fg.as_ref(), file.bg.as_ref(), &file.attr)
    }

    fn style(&self, fg: Option<&Paint>, bg: Option<&Paint>, attrs: &[Attr]) -> Style {
        let mut style = Style::new();
        if let Some(color) = fg.and_then(|p| self.color(p)) {
            style = style.fg(color);
        }
        if let Some(color) = bg.and_then(|p| self.color(p)) {
            style = style.bg(color);
        }
        attrs.iter().fold(style, |style, attr| {
            style.add_modifier(match attr {
                Attr::Bold => Modifier::BOLD,
                Attr::Dim => Modifier::DIM,
                Attr::Reverse => Modifier::REVERSED,
                Attr::Underline => Modifier::UNDERLINED,
            })
        })
    }

    /// The colour at this depth; `None` where there is none.
    fn color(&self, paint: &Paint) -> Option<Color> {
        let entry = self.file.palette.get(&paint.0);
        let chosen = match (self.depth, entry) {
            (Depth::Mono, _) => return None,
            (Depth::Ansi16, Some(entry)) => &entry.c16,
            (Depth::Indexed, Some(entry)) => &entry.c256,
            (Depth::Rgb, Some(entry)) => &entry.rgb,
            (_, None) => paint,
        };
        match (plain(chosen)?, self.depth) {
            // A colour that was not given for this depth is left out: the glyph and the word remain.
            (Color::Reset, _) | (Color::Rgb(..), Depth::Ansi16 | Depth::Indexed) | (Color::Indexed(16..), Depth::Ansi16) => None,
            (color, _) => Some(color),
        }
    }

    fn glyph_file(&self, state: InstanceState) -> &GlyphFile {
        let file = &self.file.state;
        match state {
            InstanceState::Pending => &file.pending,
            InstanceState::Draining => &file.draining,
            InstanceState::Updating => &file.updating,
            InstanceState::HealthChecking => &file.health_checking,
            InstanceState::Healthy => &file.healthy,
            InstanceState::Failed => &file.failed,
            InstanceState::RollingBack => &file.rolling_back,
            InstanceState::RolledBack => &file.rolled_back,
            InstanceState::Skipped => &file.skipped,
            InstanceState::Held => &file.held,
        }
    }
}

/// A colour that is not of the palette.
fn plain(paint: &Paint) -> Option<Color> {
    let text = paint.0.as_str();
    if let Some((_, color)) = ANSI.iter().find(|(name, _)| *name == text) {
        return Some(*color);
    }
    if let Some(hex) = text.strip_prefix('#').filter(|hex| hex.len() == 6 && hex.is_ascii()) {
        let part = |range: std::ops::Range<usize>| hex.get(range).and_then(|two| u8::from_str_radix(two, 16).ok());
        return Some(Color::Rgb(part(0..2)?, part(2..4)?, part(4..6)?));
    }
    // The first sixteen are written by their own codes, which every terminal knows.
    text.parse::<u8>().ok().map(|n| ANSI.get(usize::from(n) + 1).map_or(Color::Indexed(n), |(_, color)| *color))
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthChar;

    fn at(depth: Depth) -> Theme {
        Theme::named("default", depth, false).unwrap()
    }

    #[test]
    fn the_environment_decides_and_an_empty_no_color_is_none() {
        fn by(pairs: &[(&str, &str)]) -> Depth {
            automatic(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        }
        let xterm = ("TERM", "xterm-256color");
        for (env, depth) in [
            (&[xterm][..], Depth::Indexed),
            (&[xterm, ("COLORTERM", "truecolor")], Depth::Rgb),
            (&[("TERM", "xterm")], Depth::Ansi16),
            (&[("TERM", "linux")], Depth::Ansi16),
            (&[("TERM", "xterm-direct")], Depth::Rgb),
            (&[("TERM", "vt100")], Depth::Mono),
            (&[("TERM", "dumb")], Depth::Mono),
            (&[], Depth::Mono),
            (&[xterm, ("NO_COLOR", "")], Depth::Indexed),
            (&[xterm, ("NO_COLOR", "1")], Depth::Mono),
            (&[xterm, ("NO_COLOR", "0")], Depth::Mono),
            (&[xterm, ("COLORTERM", "truecolor"), ("NO_COLOR", "yes")], Depth::Mono),
            (&[xterm, ("NO_COLOR", "1"), ("FORCE_COLOR", "1")], Depth::Indexed),
            (&[xterm, ("NO_COLOR", "1"), ("FORCE_COLOR", "0")], Depth::Mono),
            (&[("TERM", "dumb"), ("FORCE_COLOR", "3")], Depth::Rgb),
        ] {
            assert_eq!(by(env), depth, "{env:?}");
        }
    }

    #[test]
    fn every_theme_is_whole_and_tells_states_apart_without_colours() {
        for built_in in THEMES {
            for depth in [Depth::Mono, Depth::Ansi16, Depth::Indexed, Depth::Rgb] {
                for ascii in [false, true] {
                    let theme = Theme::named(built_in.name, depth, ascii).unwrap();
                    let glyphs: std::collections::BTreeSet<char> = InstanceState::ALL.map(|state| theme.glyph(state)).into();
                    assert_eq!(glyphs.len(), InstanceState::ALL.len(), "{}", built_in.name);
                    assert!(glyphs.iter().all(|g| g.width_cjk() == Some(1) && (!ascii || g.is_ascii())), "{}", built_in.name);
                    // What is selected, what is grave and which key is off must be seen without a colour.
                    assert!(theme.ui(Ui::Selected).add_modifier.contains(Modifier::REVERSED));
                    assert!(!theme.state(InstanceState::Failed).add_modifier.is_empty());
                    for state in InstanceState::ALL {
                        let style = theme.state(state);
                        assert_ne!(theme.selected(style).add_modifier, style.add_modifier, "{} {state}", built_in.name);
                    }
                    assert_ne!(theme.ui(Ui::Key).add_modifier, theme.ui(Ui::KeyOff).add_modifier);
                    let colours = InstanceState::ALL.iter().filter(|state| theme.state(**state).fg.is_some()).count();
                    assert_eq!(colours == 0, depth == Depth::Mono || built_in.name == "mono", "{} {depth:?}", built_in.name);
                }
            }
        }
    }

    #[test]
    fn every_depth_has_only_its_own_colours() {
        for state in InstanceState::ALL {
            assert_eq!(at(Depth::Mono).state(state).fg, None, "{state}");
            assert!(!matches!(at(Depth::Ansi16).state(state).fg, Some(Color::Indexed(_) | Color::Rgb(..))), "{state}");
            assert!(!matches!(at(Depth::Indexed).state(state).fg, Some(Color::Rgb(..))), "{state}");
        }
        assert_eq!(at(Depth::Rgb).state(InstanceState::Healthy).fg, Some(Color::Rgb(0, 0x9e, 0x73)));
        assert_eq!(at(Depth::Indexed).state(InstanceState::Healthy).fg, Some(Color::Indexed(36)));
        assert_eq!(at(Depth::Ansi16).state(InstanceState::Healthy).fg, Some(Color::Green));
    }

    #[test]
    fn states_differ_by_shape_and_take_one_column() {
        for ascii in [false, true] {
            let theme = Theme::named("default", Depth::Mono, ascii).unwrap();
            let mut seen = std::collections::BTreeSet::new();
            for state in InstanceState::ALL {
                let glyph = theme.glyph(state);
                assert_eq!(glyph.width(), Some(1));
                assert_eq!(glyph.width_cjk(), Some(1), "{glyph} is wide on CJK terminals");
                assert!(!ascii || glyph.is_ascii());
                assert!(seen.insert(glyph), "{glyph} twice");
            }
        }
    }

    #[test]
    fn faults_of_a_theme_are_named() {
        let unknown = THEMES[0].text.replace("[badge]", "[badge]\nblinking = {}");
        let fault = Theme::parse(&unknown, Depth::Rgb, false).unwrap_err().to_string();
        assert!(fault.contains("blinking") && fault.contains("line"), "{fault}");
        let no_colour = THEMES[0].text.replace("bar = { fg = \"green\" }", "bar = { fg = \"grene\" }");
        let fault = Theme::parse(&no_colour, Depth::Rgb, false).unwrap_err().to_string();
        assert!(fault.contains("grene"), "{fault}");
        assert!(Theme::named("nord", Depth::Rgb, false).is_err());
    }
}
