//! Colours, attributes and glyphs: read from a theme's file, brought to the terminal's colour depth.
//!
//! Imports: model, os. May not: be by-passed; no other file of the console names a colour.

pub(super) mod check;
mod color;
mod depth;
mod fault;
mod file;
mod glyph;
mod library;
mod light;
mod part;
mod sheet;
mod surface;

use ratatui::style::{Modifier, Style};

pub use check::{Contrast, Finding, Report};
pub use color::Shade;
pub use depth::{ColorChoice, Depth};
pub use fault::ThemeError;
pub use library::{DEFAULT, Library, ThemeFile, is_name};
pub use part::{Badge, Part, Ui, Weight};
pub use sheet::Sheet;
pub use surface::{Background, Sight, Surface};

use crate::model::InstanceState;

/// A theme that comes with the program.
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn {
    /// Its name: what `[console] theme` takes.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(BuiltIn { name: $name, text: include_str!(concat!("../../themes/", $name, ".toml")) }),*]
    };
}

/// Every theme that comes with the program, the default first.
pub const THEMES: &[BuiltIn] =
    shipped!["default", "dark", "light", "high-contrast", "mono", "deuteranopia", "tritanopia", "solarized", "solarized-light",];

/// True if an environment's stripe may be written so: a colour of the default theme, one of the sixteen, a number, `#rrggbb`.
pub fn is_stripe(text: &str) -> bool {
    Shade::parse(text).is_some() || Library::shipped().sheet(DEFAULT).is_ok_and(|sheet| sheet.tone(text).is_some())
}

/// A theme at one colour depth.
#[derive(Debug, Clone, PartialEq)]
pub struct Theme {
    name: String,
    /// Of the terminal; the theme may have fewer colours.
    terminal: Depth,
    depth: Depth,
    ascii: bool,
    styles: Vec<Style>,
    glyphs: Vec<char>,
    sheet: Sheet,
}

impl Theme {
    /// The theme of this name that comes with the program.
    ///
    /// # Errors
    /// Fails if there is none of that name.
    pub fn named(name: &str, depth: Depth, ascii: bool) -> Result<Self, ThemeError> {
        Library::shipped().theme(name, depth, ascii)
    }

    /// What a theme is at this depth.
    pub(super) fn of(name: &str, sheet: &Sheet, terminal: Depth, ascii: bool) -> Self {
        let depth = terminal.min(sheet.depth);
        let mut styles: Vec<Style> = Part::all().map(|part| sheet.style(part, depth)).collect();
        // Whatever a file says, what is selected is seen.
        if let Some(selected) = styles.get_mut(Part::Ui(Ui::Selected).index())
            && selected.add_modifier.is_empty()
            && selected.bg.is_none()
        {
            selected.add_modifier = Modifier::REVERSED;
        }
        let glyphs = InstanceState::ALL.map(|state| sheet.glyph(state, ascii).unwrap_or('?')).to_vec();
        Self { name: name.to_owned(), terminal, depth, ascii, styles, glyphs, sheet: sheet.clone() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The depth that its colours are of.
    pub fn depth(&self) -> Depth {
        self.depth
    }

    /// The depth of the terminal.
    pub(super) fn terminal(&self) -> Depth {
        self.terminal
    }

    /// True if only ASCII may be drawn.
    pub fn ascii(&self) -> bool {
        self.ascii
    }

    /// The style of anything that has one.
    pub fn style(&self, part: Part) -> Style {
        self.styles.get(part.index()).copied().unwrap_or_default()
    }

    /// The style of an instance in this state.
    pub fn state(&self, state: InstanceState) -> Style {
        self.style(Part::State(state))
    }

    /// The glyph of an instance in this state.
    pub fn glyph(&self, state: InstanceState) -> char {
        self.glyphs.get(state as usize).copied().unwrap_or('?')
    }

    /// The style of a part of the screen.
    pub fn ui(&self, part: Ui) -> Style {
        self.style(Part::Ui(part))
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
        self.style(Part::Badge(badge))
    }

    /// The style of a log line.
    pub fn log(&self, level: log::Level) -> Style {
        self.style(Part::Log(level))
    }

    /// The stripe that marks an environment: its colour behind its name, in black or white, whichever can be read on it, so
    /// that it is the same on every background. Without colours it is reversed.
    pub fn stripe(&self, color: &str) -> Style {
        let stripe = Style::new().add_modifier(Modifier::BOLD);
        // One of the sixteen is itself: what the theme calls red is a red to be read, not to be seen behind a name.
        let tone = Shade::parse(color).or_else(|| self.sheet.tone(color));
        match tone.and_then(|tone| tone.at(self.depth)) {
            Some(color) => stripe.bg(color).fg(light::ink(color, self.depth)),
            None => stripe.add_modifier(Modifier::REVERSED),
        }
    }
}
