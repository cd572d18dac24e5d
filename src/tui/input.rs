//! Keys from the terminal: bytes become keys, and a hang-up is noticed at once.
//!
//! crossterm 0.29's `event::poll` never returns once its terminal is gone (crossterm #793), so the bytes are read here.
//!
//! Imports: tui::keys, tui::wire. May not: know what a key does.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use super::keys::Key;
use super::wire::{Click, MouseEvent};

/// How many keys may wait: more than a person types while a frame is drawn.
const WAITING: usize = 256;
/// How long an escape character may stay alone before it is the key.
const ESCAPE_ALONE: Duration = Duration::from_millis(50);

/// What the terminal gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// A key.
    Key(Key),
    /// The mouse.
    Mouse(MouseEvent),
    /// The terminal answered the question how it is.
    Answer,
    /// The terminal is gone.
    HungUp,
}

/// The thread that reads. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    inputs: mpsc::Receiver<Input>,
    /// Closing it wakes the thread.
    stop: Option<io::PipeWriter>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Reader {
    /// Reads keys from `tty`.
    pub(super) fn start(tty: OwnedFd) -> io::Result<Self> {
        let (stopped, stop) = io::pipe()?;
        let (sender, inputs) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new().name("console-input".to_owned()).spawn(move || {
            let ended = read_keys(&tty, &stopped, &sender);
            if matches!(ended, Ok(Ended::HungUp) | Err(_)) {
                // Nobody may listen any more; that is fine.
                sender.try_send(Input::HungUp).unwrap_or_default();
            }
        })?;
        Ok(Self { inputs, stop: Some(stop), thread: Some(thread) })
    }

    /// The next input. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Input {
        self.inputs.recv().await.unwrap_or(Input::HungUp)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop = None;
        self.inputs.close();
        if let Some(thread) = self.thread.take() {
            // It never blocks but in `poll`, which the closed pipe ends.
            thread.join().unwrap_or_default();
        }
    }
}

enum Ended {
    Stopped,
    HungUp,
}

fn read_keys(tty: &OwnedFd, stopped: &io::PipeReader, keys: &mpsc::Sender<Input>) -> io::Result<Ended> {
    let mut parser = Parser::default();
    let mut bytes = [0_u8; 1024];
    loop {
        let timeout = parser.is_waiting().then(|| Timespec::try_from(ESCAPE_ALONE).unwrap_or_default());
        let mut fds = [PollFd::new(tty, PollFlags::IN), PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let [of_tty, of_stop] = fds.each_ref().map(PollFd::revents);
        if !of_stop.is_empty() {
            return Ok(Ended::Stopped);
        }
        if of_tty.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return Ok(Ended::HungUp);
        }
        let read = if of_tty.contains(PollFlags::IN) {
            match rustix::io::read(tty, &mut bytes) {
                Ok(0) => return Ok(Ended::HungUp),
                Ok(n) => n,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
                Err(error) => return Err(error.into()),
            }
        } else {
            0
        };
        let found =
            if read == 0 { parser.alone().into_iter().collect() } else { parser.feed(bytes.get(..read).unwrap_or_default()) };
        for input in found {
            // Full means that someone leans on a key: what is too much is dropped, it must not wait here.
            if let Err(mpsc::error::TrySendError::Closed(_)) = keys.try_send(input) {
                return Ok(Ended::Stopped);
            }
        }
    }
}

/// Bytes to keys. Sequences that mean nothing to us are swallowed whole: escape and a letter are never the letter.
#[derive(Debug, Default)]
struct Parser {
    pending: Vec<u8>,
    /// Between the marks of a paste: text from a clipboard is no order to the engine.
    pasting: bool,
    /// The beginning of a sequence whose rest was not there in time. If it comes after all, it is no key.
    torn: Option<Vec<u8>>,
}

/// How a paste begins and ends.
const PASTE: (&[u8], &[u8]) = (b"\x1b[200~", b"\x1b[201~");

/// A sequence longer than this is noise.
const LONGEST: usize = 64;

enum Step {
    /// So many bytes were this.
    Took(usize, Option<Input>),
    /// It goes on.
    More,
}

impl Parser {
    fn is_waiting(&self) -> bool {
        !self.pending.is_empty() && !self.pasting
    }

    fn feed(&mut self, bytes: &[u8]) -> Vec<Input> {
        self.pending.extend_from_slice(bytes);
        let mut inputs = Vec::new();
        if let Some(torn) = self.torn.take() {
            match rest_of(&torn, &self.pending) {
                Some(Step::More) => {
                    self.torn = Some(torn);
                    return inputs;
                }
                Some(Step::Took(n, input)) => {
                    self.pasting = [&torn, self.pending.get(..n).unwrap_or_default()].concat() == PASTE.0;
                    self.pending.drain(..n.min(self.pending.len()));
                    inputs.extend(input);
                }
                None => {}
            }
        }
        let mut at = 0;
        while let Some(rest) = self.pending.get(at..).filter(|rest| !rest.is_empty()) {
            if self.pasting {
                let end = rest.windows(PASTE.1.len()).position(|window| window == PASTE.1);
                self.pasting = end.is_none();
                // The end's first part may be here already.
                at += end.map_or_else(|| rest.len().saturating_sub(PASTE.1.len() - 1), |end| end + PASTE.1.len());
                if self.pasting {
                    break;
                }
                continue;
            }
            if rest.starts_with(PASTE.0) {
                self.pasting = true;
                at += PASTE.0.len();
                continue;
            }
            match step(rest) {
                Step::Took(n, input) => {
                    at += n.max(1);
                    inputs.extend(input);
                }
                Step::More => break,
            }
        }
        self.pending.drain(..at.min(self.pending.len()));
        inputs
    }

    /// Nothing followed: a lone escape is the key, the rest of a broken sequence is nothing.
    fn alone(&mut self) -> Option<Input> {
        if self.pasting {
            return None;
        }
        let pending = std::mem::take(&mut self.pending);
        let torn = self.torn.take().unwrap_or_default();
        match (torn.as_slice(), pending.as_slice()) {
            ([0x1b], [key]) => return Some(Input::Key(Key::Char(char::from(*key)))),
            ([], [0x1b]) => {
                self.torn = Some(pending);
                return Some(Input::Key(Key::Esc));
            }
            ([], [0x1b, ..]) | ([_, ..], _) => self.torn = Some([torn, pending].concat()).filter(|torn| torn.len() <= LONGEST),
            _ => {}
        }
        None
    }
}

/// What `bytes` are as the rest of a sequence of which the beginning was torn off; `None` if they are not. Keys are not
/// made of pieces: what came too late does nothing.
fn rest_of(torn: &[u8], bytes: &[u8]) -> Option<Step> {
    if torn == [0x1b] && !matches!(bytes, [b'[' | b'O', ..]) {
        return None;
    }
    let whole = [torn, bytes].concat();
    match step(&whole) {
        Step::More => Some(Step::More),
        Step::Took(n, input) => {
            let ends = whole.get(n.wrapping_sub(1)).copied();
            let known = input.is_some() || matches!(ends, Some(b'~')) || whole.starts_with(MOUSE);
            // F1 to F4.
            let known = known || matches!(whole.as_slice(), [0x1b, b'O', b'P'..=b'S', ..]);
            let taken = n.checked_sub(torn.len()).filter(|taken| *taken > 0 && known)?;
            Some(Step::Took(taken, input.filter(|input| !matches!(input, Input::Key(_)))))
        }
    }
}

/// How a report of the mouse begins.
const MOUSE: &[u8] = b"\x1b[<";

fn step(bytes: &[u8]) -> Step {
    let key = |n, key| Step::Took(n, Some(Input::Key(key)));
    match bytes {
        [] | [0x1b] | [0x1b, b'O'] | [0x1b, b'[', b'['] => Step::More,
        [0x1b, 0x1b, ..] => key(1, Key::Esc),
        [0x1b, b'[', b'<', rest @ ..] => mouse(rest, MOUSE.len()),
        // The mouse of a terminal that knows no other way to tell: three bytes that look like keys.
        [0x1b, b'[', b'M', rest @ ..] => {
            if rest.len() < 3 {
                Step::More
            } else {
                Step::Took(6, None)
            }
        }
        // The function keys of the Linux console: the letter alone would be another key.
        [0x1b, b'[', b'[', letter @ b'A'..=b'E', ..] => key(4, Key::F(letter - b'A' + 1)),
        [0x1b, b'[', rest @ ..] => sequence(rest, 2),
        [0x1b, b'O', end, ..] => Step::Took(3, final_key(*end).map(Input::Key)),
        // Alt and a key: on a slow link it cannot be told from escape and that key. Escape is harmless, the key may not be.
        [0x1b, _, ..] => key(2, Key::Esc),
        [b'\r' | b'\n', ..] => key(1, Key::Enter),
        [b'\t', ..] => key(1, Key::Tab),
        [0x7f | 0x08, ..] => key(1, Key::Backspace),
        [control @ 0x01..=0x1a, ..] => key(1, Key::Ctrl(char::from(control | 0x60))),
        [printable @ 0x20..=0x7e, ..] => key(1, Key::Char(char::from(*printable))),
        [first, ..] => utf8(bytes, *first),
    }
}

/// The rest of `ESC [ <`: button, column, row, and whether it went down. Whatever else comes is not taken.
fn mouse(rest: &[u8], before: usize) -> Step {
    let Some(end) = rest.iter().position(|b| !(b.is_ascii_digit() || *b == b';')) else {
        return if rest.len() > LONGEST { Step::Took(before + rest.len(), None) } else { Step::More };
    };
    let event = || {
        let text = std::str::from_utf8(rest.get(..end)?).ok()?;
        let mut numbers = text.split(';').map(|number| number.parse::<u16>().ok());
        let (button, column, row) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let click = match button {
            0 => Click::Left,
            64 => Click::WheelUp,
            65 => Click::WheelDown,
            // Other buttons, moves, and what is held with them.
            _ => return None,
        };
        Some(Input::Mouse(MouseEvent { click, column: column.checked_sub(1)?, row: row.checked_sub(1)? }))
    };
    match rest.get(end) {
        Some(b'M') => Step::Took(before + end + 1, event()),
        Some(b'm') => Step::Took(before + end + 1, None),
        _ => Step::Took(before + end, None),
    }
}

/// The rest of `ESC [`, of which `before` bytes are taken already.
fn sequence(rest: &[u8], before: usize) -> Step {
    let Some(end) = rest.iter().position(|b| (0x40..=0x7e).contains(b)) else {
        return if rest.len() > LONGEST { Step::Took(before + rest.len(), None) } else { Step::More };
    };
    let key = match (rest.get(..end), rest.get(end)) {
        (Some(b"0" | b"3"), Some(b'n')) => return Step::Took(before + end + 1, Some(Input::Answer)),
        (Some([]), Some(&last)) => final_key(last),
        (Some(b"1" | b"7"), Some(b'~')) => Some(Key::Home),
        (Some(b"4" | b"8"), Some(b'~')) => Some(Key::End),
        (Some(b"5"), Some(b'~')) => Some(Key::PageUp),
        (Some(b"6"), Some(b'~')) => Some(Key::PageDown),
        (Some(b"3"), Some(b'~')) => Some(Key::Delete),
        (Some(number), Some(b'~')) => function(number),
        _ => None,
    };
    Step::Took(before + end + 1, key.map(Input::Key))
}

/// `ESC [ 15 ~` and its like; the numbers have gaps.
fn function(number: &[u8]) -> Option<Key> {
    let number: u8 = std::str::from_utf8(number).ok()?.parse().ok()?;
    let n = match number {
        11..=15 => number - 10,
        17..=21 => number - 11,
        23..=24 => number - 12,
        _ => return None,
    };
    Some(Key::F(n))
}

fn final_key(last: u8) -> Option<Key> {
    match last {
        b'A' => Some(Key::Up),
        b'B' => Some(Key::Down),
        b'C' => Some(Key::Right),
        b'D' => Some(Key::Left),
        b'H' => Some(Key::Home),
        b'F' => Some(Key::End),
        b'Z' => Some(Key::BackTab),
        b'M' => Some(Key::Enter),
        b'P'..=b'S' => Some(Key::F(last - b'P' + 1)),
        _ => None,
    }
}

fn utf8(bytes: &[u8], first: u8) -> Step {
    let len = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Step::Took(1, None),
    };
    match bytes.get(..len).map(std::str::from_utf8) {
        None => Step::More,
        Some(Ok(text)) => Step::Took(len, text.chars().next().map(|c| Input::Key(Key::Char(c)))),
        Some(Err(_)) => Step::Took(1, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(chunks: &[&[u8]]) -> Vec<Key> {
        let mut parser = Parser::default();
        keys_of(chunks.iter().flat_map(|chunk| parser.feed(chunk)))
    }

    fn keys_of(inputs: impl IntoIterator<Item = Input>) -> Vec<Key> {
        let key = |input| match input {
            Input::Key(key) => Some(key),
            Input::Mouse(_) | Input::Answer | Input::HungUp => None,
        };
        inputs.into_iter().filter_map(key).collect()
    }

    /// Each chunk comes after the time in which a sequence must be whole.
    fn late(chunks: &[&[u8]]) -> Vec<Input> {
        let mut parser = Parser::default();
        let mut inputs = Vec::new();
        for chunk in chunks {
            inputs.extend(parser.feed(chunk));
            if parser.is_waiting() {
                inputs.extend(parser.alone());
            }
        }
        inputs
    }

    #[test]
    fn keys_are_read_also_in_pieces() {
        assert_eq!(keys(&[b"pR"]), [Key::Char('p'), Key::Char('R')]);
        assert_eq!(keys(&[b"\x1b[A\x1bOB\x1b[5~\x1b[Z"]), [Key::Up, Key::Down, Key::PageUp, Key::BackTab]);
        assert_eq!(keys(&[b"\x1b", b"[", b"D"]), [Key::Left]);
        assert_eq!(keys(&["ä".as_bytes()]), [Key::Char('ä')]);
        assert_eq!(keys(&[&[0xc3], &[0xa4]]), [Key::Char('ä')]);
        assert_eq!(
            keys(&[b"\x03\x0c\x1a\r\t\x7f"]),
            [Key::Ctrl('c'), Key::Ctrl('l'), Key::Ctrl('z'), Key::Enter, Key::Tab, Key::Backspace]
        );
    }

    #[test]
    fn function_keys_of_every_kind_of_terminal() {
        let f = |n| Key::F(n);
        assert_eq!(keys(&[b"\x1bOP\x1bOS\x1b[11~\x1b[15~"]), [f(1), f(4), f(1), f(5)]);
        assert_eq!(keys(&[b"\x1b[17~\x1b[21~\x1b[23~\x1b[24~"]), [f(6), f(10), f(11), f(12)]);
        assert_eq!(keys(&[b"\x1b[[A\x1b[[E", b"\x1b[[", b"B"]), [f(1), f(5), f(2)]);
        assert_eq!(keys(&[b"\x1b[3~\x1b[25~q\x1b[1;2P"]), [Key::Delete, Key::Char('q')]);
    }

    #[test]
    fn escape_with_a_letter_is_never_the_letter() {
        assert_eq!(keys(&[b"\x1bR"]), [Key::Esc]);
        assert_eq!(keys(&[b"\x1b[1;5Ay"]), [Key::Char('y')]);
        let mut parser = Parser::default();
        assert_eq!(parser.feed(b"\x1b"), []);
        assert_eq!(parser.alone(), Some(Input::Key(Key::Esc)));
        assert_eq!(parser.feed(b"\x1b[12"), []);
        assert_eq!(parser.alone(), None);
    }

    #[tokio::test]
    async fn a_terminal_that_is_gone_is_noticed_and_a_reader_can_be_stopped() {
        let open = || {
            let pair = portable_pty::native_pty_system().openpty(portable_pty::PtySize::default()).unwrap();
            let name = pair.master.tty_name().unwrap();
            let tty = std::fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
            (pair.master, OwnedFd::from(tty))
        };
        let (master, tty) = open();
        let mut reader = Reader::start(tty).unwrap();
        let mut keys = master.take_writer().unwrap();
        io::Write::write_all(&mut keys, b"\r").unwrap();
        assert_eq!(reader.next().await, Input::Key(Key::Enter));
        drop(keys);
        drop(master);
        let gone = tokio::time::timeout(Duration::from_secs(1), async {
            // Closing the writer sends an end-of-file character first.
            while reader.next().await != Input::HungUp {}
        });
        gone.await.unwrap();
        assert!(reader.thread.as_ref().unwrap().is_finished() || reader.inputs.recv().await.is_none(), "the thread ends");

        let (_master, tty) = open();
        // Joins the thread, which waits for a key that never comes.
        drop(Reader::start(tty).unwrap());
    }

    #[test]
    fn a_paste_orders_nothing() {
        assert_eq!(keys(&[b"p\x1b[200~R y C\x1b[A\x1b[201~q"]), [Key::Char('p'), Key::Char('q')]);
        assert_eq!(keys(&[b"\x1b[200~Ry", b"y\x1b[2", b"01~", b"q"]), [Key::Char('q')]);
    }

    fn click(click: Click, column: u16, row: u16) -> Input {
        Input::Mouse(MouseEvent { click, column, row })
    }

    #[test]
    fn the_mouse_is_read_and_what_it_does_besides_is_swallowed() {
        let read = |chunks: &[&[u8]]| {
            let mut parser = Parser::default();
            chunks.iter().flat_map(|chunk| parser.feed(chunk)).collect::<Vec<_>>()
        };
        assert_eq!(read(&[b"\x1b[<0;5;3M\x1b[<0;5;3mp"]), [click(Click::Left, 4, 2), Input::Key(Key::Char('p'))]);
        assert_eq!(read(&[b"\x1b[<64;1;1M\x1b[<65;200;60M"]), [click(Click::WheelUp, 0, 0), click(Click::WheelDown, 199, 59)]);
        // Drags, moves, other buttons, buttons with a key held, nonsense, and reports that are not numbers.
        for noise in ["32;5;3M", "35;5;3M", "2;5;3M", "4;5;3M", "0;0;0M", "0;5M", ";;M", "99999;1;1M", "0;5;3;9m"] {
            let report = format!("\x1b[<{noise}");
            let inputs = read(&[report.as_bytes()]);
            assert!(inputs.is_empty(), "{noise}: {inputs:?}");
        }
        assert_eq!(read(&[b"\x1b[M #\"R", b"q"]), [Input::Key(Key::Char('R')), Input::Key(Key::Char('q'))]);
        let report = b"\x1b[<0;15;3M";
        for at in 1..report.len() {
            assert_eq!(read(&[&report[..at], &report[at..]]), [click(Click::Left, 14, 2)], "in pieces at {at}");
        }
    }

    #[test]
    fn what_comes_torn_by_a_slow_link_is_never_a_key_but_escape() {
        for whole in [&b"\x1b[<0;15;3M"[..], b"\x1b[<0;15;3m", b"\x1b[0n", b"\x1b[200~RyR\x1b[201~", b"\x1b[A", b"\x1bOP"] {
            for at in 1..whole.len().min(6) {
                let keys = keys_of(late(&[&whole[..at], &whole[at..], b"p"]));
                let escape: &[Key] = if at == 1 { &[Key::Esc] } else { &[] };
                // A key pad's torn rest is swallowed with its key at worst.
                assert_eq!(keys.strip_suffix(&[Key::Char('p')]), Some(escape), "{whole:?} at {at}");
            }
        }
        assert_eq!(late(&[b"\x1b[0", b"n"]), [Input::Answer]);
        assert_eq!(late(&[b"\x1b[<0;1", b"5;", b"3M"]), [click(Click::Left, 14, 2)]);
        // And hands are heard.
        assert_eq!(keys_of(late(&[b"\x1b", b"[", b"n"])), [Key::Esc, Key::Char('['), Key::Char('n')]);
        assert_eq!(keys_of(late(&[b"\x1b", b"p"])), [Key::Esc, Key::Char('p')]);
        assert_eq!(keys_of(late(&[b"\x1b[", b"p"])), [Key::Char('p')]);
        assert_eq!(keys_of(late(&[b"\x1b[<", b"p"])), [Key::Char('p')]);
    }

    #[test]
    fn noise_is_swallowed() {
        assert_eq!(keys(&[&[0xff, 0xfe, b'q']]), [Key::Char('q')]);
        let mut noise = vec![0x1b, b'['];
        noise.extend([b'0'; 200]);
        assert_eq!(keys(&[&noise, b"q"]), [Key::Char('q')]);
    }
}
