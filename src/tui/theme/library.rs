//! All themes there are: those that come with the program and the user's own, and how they extend each other.
//!
//! Imports: tui::theme's sheet. May not: read a file (whoever has them gives their texts).

use super::fault::{Faults, ThemeError};
use super::file::{self, near_color, shown};
use super::sheet::Sheet;
use super::{Depth, THEMES, Theme};
use crate::os::text::nearest;

/// The theme of whoever chose none, and the glyphs of a theme that extends none.
pub const DEFAULT: &str = "default";
/// Longer names are slips.
const NAME_MAX: usize = 40;

/// A theme's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThemeFile {
    /// Its name: the file's, without `.toml`.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// What it says, or why it cannot be read.
    pub text: Result<String, String>,
    /// It is the user's own.
    pub own: bool,
}

/// All themes: those that come with the program first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library(Vec<ThemeFile>);

impl Library {
    /// Those that come with the program.
    pub fn shipped() -> Self {
        Self::with(Vec::new())
    }

    /// Those, and these.
    pub fn with(own: Vec<ThemeFile>) -> Self {
        let shipped = THEMES.iter().map(|theme| ThemeFile {
            name: theme.name.to_owned(),
            place: format!("themes/{}.toml", theme.name),
            text: Ok(theme.text.to_owned()),
            own: false,
        });
        Self(shipped.chain(own.into_iter().map(|file| ThemeFile { own: true, ..file })).collect())
    }

    /// Every theme's file.
    pub fn files(&self) -> &[ThemeFile] {
        &self.0
    }

    /// The theme of this name. One that comes with the program is never another.
    pub fn file(&self, name: &str) -> Option<&ThemeFile> {
        self.0.iter().find(|file| file.name == name)
    }

    /// The theme of this name, whole.
    ///
    /// # Errors
    /// Fails with every fault of its file, or of one that it extends.
    pub fn sheet(&self, name: &str) -> Result<Sheet, ThemeError> {
        let Some(file) = self.file(name) else {
            return Err(ThemeError::one(format!("there is no theme {}{}", shown(name), self.advice(name))));
        };
        self.sheet_of(file)
    }

    /// The theme of this file, whole.
    ///
    /// # Errors
    /// Fails with every fault of the file, or of one that it extends.
    pub fn sheet_of(&self, file: &ThemeFile) -> Result<Sheet, ThemeError> {
        if file.own && THEMES.iter().any(|theme| theme.name == file.name) {
            let why = format!("{}: {} is the name of a theme that comes with rollout; rename the file", file.place, file.name);
            return Err(ThemeError::one(why));
        }
        if !is_name(&file.name) {
            let why = format!("{}: {} is no name; use letters, digits, - and _", file.place, shown(&file.name));
            return Err(ThemeError::one(why));
        }
        self.laid(file, &mut Vec::new())
    }

    /// `file` over what it extends. `above` are those that led here.
    fn laid(&self, file: &ThemeFile, above: &mut Vec<String>) -> Result<Sheet, ThemeError> {
        let text = file.text.as_ref().map_err(|why| ThemeError::one(format!("{}: {why}", file.place)))?;
        let written = file::read(&file.place, text)?;
        above.push(file.name.clone());
        let mut faults = Faults::new(&file.place, text);
        let base = match &written.extends {
            None => self.base(&file.name),
            Some((name, at)) => match self.file(name) {
                _ if above.contains(name) => {
                    let way: Vec<&str> = above.iter().skip_while(|one| *one != name).map(String::as_str).collect();
                    let why = format!("goes round in a circle: {} → {name}; let one of them extend no other", way.join(" → "));
                    faults.add(*at, "extends", why);
                    Sheet::default()
                }
                Some(parent) => self.laid(parent, above)?.named_above(name),
                None => {
                    faults.add(*at, "extends", format!("there is no theme {}{}", shown(name), self.advice(name)));
                    // Its colours are not known: nothing more can be said.
                    return faults.finish(Sheet::default());
                }
            },
        };
        let names = written.names.clone();
        let sheet = base.under(written);
        for (key, name, at) in names {
            if sheet.tone(&name).is_none() {
                let near = near_color(&name, sheet.colors());
                faults.add(at, &key, format!("{} is no colour and not in [palette]{near}", shown(&name)));
            }
        }
        faults.finish(sheet)
    }

    /// What a theme starts from that extends none: plain text, and glyphs.
    fn base(&self, name: &str) -> Sheet {
        let default = if name == DEFAULT { None } else { self.sheet(DEFAULT).ok() };
        default.map_or_else(Sheet::default, |default| Sheet::with_glyphs_of(&default))
    }

    /// What to do about a name that none has.
    fn advice(&self, name: &str) -> String {
        let names = || self.0.iter().map(|file| file.name.as_str()).filter(|name| is_name(name));
        match nearest(name, names()) {
            Some(near) => format!("; the nearest is {near}"),
            None => format!("; there are: {}", names().collect::<Vec<_>>().join(", ")),
        }
    }

    /// The theme of this name, as it is drawn.
    ///
    /// # Errors
    /// Fails with every fault of its file, or of one that it extends.
    pub fn theme(&self, name: &str, depth: Depth, ascii: bool) -> Result<Theme, ThemeError> {
        Ok(Theme::of(name, &self.sheet(name)?, depth, ascii))
    }
}

/// True if a theme can have this name.
pub fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}
