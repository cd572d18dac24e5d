//! What a terminal is told beside the picture: its title, a call for a person, a text for its clipboard.
//!
//! Imports: event's rule of harmless text. May not: write; let a byte through that a terminal obeys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::notice::Signal;
use crate::event::clean;

/// Keeps the terminal's title to give it back.
pub(in crate::tui) const PUSH_TITLE: &[u8] = b"\x1b[22;2t";
/// Gives the title back.
pub(in crate::tui) const POP_TITLE: &[u8] = b"\x1b[23;2t";

/// As much as terminals take for a clipboard, encoded.
const CLIPBOARD: usize = 74_994;
/// Longer than any title bar.
const TITLE: usize = 160;
const BELL: u8 = 0x07;

/// What the terminal understands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::tui) struct Dialect {
    /// It is a pane of tmux, which keeps most of this for itself unless it is wrapped.
    pub(in crate::tui) tmux: bool,
    /// It would print what it does not know.
    pub(in crate::tui) plain: bool,
}

impl Dialect {
    /// As the environment tells.
    pub(in crate::tui) fn of(env: impl Fn(&str) -> Option<String>) -> Self {
        let term = env("TERM").unwrap_or_default();
        let plain = term.is_empty() || term == "linux" || term == "dumb" || term.starts_with("vt");
        Self { tmux: env("TMUX").is_some_and(|place| !place.is_empty()), plain }
    }

    /// The terminal's title.
    pub(in crate::tui) fn title(self, text: &str) -> Vec<u8> {
        if self.plain { Vec::new() } else { command("2;", &brief(text)) }
    }

    /// Calls for a person.
    pub(in crate::tui) fn call(self, signal: Signal, text: &str) -> Vec<u8> {
        let text = brief(text);
        let mut bytes = match signal {
            Signal::None => return Vec::new(),
            _ if self.plain => Vec::new(),
            Signal::Bell => Vec::new(),
            // What begins with a digit and a semicolon is something else to some terminals.
            Signal::Osc9 => self.through(command("9;", &text)),
            Signal::Osc777 => self.through(command("777;notify;rollout;", &text.replace(';', ","))),
        };
        // tmux may drop what is wrapped; its bell marks the window in any case.
        if bytes.is_empty() || self.tmux {
            bytes.push(BELL);
        }
        bytes
    }

    /// Puts a text into the terminal's clipboard; nothing if it is too long or the terminal has none.
    pub(in crate::tui) fn clipboard(self, text: &str) -> Option<Vec<u8>> {
        let encoded = STANDARD.encode(text);
        if self.plain || encoded.len() > CLIPBOARD {
            return None;
        }
        let mut bytes = command("52;c;", &encoded);
        if self.tmux {
            // Which of the two passes depends on `set-clipboard` and `allow-passthrough`; both are the same text.
            let through = self.through(bytes.clone());
            bytes.extend(through);
        }
        Some(bytes)
    }

    /// Past tmux to the terminal around it.
    fn through(self, bytes: Vec<u8>) -> Vec<u8> {
        if !self.tmux {
            return bytes;
        }
        let mut wrapped = b"\x1bPtmux;".to_vec();
        for byte in bytes {
            if byte == 0x1b {
                wrapped.push(byte);
            }
            wrapped.push(byte);
        }
        wrapped.extend_from_slice(b"\x1b\\");
        wrapped
    }
}

/// `text` is harmless already. The bell ends it: everybody knows that end, and it needs no doubling.
fn command(kind: &str, text: &str) -> Vec<u8> {
    let mut bytes = format!("\x1b]{kind}{text}").into_bytes();
    bytes.push(BELL);
    bytes
}

/// Without anything that a terminal obeys, and not long.
fn brief(text: &str) -> String {
    clean(text).chars().map(|c| if c.is_control() { ' ' } else { c }).take(TITLE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect = Dialect { tmux: false, plain: false };
    const TMUX: Dialect = Dialect { tmux: true, plain: false };

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn no_text_leaves_its_place() {
        let title = text(PLAIN.title("8/20\u{7}\u{1b}]52;c;AAAA\u{1b}\\ \u{9b}31m\nupdated"));
        assert!(title.starts_with("\x1b]2;8/20") && title.ends_with('\u{7}'), "{title:?}");
        assert_eq!(title.chars().filter(|c| c.is_control()).count(), 2, "{title:?}");
        let call = text(PLAIN.call(Signal::Osc777, "web-03; failed"));
        assert_eq!(call, "\x1b]777;notify;rollout;web-03, failed\u{7}");
        assert!(PLAIN.title(&"x".repeat(5000)).len() < 200);
    }

    #[test]
    fn in_tmux_it_is_wrapped_and_the_bell_rings() {
        assert_eq!(text(TMUX.call(Signal::Osc9, "done")), "\x1bPtmux;\x1b\x1b]9;done\u{7}\x1b\\\u{7}");
        assert_eq!(text(PLAIN.call(Signal::Osc9, "done")), "\x1b]9;done\u{7}");
        assert_eq!(text(TMUX.call(Signal::Bell, "done")), "\u{7}");
        assert_eq!(TMUX.call(Signal::None, "done"), b"");
        let copied = text(TMUX.clipboard("web-03").unwrap());
        assert_eq!(copied, "\x1b]52;c;d2ViLTAz\u{7}\x1bPtmux;\x1b\x1b]52;c;d2ViLTAz\u{7}\x1b\\");
    }

    #[test]
    fn a_terminal_that_knows_none_of_it_gets_the_bell_alone() {
        let console = Dialect::of(|name| (name == "TERM").then(|| "linux".to_owned()));
        assert!(console.title("x").is_empty() && console.clipboard("x").is_none());
        assert_eq!(console.call(Signal::Osc9, "x"), [BELL]);
    }

    #[test]
    fn what_a_clipboard_does_not_take_is_not_sent() {
        assert!(PLAIN.clipboard(&"x".repeat(56_000)).is_some());
        assert_eq!(PLAIN.clipboard(&"x".repeat(56_300)), None);
    }
}
