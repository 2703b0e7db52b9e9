//! A moment as specifications, logs and lists write it: RFC 3339 in UTC with nanoseconds, by our own arithmetic.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Whole seconds; before 1970 they are negative.
    pub seconds: i64,
    /// Nanoseconds on top, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Moment {
    /// The time of day.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: since.subsec_nanos(),
        }
    }

    /// Reads RFC 3339 with any number of digits after the seconds and any zone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
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
        let mut rest = text.get(19..)?;
        let mut nanoseconds = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let mut unit = 100_000_000;
            for digit in fraction.bytes().take(length.min(9)) {
                nanoseconds += u32::from(digit - b'0') * unit;
                unit /= 10;
            }
            rest = fraction.get(length..)?;
        }
        let offset = match rest.as_bytes() {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let part = |text: &str, most: i64| -> Option<i64> {
                    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
                    text.parse().ok().filter(|number| plain && *number <= most)
                };
                let seconds = part(rest.get(1..3)?, 23)? * 3600 + part(rest.get(4..6)?, 59)? * 60;
                if *sign == b'+' { seconds } else { -seconds }
            }
            _ => return None,
        };
        // Days of a civil date: the year starts in March, so that the leap day is its last.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days =
            365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
        Some(Self { seconds: days * 86_400 + hour * 3600 + minute * 60 + second - offset, nanoseconds })
    }

    /// With all nine digits of the fraction, so that texts of moments are as long and sort as these do.
    #[must_use]
    pub fn fixed(self) -> String {
        let whole = Self { nanoseconds: 0, ..self }.to_string();
        format!("{}.{:09}Z", whole.trim_end_matches('Z'), self.nanoseconds)
    }

    /// Year, month and day of the Gregorian calendar.
    #[must_use]
    pub fn date(self) -> (i64, i64, i64) {
        // The inverse of the above, in eras of 400 years.
        let days = self.seconds.div_euclid(86_400) + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let (of_month, year) = (day - (153 * month + 2) / 5 + 1, year + era * 400);
        if month < 10 { (year, month + 3, of_month) } else { (year + 1, month - 9, of_month) }
    }
}

impl fmt::Display for Moment {
    /// As Go's `RFC3339Nano`, which docker uses: zeros at the end of the fraction are left out.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let second = self.seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanoseconds != 0 {
            let (mut fraction, mut width) = (self.nanoseconds, 9);
            while fraction % 10 == 0 {
                fraction /= 10;
                width -= 1;
            }
            write!(formatter, ".{fraction:0width$}")?;
        }
        formatter.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_399, 500_000_000, "2000-02-28T23:59:59.5Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (1_795_404_847, 123_456_789, "2026-11-23T03:34:07.123456789Z"),
            (-1, 10, "1969-12-31T23:59:59.00000001Z"),
            (4_102_444_800, 0, "2100-01-01T00:00:00Z"),
        ] {
            let moment = Moment { seconds, nanoseconds };
            assert_eq!(moment.to_string(), text);
            assert_eq!(Moment::parse(text), Some(moment), "{text}");
        }
    }

    #[test]
    fn all_digits_of_the_fraction() {
        for (seconds, nanoseconds, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (1, 5, "1970-01-01T00:00:01.000000005Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000000Z"),
            (1_709_251_199, 0, "2024-02-29T23:59:59.000000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(Moment { seconds, nanoseconds }.fixed(), expected);
        }
    }

    #[test]
    fn dates() {
        for (days, expected) in
            [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)), (20_779, (2026, 11, 22))]
        {
            assert_eq!(Moment { seconds: days * 86_400, nanoseconds: 0 }.date(), expected);
        }
    }

    #[test]
    fn zones_and_nonsense() {
        let base = Moment { seconds: 951_782_400, nanoseconds: 0 };
        for (text, expected) in [
            ("2000-02-29T02:00:00+02:00", Some(base)),
            ("2000-02-28T22:30:00-01:30", Some(base)),
            ("2000-02-29T00:00:00.0000000009999Z", Some(base)),
            ("2000-02-29T00:00:00", None),
            ("2000-02-29T00:00:00.Z", Some(base)),
            ("2000-13-29T00:00:00Z", None),
            ("2000-02-29T00:00:00+2:00", None),
            ("2000-02-29T00:00:00+99:00", None),
            ("é000-02-29T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(Moment::parse(text), expected, "{text:?}");
        }
    }
}
