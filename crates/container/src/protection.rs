//! Whether each protection is in force, and why not (design invariant 5).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far a protection is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", content = "reason", rename_all = "lowercase")]
pub enum Status {
    /// As the profile wants it.
    Applied,
    /// In force, but less than the profile wants; the reason.
    Weaker(String),
    /// Not in force on this machine; the reason.
    Unavailable(String),
}

/// One protection and its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protection {
    /// Its name, as `inspect` prints it.
    pub name: String,
    /// How far it is in force.
    #[serde(flatten)]
    pub status: Status,
}

impl Protection {
    /// A protection in force.
    #[must_use]
    pub fn applied(name: &str) -> Self {
        Self { name: name.to_owned(), status: Status::Applied }
    }

    /// A protection in force in part.
    #[must_use]
    pub fn weaker(name: &str, reason: impl Into<String>) -> Self {
        Self { name: name.to_owned(), status: Status::Weaker(reason.into()) }
    }

    /// A protection that this machine cannot give.
    #[must_use]
    pub fn unavailable(name: &str, reason: impl Into<String>) -> Self {
        Self { name: name.to_owned(), status: Status::Unavailable(reason.into()) }
    }

    /// Whether it is in force in full.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        self.status == Status::Applied
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.status {
            Status::Applied => write!(formatter, "{} is applied", self.name),
            Status::Weaker(reason) => write!(formatter, "{} is weaker: {reason}", self.name),
            Status::Unavailable(reason) => write!(formatter, "{} is unavailable: {reason}", self.name),
        }
    }
}

/// Fails with every protection that is not applied in full: `--require-all`.
///
/// # Errors
/// [`crate::Error::Unprotected`].
pub fn require_all(protections: &[Protection]) -> crate::Result<()> {
    let missing: Vec<Protection> =
        protections.iter().filter(|protection| !protection.is_applied()).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(crate::Error::Unprotected(missing)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn require_all_names_what_is_missing() {
        let list = [
            Protection::applied("seccomp"),
            Protection::weaker("user namespace", "one id only"),
            Protection::unavailable("apparmor", "not in this kernel"),
        ];
        assert!(require_all(&list[..1]).is_ok());
        assert_eq!(
            require_all(&list).unwrap_err().to_string(),
            "`--require-all`: user namespace is weaker: one id only; apparmor is unavailable: not in this kernel"
        );
    }

    #[test]
    fn json_has_a_status_and_a_reason() {
        let text = serde_json::to_string(&Protection::weaker("a", "b")).unwrap();
        assert_eq!(text, r#"{"name":"a","status":"weaker","reason":"b"}"#);
    }
}
