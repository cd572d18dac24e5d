//! The one place that quotes for a shell.
//!
//! Imports: nothing. May not: decide what is run.

/// A word of POSIX sh that stands for exactly this text, within one line. It is read by [`super::WRAPPER`], which has the
/// three bytes in variables that a quoted word cannot carry everywhere: a newline would end the line, and bash takes 1 and
/// 127 for marks of its own.
pub fn quote(text: &str) -> String {
    let mut word = String::with_capacity(text.len() + 2);
    word.push('\'');
    for c in text.chars() {
        match c {
            // Outside of the quotes, so that shells which know escapes within them read the same.
            '\'' | '\\' | '!' => word.extend(["'\\", c.encode_utf8(&mut [0; 4]), "'"]),
            '\n' => word.push_str("'\"$rollout_n\"'"),
            '\u{1}' => word.push_str("'\"$rollout_a\"'"),
            '\u{7f}' => word.push_str("'\"$rollout_d\"'"),
            c => word.push(c),
        }
    }
    word.push('\'');
    word
}

/// As [`quote`] for a script of several lines that is given to the login shell itself.
pub(super) fn quote_script(script: &str) -> String {
    let mut word = String::from("'");
    for c in script.chars() {
        match c {
            '\'' | '\\' | '!' => word.extend(["'\\", c.encode_utf8(&mut [0; 4]), "'"]),
            c => word.push(c),
        }
    }
    word.push('\'');
    word
}
