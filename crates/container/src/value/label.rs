//! Labels, annotations and extra hosts.

use crate::error::{Error, Result};

/// Annotations whose behaviour belongs to the engine: no image and no flag may set one. An image's label
/// never gets here at all (CVE-2026-53488: a label that a logger plugin obeyed).
pub const RESERVED: &str = "brig.";

/// Parses `KEY=value`; a key alone has an empty value.
///
/// # Errors
/// [`Error::Value`] for an empty or reserved key, and for control characters in a key.
pub fn parse(flag: &'static str, text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() || key.chars().any(char::is_control) || value.contains('\0') {
        return Err(Error::value(flag, text.replace('\0', "\\0"), "use KEY=value with a printable key"));
    }
    if key.starts_with(RESERVED) {
        return Err(Error::value(flag, text, "keys that start with `brig.` belong to the engine"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Parses a label file: one `KEY=value` a line, `#` starts a comment line.
///
/// # Errors
/// As [`parse`], and for a file over 1 MiB.
pub fn parse_file(flag: &'static str, path: &str, bytes: &[u8]) -> Result<Vec<(String, String)>> {
    if bytes.len() > super::environment::MAX_FILE {
        return Err(Error::value(flag, path, "the file is larger than 1 MiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Error::value(flag, path, "the file is not UTF-8"))?;
    text.lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| parse(flag, line))
        .collect()
}

/// Parses `--add-host NAME:ADDRESS` (or `NAME=ADDRESS`), the address with or without brackets; none for `host-gateway`.
///
/// # Errors
/// [`Error::Value`] for a bad name or address.
pub fn parse_host(text: &str) -> Result<(String, Option<std::net::IpAddr>)> {
    let bad = || Error::value("--add-host", text, "use NAME:ADDRESS");
    let (name, address) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(bad)?;
    let name = super::name::host_name("--add-host", name)?;
    if address == "host-gateway" {
        return Ok((name, None));
    }
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    Ok((name, Some(address.parse().map_err(|_| bad())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for (text, expected) in [
            ("a=b", Some(("a", "b"))),
            ("a", Some(("a", ""))),
            ("a=b=c", Some(("a", "b=c"))),
            ("=b", None),
            ("a\nb=c", None),
            ("brig.log=binary:///bin/sh", None),
        ] {
            let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
            assert_eq!(parse("--label", text).ok(), expected, "{text:?}");
        }
        assert_eq!(parse_file("--label-file", "f", b"# c\na=1\n\nb\n").unwrap().len(), 2);
    }

    #[test]
    fn hosts() {
        for (text, good) in [
            ("db:10.0.0.1", true),
            ("db=10.0.0.1", true),
            ("db:::1", true),
            ("db:[::1]", true),
            ("db:host-gateway", true),
            ("db", false),
            ("db:x", false),
            ("d\nb:10.0.0.1", false),
        ] {
            assert_eq!(parse_host(text).is_ok(), good, "{text:?}");
        }
    }
}
