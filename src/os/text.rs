//! Text from outside made harmless: nothing in it can steer a terminal, fake a line, or fill a screen.
//!
//! Imports: nothing. May not: know where the text comes from.

/// The longest text that is let through, in characters.
pub const TEXT_CHARS_MAX: usize = 200;

/// `text` on one line, at most [`TEXT_CHARS_MAX`] characters, with control, bidirectional and invisible characters
/// written out (`\n`, `\u{1b}`, `\u{202e}`). What is cut off ends in `…`.
pub fn sanitise(text: &str) -> String {
    sanitise_within(text, TEXT_CHARS_MAX)
}

/// As [`sanitise`], with at most `max` characters.
pub fn sanitise_within(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max * 4));
    let mut left = max;
    for c in text.chars() {
        let width = if hidden(c) { c.escape_default().count() } else { 1 };
        if width > left {
            out.push('…');
            return out;
        }
        left -= width;
        if hidden(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// `1 instance`, `20 instances`: a number with its noun, whose plural ends in s.
pub fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// True for what a terminal obeys, reorders by, or does not show: C0, DEL, C1, bidirectional controls, zero-width
/// characters, line and paragraph separators, tags.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(sanitise("plain – ünïcode 漢字"), "plain – ünïcode 漢字");
        assert_eq!(sanitise("a\r\nb\tc"), "a\\r\\nb\\tc");
        assert_eq!(sanitise("\x1b[2J\u{9b}31m"), "\\u{1b}[2J\\u{9b}31m");
        assert_eq!(sanitise("user\u{202e}gpj.exe\u{200b}"), "user\\u{202e}gpj.exe\\u{200b}");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        assert_eq!(sanitise(&"x".repeat(200)), "x".repeat(200));
        let cut = sanitise(&"x".repeat(201));
        assert_eq!(cut, format!("{}…", "x".repeat(200)));
        let escapes = sanitise(&"\x1b".repeat(1_000_000));
        assert!(escapes.chars().count() <= TEXT_CHARS_MAX + 1 && escapes.ends_with('…'), "{escapes}");
    }
}
