//! `[windows]` and `[freeze.NAME]`: when a deployment may begin.
//!
//! Imports: config's reader, model. May not: read a clock; `now` is always an argument.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};

use super::document::Value;
use super::fault::shown_key;
use super::section::{Placed, Section};
use super::surroundings::is_name;
use super::value::shown;
use crate::model::Timestamp;

/// The name under which `[windows]` is overridden.
pub const WINDOWS: &str = "windows";
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY_MINUTES: u16 = 24 * 60;
const OPEN_FORM: &str = "write days and hours like \"Mon-Thu 09:00-16:00\" or \"Sat,Sun 22:00-24:00\"";
const MOMENT_FORM: &str = "write a date or a moment like \"2026-12-20\" or \"2026-12-20 18:00\"";

/// When a deployment may begin.
#[derive(Debug, Clone)]
pub struct Calendar {
    zone: TimeZone,
    /// As written, and as understood; without any it is always open.
    open: Vec<(String, Window)>,
    freezes: Vec<Freeze>,
}

/// Hours of some days, in minutes from midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    days: [bool; 7],
    from: u16,
    to: u16,
}

#[derive(Debug, Clone)]
struct Freeze {
    name: String,
    from: Zoned,
    to: Zoned,
    reason: Option<String>,
}

/// Why nothing may begin now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Of the freeze, or [`WINDOWS`].
    pub name: String,
    /// In a sentence, with its end.
    pub why: String,
}

impl Calendar {
    /// What keeps a deployment from beginning at this moment; nothing if it may.
    pub fn closed(&self, now: Timestamp) -> Vec<Closed> {
        let Some(now) = zoned(now, &self.zone) else { return Vec::new() };
        let frozen = self.freezes.iter().filter(|freeze| freeze.from <= now && now < freeze.to).map(|freeze| {
            let reason = freeze.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
            let why = format!("freeze {}{reason} ends on {}", freeze.name, moment(&freeze.to));
            Closed { name: freeze.name.clone(), why }
        });
        self.outside(&now).into_iter().chain(frozen).collect()
    }

    /// Everything that can be overridden by name.
    pub fn names(&self) -> Vec<&str> {
        let windows = (!self.open.is_empty()).then_some(WINDOWS);
        windows.into_iter().chain(self.freezes.iter().map(|freeze| freeze.name.as_str())).collect()
    }

    fn outside(&self, now: &Zoned) -> Option<Closed> {
        if self.open.is_empty() || self.open.iter().any(|(_, window)| window.holds(now.datetime())) {
            return None;
        }
        let written: Vec<&str> = self.open.iter().map(|(written, _)| written.as_str()).collect();
        let next = self.open.iter().filter_map(|(_, window)| window.next(now)).min();
        let next = next.map_or_else(String::new, |next| format!("; the next opens on {}", moment(&next)));
        Some(Closed { name: WINDOWS.to_owned(), why: format!("outside of [windows] open = {}{next}", written.join(", ")) })
    }
}

impl Window {
    fn holds(&self, at: DateTime) -> bool {
        let minute = minutes(at.time());
        self.has(at.date().weekday()) && (self.from..self.to).contains(&minute)
    }

    fn has(&self, day: Weekday) -> bool {
        usize::try_from(day.to_monday_zero_offset()).ok().and_then(|day| self.days.get(day)).copied().unwrap_or_default()
    }

    /// When it opens next. `None` only at the end of all calendars.
    fn next(&self, now: &Zoned) -> Option<Zoned> {
        let opens = Time::new(i8::try_from(self.from / 60).ok()?, i8::try_from(self.from % 60).ok()?, 0, 0).ok()?;
        (0..=7).find_map(|days| {
            let day: Date = now.date().checked_add(i64::from(days).days()).ok()?;
            let at = day.to_datetime(opens).to_zoned(now.time_zone().clone()).ok()?;
            (self.has(day.weekday()) && at > *now).then_some(at)
        })
    }
}

fn minutes(time: Time) -> u16 {
    let part = |part: i8| u16::try_from(part).unwrap_or_default();
    part(time.hour()) * 60 + part(time.minute())
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()?;
    Some(at.to_zoned(zone.clone()))
}

/// `Mon 2026-11-23 09:00 CET`
fn moment(at: &Zoned) -> String {
    at.strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

/// Reads `[windows]` and `[freeze]`.
pub(super) fn read(root: &mut Section<'_>) -> Calendar {
    let mut section = root.table("windows");
    let zone = zone(&mut section);
    let given = section.texts("open").map(|open| open.value).unwrap_or_default();
    if section.present() {
        section.require("open", "is missing; add when a deployment may begin: open = [\"Mon-Thu 09:00-16:00\"]");
    }
    let mut open = Vec::new();
    for (place, text) in given {
        match window(&text.full).filter(|_| !text.has_variables()) {
            Some(window) => open.push((text.raw, window)),
            None => section.fault(place, "open", format!("{} is no window; {OPEN_FORM}", shown(&text.raw))),
        }
    }
    section.finish();
    let freezes = read_freezes(root, &zone);
    Calendar { zone, open, freezes }
}

fn zone(section: &mut Section<'_>) -> TimeZone {
    let Some(named) = section.plain("timezone") else { return TimeZone::system() };
    TimeZone::get(&named.value).unwrap_or_else(|_unknown| {
        let remedy = format!("{} is no time zone that this host knows; write one like \"Europe/Berlin\"", shown(&named.value));
        section.fault(named.place, "timezone", remedy);
        TimeZone::UTC
    })
}

fn read_freezes(root: &mut Section<'_>, zone: &TimeZone) -> Vec<Freeze> {
    let mut section = root.table("freeze");
    let mut freezes = Vec::new();
    for (name, entry) in section.rest() {
        if !is_name(&name) || name == WINDOWS {
            let remedy = "is no name of a freeze; write letters, digits and . _ -, and not \"windows\"";
            section.fault(entry.key, &shown_key(&name), remedy);
            continue;
        }
        if !matches!(entry.node.value, Value::Table(_)) {
            let kind = entry.node.value.kind();
            section.fault(entry.key, &name, format!("is {kind}; write a table [freeze.NAME], with from and to"));
            continue;
        }
        let Some(mut item) = section.item(&name, entry.node) else { continue };
        let from = item.plain("from");
        item.require("from", "is missing; add when it begins: from = \"2026-12-20\"");
        let to = item.plain("to");
        item.require("to", "is missing; add when it ends: to = \"2027-01-02\", that day included");
        let reason = item.plain("reason").map(|reason| reason.value);
        let from = from.and_then(|from| begins(&item, &from, zone));
        let to = to.and_then(|to| Some((ends(&item, &to, zone)?, to.place)));
        if let (Some(from), Some((to, place))) = (&from, &to)
            && to <= from
        {
            item.fault(*place, "to", "is not after from; a date is that whole day");
        }
        item.finish();
        freezes.extend(from.zip(to).map(|(from, (to, _))| Freeze { name, from, to, reason }));
    }
    freezes
}

fn begins(item: &Section<'_>, text: &Placed<String>, zone: &TimeZone) -> Option<Zoned> {
    let at = civil(&text.value).and_then(|(date, time)| date.to_datetime(time.unwrap_or(Time::MIN)).to_zoned(zone.clone()).ok());
    if at.is_none() {
        item.fault(text.place, "from", format!("{} is neither; {MOMENT_FORM}", shown(&text.value)));
    }
    at
}

/// A day is over at the next midnight.
fn ends(item: &Section<'_>, text: &Placed<String>, zone: &TimeZone) -> Option<Zoned> {
    let at = civil(&text.value).and_then(|(date, time)| match time {
        Some(time) => date.to_datetime(time).to_zoned(zone.clone()).ok(),
        None => date.tomorrow().ok()?.to_datetime(Time::MIN).to_zoned(zone.clone()).ok(),
    });
    if at.is_none() {
        item.fault(text.place, "to", format!("{} is neither; {MOMENT_FORM}", shown(&text.value)));
    }
    at
}

/// `2026-12-20` or `2026-12-20 18:00`.
fn civil(text: &str) -> Option<(Date, Option<Time>)> {
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let date = Date::strptime("%Y-%m-%d", date).ok()?;
    let time = match time {
        Some(time) => Some(Time::strptime("%H:%M", time).ok()?),
        None => None,
    };
    Some((date, time))
}

/// `Mon-Thu 09:00-16:00`, `Sat,Sun 22:00-24:00`.
fn window(text: &str) -> Option<Window> {
    let (named, hours) = text.split_once(' ')?;
    let mut days = [false; 7];
    for part in named.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // Over Sunday, where the week begins anew.
        for at in first..=if last < first { last + 7 } else { last } {
            *days.get_mut(at % 7)? = true;
        }
    }
    let (from, to) = hours.trim().split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from < to).then_some(Window { days, from, to })
}

fn day(text: &str) -> Option<usize> {
    DAYS.iter().position(|day| text.eq_ignore_ascii_case(day))
}

/// `09:00` to `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) =
        text.split_once(':').filter(|(hours, minutes)| (1..=2).contains(&hours.len()) && minutes.len() == 2)?;
    let (hours, minutes) = (hours.parse::<u16>().ok()?, minutes.parse::<u16>().ok().filter(|minutes| *minutes < 60)?);
    Some(hours * 60 + minutes).filter(|minute| *minute <= DAY_MINUTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin(text: &str) -> Timestamp {
        let (date, time) = civil(text).unwrap();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let at = date.to_datetime(time.unwrap()).to_zoned(zone).unwrap().timestamp();
        Timestamp::from_millis(at.as_millisecond().try_into().unwrap())
    }

    fn calendar(open: &[&str]) -> Calendar {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let open = open.iter().map(|text| ((*text).to_owned(), window(text).unwrap())).collect();
        Calendar { zone, open, freezes: Vec::new() }
    }

    #[test]
    fn windows_open_and_close_to_the_minute_in_their_own_zone() {
        assert_eq!(calendar(&[]).closed(berlin("2026-11-28 10:00")), []);
        let calendar = calendar(&["Mon-Thu 09:00-16:00", "Fri 9:00-12:00"]);
        // 2026-11-23 is a Monday.
        for (at, open) in [
            ("2026-11-23 08:59", false),
            ("2026-11-23 09:00", true),
            ("2026-11-23 15:59", true),
            ("2026-11-23 16:00", false),
            ("2026-11-27 11:59", true),
            ("2026-11-27 12:00", false),
            ("2026-11-28 10:00", false),
        ] {
            assert_eq!(calendar.closed(berlin(at)).is_empty(), open, "{at}");
        }
        let closed = calendar.closed(berlin("2026-11-27 12:00")).pop().unwrap();
        assert_eq!(closed.name, WINDOWS);
        let expected =
            "outside of [windows] open = Mon-Thu 09:00-16:00, Fri 9:00-12:00; the next opens on Mon 2026-11-30 09:00 CET";
        assert_eq!(closed.why, expected);
    }

    #[test]
    fn the_hour_that_a_clock_change_leaves_out_or_repeats_is_where_it_belongs() {
        let night = calendar(&["Sun 02:30-03:30"]);
        // 2026-03-29: 02:00 to 03:00 does not exist; 2026-10-25: it comes twice.
        let utc = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            night.closed(Timestamp::from_millis(at.as_millisecond().try_into().unwrap())).is_empty()
        };
        assert!(!utc("2026-03-29T00:59:00Z") && utc("2026-03-29T01:00:00Z") && !utc("2026-03-29T01:30:00Z"));
        assert!(utc("2026-10-25T00:30:00Z") && !utc("2026-10-25T01:00:00Z") && utc("2026-10-25T01:30:00Z"));
    }

    #[test]
    fn days_and_hours_are_read_and_refused() {
        let days = |text: &str| window(text).map(|window| window.days.map(u8::from));
        assert_eq!(days("Mon 00:00-24:00"), Some([1, 0, 0, 0, 0, 0, 0]));
        assert_eq!(days("fri-mon 10:00-11:00"), Some([1, 0, 0, 0, 1, 1, 1]));
        assert_eq!(days("Tue,Thu-Fri 10:00-11:00"), Some([0, 1, 0, 1, 1, 0, 0]));
        for bad in
            ["", "Mon", "Mon 9-16", "Mon 16:00-09:00", "Mon 09:00-24:01", "Mon 09:60-10:00", "Day 09:00-10:00", "Mon- 1:00-2:00"]
        {
            assert_eq!(window(bad), None, "{bad}");
        }
    }
}
