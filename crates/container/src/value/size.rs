//! Sizes in bytes and processor counts, in docker's grammar.

use crate::error::{Error, Result};

/// Parses a size: digits, an optional fraction, one of `b k m g t p` (1024 each) and an optional `b` or `ib`.
///
/// # Errors
/// [`Error::Value`] if it is no such text or exceeds 2^63 - 1 bytes.
pub fn parse_size(flag: &'static str, text: &str) -> Result<i64> {
    let bad = || Error::value(flag, text, "use a number of bytes, or one with k, m, g, t or p");
    let lower = text.to_ascii_lowercase();
    let digits = lower.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = lower.split_at(digits);
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(bad()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 19 || fraction.len() > 9 || fraction.contains('.') {
        return Err(bad());
    }
    let scale = 1_i128 << shift;
    let mut bytes = whole.parse::<i128>().map_err(|_| bad())? * scale;
    if !fraction.is_empty() {
        let divisor = 10_i128.pow(u32::try_from(fraction.len()).map_err(|_| bad())?);
        bytes += fraction.parse::<i128>().map_err(|_| bad())? * scale / divisor;
    }
    i64::try_from(bytes).map_err(|_| bad())
}

/// Parses `--memory-swap` and its like: a size, or `-1` for no limit.
///
/// # Errors
/// As [`parse_size`].
pub fn parse_size_or_unlimited(flag: &'static str, text: &str) -> Result<i64> {
    if text == "-1" { Ok(-1) } else { parse_size(flag, text) }
}

/// Parses `--cpus`: a decimal number of processors, returned in thousandths.
///
/// # Errors
/// [`Error::Value`] for anything else, for zero, and for over a million.
pub fn parse_cpus(text: &str) -> Result<u64> {
    let bad = || Error::value("--cpus", text, "use a number of processors such as 1.5");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !plain(fraction) || whole.len() > 6 || (whole.is_empty() && fraction.is_empty()) {
        return Err(bad());
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
    let mut thousandths = 0;
    for at in 0..3 {
        let digit = fraction.as_bytes().get(at).map_or(0, |byte| u64::from(byte - b'0'));
        thousandths = thousandths * 10 + digit;
    }
    match whole * 1000 + thousandths {
        0 => Err(bad()),
        sum => Ok(sum),
    }
}

/// Parses a decimal number without sign, blanks or leading `+`.
///
/// # Errors
/// [`Error::Value`] if it is no number or does not fit.
pub fn parse_number<N: std::str::FromStr>(flag: &'static str, text: &str) -> Result<N> {
    let plain = text.bytes().enumerate().all(|(at, byte)| byte.is_ascii_digit() || (at == 0 && byte == b'-'));
    match text.parse() {
        Ok(number) if plain => Ok(number),
        _ => Err(Error::value(flag, text, "use a whole number within the limits of the flag")),
    }
}

/// Checks a list such as `0-3,7` of processors or memory nodes.
///
/// # Errors
/// [`Error::Value`] for anything else and for numbers over 65,535.
pub fn parse_list(flag: &'static str, text: &str) -> Result<String> {
    let bad = || Error::value(flag, text, "use a list such as 0-3,7");
    let number = |part: &str| -> Option<u16> {
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten()
    };
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => {}
            _ => return Err(bad()),
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("1b", Some(1)),
            ("64k", Some(65536)),
            ("64KB", Some(65536)),
            ("1.5g", Some(1_610_612_736)),
            ("2GiB", Some(2 << 30)),
            ("8191p", Some(8191 << 50)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("8192p", None),
            ("-1", None),
            ("+1", None),
            ("1 g", None),
            ("g", None),
            (".5g", None),
            ("1..5g", None),
            ("", None),
            ("12x", None),
            ("1e3", None),
        ] {
            assert_eq!(parse_size("--memory", text).ok(), expected, "{text}");
        }
        assert_eq!(parse_size_or_unlimited("--memory-swap", "-1").unwrap(), -1);
    }

    #[test]
    fn processors() {
        for (text, expected) in [
            ("1", Some(1000)),
            ("1.5", Some(1500)),
            (".25", Some(250)),
            ("0.0001", None),
            ("0", None),
            ("-1", None),
            ("1e3", None),
            ("", None),
            (".", None),
            ("1.5.5", None),
        ] {
            assert_eq!(parse_cpus(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn lists() {
        for (text, good) in
            [("0", true), ("0-3,7", true), ("3-1", false), ("", false), ("0,", false), ("a", false)]
        {
            assert_eq!(parse_list("--cpuset-cpus", text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn numbers() {
        for (text, expected) in
            [("5", Some(5)), ("-5", Some(-5)), ("+5", None), (" 5", None), ("0x5", None), ("", None)]
        {
            assert_eq!(parse_number::<i32>("--x", text).ok(), expected, "{text}");
        }
    }
}
