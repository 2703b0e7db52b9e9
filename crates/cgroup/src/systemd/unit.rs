//! Names of scopes and slices.

use crate::{Error, Result};

/// Longest unit name (`UNIT_NAME_MAX` of systemd, its end included).
const NAME_BYTES: usize = 255;

/// A scope and the slice that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) slice: String,
}

impl Unit {
    /// Parses `slice:prefix:name`, each of which may be empty, or takes the defaults.
    pub(super) fn new(id: &str, path: Option<&str>, rootless: bool) -> Result<Self> {
        let given = path.unwrap_or(":brig:");
        let bad = |reason| Error::BadPath {
            path: given.chars().take(64).flat_map(char::escape_default).collect(),
            reason,
        };
        let mut fields = given.split(':');
        let (Some(slice), Some(prefix), Some(name), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(bad("systemd's form is `slice:prefix:name`"));
        };
        let slice = match slice {
            "" if rootless => "user.slice",
            "" => "system.slice",
            slice => slice,
        };
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'\\' | b'@');
        // `a-b.slice` is `b` in `a`: an empty step, as in `a--b`, names nothing.
        let steps = slice.strip_suffix(".slice").filter(|steps| {
            *steps == "-" || (!steps.is_empty() && steps.split('-').all(|step| !step.is_empty()))
        });
        if steps.is_none() || slice.len() > NAME_BYTES || !slice.bytes().all(plain) {
            return Err(bad("the slice is not the name of one, such as `machine.slice`"));
        }
        let name = if name.is_empty() { id } else { name };
        if name.is_empty() || name.ends_with(".slice") {
            return Err(bad("a container is a scope and needs a name"));
        }
        let dash = if prefix.is_empty() { "" } else { "-" };
        let name = format!("{}{dash}{}.scope", escape(prefix), escape(name));
        if name.len() > NAME_BYTES {
            return Err(bad("the scope's name is longer than 255 bytes"));
        }
        Ok(Self { name, slice: slice.to_owned() })
    }
}

/// Escapes what unit names cannot have, as systemd-escape(1) does.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("\\x{byte:02x}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (path, rootless, slice, name) in [
            (None, false, "system.slice", "brig-web.scope"),
            (None, true, "user.slice", "brig-web.scope"),
            (Some("machine.slice:libpod:0abc"), false, "machine.slice", "libpod-0abc.scope"),
            (Some("::"), false, "system.slice", "web.scope"),
            (Some("-.slice:cri:a+b"), false, "-.slice", "cri-a\\x2bb.scope"),
            (Some("a-b.slice:p:n"), false, "a-b.slice", "p-n.scope"),
        ] {
            let expected = Unit { name: name.to_owned(), slice: slice.to_owned() };
            assert_eq!(Unit::new("web", path, rootless).unwrap(), expected);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = format!("::{}", "a".repeat(250));
        for path in [
            "",
            "/a/b",
            "a",
            "a:b",
            "a.slice:b:c:d",
            "x:b:c",
            "a/b.slice:b:c",
            "a--b.slice:b:c",
            ".slice:b:c",
            "s.slice:p:x.slice",
            &long,
        ] {
            assert!(Unit::new("web", Some(path), false).is_err(), "{path}");
        }
    }
}
