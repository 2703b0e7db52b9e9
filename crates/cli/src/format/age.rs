//! Times as people read and type them, in docker's words.

use std::time::{SystemTime, UNIX_EPOCH};

use oci::Moment;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A length of time in docker's words: `About a minute`, `3 hours`.
pub(crate) fn duration(seconds: u64) -> String {
    let hours = (seconds + HOUR / 2) / HOUR;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..MINUTE => format!("{seconds} seconds"),
        _ if seconds < 2 * MINUTE => "About a minute".to_owned(),
        _ if seconds < HOUR => format!("{} minutes", seconds / MINUTE),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / HOUR / 24 / 365),
    }
}

/// How long ago, given in seconds.
pub(crate) fn ago(seconds: u64) -> String {
    format!("{} ago", duration(seconds))
}

/// A time as docker's `CreatedAt` has it: `2026-11-22 20:34:30 +0000 UTC`.
pub(crate) fn date(time: u64) -> String {
    let second = time % 86_400;
    let (year, month, day) =
        Moment { seconds: i64::try_from(time).unwrap_or(i64::MAX), nanoseconds: 0 }.date();
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC")
}

/// Seconds of a length of time as Go spells it: `90s`, `1h30m`, `1.5h`; a fraction of a second is dropped.
pub(crate) fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut nanoseconds = 0_u128;
    if rest.is_empty() || rest.len() > 64 {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|next: char| !(next.is_ascii_digit() || next == '.'))?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|next: char| next.is_ascii_digit() || next == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" => 1000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 || whole.len() > 18 {
            return None;
        }
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        nanoseconds += whole * unit + fraction * unit / scale;
        rest = after;
    }
    u64::try_from(nanoseconds / 1_000_000_000).ok()
}

/// A moment as `--since` and `until=` take it, in seconds since 1970: a length of time before `now`, seconds since 1970, a
/// time, or a date.
pub(crate) fn parse_moment(text: &str, now: u64) -> Option<u64> {
    if let Some(seconds) = parse_duration(text) {
        return now.checked_sub(seconds);
    }
    if text.split_once('.').map_or(text, |(whole, _)| whole).bytes().all(|byte| byte.is_ascii_digit()) {
        return text.split_once('.').map_or(text, |(whole, _)| whole).parse().ok();
    }
    match text.len() {
        10 => parse_time(&format!("{text}T00:00:00Z")),
        16 => parse_time(&format!("{text}:00Z")),
        19 => parse_time(&format!("{text}Z")),
        _ => parse_time(text),
    }
}

/// Seconds since 1970 of an RFC 3339 time in UTC or with an offset; a fraction is dropped.
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    Moment::parse(text).and_then(|moment| u64::try_from(moment.seconds).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-22T20:34:30Z", Some(1_795_379_670)),
            ("2026-11-22T20:34:30.123456789Z", Some(1_795_379_670)),
            ("2026-11-22T21:34:30+01:00", Some(1_795_379_670)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("1969-12-31T23:59:59Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-11-22T20:34:30+9223372036854775807:00", None),
            ("2026-11-22T20:34:30+00:9223372036854775807", None),
            ("2026-11-22T20:34:30+-1:00", None),
            ("2026-11-22T24:34:30Z", None),
            ("2026-11-22T20:60:30Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
    }

    #[test]
    fn ages() {
        for (seconds, expected) in [
            (0, "Less than a second ago"),
            (1, "1 second ago"),
            (61, "About a minute ago"),
            (7200, "2 hours ago"),
            (5400, "2 hours ago"),
            (86_400, "24 hours ago"),
            (86_400 * 2, "2 days ago"),
            (86_400 * 15, "2 weeks ago"),
            (86_400 * 70, "2 months ago"),
            (86_400 * 800, "2 years ago"),
        ] {
            assert_eq!(ago(seconds), expected);
        }
    }
    #[test]
    fn dates_are_the_times_they_were_made_of() {
        for (time, expected) in [
            (0, "1970-01-01 00:00:00 +0000 UTC"),
            (951_782_400, "2000-02-29 00:00:00 +0000 UTC"),
            (1_795_379_670, "2026-11-22 20:34:30 +0000 UTC"),
        ] {
            assert_eq!(date(time), expected);
        }
        for time in (0..4_000_000_000).step_by(86_399 * 37) {
            let text = date(time).replacen(' ', "T", 1).replace(" +0000 UTC", "Z");
            assert_eq!(parse_time(&text), Some(time), "{text}");
        }
    }

    #[test]
    fn moments() {
        for (text, expected) in [
            ("10s", Some(999_990)),
            ("1h30m", Some(994_600)),
            ("1.5h", Some(994_600)),
            ("500ms", Some(1_000_000)),
            ("1234.5", Some(1234)),
            ("1970-01-02", Some(86_400)),
            ("1970-01-01T00:01", Some(60)),
            ("1970-01-01T00:00:01", Some(1)),
            ("1970-01-01T00:00:01Z", Some(1)),
            ("999999h", None),
            ("99999999999999999999h", None),
            ("1x", None),
            ("h", None),
            (".h", None),
            ("", None),
        ] {
            assert_eq!(parse_moment(text, 1_000_000), expected, "{text}");
        }
    }
}
