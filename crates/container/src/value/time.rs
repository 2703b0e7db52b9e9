//! Durations as Go prints them, and moments of `--since` and `--until`.

use std::time::Duration;

use oci::Moment;

use crate::error::{Error, Result};

/// Longest accepted duration: Go counts nanoseconds in 63 bits.
const MAX: u128 = i64::MAX as u128;

/// Parses a duration: `1h30m`, `500ms`, `1.5s`, or `0`.
///
/// # Errors
/// [`Error::Value`] if it is no such text or is longer than 292 years.
pub fn parse_duration(flag: &'static str, text: &str) -> Result<Duration> {
    let bad =
        || Error::value(flag, text.escape_debug().to_string(), "use a time such as 30s, 1m30s or 500ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let length = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, after) = rest.split_at(length);
        let unit = after.bytes().take_while(|byte| !byte.is_ascii_digit() && *byte != b'.').count();
        let (unit, after) = after.split_at(unit);
        let scale: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(bad()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 19 || fraction.contains('.') {
            return Err(bad());
        }
        if !whole.is_empty() {
            total += whole.parse::<u128>().map_err(|_| bad())? * scale;
        }
        let mut place = scale;
        for digit in fraction.bytes() {
            place /= 10;
            total += u128::from(digit - b'0') * place;
        }
        if total > MAX {
            return Err(bad());
        }
        rest = after;
    }
    if text.is_empty() {
        return Err(bad());
    }
    u64::try_from(total).map(Duration::from_nanos).map_err(|_| bad())
}

/// Parses a moment as docker takes it: RFC 3339, a part of it (`2026-11-23`, `2026-11-23T10:00`, then in UTC), seconds
/// since 1970 with an optional fraction, or how long before `now`.
///
/// # Errors
/// [`Error::Value`].
pub fn parse_moment(flag: &'static str, text: &str, now: Moment) -> Result<Moment> {
    let bad = || {
        let reason = "use a date such as 2026-11-23T10:00:00Z, seconds since 1970, or a time ago such as 10m";
        Error::value(flag, text.escape_debug().to_string(), reason)
    };
    if text.get(4..5) == Some("-") && text.len() >= 10 {
        const REST: &str = "0000-00-00T00:00:00Z";
        let padded = match text.len() {
            10 | 13 | 16 | 19 if !text.ends_with('Z') => {
                format!("{text}{}", REST.get(text.len()..).ok_or_else(bad)?)
            }
            _ => text.to_owned(),
        };
        let zoned = Moment::parse(&padded).or_else(|| Moment::parse(&format!("{padded}Z")));
        return zoned.ok_or_else(bad);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !whole.is_empty() && whole.len() < 15 && fraction.len() <= 9 && plain(whole) && plain(fraction) {
        let seconds = whole.parse().map_err(|_| bad())?;
        let nanoseconds = format!("{fraction:0<9}").parse().map_err(|_| bad())?;
        return Ok(Moment { seconds, nanoseconds });
    }
    let (ahead, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let ago = parse_duration(flag, text).map_err(|_| bad())?;
    let nanoseconds = i128::from(now.seconds) * 1_000_000_000 + i128::from(now.nanoseconds);
    let ago = i128::try_from(ago.as_nanos()).map_err(|_| bad())?;
    let moment = if ahead { nanoseconds + ago } else { nanoseconds - ago };
    Ok(Moment {
        seconds: i64::try_from(moment.div_euclid(1_000_000_000)).map_err(|_| bad())?,
        nanoseconds: u32::try_from(moment.rem_euclid(1_000_000_000)).map_err(|_| bad())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1s", Some(1_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            (".5s", Some(500)),
            ("500ms", Some(500)),
            ("2000us", Some(2)),
            ("2000µs", Some(2)),
            ("", None),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("1d", None),
            ("1..5s", None),
            ("3000000h", None),
            ("99999999999999999999s", None),
        ] {
            let parsed = parse_duration("--health-interval", text).ok();
            assert_eq!(parsed, expected.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn moments() {
        let now = Moment { seconds: 1_000_000, nanoseconds: 5 };
        let at = |seconds, nanoseconds| Some(Moment { seconds, nanoseconds });
        for (text, expected) in [
            ("2000-02-29T00:00:00Z", at(951_782_400, 0)),
            ("2000-02-29T00:00:00.5Z", at(951_782_400, 500_000_000)),
            ("2000-02-29T01:00:00+01:00", at(951_782_400, 0)),
            ("2000-02-29T00:00:00.5", at(951_782_400, 500_000_000)),
            ("2000-02-29T00:00:00", at(951_782_400, 0)),
            ("2000-02-29T00:00", at(951_782_400, 0)),
            ("2000-02-29T00", at(951_782_400, 0)),
            ("2000-02-29", at(951_782_400, 0)),
            ("951782400", at(951_782_400, 0)),
            ("951782400.25", at(951_782_400, 250_000_000)),
            ("10m", at(999_400, 5)),
            ("-10s", at(1_000_010, 5)),
            ("2000-02", None),
            ("2000-02-30x", None),
            ("yesterday", None),
            ("", None),
            ("é000-02-29", None),
            ("1.1234567890", None),
        ] {
            assert_eq!(parse_moment("--since", text, now).ok(), expected, "{text:?}");
        }
    }
}
