//! What a registry is shown, and where people keep that.

mod file;
mod helper;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use file::{Kept, forget, keep};

/// A value that no message and no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for who sends or stores it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Who a person is to one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, which is exchanged for tokens (docker's `identitytoken`).
    Identity(Secret),
    /// A token as it is (docker's `registrytoken`).
    Bearer(Secret),
}

impl Credentials {
    /// The value of `Authorization` for a user and a password.
    pub(crate) fn basic(user: &str, password: &Secret) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_a_secret() {
        let credentials = Credentials::Basic { user: "me".into(), password: Secret::new("hush") };
        let text = format!("{credentials:?}");
        assert!(text.contains("me") && !text.contains("hush"), "{text}");
        assert_eq!(
            Credentials::basic("Aladdin", &Secret::new("open sesame")),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
    }
}
