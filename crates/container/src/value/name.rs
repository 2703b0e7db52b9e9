//! Container names, ids and host names.

use std::fmt;

use crate::error::{Error, Result};

/// Longest host name that Linux takes (`__NEW_UTS_LEN`).
pub const MAX_HOST_NAME: usize = 64;
/// Longest container name: it is a file name, and leaves room for a suffix.
pub const MAX_NAME: usize = 128;

/// A container's name: a file name that is also safe in a shell and a log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Name(String);

impl Name {
    /// Checks a name: a letter or digit, then letters, digits, `_`, `.`, `-`; docker's grammar.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn new(text: &str) -> Result<Self> {
        let name = text.strip_prefix('/').unwrap_or(text);
        if !(2..=MAX_NAME).contains(&name.len()) || !files::is_plain_name(name) {
            let reason = "use 2 to 128 of a-z A-Z 0-9 _ . - and start with a letter or digit";
            return Err(Error::value("--name", text, reason));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A container's id: 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContainerId(String);

impl ContainerId {
    /// Makes an id of 32 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(64);
        for byte in bytes {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        Self(text)
    }

    /// Checks an id read from a file name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        good.then(|| Self(text.to_owned()))
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits: the default host name, and what tables print.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Checks a host or domain name: dot-separated labels of letters, digits, `-` and `_`.
///
/// # Errors
/// [`Error::Value`].
pub fn host_name(flag: &'static str, text: &str) -> Result<String> {
    let label = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && !part.starts_with('-')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if text.len() > MAX_HOST_NAME || !text.split('.').all(label) {
        return Err(Error::value(flag, text, "use at most 64 letters, digits, `-` and dots"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names() {
        for (text, good) in [
            ("web", true),
            ("kasun_priority_1", true),
            ("/web", true),
            ("a.b-c", true),
            ("w", false),
            ("", false),
            ("../x", false),
            ("a/b", false),
            (".hidden", false),
            ("-rm", false),
            ("a b", false),
            ("a\nb", false),
            ("ü1", false),
        ] {
            assert_eq!(Name::new(text).is_ok(), good, "{text}");
        }
        assert!(Name::new(&"a".repeat(129)).is_err());
    }

    #[test]
    fn ids_are_hexadecimal() {
        let id = ContainerId::from_bytes([0xa7; 32]);
        assert_eq!(id.as_str(), "a7".repeat(32));
        assert_eq!(id.short(), "a7a7a7a7a7a7");
        assert_eq!(ContainerId::parse(id.as_str()), Some(id));
        assert_eq!(ContainerId::parse(&"A7".repeat(32)), None);
        assert_eq!(ContainerId::parse("../etc"), None);
    }

    #[test]
    fn host_names() {
        for (text, good) in [
            ("web", true),
            ("a.b", true),
            ("", false),
            ("a..b", false),
            ("-a", false),
            ("a b", false),
            ("a\n", false),
        ] {
            assert_eq!(host_name("--hostname", text).is_ok(), good, "{text:?}");
        }
    }
}
