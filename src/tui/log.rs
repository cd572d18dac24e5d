//! The engine's log on its way to the log pane: brief, numbered, and what repeats itself is counted.
//!
//! Imports: tui::text, session, event. May not: log on its own account.

use jiff::tz::TimeZone;

use super::text::time_of_day;
use crate::event::clean;
use crate::ports::LogLine;

/// What has been shown of the log.
#[derive(Debug, Default)]
pub(super) struct LogFeed {
    /// Number of the last line.
    last: u64,
    /// What it said.
    text: String,
    /// How often it was said again.
    again: u32,
}

impl LogFeed {
    /// Takes a line in: it goes to the log pane.
    pub(super) fn take(&mut self, line: &LogLine, zone: &TimeZone) {
        for (level, text) in self.lines(line, zone) {
            let mut record = log::Record::builder();
            // By its part, so that the pane shows the levels that the screen of the log has.
            let target = part(&line.target);
            tui_logger::Drain::new().log(&record.level(level).target(target).args(format_args!("{text}")).build());
        }
    }

    fn lines(&mut self, line: &LogLine, zone: &TimeZone) -> Vec<(log::Level, String)> {
        let mut lines = Vec::new();
        let time = time_of_day(line.at, zone);
        let lost = line.number.saturating_sub(self.last + 1);
        if self.last > 0 && lost > 0 {
            lines.push((log::Level::Warn, format!("{time} W {lost} log lines were dropped")));
        }
        self.last = line.number;
        let level = line.level.parse().unwrap_or(log::Level::Info);
        // Without colours, too, a level must be told.
        let initial = level.as_str().chars().next().unwrap_or('?');
        let text = format!("{initial} {}: {}", part(&clean(&line.target)), clean(&line.message));
        if text == self.text {
            self.again += 1;
            return lines;
        }
        if self.again > 0 {
            lines.push((log::Level::Info, format!("{time} I the line before came {} times more", self.again)));
        }
        lines.push((level, format!("{time} {text}")));
        (self.text, self.again) = (text, 0);
        lines
    }
}

/// `engine` of `rollout::engine::bus`, and of a foreign part its first name.
pub(super) fn part(target: &str) -> &str {
    let target = target.strip_prefix("rollout::").unwrap_or(target);
    target.split("::").next().unwrap_or(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn lines_are_brief_and_repetitions_are_counted() {
        let mut feed = LogFeed::default();
        let mut said = |number, level: &str, message: &str| -> Vec<String> {
            let (level, message) = (level.to_owned(), message.to_owned());
            let line = LogLine { number, at: Timestamp::default(), level, target: "rollout::probe::vip".to_owned(), message };
            feed.lines(&line, &TimeZone::UTC).into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(said(1, "warn", "late"), ["00:00:00 W probe: late"]);
        assert!(said(2, "warn", "late").is_empty());
        assert!(said(3, "warn", "late").is_empty());
        assert_eq!(
            said(7, "info", "a\u{1b}[2Jb"),
            ["00:00:00 W 3 log lines were dropped", "00:00:00 I the line before came 2 times more", "00:00:00 I probe: a?[2Jb"]
        );
    }
}
