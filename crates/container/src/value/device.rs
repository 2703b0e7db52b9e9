//! `--device` and the rates and weights of block devices.

use crate::error::{Error, Result};
use crate::value::size::{parse_number, parse_size};

/// A device of the host to show in the container.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceRequest {
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Any of `r`, `w`, `m`.
    pub access: String,
}

/// Parses `HOST[:CONTAINER][:ACCESS]`.
///
/// # Errors
/// [`Error::Value`] for relative paths, paths with `..`, and unknown access letters;
/// [`Error::NotYet`] for a CDI name.
pub fn parse(text: &str) -> Result<DeviceRequest> {
    let bad = |reason: &str| Error::value("--device", text, reason);
    if !text.starts_with('/') && text.contains('=') {
        let instead = "name the device files of the CDI specification with `--device /dev/...`";
        return Err(Error::NotYet { what: format!("--device {text}"), instead });
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, access) = match parts.as_slice() {
        [source] => (*source, *source, "rwm"),
        [source, second] if is_access(second) => (*source, *source, *second),
        [source, target] => (*source, *target, "rwm"),
        [source, target, third] if is_access(third) => (*source, *target, *third),
        _ => return Err(bad("use HOST[:CONTAINER][:rwm]")),
    };
    let plain =
        |path: &str| path.starts_with('/') && path.len() > 1 && !path.split('/').any(|part| part == "..");
    if !plain(source) || !plain(target) {
        return Err(bad("paths start with `/` and hold no `..`"));
    }
    Ok(DeviceRequest { source: source.to_owned(), target: target.to_owned(), access: access.to_owned() })
}

/// Devices that may be used, whose nodes something else brings.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceRuleRequest {
    /// `a`, `b` or `c`.
    pub kind: char,
    /// Their major number, or all.
    pub major: Option<i64>,
    /// Their minor number, or all.
    pub minor: Option<i64>,
    /// Any of `r`, `w`, `m`.
    pub access: String,
}

impl std::fmt::Display for DeviceRuleRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |number: Option<i64>| number.map_or("*".to_owned(), |number| number.to_string());
        write!(formatter, "{} {}:{} {}", self.kind, number(self.major), number(self.minor), self.access)
    }
}

/// Parses `--device-cgroup-rule 'KIND MAJOR:MINOR ACCESS'`, in which a number can be `*`.
///
/// # Errors
/// [`Error::Value`].
pub fn parse_rule(text: &str) -> Result<DeviceRuleRequest> {
    let bad = || Error::value("--device-cgroup-rule", text, "use the form `c 189:* rwm`");
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits => digits.parse::<u32>().map(|number| Some(i64::from(number))).map_err(|_| bad()),
    };
    let parts: Vec<&str> = text.split(' ').collect();
    let [kind @ ("a" | "b" | "c"), numbers, access] = parts.as_slice() else { return Err(bad()) };
    let (major, minor) = numbers.split_once(':').ok_or_else(bad)?;
    if !is_access(access) {
        return Err(bad());
    }
    let kind = kind.chars().next().unwrap_or('a');
    let rule = DeviceRuleRequest {
        kind,
        major: number(major)?,
        minor: number(minor)?,
        access: (*access).to_owned(),
    };
    Ok(rule)
}

fn is_access(text: &str) -> bool {
    !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| b"rwm".contains(&byte))
}

/// A block device of the host and a number for it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BlockValue {
    /// Path on the host.
    pub path: String,
    /// Bytes or operations a second, or a weight.
    pub value: u64,
}

fn split<'a>(flag: &'static str, text: &'a str) -> Result<(&'a str, &'a str)> {
    match text.rsplit_once(':') {
        Some((path, value)) if path.starts_with('/') => Ok((path, value)),
        _ => Err(Error::value(flag, text, "use /dev/NAME:NUMBER")),
    }
}

/// Parses `PATH:SIZE` of the `-bps` flags.
///
/// # Errors
/// [`Error::Value`].
pub fn parse_bytes(flag: &'static str, text: &str) -> Result<BlockValue> {
    let (path, value) = split(flag, text)?;
    let value =
        u64::try_from(parse_size(flag, value)?).map_err(|_| Error::value(flag, text, "is negative"))?;
    Ok(BlockValue { path: path.to_owned(), value })
}

/// Parses `PATH:NUMBER` of the `-iops` flags.
///
/// # Errors
/// [`Error::Value`].
pub fn parse_operations(flag: &'static str, text: &str) -> Result<BlockValue> {
    let (path, value) = split(flag, text)?;
    Ok(BlockValue { path: path.to_owned(), value: parse_number(flag, value)? })
}

/// Parses `PATH:WEIGHT` of `--blkio-weight-device`.
///
/// # Errors
/// [`Error::Value`], also for a weight outside 10 to 1000.
pub fn parse_weight(flag: &'static str, text: &str) -> Result<BlockValue> {
    let (path, value) = split(flag, text)?;
    match parse_number(flag, value)? {
        weight @ 10..=1000 => Ok(BlockValue { path: path.to_owned(), value: weight }),
        _ => Err(Error::value(flag, text, "a weight is 10 to 1000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        for (text, expected) in [
            ("/dev/fuse", Some(("/dev/fuse", "/dev/fuse", "rwm"))),
            ("/dev/fuse:r", Some(("/dev/fuse", "/dev/fuse", "r"))),
            ("/dev/sda:/dev/xvda", Some(("/dev/sda", "/dev/xvda", "rwm"))),
            ("/dev/sda:/dev/xvda:rw", Some(("/dev/sda", "/dev/xvda", "rw"))),
            ("/dev/sda:/dev/xvda:x", None),
            ("/dev/sda:x", None),
            ("sda", None),
            ("/dev/../etc/shadow", None),
            ("vendor.com/gpu=all", None),
            ("", None),
            ("/", None),
        ] {
            let got = parse(text).ok();
            let got = got.as_ref().map(|one| (one.source.as_str(), one.target.as_str(), one.access.as_str()));
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn rules() {
        for good in ["c 189:* rwm", "b 8:0 r", "a *:* rwm"] {
            assert_eq!(parse_rule(good).unwrap().to_string(), good);
        }
        for bad in
            ["", "c 189:*", "d 1:1 r", "c 1 r", "c 1:x r", "c 1:1 x", "c -1:1 r", "c 1:1 r r", "c  1:1 r"]
        {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_and_weights() {
        assert_eq!(parse_bytes("--device-read-bps", "/dev/sda:1mb").unwrap().value, 1 << 20);
        assert_eq!(parse_operations("--device-read-iops", "/dev/sda:100").unwrap().value, 100);
        assert!(parse_operations("--device-read-iops", "/dev/sda:1k").is_err());
        assert!(parse_bytes("--device-read-bps", "sda:1").is_err());
        assert!(parse_weight("--blkio-weight-device", "/dev/sda:9").is_err());
        assert_eq!(parse_weight("--blkio-weight-device", "/dev/sda:10").unwrap().value, 10);
    }
}
