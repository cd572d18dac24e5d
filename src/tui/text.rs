//! Texts that fit: widths, cuts, lines, times, sparklines.
//!
//! Imports: tui::chart's marks, event, model. May not: know a style.

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::chart::Mark;
use crate::event::clean;
use crate::model::{Span, Timestamp};

/// Columns that the text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text in at most `columns`; a cut ends in `~`.
pub(super) fn clip(text: &str, columns: usize) -> String {
    let text = clean(text);
    if text.width() <= columns {
        return text.into_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > columns {
            break;
        }
        cut.push(c);
    }
    if columns > 0 {
        cut.push('~');
    }
    cut
}

/// The text in exactly `columns`, filled on the right.
pub(super) fn fit(text: &str, columns: usize) -> String {
    let mut text = clip(text, columns);
    let missing = columns.saturating_sub(text.width());
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

/// The text in at most `columns`; what is cut is in its middle, since versions differ at both ends.
pub(super) fn middle(text: &str, columns: usize) -> String {
    let text = clean(text);
    if text.width() <= columns {
        return text.into_owned();
    }
    let head = columns.saturating_sub(1).div_ceil(2);
    let mut start = clip(&text, head + 1);
    if columns < 3 {
        return clip(&text, columns);
    }
    let mut tail = String::new();
    for c in text.chars().rev() {
        if start.width() + tail.width() + c.width().unwrap_or(0) > columns {
            break;
        }
        tail.insert(0, c);
    }
    start.push_str(&tail);
    start
}

/// A trouble in at most `columns`: its paths give way first, then what is of no help at a glance, then its middle; the
/// reason is at the end.
pub(super) fn trouble(text: &str, columns: usize) -> String {
    let clean = clean(text);
    if clean.width() <= columns {
        return clean.into_owned();
    }
    let words: Vec<String> = clean.split(' ').map(short_path).collect();
    let mut text = words.join(" ");
    for detail in [" (command `", " (os error "] {
        if text.width() > columns
            && let Some((before, rest)) = text.split_once(detail)
            && let Some((_, after)) = rest.split_once(')')
        {
            text = format!("{before}{after}");
        }
    }
    middle(&text, columns)
}

/// `unix:/run/haproxy/admin.sock:` as `unix:.../admin.sock:`; anything but a long absolute path stays.
fn short_path(word: &str) -> String {
    let Some((before, path)) = word.split_once('/').filter(|(_, path)| !path.starts_with('/')) else { return word.to_owned() };
    let absolute = before.is_empty() || before.ends_with([':', '(', '"', '`', '=']);
    match path.rsplit_once('/') {
        Some((_, name)) if absolute && !name.is_empty() => format!("{before}.../{name}"),
        _ => word.to_owned(),
    }
}

/// The text in exactly `columns`, cut in its middle, filled on the right.
pub(super) fn fit_middle(text: &str, columns: usize) -> String {
    fit(&middle(text, columns), columns)
}

/// The text in exactly `columns`, filled on the left.
pub(super) fn fit_right(text: &str, columns: usize) -> String {
    let text = clip(text, columns);
    format!("{}{text}", " ".repeat(columns.saturating_sub(text.width())))
}

/// The text in lines of at most `columns`, broken between words where that is possible.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in clean(text).split_whitespace() {
        let mut word = word.to_owned();
        if !line.is_empty() && line.width() + 1 + word.width() > columns {
            lines.push(std::mem::take(&mut line));
        }
        while word.width() > columns {
            let cut = word.char_indices().scan(0, |used, (at, c)| {
                *used += c.width().unwrap_or(0);
                Some((at, *used))
            });
            let at = cut.take_while(|(_, used)| *used <= columns).count().max(1);
            let at = word.char_indices().nth(at).map_or(word.len(), |(at, _)| at);
            lines.push(word.drain(..at).collect());
        }
        if !line.is_empty() && !word.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// `04:12`, `1:04:12`.
pub(super) fn clock(span: Span) -> String {
    let secs = span.as_millis() / 1000;
    match secs / 3600 {
        0 => format!("{:02}:{:02}", secs / 60, secs % 60),
        hours => format!("{hours}:{:02}:{:02}", secs / 60 % 60, secs % 60),
    }
}

/// A span in whole seconds, for what counts down.
pub(super) fn seconds(span: Span) -> Span {
    Span::from_millis(span.as_millis().div_ceil(1000) * 1000)
}

/// The time of day in this zone.
pub(super) fn time_of_day(at: Timestamp, zone: &TimeZone) -> String {
    zoned(at, zone).map_or_else(|| "--:--:--".to_owned(), |at| at.strftime("%H:%M:%S").to_string())
}

/// Day and time for the name of a file.
pub(super) fn stamp(at: Timestamp, zone: &TimeZone) -> String {
    zoned(at, zone).map_or_else(|| at.as_millis().to_string(), |at| at.strftime("%Y%m%d-%H%M%S").to_string())
}

/// The zone's name at this time.
pub(super) fn zone_name(at: Timestamp, zone: &TimeZone) -> String {
    zoned(at, zone).map_or_else(String::new, |at| at.strftime("%Z").to_string())
}

pub(super) fn zoned(at: Timestamp, zone: &TimeZone) -> Option<jiff::Zoned> {
    let ms = i64::try_from(at.as_millis()).ok()?;
    Some(jiff::Timestamp::from_millisecond(ms).ok()?.to_zoned(zone.clone()))
}

/// The last `columns` marks as bars. The scale ends at the largest one shown, but not below 50 ms, so that nothing looks
/// dramatic that is not; a miss is an `x`, down for its update a `_`.
pub(super) fn spark(marks: &VecDeque<Mark>, columns: usize, ascii: bool) -> String {
    let steps =
        if ascii { ['.', ':', '-', '=', '+', '*', '#', '%'] } else { ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] };
    let shown = || marks.iter().skip(marks.len().saturating_sub(columns));
    let largest = shown().filter_map(|mark| if let Mark::Passed(ms) = mark { Some(*ms) } else { None }).max();
    let top = largest.unwrap_or(0).max(50);
    shown()
        .map(|mark| match mark {
            Mark::Missed => 'x',
            Mark::Down => '_',
            Mark::Passed(ms) => {
                let step = usize::try_from(ms * 8 / (top + 1)).unwrap_or(7);
                steps.get(step).copied().unwrap_or('x')
            }
        })
        .collect()
}

/// The last marks as bars of so many columns and rows, the highest row first, and what its upper end stands for.
pub(super) fn columns(marks: &VecDeque<Mark>, (columns, rows): (usize, usize), ascii: bool) -> (u64, Vec<String>) {
    let shown = || marks.iter().skip(marks.len().saturating_sub(columns));
    let largest = shown().filter_map(|mark| if let Mark::Passed(ms) = mark { Some(*ms) } else { None }).max();
    let top = largest.unwrap_or(0).max(50);
    let steps = if ascii {
        [' ', '.', '.', ':', ':', '|', '|', '#', '#']
    } else {
        [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    };
    let row = |above: usize| -> String {
        let cell = |mark: &Mark| match mark {
            Mark::Missed if above == 0 => 'x',
            Mark::Down if above == 0 => '_',
            Mark::Missed | Mark::Down => ' ',
            Mark::Passed(ms) => {
                let eighths = usize::try_from(ms * u64::try_from(rows * 8).unwrap_or(8) / top).unwrap_or(0).max(1);
                steps.get(eighths.saturating_sub(above * 8).min(8)).copied().unwrap_or(' ')
            }
        };
        shown().map(cell).collect()
    };
    (top, (0..rows).rev().map(row).collect())
}

/// `12 connections left`.
pub(super) fn connections(left: u32) -> String {
    format!("{left} connection{} left", if left == 1 { "" } else { "s" })
}

/// A latency in at most six columns.
pub(super) fn milliseconds(ms: u64) -> String {
    match ms {
        0 => "<1ms".to_owned(),
        1..10_000 => format!("{ms}ms"),
        _ => format!("{}s", ms / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_filled_by_columns() {
        assert_eq!(clip("health", 6), "health");
        assert_eq!(clip("health", 5), "heal~");
        assert_eq!(clip("漢字漢", 4), "漢~");
        assert_eq!(clip("abc", 0), "");
        assert_eq!(fit("ab", 4), "ab  ");
        assert_eq!(fit_right("ab", 4), "  ab");
        assert_eq!(clip("a\u{1b}[2J", 9), "a?[2J");
    }

    #[test]
    fn versions_are_cut_in_their_middle() {
        assert_eq!(middle("v1.2.3", 6), "v1.2.3");
        assert_eq!(middle("2026.11.20-4f2c1ab", 9), "2026~c1ab");
        assert_eq!(middle("2026.11.20-4f2c1ab", 6), "202~ab");
        assert_eq!(middle("漢字漢字", 5), "漢~字");
        assert_eq!((middle("abcd", 2).as_str(), middle("abcd", 0).as_str()), ("a~", ""));
        for columns in 0..20 {
            assert!(middle("2026.11.20-4f2c1ab", columns).width() <= columns);
        }
    }

    #[test]
    fn of_a_trouble_the_reason_is_kept() {
        let text = "unix:/tmp/rollout-demo-1/state/lb/admin.sock: Connection refused (os error 111) (command `show stat`)";
        let brief = |columns| trouble(text, columns);
        assert_eq!(brief(100), "unix:.../admin.sock: Connection refused (os error 111) (command `show stat`)");
        assert_eq!(brief(60), "unix:.../admin.sock: Connection refused (os error 111)");
        assert_eq!(brief(40), "unix:.../admin.sock: Connection refused");
        assert_eq!(brief(30), "unix:.../admin.~ection refused");
        assert_eq!(trouble("http://10.0.0.1/a/b: 50/60 or /run/x.sock", 80), "http://10.0.0.1/a/b: 50/60 or /run/x.sock");
        assert_eq!(trouble("http://10.0.0.1/a/b: 50/60 or /run/x.sock", 40), "http://10.0.0.1/a/b: 50/60 or .../x.sock");
        for columns in 0..120 {
            assert!(trouble(text, columns).width() <= columns);
        }
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("8/20 updated, 0 failed", 12), ["8/20", "updated, 0", "failed"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn sparklines_have_a_floor_and_show_misses() {
        let marks = |marks: &[Mark]| marks.iter().copied().collect::<VecDeque<_>>();
        let passed = [1, 2, 400].map(Mark::Passed);
        assert_eq!(spark(&marks(&[passed[0], passed[1], Mark::Missed, passed[2]]), 4, false), "▁▁x█");
        assert_eq!(spark(&marks(&[passed[2], Mark::Down, passed[0]]), 2, false), "_▁", "the scale is that of what is shown");
        assert_eq!(spark(&marks(&passed[..2]), 4, false), "▁▁");
    }
}
