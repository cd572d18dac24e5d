//! What colours look like: their contrast, and how far they are from each other for eyes that see fewer.
//!
//! Imports: tui::theme's colours, surfaces. May not: know a part of the screen.

use ratatui::style::{Color, Modifier, Style};

use super::color::of_256;
use super::depth::Depth;
use super::surface::{Sight, Surface};

/// A colour in 24 bit.
pub(super) type Rgb = [u8; 3];

/// The sixteen of xterm.
const XTERM: [u32; 16] = [
    0x00_0000, 0xcd_0000, 0x00_cd00, 0xcd_cd00, 0x00_00ee, 0xcd_00cd, 0x00_cdcd, 0xe5_e5e5, 0x7f_7f7f, 0xff_0000, 0x00_ff00,
    0xff_ff00, 0x5c_5cff, 0xff_00ff, 0x00_ffff, 0xff_ffff,
];
/// The sixteen of Solarized, which has greys where others have bright colours.
const SOLARIZED: [u32; 16] = [
    0x07_3642, 0xdc_322f, 0x85_9900, 0xb5_8900, 0x26_8bd2, 0xd3_3682, 0x2a_a198, 0xee_e8d5, 0x00_2b36, 0xcb_4b16, 0x58_6e75,
    0x65_7b83, 0x83_9496, 0x6c_71c4, 0x93_a1a1, 0xfd_f6e3,
];

const fn split(hex: u32) -> Rgb {
    let [_, r, g, b] = hex.to_be_bytes();
    [r, g, b]
}

impl Surface {
    /// What is behind a text that paints nothing there.
    pub(super) fn behind(self) -> Rgb {
        match self {
            Self::Black => [0; 3],
            Self::White => [255; 3],
            Self::Base03 => split(0x00_2b36),
            Self::Base3 => split(0xfd_f6e3),
        }
    }

    /// The terminal's own text.
    pub(super) fn text(self) -> Rgb {
        match self {
            Self::Black => split(0xe5_e5e5),
            Self::White => [0; 3],
            Self::Base03 => split(0x83_9496),
            Self::Base3 => split(0x65_7b83),
        }
    }

    /// What a colour is there.
    pub(super) fn rgb(self, color: Color) -> Rgb {
        let palette = match self {
            Self::Black | Self::White => XTERM,
            Self::Base03 | Self::Base3 => SOLARIZED,
        };
        let number: usize = match color {
            Color::Rgb(r, g, b) => return [r, g, b],
            Color::Reset => return self.text(),
            Color::Indexed(n) => match of_256(n) {
                Some(rgb) => return rgb,
                None => usize::from(n),
            },
            Color::Black => 0,
            Color::Red => 1,
            Color::Green => 2,
            Color::Yellow => 3,
            Color::Blue => 4,
            Color::Magenta => 5,
            Color::Cyan => 6,
            Color::Gray => 7,
            Color::DarkGray => 8,
            Color::LightRed => 9,
            Color::LightGreen => 10,
            Color::LightYellow => 11,
            Color::LightBlue => 12,
            Color::LightMagenta => 13,
            Color::LightCyan => 14,
            Color::White => 15,
        };
        palette.get(number).copied().map_or([0; 3], split)
    }

    /// Text and what is behind it, as this style paints them here. Dim takes a third of the difference away, as most
    /// terminals do that have it.
    pub(super) fn painted(self, style: Style) -> (Rgb, Rgb) {
        let (mut fg, mut bg) = (
            style.fg.map_or_else(|| self.text(), |color| self.rgb(color)),
            style.bg.map_or_else(|| self.behind(), |color| self.rgb(color)),
        );
        if style.add_modifier.contains(Modifier::DIM) {
            fg = std::array::from_fn(|n| {
                let part = |of: Rgb| u16::from(of.get(n).copied().unwrap_or_default());
                u8::try_from((2 * part(fg) + part(bg)) / 3).unwrap_or(u8::MAX)
            });
        }
        if style.add_modifier.contains(Modifier::REVERSED) {
            std::mem::swap(&mut fg, &mut bg);
        }
        (fg, bg)
    }
}

/// One part of a colour as light.
fn linear(part: u8) -> f64 {
    let part = f64::from(part) / 255.0;
    if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
}

fn luminance(color: Rgb) -> f64 {
    let [r, g, b] = color.map(linear);
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// The contrast of two colours by WCAG 2: 1 to 21.
pub(super) fn contrast(one: Rgb, other: Rgb) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// Black or white, whichever can be read on this.
pub(super) fn ink(on: Color, depth: Depth) -> Color {
    let on = Surface::Black.rgb(on);
    let dark = contrast(on, [0; 3]) >= contrast(on, [255; 3]);
    match (dark, depth) {
        (true, Depth::Mono | Depth::Ansi16) => Color::Black,
        (false, Depth::Mono | Depth::Ansi16) => Color::White,
        // Those of the cube are what they say on every terminal.
        (true, Depth::Indexed | Depth::Rgb) => Color::Indexed(16),
        (false, Depth::Indexed | Depth::Rgb) => Color::Indexed(231),
    }
}

/// What is left of the light for each way to see (Machado, Oliveira and Fernandes 2009, at full strength).
fn seen(color: Rgb, sight: Sight) -> [f64; 3] {
    let [r, g, b] = color.map(linear);
    let rows: [[f64; 3]; 3] = match sight {
        Sight::Protanopia => {
            [[0.152_286, 1.052_583, -0.204_868], [0.114_503, 0.786_281, 0.099_216], [-0.003_882, -0.048_116, 1.051_998]]
        }
        Sight::Deuteranopia => {
            [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]]
        }
        Sight::Tritanopia => {
            [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_900]]
        }
    };
    rows.map(|[of_r, of_g, of_b]| (of_r * r + of_g * g + of_b * b).clamp(0.0, 1.0))
}

/// Light as lightness and two directions of hue (CIE L*a*b*, D65): equal steps look equal.
fn lab(light: [f64; 3]) -> [f64; 3] {
    let curve = |part: f64| if part > 0.008_856 { part.cbrt() } else { 7.787 * part + 16.0 / 116.0 };
    let sum =
        |shares: [f64; 3], white: f64| curve(shares.iter().zip(light).map(|(share, part)| share * part).sum::<f64>() / white);
    let reddish = sum([0.4124, 0.3576, 0.1805], 0.950_47);
    let bright = sum([0.2126, 0.7152, 0.0722], 1.0);
    let bluish = sum([0.0193, 0.1192, 0.9505], 1.088_83);
    [116.0 * bright - 16.0, 500.0 * (reddish - bright), 200.0 * (bright - bluish)]
}

/// How far two colours are from each other for somebody who sees so: a step of 2 can just be seen beside each other.
pub(super) fn distance(one: Rgb, other: Rgb, sight: Sight) -> f64 {
    let (one, other) = (lab(seen(one, sight)), lab(seen(other, sight)));
    one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_that_of_the_rules() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 0.001);
        assert!((contrast([0x77; 3], [255; 3]) - 4.48).abs() < 0.01);
        assert!((contrast([0x76; 3], [255; 3]) - 4.54).abs() < 0.01);
        // Solarized's own text on its own backgrounds.
        assert!((contrast(Surface::Base03.text(), Surface::Base03.behind()) - 4.75).abs() < 0.01);
        assert!((contrast(Surface::Base3.text(), Surface::Base3.behind()) - 4.13).abs() < 0.01);
    }

    #[test]
    fn red_and_green_are_alike_for_some_and_blue_is_not() {
        let (red, green, blue) = ([0xa0, 0x60, 0], [0x60, 0x80, 0], [0, 0x60, 0xff]);
        assert!(distance(red, green, Sight::Deuteranopia) < 12.0);
        assert!(distance(red, green, Sight::Tritanopia) > 30.0);
        assert!(distance(red, blue, Sight::Deuteranopia) > 60.0);
        assert!(
            distance([0, 0x80, 0xff], [0, 0xa0, 0x90], Sight::Tritanopia)
                < distance([0, 0x80, 0xff], [0, 0xa0, 0x90], Sight::Deuteranopia)
        );
        for sight in [Sight::Protanopia, Sight::Deuteranopia, Sight::Tritanopia] {
            assert!(distance([255; 3], [0; 3], sight) > 99.0, "{sight:?}");
        }
    }

    #[test]
    fn ink_can_be_read_on_every_stripe() {
        for n in 0..=255 {
            let on = super::super::color::plain(&n.to_string()).unwrap();
            for depth in [Depth::Ansi16, Depth::Indexed] {
                let ratio = contrast(Surface::Black.rgb(ink(on, depth)), Surface::Black.rgb(on));
                assert!(ratio >= 4.5, "{n}: {ratio}");
            }
        }
    }
}
