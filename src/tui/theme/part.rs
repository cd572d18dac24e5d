//! What has a style of its own, with the names that a theme's file uses.
//!
//! Imports: model. May not: know a colour.

use std::fmt;

use crate::model::InstanceState;

macro_rules! parts {
    ($(#[$about:meta])* $name:ident { $($part:ident $word:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names are those of the theme file")]
        pub enum $name { $($part),* }

        impl $name {
            /// All, with their names in a theme's file.
            pub const ALL: &[(&'static str, Self)] = &[$(($word, Self::$part)),*];
        }
    };
}

parts! {
    /// A part of the screen that has a style of its own.
    Ui {
        Header "header", Headline "headline", Sentence "sentence", Quiet "quiet", Border "border", Bar "bar", Key "key",
        KeyOff "key_off", Selected "selected", Message "message", Error "error", Warning "warning", Dialog "dialog",
    }
}

parts! {
    /// What the badge in the header says.
    Badge {
        Planned "planned", Run "run", Paused "paused", Rollback "rollback", Cancelling "cancelling", Done "done",
        Failed "failed", ReadOnly "read_only",
    }
}

/// The levels of the log, with their names.
const LOG: [(&str, log::Level); 5] = [
    ("error", log::Level::Error),
    ("warn", log::Level::Warn),
    ("info", log::Level::Info),
    ("debug", log::Level::Debug),
    ("trace", log::Level::Trace),
];

/// Anything that has a style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `[state]`: an instance in this state.
    State(InstanceState),
    /// `[ui]`.
    Ui(Ui),
    /// `[badge]`.
    Badge(Badge),
    /// `[log]`: a line of this level.
    Log(log::Level),
}

/// How much of it must be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Text.
    Text,
    /// A line or a bar: it is seen, not read.
    Graphic,
    /// What cannot be used now.
    Off,
}

impl Part {
    /// Every part, in the order of the file.
    pub fn all() -> impl Iterator<Item = Self> {
        let states = InstanceState::ALL.into_iter().map(Self::State);
        let ui = Ui::ALL.iter().map(|(_, part)| Self::Ui(*part));
        let badges = Badge::ALL.iter().map(|(_, part)| Self::Badge(*part));
        states.chain(ui).chain(badges).chain(LOG.iter().map(|(_, level)| Self::Log(*level)))
    }

    /// Its place among all.
    pub(super) fn index(self) -> usize {
        let (ui, badges) = (Ui::ALL.len(), Badge::ALL.len());
        let states = InstanceState::ALL.len();
        match self {
            Self::State(state) => state as usize,
            Self::Ui(part) => states + part as usize,
            Self::Badge(part) => states + ui + part as usize,
            // Levels count from one.
            Self::Log(level) => states + ui + badges + level as usize - 1,
        }
    }

    /// The table that it stands in.
    pub fn table(self) -> &'static str {
        match self {
            Self::State(_) => "state",
            Self::Ui(_) => "ui",
            Self::Badge(_) => "badge",
            Self::Log(_) => "log",
        }
    }

    /// Its name in that table.
    pub fn name(self) -> &'static str {
        fn of<T: PartialEq>(all: &[(&'static str, T)], part: &T) -> &'static str {
            all.iter().find(|(_, one)| one == part).map_or("", |(name, _)| name)
        }
        match self {
            Self::State(state) => state.word(),
            Self::Ui(part) => of(Ui::ALL, &part),
            Self::Badge(part) => of(Badge::ALL, &part),
            Self::Log(level) => of(&LOG, &level),
        }
    }

    /// How much of it must be read.
    pub fn weight(self) -> Weight {
        match self {
            Self::Ui(Ui::Border | Ui::Bar) => Weight::Graphic,
            Self::Ui(Ui::KeyOff) => Weight::Off,
            Self::State(_) | Self::Ui(_) | Self::Badge(_) | Self::Log(_) => Weight::Text,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.table(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_place_and_a_name_of_its_own() {
        let mut names = std::collections::BTreeSet::new();
        for (place, part) in Part::all().enumerate() {
            assert_eq!(part.index(), place, "{part}");
            assert!(!part.name().is_empty(), "{part:?}");
            assert!(names.insert(part.to_string()), "{part} twice");
        }
    }
}
