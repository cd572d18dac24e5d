//! Reads server-sent events from bytes as they come in.
//!
//! Imports: nothing. May not: know what the events mean.

/// One event of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Frame {
    /// Its `event:`; empty if it has none.
    pub(super) name: String,
    /// Its `data:` lines.
    pub(super) data: String,
}

/// The stream is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// Longer than any event of ours.
    #[error("an event of more than {0} bytes")]
    TooLong(usize),
    /// Not text.
    #[error("bytes that are not UTF-8")]
    NotText,
}

/// Keeps what is not a whole event yet.
#[derive(Debug)]
pub(super) struct Parser {
    buffer: Vec<u8>,
    /// Up to here `buffer` is known to hold no end of a line.
    scanned: usize,
    frame: Frame,
    max: usize,
}

impl Parser {
    /// A parser that refuses an event of more than `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self { buffer: Vec::new(), scanned: 0, frame: Frame::default(), max }
    }

    /// Takes the next bytes and gives the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, Malformed> {
        self.buffer.extend_from_slice(bytes);
        let (mut start, mut frames) = (0, Vec::new());
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut scan = self.scanned;
        while let Some(end) = buffer.iter().skip(scan).position(|byte| *byte == b'\n').map(|at| at + scan) {
            let line = buffer.get(start..end).unwrap_or_default();
            let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).map_err(|_not_utf8| Malformed::NotText)?;
            frames.extend(self.line(line));
            start = end + 1;
            scan = start;
        }
        buffer.drain(..start);
        self.buffer = buffer;
        self.scanned = self.buffer.len();
        if self.buffer.len() + self.frame.data.len() > self.max { Err(Malformed::TooLong(self.max)) } else { Ok(frames) }
    }

    fn line(&mut self, line: &str) -> Option<Frame> {
        if line.is_empty() {
            let frame = std::mem::take(&mut self.frame);
            return (frame != Frame::default()).then_some(frame);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.frame.name),
            "data" => {
                if !self.frame.data.is_empty() {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
            }
            // Comments (an empty field) and what we have no use for.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, data: &str) -> Frame {
        Frame { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_read_however_the_bytes_are_cut() {
        let text =
            ": alive\n\nevent: event\nid: 7\ndata: {\"a\":\"é\"}\n\nevent:log\r\ndata:x\r\ndata: y\r\n\r\nevent: closed\n\n:\n\n";
        let expected = [frame("event", "{\"a\":\"é\"}"), frame("log", "x\ny"), frame("closed", "")];
        for size in 1..text.len() {
            let mut parser = Parser::new(1000);
            let found: Vec<Frame> = text.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk).unwrap()).collect();
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_never_ends_is_refused() {
        let mut parser = Parser::new(100);
        assert_eq!(parser.push(&[b'x'; 60]), Ok(vec![]));
        assert_eq!(parser.push(&[b'x'; 60]), Err(Malformed::TooLong(100)));
        assert_eq!(Parser::new(100).push(b"data: \xff\n"), Err(Malformed::NotText));
    }
}
