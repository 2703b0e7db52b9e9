//! Names of volumes.

use std::fmt;

use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

use crate::error::{Error, Result};

/// Most bytes of a name: it is a file name.
const MAX_NAME: usize = 255;

/// A volume's name: a file name that cannot start with a dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks a name: docker's grammar, `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn new(text: &str) -> Result<Self> {
        let is_good = text.len() <= MAX_NAME && files::is_plain_name(text);
        if is_good { Ok(Self(text.to_owned())) } else { Err(Error::Name(text.to_owned())) }
    }

    /// A new name for a volume that nobody named: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn anonymous() -> Result<Self> {
        let mut bytes = [0_u8; 32];
        let length = rustix::rand::getrandom(&mut bytes[..], GetRandomFlags::empty())
            .map_err(Error::system("name", ""))?;
        if length != bytes.len() {
            return Err(Error::system("name", "")(Errno::IO));
        }
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The text.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "a".repeat(256);
        for (text, is_good) in [
            ("data", true),
            ("9", true),
            ("a_b.c-D", true),
            (&long[..255], true),
            (&long, false),
            ("", false),
            (".", false),
            ("..", false),
            (".gone-x", false),
            ("-a", false),
            ("a/b", false),
            ("a b", false),
            ("a\n", false),
            ("ä", false),
        ] {
            assert_eq!(Name::new(text).is_ok(), is_good, "{text}");
        }
        let (one, other) = (Name::anonymous().unwrap(), Name::anonymous().unwrap());
        assert!(one != other && one.as_str().len() == 64 && Name::new(one.as_str()).is_ok());
    }
}
