//! `--tz`: the container's `/etc/localtime` is a copy of one of the host's time zones, in the format of tzfile(5).

use std::path::Path;

use crate::error::{Error, Result};

/// Where hosts keep them.
const ZONES: &str = "/usr/share/zoneinfo";
/// The word for the host's own zone.
const LOCAL: &str = "local";
/// Most bytes of one; the longest of the public database takes 4 KiB.
const MAX: u64 = 64 << 10;
/// What each begins with.
const MAGIC: &[u8] = b"TZif";

fn refused(zone: &str, reason: impl Into<String>) -> Error {
    Error::value("--tz", zone.escape_debug().to_string(), reason)
}

/// Checks the name of a zone: `Europe/Berlin`, `UTC`, or `local` for the host's.
///
/// # Errors
/// [`Error::Value`] for what cannot be one.
pub fn parse(text: &str) -> Result<String> {
    let good = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-+".contains(&byte)) && !part.is_empty()
    };
    match text.len() <= 64 && text.split('/').all(good) {
        true => Ok(text.to_owned()),
        false => Err(refused(text, "use a name such as Europe/Berlin, or local")),
    }
}

/// What `/etc/localtime` holds there; `etc` is the host's.
pub(crate) fn read(zone: &str, etc: &Path) -> Result<Vec<u8>> {
    let path = if zone == LOCAL { etc.join("localtime") } else { Path::new(ZONES).join(zone) };
    // Links among the zones lead anywhere on the host, whose own files they are.
    let root = files::open_directory("/")?;
    let bytes = files::root::read_bounded(&root, path.strip_prefix("/").unwrap_or(&path), MAX)
        .map_err(|error| refused(zone, error.to_string()))?
        .ok_or_else(|| refused(zone, format!("there is no `{}`", path.display())))?;
    match bytes.starts_with(MAGIC) {
        true => Ok(bytes),
        false => Err(refused(zone, format!("`{}` holds no time zone", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "local"] {
            assert_eq!(parse(good).unwrap(), good);
        }
        for bad in ["", "/etc/shadow", "../shadow", "a//b", "a b", "a/", &"a".repeat(65)] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
