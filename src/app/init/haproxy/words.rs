//! The words of a line as HAProxy reads them: quotes, escapes and comments.

/// The words of a line.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, '#') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_escapes_and_comments_are_haproxys() {
        assert_eq!(words("  server  a\t10.0.0.1:80 # why"), ["server", "a", "10.0.0.1:80"]);
        assert_eq!(
            words(r#"option httpchk GET "/a b" x\ y 'single \ kept'"#),
            ["option", "httpchk", "GET", "/a b", "x y", r"single \ kept"]
        );
        assert_eq!(words(r##"a"#b"c \# """##), ["a#bc", "#", ""]);
        assert_eq!(words("# nothing"), Vec::<String>::new());
        assert_eq!(words("open \"quote"), ["open", "quote"]);
    }
}
