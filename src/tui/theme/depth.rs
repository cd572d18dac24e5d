//! How many colours there are: what was asked for, else what the environment tells.
//!
//! Imports: nothing. May not: know a colour.

/// How many colours the terminal gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// None at all; attributes only.
    Mono,
    /// The terminal's own sixteen, by their own codes.
    Ansi16,
    /// The palette of 256.
    Indexed,
    /// 24 bit.
    #[default]
    Rgb,
}

impl Depth {
    /// All, fewest colours first, with their words: those of `--color`.
    pub const ALL: [(&'static str, Self); 4] =
        [("mono", Self::Mono), ("16", Self::Ansi16), ("256", Self::Indexed), ("truecolor", Self::Rgb)];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, depth)| *depth == self).map_or("", |(word, _)| word)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
