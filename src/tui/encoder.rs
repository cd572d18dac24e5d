//! The frame as bytes: a ratatui backend that writes into memory, so that a frame is one `write`.
//!
//! Colours and attributes are written here, all else by crossterm, whose 0.29 sends `38;5;n` for the sixteen and takes
//! reverse away under `NO_COLOR` (crossterm #1069).
//!
//! Imports: nothing of this crate but `event::clean`'s rule. May not: do I/O.

use std::convert::Infallible;

use crossterm::cursor::MoveTo;
use crossterm::queue;
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType as Part, EndSynchronizedUpdate};
use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier, Style};
use unicode_width::UnicodeWidthStr;

use super::theme::Depth;
use crate::event::clean;

/// Attributes that we know, with their codes.
const ATTRIBUTES: [(Modifier, u8); 4] =
    [(Modifier::BOLD, 1), (Modifier::DIM, 2), (Modifier::UNDERLINED, 4), (Modifier::REVERSED, 7)];

/// What the terminal's pen is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pen {
    fg: Color,
    bg: Color,
    attributes: Modifier,
}

impl Pen {
    const PLAIN: Self = Self { fg: Color::Reset, bg: Color::Reset, attributes: Modifier::empty() };
}

/// A backend that collects bytes.
#[derive(Debug)]
pub struct Encoder {
    out: Vec<u8>,
    size: Size,
    depth: Depth,
    ascii: bool,
    pen: Pen,
}

/// A text in this style, for a terminal of this depth.
pub fn painted(text: &str, style: Style, depth: Depth) -> String {
    let mut encoder = Encoder::new(Size::ZERO, depth, false);
    let mut cell = Cell::default();
    cell.set_style(style);
    let pen = encoder.pen_of(&cell);
    encoder.set_pen(pen);
    encoder.put(&clean(text));
    encoder.set_pen(Pen::PLAIN);
    String::from_utf8_lossy(&encoder.out).into_owned()
}

impl Encoder {
    /// For a terminal of this size, depth and character set.
    pub fn new(size: Size, depth: Depth, ascii: bool) -> Self {
        Self { out: Vec::new(), size, depth, ascii, pen: Pen::PLAIN }
    }

    /// The terminal has this size now.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
    }

    /// The bytes of the frame, wrapped so that a terminal that can shows them at once; empty if nothing changed.
    pub fn take(&mut self) -> Vec<u8> {
        if self.out.is_empty() {
            return Vec::new();
        }
        let mut frame = Vec::with_capacity(self.out.len() + 24);
        // Writing to memory does not fail, here and below.
        queue!(frame, BeginSynchronizedUpdate).unwrap_or_default();
        frame.append(&mut self.out);
        if self.pen != Pen::PLAIN {
            frame.extend_from_slice(b"\x1b[m");
            self.pen = Pen::PLAIN;
        }
        queue!(frame, EndSynchronizedUpdate).unwrap_or_default();
        frame
    }

    fn set_pen(&mut self, wanted: Pen) {
        if wanted == self.pen {
            return;
        }
        let mut codes: Vec<String> = Vec::new();
        let mut from = self.pen;
        // An attribute cannot be taken away alone everywhere (22 ends bold and dim), so it begins anew.
        if !wanted.attributes.contains(from.attributes) {
            codes.push("0".to_owned());
            from = Pen::PLAIN;
        }
        for (attribute, code) in ATTRIBUTES {
            if wanted.attributes.contains(attribute) && !from.attributes.contains(attribute) {
                codes.push(code.to_string());
            }
        }
        if wanted.fg != from.fg {
            codes.push(color_code(wanted.fg, 30));
        }
        if wanted.bg != from.bg {
            codes.push(color_code(wanted.bg, 40));
        }
        self.pen = wanted;
        if !codes.is_empty() {
            self.put(&format!("\x1b[{}m", codes.join(";")));
        }
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn pen_of(&self, cell: &Cell) -> Pen {
        let known = ATTRIBUTES.iter().fold(Modifier::empty(), |all, (one, _)| all | *one);
        let (fg, bg) = if self.depth == Depth::Mono { (Color::Reset, Color::Reset) } else { (cell.fg, cell.bg) };
        Pen { fg, bg, attributes: cell.modifier & known }
    }

    /// The symbol with nothing in it that a terminal obeys, and in the terminal's character set.
    fn put_symbol(&mut self, symbol: &str) {
        let symbol = clean(symbol);
        if !self.ascii || symbol.is_ascii() {
            self.put(&symbol);
            return;
        }
        let width = symbol.width().max(1);
        let plain = match symbol.as_ref() {
            "→" => ">",
            "·" | "–" | "—" => "-",
            "×" => "x",
            _ => "?",
        };
        self.put(&plain.repeat(width));
    }
}

/// The code that sets a colour; `base` is 30 for the text, 40 for what is behind it.
fn color_code(color: Color, base: u8) -> String {
    let code = match color {
        Color::Reset => 9,
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 60,
        Color::LightRed => 61,
        Color::LightGreen => 62,
        Color::LightYellow => 63,
        Color::LightBlue => 64,
        Color::LightMagenta => 65,
        Color::LightCyan => 66,
        Color::White => 67,
        Color::Indexed(n) => return format!("{};5;{n}", base + 8),
        Color::Rgb(r, g, b) => return format!("{};2;{r};{g};{b}", base + 8),
    };
    (base + code).to_string()
}

impl Backend for Encoder {
    type Error = Infallible;

    fn draw<'a, I>(&mut self, content: I) -> Result<(), Infallible>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut next = None;
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                queue!(self.out, MoveTo(x, y)).unwrap_or_default();
            }
            let pen = self.pen_of(cell);
            self.set_pen(pen);
            self.put_symbol(cell.symbol());
            let width = u16::try_from(cell.symbol().width().max(1)).unwrap_or(1);
            next = Some((x.saturating_add(width), y));
        }
        Ok(())
    }

    /// The cursor is hidden once, when the screen is entered.
    fn hide_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn show_cursor(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> Result<Position, Infallible> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, _position: P) -> Result<(), Infallible> {
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Infallible> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, _clear_type: ClearType) -> Result<(), Infallible> {
        self.pen = Pen::PLAIN;
        self.put("\x1b[m");
        queue!(self.out, Clear(Part::All)).unwrap_or_default();
        Ok(())
    }

    fn size(&self) -> Result<Size, Infallible> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> Result<WindowSize, Infallible> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(depth: Depth, ascii: bool, cells: &[(&str, Style)]) -> String {
        let mut encoder = Encoder::new(Size::new(80, 24), depth, ascii);
        let cells: Vec<Cell> = cells
            .iter()
            .map(|(symbol, style)| {
                let mut cell = Cell::default();
                cell.set_symbol(symbol).set_style(*style);
                cell
            })
            .collect();
        encoder.draw(cells.iter().enumerate().map(|(x, cell)| (u16::try_from(x).unwrap(), 0, cell))).unwrap();
        String::from_utf8(encoder.take()).unwrap()
    }

    #[test]
    fn without_colours_reverse_and_bold_remain() {
        let style = Style::new().fg(Color::Red).bg(Color::Blue).bold().reversed();
        assert_eq!(bytes(Depth::Mono, false, &[("x", style)]), "\x1b[?2026h\x1b[1;1H\x1b[1;7mx\x1b[m\x1b[?2026l");
    }

    #[test]
    fn sixteen_colours_are_the_terminals_own_codes() {
        let text = bytes(
            Depth::Ansi16,
            false,
            &[("a", Style::new().fg(Color::Red)), ("b", Style::new().fg(Color::LightRed)), ("c", Style::new())],
        );
        assert_eq!(text, "\x1b[?2026h\x1b[1;1H\x1b[31ma\x1b[91mb\x1b[39mc\x1b[?2026l");
    }

    #[test]
    fn an_attribute_that_goes_takes_the_pen_back() {
        let text = bytes(Depth::Rgb, false, &[("a", Style::new().bold()), ("b", Style::new().fg(Color::Indexed(36)))]);
        assert!(text.contains("\x1b[1ma\x1b[0;38;5;36mb\x1b[m"), "{text:?}");
    }

    #[test]
    fn nothing_changed_is_no_byte() {
        assert_eq!(bytes(Depth::Rgb, false, &[]), "");
    }

    #[test]
    fn ascii_means_ascii_and_data_cannot_command_the_terminal() {
        assert!(bytes(Depth::Mono, true, &[("✓", Style::new()), ("→", Style::new())]).contains("?>"));
        assert!(bytes(Depth::Mono, true, &[("漢", Style::new())]).contains("??"));
        let text = bytes(Depth::Mono, false, &[("a\u{202e}", Style::new())]);
        assert!(text.contains("a?") && !text.contains('\u{202e}'), "{text:?}");
    }
}
