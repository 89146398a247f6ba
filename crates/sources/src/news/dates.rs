//! Dates as feeds write them.
//!
//! RFC 2822 and ISO 8601, and what publishers make of them: zone names, offsets with colons, wrong days of the
//! week, fractions of seconds, no seconds. Ambiguous dates are not read: without a zone or a time of day, with a
//! zone of two meanings, with a month as a number.

use chrono::{NaiveDate, NaiveTime};
use ledger_core::Timestamp;

/// Longer texts are no dates.
const DATE_MAX_CHARS: usize = 100;

/// Zones by name, in minutes east of Greenwich. Those of RFC 2822, and others with one meaning. `CST` and `MST`
/// are America's, as in the RFC; `IST` has three meanings and `BST` two (British summer time and Bangladesh's),
/// so they are left out.
const ZONES: [(i32, &str); 23] = [
    (-600, "HST"),
    (-480, "PST"),
    (-420, "MST PDT"),
    (-360, "CST MDT"),
    (-300, "EST CDT"),
    (-240, "EDT"),
    (-210, "NST"),
    (-180, "ADT BRT"),
    (-150, "NDT"),
    (0, "GMT UT UTC Z WET"),
    (60, "WEST CET MET MEZ"),
    (120, "CEST MEST MESZ EET SAST CAT"),
    (180, "EEST MSK EAT"),
    (300, "PKT"),
    (420, "WIB ICT"),
    (480, "HKT SGT AWST"),
    (540, "JST KST"),
    (570, "ACST"),
    (600, "AEST"),
    (630, "ACDT"),
    (660, "AEDT"),
    (720, "NZST"),
    (780, "NZDT"),
];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The instant that a text names; `None` where it would be a guess.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.chars().count() > DATE_MAX_CHARS {
        return None;
    }
    // Comments, as in "+0000 (UTC)".
    let plain = text.split_once(" (").map_or(text, |(before, _)| before);
    iso(plain.trim()).or_else(|| worded(plain.trim()))
}

/// `2026-11-24T14:05:00Z` and its kin.
fn iso(text: &str) -> Option<Timestamp> {
    let (date, rest) = match text.get(..10).filter(|it| it.as_bytes().get(4) == Some(&b'-')) {
        Some(date) => (date.replace('-', ""), text.get(10..)?),
        None => (text.get(..8)?.to_owned(), text.get(8..)?),
    };
    if date.len() != 8 {
        return None;
    }
    let day = NaiveDate::from_ymd_opt(
        i32::try_from(digits(&date, 0, 4)?).ok()?,
        digits(&date, 4, 6)?,
        digits(&date, 6, 8)?,
    )?;
    let rest = rest.strip_prefix(['T', 't', ' ']).filter(|rest| !rest.is_empty())?;
    let (time, zone) = match rest.bytes().take_while(u8::is_ascii_digit).count() {
        // Without colons.
        count @ (4 | 6) => {
            let (plain, zone) = rest.split_at_checked(count)?;
            let with = format!("{}:{}:{:0<2}", &plain[..2], &plain[2..4], &plain[4..]);
            (clock(&with)?.0, zone)
        }
        _ => clock(rest)?,
    };
    instant(day, time, offset(zone)?)
}

fn digits(text: &str, from: usize, to: usize) -> Option<u32> {
    let part = text.get(from..to)?;
    let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| part.parse().ok())?
}

/// `Tue, 24 Nov 2026 14:05:00 GMT` and its kin.
fn worded(text: &str) -> Option<Timestamp> {
    let colon = text.find(':')?;
    let time_from = text.get(..colon)?.rfind([' ', ',', '\t', '\n'])? + 1;
    let (date, rest) = text.split_at_checked(time_from)?;
    let (time, zone) = clock(rest)?;
    let mut words: Vec<&str> =
        date.split([' ', ',', '-', '\t', '\n', '.', '/']).filter(|it| !it.is_empty()).collect();
    // The day of the week, which is often wrong and not needed.
    let is_weekday = |word: &&str| {
        let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        let word = word.to_ascii_lowercase();
        days.iter().any(|day| word.starts_with(day))
    };
    if words.first().is_some_and(is_weekday) {
        words.remove(0);
    }
    // "Nov 24 14:05:00 UTC 2026": the year comes last.
    let mut zone = zone.trim();
    if words.len() == 2
        && let Some((before, year)) = zone.rsplit_once(' ')
    {
        words.push(year);
        zone = before.trim();
    }
    let [first, second, year] = words.as_slice() else {
        return None;
    };
    let (day, month) = match (month(first), month(second)) {
        (None, Some(month)) => (first, month),
        (Some(month), None) => (second, month),
        _ => return None,
    };
    let day = day.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let day = (1..=2).contains(&day.len()).then_some(day)?;
    let short = year.len() == 2;
    let year = match digits(year, 0, year.len())? {
        year @ 0..=49 if short => 2000 + year,
        year @ 50..=99 if short => 1900 + year,
        year @ 1900..=9999 if !short => year,
        _ => return None,
    };
    let day =
        NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, digits(day, 0, day.len())?)?;
    instant(day, time, offset(zone)?)
}

fn month(word: &str) -> Option<u32> {
    let word = word.to_ascii_lowercase();
    let place = MONTHS.iter().position(|month| word.starts_with(month))?;
    u32::try_from(place + 1).ok()
}

/// `14:05`, `14:05:00` or `14:05:00.123`, and what follows.
fn clock(text: &str) -> Option<(NaiveTime, &str)> {
    let number = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let hour_digits = number(text);
    if hour_digits > 2 {
        return None;
    }
    let hour = digits(text, 0, hour_digits)?;
    let rest = text.get(hour_digits..)?.strip_prefix(':')?;
    let minute = digits(rest, 0, 2)?;
    let rest = rest.get(2..)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => (digits(rest, 0, 2)?, rest.get(2..)?),
        None => (0, rest),
    };
    let (micros, rest) = match rest.strip_prefix(['.', ',']) {
        Some(rest) => {
            let count = number(rest);
            let fraction = rest.get(..count).filter(|it| !it.is_empty())?;
            // Microseconds: an instant holds no more.
            let padded: String = fraction.chars().chain("000000".chars()).take(6).collect();
            (padded.parse().ok()?, rest.get(count..)?)
        }
        None => (0, rest),
    };
    // A leap second is the last of its minute.
    let second = if second == 60 { 59 } else { second };
    let time = NaiveTime::from_hms_micro_opt(hour, minute, second, micros)?;
    // The text after a time is separated from it, or begins with a sign or letter.
    (number(rest) == 0).then_some((time, rest))
}

/// Seconds east of Greenwich: `Z`, a name, `+02:00`, `+0200`, `+02`, or both as in `GMT+2`.
fn offset(text: &str) -> Option<i32> {
    let text = text.trim();
    let sign = text.find(['+', '-', '\u{2212}']);
    let (name, numbers) = text.split_at_checked(sign.unwrap_or(text.len()))?;
    let name = name.trim().to_ascii_uppercase();
    if numbers.is_empty() {
        let mut zones = ZONES.iter();
        let found = zones.find(|(_, names)| names.split(' ').any(|zone| zone == name));
        return found.map(|(minutes, _)| minutes * 60);
    }
    if !["", "GMT", "UTC", "UT"].contains(&name.as_str()) {
        return None;
    }
    let west = !numbers.starts_with('+');
    let numbers: String = numbers.chars().skip(1).filter(|c| *c != ':').collect();
    let (hours, minutes) = match numbers.len() {
        1 | 2 => (digits(&numbers, 0, numbers.len())?, 0),
        4 => (digits(&numbers, 0, 2)?, digits(&numbers, 2, 4)?),
        _ => return None,
    };
    if hours > 14 || minutes > 59 {
        return None;
    }
    let seconds = i32::try_from((hours * 60 + minutes) * 60).ok()?;
    Some(if west { -seconds } else { seconds })
}

fn instant(day: NaiveDate, time: NaiveTime, offset_seconds: i32) -> Option<Timestamp> {
    let utc = day.and_time(time).and_utc().timestamp_micros();
    let micros = utc.checked_sub(i64::from(offset_seconds) * 1_000_000)?;
    Timestamp::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_feeds_write_them() {
        let expected = "2026-11-24T14:05:00.000000Z";
        for text in [
            "Tue, 24 Nov 2026 14:05:00 GMT",
            "Tue, 24 Nov 2026 14:05:00 UTC",
            "Tue, 24 Nov 2026 14:05:00 UT",
            "Tue, 24 Nov 2026 14:05:00 Z",
            "Tue, 24 Nov 2026 14:05:00Z",
            "Tue, 24 Nov 2026 14:05:00 +0000",
            "Tue, 24 Nov 2026 14:05:00 +0000 (UTC)",
            "Tue, 24 Nov 2026 14:05:00 -0000",
            " Tue, 24 Nov 2026 09:05:00 EST\n",
            "Tue, 24 Nov 2026 06:05:00 PST",
            "Tue, 24 Nov 2026 07:05:00 PDT",
            "Tue, 24 Nov 2026 15:05:00 CET",
            "Tue, 24 Nov 2026 16:05:00 CEST",
            "Tue, 24 Nov 2026 23:05:00 JST",
            "Tue, 24 Nov 2026 16:05:00 +02:00",
            "Tue, 24 Nov 2026 16:05:00 GMT+2",
            "Tue, 24 Nov 2026 16:05:00 UTC+02:00",
            "Tue, 24 Nov 2026 16:05:00+0200",
            "Wed, 24 Nov 2026 14:05:00 GMT",
            "tuesday, 24 november 2026 14:05 gmt",
            "Tue 24 Nov 2026 14:05:00.000 GMT",
            "Tue, 24 Nov 26 14:05:00 GMT",
            "24-Nov-2026 14:05:00 GMT",
            "24 Nov 2026 15:05 +0100",
            "Nov 24, 2026 14:05:00 GMT",
            "November 24th, 2026 14:05:00 GMT",
            "Tue Nov 24 14:05:00 UTC 2026",
            "2026-11-24T14:05:00Z",
            "2026-11-24t14:05:00z",
            "2026-11-24 14:05:00Z",
            "2026-11-24 14:05:00 +0000",
            "2026-11-24T15:05:00.000+01:00",
            "2026-11-24T15:05:00,000+0100",
            "2026-11-24T15:05:00+01",
            "2026-11-24T14:05Z",
            "2026-11-24T09:05-05:00",
            "2026-11-24T09:05\u{2212}05:00",
            "20261124T140500Z",
            "20261124T1405Z",
            "2026-11-24T150500+0100",
        ] {
            let read = read(text).map(|at| at.to_string());
            assert_eq!(read.as_deref(), Some(expected), "{text}");
        }
        let fraction = read("Tue, 24 Nov 2026 14:05:00.1234567 GMT").unwrap();
        assert_eq!(fraction.to_string(), "2026-11-24T14:05:00.123456Z");
    }

    #[test]
    fn dates_that_would_need_a_guess_are_none() {
        for text in [
            "",
            "yesterday",
            "2026-11-24",
            "2026-11-24T14:05:00",
            "2026-11-24T14:05:00 IST",
            "Tue, 24 Nov 2026 15:05:00 BST",
            "2026-11-24T15:05:00 bst",
            "2026-13-24T14:05:00Z",
            "Tue, 24 Nov 2026 24:10:00 GMT",
            "Tue, 24 Nov 2026 14:05:00",
            "Tue, 24 Nov 2026 14:05:00 XYZ",
            "Tue, 24 Nov 2026 14:05:00 +99:00",
            "Tue, 24 Nov 2026",
            "11/24/2026 14:05:00 GMT",
            "31 Feb 2026 14:05:00 GMT",
            "24 Nov 1 14:05:00 GMT",
            "1764000000",
            "é4 Nov 2026 14:05:00 GMT",
            "2026-11-2é T14:05:00Z",
            "::::",
            " : ",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&"1".repeat(1_000_000)), None);
    }
}
