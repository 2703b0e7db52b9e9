//! Sizes and times as people read them, in docker's words.

/// Bytes with three digits and a decimal unit: `4.27MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut unit = 0;
    // In thousandths, so that no floating point is needed.
    let mut value = u128::from(bytes) * 1000;
    while value >= 1_000_000 && unit + 1 < UNITS.len() {
        value /= 1000;
        unit += 1;
    }
    let decimals = match value {
        100_000.. => 0,
        10_000.. => 1,
        _ => 2,
    };
    let step = 10_u128.pow(3 - decimals);
    let value = (value + step / 2) / step;
    let divisor = 10_u128.pow(decimals);
    let (whole, fraction) = (value / divisor, value % divisor);
    if fraction == 0 {
        return format!("{whole}{}", UNITS[unit]);
    }
    let digits = format!("{fraction:0width$}", width = decimals as usize);
    format!("{whole}.{}{}", digits.trim_end_matches('0'), UNITS[unit])
}

/// How long ago, given in seconds.
pub(crate) fn ago(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let many = |number: u64, unit: &str| format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" });
    match seconds {
        0 => "Less than a second ago".to_owned(),
        1..MINUTE => many(seconds, "second"),
        MINUTE..HOUR if seconds < 2 * MINUTE => "About a minute ago".to_owned(),
        MINUTE..HOUR => many(seconds / MINUTE, "minute"),
        HOUR..DAY if seconds < 2 * HOUR => "About an hour ago".to_owned(),
        HOUR..DAY => many(seconds / HOUR, "hour"),
        _ if seconds < 14 * DAY => many(seconds / DAY, "day"),
        _ if seconds < 60 * DAY => many(seconds / (7 * DAY), "week"),
        _ if seconds < 730 * DAY => many(seconds / (30 * DAY), "month"),
        _ => many(seconds / (365 * DAY), "year"),
    }
}

/// Seconds since 1970 of an RFC 3339 time in UTC or with an offset; a fraction is dropped.
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // A second of 60 is a leap second.
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let zone =
        text.get(19..)?.trim_start_matches('.').trim_start_matches(|digit: char| digit.is_ascii_digit());
    let offset = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), ..] => {
            // An image's author chose it: without bounds the sum would overflow.
            let part = |text: &str, most: i64| -> Option<i64> {
                let plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|number| plain && *number <= most)
            };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let seconds = part(hours, 23)? * 3600 + part(minutes, 59)? * 60;
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    // Days of a civil date: the year starts in March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    u64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second - offset).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, expected) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (4_270_000, "4.27MB"),
            (42_700_000, "42.7MB"),
            (427_000_000, "427MB"),
            (1_500_000_000, "1.5GB"),
            (u64::MAX, "18447PB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

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
            (86_400, "1 day ago"),
            (86_400 * 15, "2 weeks ago"),
            (86_400 * 70, "2 months ago"),
            (86_400 * 800, "2 years ago"),
        ] {
            assert_eq!(ago(seconds), expected);
        }
    }
}
