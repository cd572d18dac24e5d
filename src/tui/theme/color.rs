//! Colours: as they are written, and what becomes of them where the terminal has fewer.
//!
//! Imports: tui::theme's depth. May not: know what is painted with them.

use ratatui::style::Color;

use super::depth::Depth;

/// A colour at each depth. `None` is the terminal's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shade {
    /// With sixteen.
    pub c16: Option<Color>,
    /// With 256.
    pub c256: Option<Color>,
    /// With 24 bit.
    pub rgb: Option<Color>,
}

/// Every name of the sixteen, after that of the terminal's own colour.
pub(super) const ANSI: [(&str, Color); 17] = [
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

impl Shade {
    /// A colour that is written as a name of the sixteen, a number or `#rrggbb`. What a terminal cannot have becomes the
    /// nearest that it can: with 256 one of the cube, whose colours are the same everywhere; with sixteen only the hue.
    pub fn parse(text: &str) -> Option<Self> {
        let color = plain(text)?;
        Some(Self { c16: shallow(color), c256: indexed(color), rgb: own(color) })
    }

    /// Written for each depth; what is left out is what the next lower depth has, or what the next higher one becomes.
    pub(super) fn of([c16, c256, rgb]: [Option<Color>; 3]) -> Self {
        Self {
            c16: c16.map_or_else(|| c256.or(rgb).and_then(shallow), shallow),
            c256: c256.or(rgb).or(c16).and_then(indexed),
            rgb: rgb.or(c256).or(c16).and_then(own),
        }
    }

    /// The colour at a depth; `None` for the terminal's own.
    pub fn at(self, depth: Depth) -> Option<Color> {
        match depth {
            Depth::Mono => None,
            Depth::Ansi16 => self.c16,
            Depth::Indexed => self.c256,
            Depth::Rgb => self.rgb,
        }
    }
}

/// A colour as it is written, at whatever depth that is.
pub(super) fn plain(text: &str) -> Option<Color> {
    if let Some((_, color)) = ANSI.iter().find(|(name, _)| *name == text) {
        return Some(*color);
    }
    if let Some(hex) = text.strip_prefix('#').filter(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit())) {
        let part = |range: std::ops::Range<usize>| hex.get(range).and_then(|two| u8::from_str_radix(two, 16).ok());
        return Some(Color::Rgb(part(0..2)?, part(2..4)?, part(4..6)?));
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The first sixteen are written by their own codes, which every terminal knows.
    text.parse::<u8>().ok().map(|n| ANSI.get(usize::from(n) + 1).map_or(Color::Indexed(n), |(_, color)| *color))
}

fn own(color: Color) -> Option<Color> {
    (color != Color::Reset).then_some(color)
}

fn indexed(color: Color) -> Option<Color> {
    match color {
        Color::Reset => None,
        Color::Rgb(r, g, b) => Some(Color::Indexed(nearest_of_256([r, g, b]))),
        color => Some(color),
    }
}

/// Only the hue, by the six that every palette keeps: some have made greys of the bright ones.
fn shallow(color: Color) -> Option<Color> {
    let [r, g, b] = match color {
        Color::Reset => return None,
        Color::Rgb(r, g, b) => [r, g, b],
        Color::Indexed(n) => of_256(n)?,
        color => return Some(color),
    };
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    // A grey is no hue.
    if most - least < 48 {
        return None;
    }
    let high = |part: u8| u16::from(part - least) * 2 > u16::from(most - least);
    match (high(r), high(g), high(b)) {
        (true, true, _) => Some(Color::Yellow),
        (true, false, true) => Some(Color::Magenta),
        (true, false, false) => Some(Color::Red),
        (false, true, true) => Some(Color::Cyan),
        (false, true, false) => Some(Color::Green),
        (false, false, _) => Some(Color::Blue),
    }
}

/// The steps of the cube of 256.
const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// What a number from 16 to 255 looks like. The terminal's own sixteen look as their owner wants.
pub(super) fn of_256(n: u8) -> Option<[u8; 3]> {
    if n < 16 {
        return None;
    }
    if n >= 232 {
        return Some([8 + 10 * (n - 232); 3]);
    }
    let step = |part: u8| STEPS.get(usize::from(part)).copied();
    let n = n - 16;
    Some([step(n / 36)?, step(n / 6 % 6)?, step(n % 6)?])
}

fn nearest_of_256(wanted: [u8; 3]) -> u8 {
    let distance = |n: &u8| {
        let shown = of_256(*n).unwrap_or_default();
        shown.iter().zip(wanted).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>()
    };
    (16..=255).min_by_key(distance).unwrap_or(15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_a_name_a_number_or_six_digits() {
        assert_eq!(plain("bright-red"), Some(Color::LightRed));
        assert_eq!(plain("1"), Some(Color::Red));
        assert_eq!(plain("214"), Some(Color::Indexed(214)));
        assert_eq!(plain("#E69F00"), Some(Color::Rgb(0xe6, 0x9f, 0)));
        for wrong in ["", "redd", "256", "-1", "+7", "#12345", "#12345g", "#+1+1+1", "#ééé", "rgb(1,2,3)"] {
            assert_eq!(plain(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_terminal_cannot_have_becomes_what_it_can() {
        let orange = Shade::parse("#E69F00").unwrap();
        assert_eq!(orange.at(Depth::Rgb), Some(Color::Rgb(0xe6, 0x9f, 0)));
        assert_eq!(orange.at(Depth::Indexed), Some(Color::Indexed(178)));
        assert_eq!(orange.at(Depth::Ansi16), Some(Color::Yellow));
        assert_eq!(orange.at(Depth::Mono), None);
        assert_eq!(Shade::parse("#808890").unwrap().at(Depth::Ansi16), None, "a grey is no hue");
        assert_eq!(Shade::parse("default").unwrap(), Shade::default());
        let only = |c16, c256, rgb| Shade::of([c16, c256, rgb]);
        assert_eq!(only(Some(Color::Red), None, None).at(Depth::Rgb), Some(Color::Red));
        assert_eq!(only(None, Some(Color::Indexed(36)), None).at(Depth::Rgb), Some(Color::Indexed(36)));
        assert_eq!(only(None, Some(Color::Indexed(36)), None).at(Depth::Ansi16), Some(Color::Cyan));
        assert_eq!(only(Some(Color::Reset), None, Some(Color::Rgb(0, 255, 0))).at(Depth::Indexed), Some(Color::Indexed(46)));
    }

    #[test]
    fn the_sixteen_hues_are_told_apart() {
        for (hex, hue) in [
            ("#D55E00", Color::Red),
            ("#56B4E9", Color::Cyan),
            ("#3060C0", Color::Blue),
            ("#CC79A7", Color::Magenta),
            ("#00AF00", Color::Green),
            ("#F0E442", Color::Yellow),
        ] {
            assert_eq!(Shade::parse(hex).unwrap().at(Depth::Ansi16), Some(hue), "{hex}");
        }
    }
}
