//! Texts that steer a terminal, forge lines, hide or cover other text, each with a word of its own; and how to find that one of
//! them got through.
//!
//! Imports: nothing of the crate. May not: know how texts are made harmless.

/// One text, as bytes that need not be UTF-8.
pub(crate) struct Payload {
    /// A word in it that is harmless.
    pub(crate) word: String,
    /// All of it.
    pub(crate) bytes: Vec<u8>,
}

impl Payload {
    /// As an argument or a JSON text can have it: UTF-8 without NUL.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).replace('\0', "")
    }
}

/// All of them. `@` stands for the word.
pub(crate) fn all() -> Vec<Payload> {
    let texts: [&[u8]; 21] = [
        b"\x1b]52;c;cm0gLXJmIC8K\x07@",
        b"\x1b]8;;http://evil.example/\x1b\\@\x1b]8;;\x1b\\",
        b"\x1b]0;title\x07@\x1b[21t",
        b"\x1b[2J\x1b[31;7777m\x1b[H@",
        b"\x1bP$q7777m\x1b\\@\x1b_G7777\x1b\\",
        b"@ failed\rhealthy \x08\x08\x7f",
        b"@\n2026-01-01 web-01 healthy (forged)\x0b\x0c",
        b"@ \xc2\x9b31;7777m \xc2\x9d52;c;eA==\xc2\x9c \xc2\x85 forged",
        b"@ \x9b31m \x80 \xff\xfe \xc3 \xe2\x82 \xf0\x9f\x92 lone",
        "@ \u{202e}gpj.exe\u{202c} \u{202a}\u{202b}\u{202d}".as_bytes(),
        "@ \u{2066}a\u{2067}b\u{2068}c\u{2069} \u{200e}\u{200f}\u{61c}".as_bytes(),
        "@ a\u{200b}b\u{200c}c\u{200d}d\u{2060}e\u{feff}f\u{ad}g\u{34f}h\u{180e}i".as_bytes(),
        "@ \u{e0001}\u{e0041}\u{e007f}\u{e01ef}".as_bytes(),
        "@ \u{fe00}\u{fe0f}\u{e0100}\u{180b}".as_bytes(),
        "@ \u{fff9}a\u{fffa}b\u{fffb}".as_bytes(),
        "@ one\u{2028}two\u{2029}three".as_bytes(),
        "@ \u{3164}\u{115f}\u{1160}\u{ffa0}\u{fffe}\u{1ffff}".as_bytes(),
        b"\x00@\x00\x01\x05\x0e\x0f",
        b"@ \x1b[?1049h\x1b[?25l\x1b[6n\x1b[>c\x1bc",
        b"@ %00%1b[31m \\u001b[31m \\x1b]0;x\\x07 &#27;",
        b"@",
    ];
    let mut payloads = Vec::new();
    for (number, text) in (1..).zip(texts) {
        let word = format!("pwn{number:02}x");
        let mut bytes: Vec<u8> = text
            .iter()
            .flat_map(|byte| if *byte == b'@' { word.as_bytes() } else { std::slice::from_ref(byte) })
            .copied()
            .collect();
        if text == b"@" {
            bytes.push(b'e');
            bytes.extend("\u{301}\u{300}\u{336}\u{20dd}\u{489}".repeat(2000).into_bytes());
        }
        payloads.push(Payload { word, bytes });
    }
    payloads
}

/// What must not be in anything that is read line by line: the first such place, in words.
pub(crate) fn trouble(bytes: &[u8]) -> Option<String> {
    let around =
        |at: usize| String::from_utf8_lossy(&bytes[at.saturating_sub(40)..(at + 40).min(bytes.len())]).escape_debug().to_string();
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => return Some(format!("no UTF-8: {}", around(e.valid_up_to()))),
    };
    let mut marks = 0;
    for (at, c) in text.char_indices() {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if (steers(c) && c != '\n') || marks > 4 {
            return Some(format!("{:?}: {}", c, around(at)));
        }
    }
    None
}

/// As [`trouble`], of what a terminal was sent: it is steered by sequences of the program, but by none that only data has.
pub(crate) fn trouble_at_terminal(bytes: &[u8]) -> Option<String> {
    let text = without_our_own(String::from_utf8_lossy(bytes).into_owned());
    let around = |at: usize| {
        text[text.floor_char_boundary(at.saturating_sub(40))..text.ceil_char_boundary((at + 40).min(text.len()))]
            .escape_debug()
            .to_string()
    };
    // OSC, DCS, APC, PM, SOS, reset, and what the payloads ask for in their own numbers.
    let sequences = ["\x1b]", "\x1bP", "\x1b_", "\x1b^", "\x1bX", "\x1bc", "\x1b[31;7777m", "\x1b[21t", "\x1b[>c"];
    if let Some(at) = sequences.iter().find_map(|sequence| text.find(sequence)) {
        return Some(around(at));
    }
    let mut marks = 0;
    text.char_indices().find_map(|(at, c)| {
        marks = if is_mark(c) { marks + 1 } else { 0 };
        let bad = (steers(c) && !matches!(c, '\x1b' | '\r' | '\n' | '\x08' | '\x0e' | '\x0f')) || marks > 4;
        bad.then(|| format!("{c:?}: {}", around(at)))
    })
}

/// Without what the console itself says between two frames: the bell, and the title, whose text remains to be looked at.
fn without_our_own(mut text: String) -> String {
    let own = regex::Regex::new("(\x1b\\[\\?2026l)(?:\x07|\x1b\\[22;2t|\x1b\\[5n|\x1b\\]2;([^\x00-\x1f\x7f]*)\x07)")
        .expect("a regular expression");
    while own.is_match(&text) {
        text = own.replace_all(&text, "$2$1").into_owned();
    }
    text
}

/// Obeyed, reordering, or not seen; written down without a look at the program's own list.
fn steers(c: char) -> bool {
    matches!(u32::from(c),
        0..=0x1f | 0x7f..=0x9f | 0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e
        | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff9..=0xfffb | 0xfffe..=0xffff | 0xe0000..=0xe0fff)
}

fn is_mark(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36f | 0x483..=0x489 | 0x20d0..=0x20f0)
}
