//! The frame as bytes: a ratatui backend that writes into memory, so that a frame is one `write`.
//!
//! Colours and attributes are written here, all else by crossterm, whose 0.29 sends `38;5;n` for the sixteen and takes
//! reverse away under `NO_COLOR` (crossterm #1069).
//!
//! Imports: nothing of this crate but `event::clean`'s rule. May not: do I/O.

use std::convert::Infallible;

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

/// Those that are seen in a blank, too.
const SEEN: Modifier = Modifier::UNDERLINED.union(Modifier::REVERSED);
/// So many blanks are erased rather than written; it takes a move to what follows them.
const ERASE: usize = 10;
/// If nothing follows them in their row.
const ERASE_ROW: usize = 4;

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
    /// Where the next symbol would go, if that is known.
    cursor: Option<(u16, u16)>,
    /// What the terminal shows, row after row: what stands between two changes is sometimes cheaper than a move.
    shown: Vec<Cell>,
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
        let shown = blank(size);
        Self { out: Vec::new(), size, depth, ascii, pen: Pen::PLAIN, cursor: None, shown }
    }

    /// The terminal has this size now.
    pub fn resize(&mut self, size: Size) {
        if size != self.size {
            // Everything is cleared before anything is drawn in it.
            self.shown = blank(size);
        }
        self.size = size;
    }

    /// The bytes of the frame, wrapped so that a terminal that can shows them at once; empty if nothing changed.
    pub fn take(&mut self) -> Vec<u8> {
        if self.out.is_empty() {
            return Vec::new();
        }
        // Nobody else moves it, but nobody could tell if somebody did.
        self.cursor = None;
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

    fn place(&self, x: u16, y: u16) -> usize {
        usize::from(y) * usize::from(self.size.width) + usize::from(x)
    }

    /// The cells of a row from this column on, as they are shown.
    fn rest_of_row(&self, x: u16, y: u16) -> &[Cell] {
        self.shown.get(self.place(x, y)..self.place(self.size.width, y)).unwrap_or_default()
    }

    /// Nothing can be seen in it, not even what is behind it.
    fn is_blank(&self, cell: &Cell) -> bool {
        let pen = self.pen_of(cell);
        cell.symbol() == " " && pen.bg == Color::Reset && !pen.attributes.intersects(SEEN)
    }

    /// The pen would not be seen if it drew a blank, or erased.
    fn erases(&self) -> bool {
        self.pen.bg == Color::Reset && !self.pen.attributes.intersects(SEEN)
    }

    /// To where the next symbol goes, in the fewest bytes: by what stands between, or by a move.
    fn go_to(&mut self, x: u16, y: u16) {
        let before = self.cursor.replace((x, y));
        if before == Some((x, y)) {
            return;
        }
        let there = if x == 0 { format!("\x1b[{}H", y + 1) } else { format!("\x1b[{};{}H", y + 1, x + 1) };
        let Some((from, _)) = before.filter(|(from, row)| *row == y && *from < x) else {
            self.put(&there);
            return;
        };
        let gap = x - from;
        let ahead = if gap == 1 { "\x1b[C".to_owned() } else { format!("\x1b[{gap}C") };
        let between = self.rest_of_row(from, y).get(..usize::from(gap)).unwrap_or_default();
        let same = |cell: &Cell| {
            let plain = cell.symbol().len() == 1 && (self.pen_of(cell) == self.pen || self.is_blank(cell) && self.erases());
            plain.then(|| cell.symbol().to_owned())
        };
        let again = Some(between).filter(|between| between.len() < ahead.len());
        let again =
            again.and_then(|between| between.iter().map(same).collect::<Option<String>>()).filter(|again| !again.is_empty());
        self.put(&again.unwrap_or(ahead));
    }

    /// Draws what begins at `cells`, and says how many of them that was. `before` is what was shown before this frame.
    fn draw_next(&mut self, cells: &[(u16, u16, &Cell)], before: &[Cell]) -> usize {
        let Some(&(x, y, cell)) = cells.first() else { return 0 };
        let blank = self.is_blank(cell);
        if blank && before.get(self.place(x, y)).is_some_and(|shown| self.is_blank(shown)) {
            // They differ in what cannot be seen.
            return 1;
        }
        if blank && self.erases() {
            let row = self.rest_of_row(x, y);
            let blanks = row.iter().take_while(|cell| self.is_blank(cell)).count();
            let to_the_end = blanks == row.len();
            let end = usize::from(x) + blanks;
            let covered = cells.iter().take_while(|(x, row, _)| *row == y && usize::from(*x) < end).count();
            if covered >= if to_the_end { ERASE_ROW } else { ERASE } {
                self.go_to(x, y);
                self.put(&if to_the_end { "\x1b[K".to_owned() } else { format!("\x1b[{blanks}X") });
                return covered;
            }
        }
        self.go_to(x, y);
        if !(blank && self.erases()) {
            let pen = self.pen_of(cell);
            self.set_pen(pen);
        }
        self.put_symbol(cell.symbol());
        let width = u16::try_from(cell.symbol().width().max(1)).unwrap_or(1);
        let next = x.saturating_add(width);
        // At the right edge terminals differ in where they are.
        self.cursor = (next < self.size.width).then_some((next, y));
        1
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

fn blank(size: Size) -> Vec<Cell> {
    vec![Cell::EMPTY; usize::from(size.width) * usize::from(size.height)]
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
        let cells: Vec<_> = content.collect();
        let before = self.shown.clone();
        for (x, y, cell) in &cells {
            let place = self.place(*x, *y);
            if let Some(shown) = self.shown.get_mut(place) {
                shown.clone_from(cell);
            }
        }
        let mut at = 0;
        while let Some(rest) = cells.get(at..).filter(|rest| !rest.is_empty()) {
            at += self.draw_next(rest, &before).max(1);
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
        self.cursor = None;
        self.shown = blank(self.size);
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
        assert_eq!(bytes(Depth::Mono, false, &[("x", style)]), "\x1b[?2026h\x1b[1H\x1b[1;7mx\x1b[m\x1b[?2026l");
    }

    #[test]
    fn sixteen_colours_are_the_terminals_own_codes() {
        let text = bytes(
            Depth::Ansi16,
            false,
            &[("a", Style::new().fg(Color::Red)), ("b", Style::new().fg(Color::LightRed)), ("c", Style::new())],
        );
        assert_eq!(text, "\x1b[?2026h\x1b[1H\x1b[31ma\x1b[91mb\x1b[39mc\x1b[?2026l");
    }

    #[test]
    fn an_attribute_that_goes_takes_the_pen_back() {
        let text = bytes(Depth::Rgb, false, &[("a", Style::new().bold()), ("b", Style::new().fg(Color::Indexed(36)))]);
        assert!(text.contains("\x1b[1ma\x1b[0;38;5;36mb\x1b[m"), "{text:?}");
    }

    /// What a terminal shows after each of these lines was drawn over the one before, and what the last one cost.
    fn drawn_over(lines: &[&str]) -> (String, String) {
        let mut terminal = ratatui::Terminal::new(Encoder::new(Size::new(40, 3), Depth::Mono, false)).unwrap();
        let mut screen = vt100::Parser::new(3.try_into().unwrap(), 40.try_into().unwrap(), 0);
        let mut last = Vec::new();
        for line in lines {
            terminal.draw(|frame| frame.render_widget(*line, frame.area())).unwrap();
            last = terminal.backend_mut().take();
            screen.process(&last);
        }
        let text = screen.screen().rows(0, 40).next().unwrap();
        (text.trim_end().to_owned(), String::from_utf8(last).unwrap().replace("\x1b[?2026h", "").replace("\x1b[?2026l", ""))
    }

    #[test]
    fn what_stands_between_changes_is_written_again_where_a_move_is_longer() {
        for (lines, bytes) in [
            (["web-01 ok", "web-02 no"], "\x1b[1;6H2 no"),
            (["a 1 rather long 2", "a 3 rather long 4"], "\x1b[1;3H3\x1b[13C4"),
            (["a long tail of words", "a"], "\x1b[1;3H\x1b[K"),
            (["1 many words here that go 2", "1                         2"], "\x1b[1;3H\x1b[24X"),
            (["1 漢字 4", "2 漢字 5"], "\x1b[1H2\x1b[6C5"),
        ] {
            assert_eq!(drawn_over(&lines), (lines[1].to_owned(), bytes.to_owned()));
        }
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
