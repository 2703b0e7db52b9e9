//! Names of secrets.

use std::fmt;

use crate::error::{Error, Result};

/// Most bytes of a name, as in podman.
const MAX_NAME: usize = 253;

/// A secret's name: a file name that cannot start with a dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn new(text: &str) -> Result<Self> {
        let is_good = text.len() <= MAX_NAME && files::is_plain_name(text);
        if is_good { Ok(Self(text.to_owned())) } else { Err(Error::Name(text.to_owned())) }
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
