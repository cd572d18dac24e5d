//! Finds a value in what a program or a server answered: the first line, a JSON pointer, a regular expression.
//!
//! Imports: os' text. May not: know what the value means.

use regex::{Regex, RegexBuilder};

use super::text;

/// The longest expression. What a search takes grows with its length times that of the answer, and the answer is another's.
const PATTERN_MAX: usize = 1000;
/// What an expression may become when its repetitions are written out, in bytes.
const PROGRAM_MAX: usize = 1 << 20;

/// Where the value is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Extract {
    /// The first line that is not empty.
    #[default]
    FirstLine,
    /// At this JSON pointer: a text, a number or a truth value.
    Json(String),
    /// What the first group that takes part matches, or all of the match if there is none.
    Regex(String),
}

/// Ready to look.
#[derive(Debug, Clone)]
pub struct Extractor {
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    FirstLine,
    Json(String),
    Regex(Regex),
}

impl Extractor {
    /// Checks the pointer or the expression.
    ///
    /// # Errors
    /// Fails with a sentence if it is none.
    pub fn new(extract: &Extract) -> Result<Self, String> {
        let how = match extract {
            Extract::FirstLine => How::FirstLine,
            Extract::Json(pointer) if pointer.is_empty() || pointer.starts_with('/') => How::Json(pointer.clone()),
            Extract::Json(pointer) => {
                return Err(format!("{pointer:?} is no JSON pointer: it must begin with a slash, like \"/version\""));
            }
            Extract::Regex(pattern) if pattern.len() > PATTERN_MAX => {
                let length = pattern.len();
                return Err(format!(
                    "is no regular expression for a version: it has {length} bytes, at most {PATTERN_MAX} are searched for"
                ));
            }
            Extract::Regex(pattern) => {
                let regex = RegexBuilder::new(pattern).size_limit(PROGRAM_MAX).build();
                How::Regex(regex.map_err(|e| format!("{pattern:?} {}", fault(&e)))?)
            }
        };
        Ok(Self { how })
    }

    /// The value in `answer`, which is `whole` or was cut off.
    ///
    /// # Errors
    /// Says why there is none, to follow "there is no value".
    pub fn read(&self, answer: &[u8], whole: bool) -> Result<String, &'static str> {
        let lossy = || String::from_utf8_lossy(answer);
        match &self.how {
            How::FirstLine => {
                let text = lossy();
                let line = text.lines().map(str::trim).find(|line| !line.is_empty());
                line.map(str::to_owned).ok_or("the answer is empty")
            }
            How::Json(_) if !whole => Err("the answer is over 64 KiB"),
            How::Json(pointer) => {
                let json = serde_json::from_slice::<serde_json::Value>(answer).map_err(|_not_json| "the answer is no JSON")?;
                match json.pointer(pointer) {
                    Some(serde_json::Value::String(value)) => Ok(value.trim().to_owned()),
                    Some(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => Ok(value.to_string()),
                    Some(_) => Err("the JSON pointer leads to no single value"),
                    None => Err("the JSON pointer leads nowhere"),
                }
            }
            How::Regex(regex) => {
                let text = lossy();
                let found = regex.captures(&text).ok_or("the regex does not match")?;
                let value = found.iter().skip(1).flatten().next().or_else(|| found.get(0)).map_or("", |value| value.as_str());
                Ok(value.trim().to_owned())
            }
        }
    }
}

/// What is wrong with an expression, in one line: the last one of the error says it.
fn fault(error: &regex::Error) -> String {
    let words = error.to_string();
    let last = words.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
    format!("is no regular expression: {}", text::sanitise(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(extract: &Extract, answer: &[u8]) -> Result<String, &'static str> {
        Extractor::new(extract).unwrap().read(answer, true)
    }

    #[test]
    fn values_are_found() {
        let json = |pointer: &str| Extract::Json(pointer.to_owned());
        let regex = |pattern: &str| Extract::Regex(pattern.to_owned());
        assert_eq!(read(&Extract::FirstLine, b"\n  v41 \nmore"), Ok("v41".to_owned()));
        assert_eq!(read(&Extract::FirstLine, b" \n"), Err("the answer is empty"));
        assert_eq!(read(&json("/a/0"), b"{\"a\": [7]}"), Ok("7".to_owned()));
        assert_eq!(read(&json("/a"), b"{\"a\": true}"), Ok("true".to_owned()));
        assert_eq!(read(&json("/a"), b"{\"a\": [7]}"), Err("the JSON pointer leads to no single value"));
        assert_eq!(read(&json("/b"), b"{}"), Err("the JSON pointer leads nowhere"));
        assert_eq!(read(&json("/b"), b"\xff\xfe"), Err("the answer is no JSON"));
        assert_eq!(read(&regex("shop-(v[0-9]+)"), b"\xff x shop-v7 y"), Ok("v7".to_owned()));
        assert_eq!(read(&regex("a=(x)|b=(y)"), b"b=y a=x"), Ok("y".to_owned()));
        assert_eq!(read(&regex("v[0-9]+"), b"is v8"), Ok("v8".to_owned()));
        assert_eq!(read(&regex("v[0-9]+"), b"is x"), Err("the regex does not match"));
        assert_eq!(Extractor::new(&json("/a")).unwrap().read(b"{", false), Err("the answer is over 64 KiB"));
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused() {
        assert!(Extractor::new(&Extract::Json("a".to_owned())).unwrap_err().contains("JSON pointer"));
        for too_long in ["a".repeat(PATTERN_MAX + 1), r"(\w{100}){100}".to_owned()] {
            assert!(Extractor::new(&Extract::Regex(too_long)).is_err());
        }
        let error = Extractor::new(&Extract::Regex("v(".to_owned())).unwrap_err();
        assert!(error.contains("regular expression: unclosed group"), "{error}");
    }
}
