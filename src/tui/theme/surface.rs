//! What a theme may be made for: the backgrounds of terminals, and ways to see.
//!
//! Imports: nothing. May not: judge.

/// The backgrounds that a theme is made for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Background {
    /// Black.
    Dark,
    /// White.
    Light,
    /// Both.
    #[default]
    Both,
    /// Solarized's dark one.
    SolarizedDark,
    /// Solarized's light one.
    SolarizedLight,
    /// Both of Solarized.
    Solarized,
}

impl Background {
    /// All, with their words.
    pub(super) const ALL: [(&'static str, Self); 6] = [
        ("dark", Self::Dark),
        ("light", Self::Light),
        ("both", Self::Both),
        ("solarized-dark", Self::SolarizedDark),
        ("solarized-light", Self::SolarizedLight),
        ("solarized", Self::Solarized),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, one)| *one == self).map_or("", |(word, _)| word)
    }

    /// What that is for the check.
    pub fn surfaces(self) -> &'static [Surface] {
        match self {
            Self::Dark => &[Surface::Black],
            Self::Light => &[Surface::White],
            Self::Both => &[Surface::Black, Surface::White],
            Self::SolarizedDark => &[Surface::Base03],
            Self::SolarizedLight => &[Surface::Base3],
            Self::Solarized => &[Surface::Base03, Surface::Base3],
        }
    }
}

/// A background that contrast is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// Black, with the sixteen colours of xterm.
    Black,
    /// White, with the sixteen colours of xterm.
    White,
    /// Solarized dark, with Solarized's sixteen.
    Base03,
    /// Solarized light, with Solarized's sixteen.
    Base3,
}

impl Surface {
    /// All.
    pub const ALL: [Self; 4] = [Self::Black, Self::White, Self::Base03, Self::Base3];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Black => "black",
            Self::White => "white",
            Self::Base03 => "base03",
            Self::Base3 => "base3",
        }
    }
}

/// A way to see that a theme says it is safe for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Without the cones for long waves: red is dark.
    Protanopia,
    /// Without the cones for middle waves: red and green are one.
    Deuteranopia,
    /// Without the cones for short waves: blue and green are one, and yellow and pink.
    Tritanopia,
}

impl Sight {
    /// All, with their words.
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("protanopia", Self::Protanopia), ("deuteranopia", Self::Deuteranopia), ("tritanopia", Self::Tritanopia)];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, one)| *one == self).map_or("", |(word, _)| word)
    }
}
