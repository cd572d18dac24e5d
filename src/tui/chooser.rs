//! The themes while the console runs: which there are, which one is on, and the list in which another is tried live.
//!
//! Imports: tui parts. May not: read a file; draw.

use super::app::{App, Dirt, Tone};
use super::confirm::Overlay;
use super::keys::Key;
use super::theme::{Background, DEFAULT, Depth, Library, Theme, ThemeError, ThemeFile};
use super::update::Cmd;

/// How far a page goes.
const PAGE: usize = 8;

/// The themes of this console.
#[derive(Debug, Clone)]
pub struct Themes {
    library: Library,
    /// The one that was asked for; while it is broken, another is on.
    wanted: String,
    trial: Option<Trial>,
}

/// A theme that is tried.
#[derive(Debug, Clone)]
struct Trial {
    /// Its place in the library.
    cursor: usize,
    /// What was on before.
    before: Theme,
    told: Told,
}

/// What the list says of the theme that it points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is on.
    On {
        /// What it is for, in a few words.
        about: String,
        /// The backgrounds that it is made for, with as many colours as there are.
        background: Background,
    },
    /// It cannot be used.
    Broken(String),
}

impl Themes {
    /// Those that come with the program, while this one is on.
    pub(super) fn of(theme: &Theme) -> Self {
        Self { library: Library::shipped(), wanted: theme.name().to_owned(), trial: None }
    }

    /// The theme of this name, of those that come along and `own`. One that cannot be read does not keep anyone from the
    /// screen: then it is the default, with a complaint.
    ///
    /// # Errors
    /// Fails if not even that can be read.
    pub(super) fn begin(
        wanted: &str,
        own: Vec<ThemeFile>,
        (depth, ascii): (Depth, bool),
    ) -> Result<(Self, Theme, Option<String>), ThemeError> {
        let library = Library::with(own);
        let (theme, complaint) = match library.theme(wanted, depth, ascii) {
            Ok(theme) => (theme, None),
            Err(error) => (library.theme(DEFAULT, depth, ascii)?, Some(complaint(&error))),
        };
        Ok((Self { library, wanted: wanted.to_owned(), trial: None }, theme, complaint))
    }

    /// True while somebody should look whether a file has changed: a list of them is open, or one of the user's own is on.
    pub(super) fn watches(&self) -> bool {
        self.trial.is_some() || self.library.file(&self.wanted).is_none_or(|file| file.own)
    }

    /// Every theme's file.
    pub fn files(&self) -> &[ThemeFile] {
        self.library.files()
    }

    /// The place of the one that is tried, and what is to be said of it.
    pub fn tried(&self) -> Option<(usize, &Told)> {
        self.trial.as_ref().map(|trial| (trial.cursor, &trial.told))
    }
}

fn complaint(error: &ThemeError) -> String {
    format!("theme: {}", error.brief())
}

/// Puts on the theme of this name.
///
/// # Errors
/// Fails if there is none, or if it cannot be read; what is on stays on.
pub(super) fn put_on(app: &mut App, name: &str) -> Result<(), String> {
    let (depth, ascii) = (app.fixed.theme.terminal(), app.fixed.theme.ascii());
    app.fixed.theme = app.themes.library.theme(name, depth, ascii).map_err(|error| error.brief())?;
    name.clone_into(&mut app.themes.wanted);
    Ok(())
}

/// Opens the list, at the theme that is on.
pub(super) fn open(app: &mut App) -> Vec<Cmd> {
    let before = app.fixed.theme.clone();
    let cursor = app.themes.files().iter().position(|file| file.name == before.name()).unwrap_or_default();
    app.themes.trial = Some(Trial { cursor, before, told: Told::Broken(String::new()) });
    app.overlay = Some(Overlay::Themes);
    attempt(app);
    vec![Cmd::Themes]
}

/// Takes a key while the list is open.
pub(super) fn on_key(app: &mut App, key: Key) -> Vec<Cmd> {
    let last = app.themes.files().len().saturating_sub(1);
    let aside = app.aside(key);
    let Some(trial) = &mut app.themes.trial else { return Vec::new() };
    let at = trial.cursor;
    trial.cursor = match key {
        Key::Up | Key::Char('k') => at.saturating_sub(1),
        Key::Down | Key::Char('j') => at + 1,
        Key::PageUp => at.saturating_sub(PAGE),
        Key::PageDown => at + PAGE,
        Key::Home | Key::Char('g') => 0,
        Key::End | Key::Char('G') => last,
        Key::Enter => {
            keep(app);
            return Vec::new();
        }
        Key::Esc | Key::Char('q') | Key::Ctrl('c') => {
            give_back(app);
            return Vec::new();
        }
        _ => match aside {
            Some(cmd) => return vec![cmd],
            None => at,
        },
    }
    .min(last);
    attempt(app);
    Vec::new()
}

/// Puts on what the list points to; if it is broken, what is on stays on.
fn attempt(app: &mut App) {
    let (depth, ascii) = (app.fixed.theme.terminal(), app.fixed.theme.ascii());
    let Some(trial) = &mut app.themes.trial else { return };
    let Some(file) = app.themes.library.files().get(trial.cursor) else { return };
    trial.told = match app.themes.library.sheet_of(file) {
        Ok(sheet) => {
            app.fixed.theme = Theme::of(&file.name, &sheet, depth, ascii);
            Told::On { about: sheet.about.clone(), background: sheet.background(depth) }
        }
        Err(error) => Told::Broken(error.brief()),
    };
}

/// What is on stays on.
fn keep(app: &mut App) {
    let Some(Trial { told, .. }) = &app.themes.trial else { return };
    if let Told::Broken(why) = told {
        app.say(why.clone(), Tone::Refused);
        return;
    }
    app.themes.trial = None;
    app.overlay = None;
    let name = app.fixed.theme.name().to_owned();
    app.say(format!("theme {name} for this session; theme = \"{name}\" under [console] in rollout.toml keeps it"), Tone::Plain);
    app.themes.wanted = name;
}

/// What was on before is on again, as its file is now.
fn give_back(app: &mut App) {
    app.overlay = None;
    if let Some(trial) = app.themes.trial.take() {
        app.fixed.theme = trial.before;
    }
    let (depth, ascii) = (app.fixed.theme.terminal(), app.fixed.theme.ascii());
    if let Ok(theme) = app.themes.library.theme(&app.themes.wanted, depth, ascii) {
        app.fixed.theme = theme;
    }
}

/// The user's own themes were read again.
pub(super) fn take(app: &mut App, own: Vec<ThemeFile>) {
    let Themes { library, wanted, trial } = &mut app.themes;
    let named = trial.as_ref().and_then(|trial| library.files().get(trial.cursor)).map(|file| file.name.clone());
    let fresh = Library::with(own);
    if fresh == *library {
        return;
    }
    *library = fresh;
    app.dirt = app.dirt.max(Dirt::Now);
    if let Some(trial) = trial {
        // The list points to what it pointed to, wherever that stands now.
        let files = library.files();
        let at = named.and_then(|name| files.iter().position(|file| file.name == name));
        trial.cursor = at.unwrap_or(trial.cursor).min(files.len().saturating_sub(1));
        attempt(app);
        return;
    }
    let on = &app.fixed.theme;
    match library.theme(wanted, on.terminal(), on.ascii()) {
        Ok(theme) if theme != *on => {
            app.fixed.theme = theme;
            let said = format!("theme {}: its file was read again", app.themes.wanted);
            app.say(said, Tone::Plain);
        }
        Ok(_same) => {}
        // What is on stays on: somebody is writing.
        Err(error) => app.say(complaint(&error), Tone::Refused),
    }
}
