//! The three profiles and what each starts from.

use crate::error::{Error, Result};

/// A set of defaults; the flags are applied on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Our default: runs what people run, with every protection on.
    #[default]
    Standard,
    /// Non-root, read-only root, no capability, no network, a short list of system calls.
    Strict,
    /// Docker's exact set of capabilities, filter and masks, for migration.
    Docker,
}

/// The eight capabilities of [`Profile::Standard`]. Who needs them: package managers and database start
/// scripts (`chown`, `gosu`, `setpriv --bounding-set`); measured on Debian 12.
const STANDARD: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
];

/// Docker's fourteen.
const DOCKER: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

impl Profile {
    /// Parses `--profile`.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "standard" | "default" => Ok(Self::Standard),
            "strict" => Ok(Self::Strict),
            "docker" => Ok(Self::Docker),
            "vm" => Err(Error::NotYet { what: "--profile vm".into(), instead: "use `standard` or `strict`" }),
            _ => Err(Error::value("--profile", text, "use standard, strict or docker")),
        }
    }

    /// The name that [`Self::parse`] takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Strict => "strict",
            Self::Docker => "docker",
        }
    }

    /// The capabilities that root in the container starts with, before `--cap-add` and `--cap-drop`.
    pub(crate) const fn capabilities(self) -> &'static [&'static str] {
        match self {
            Self::Standard => STANDARD,
            Self::Strict => &[],
            Self::Docker => DOCKER,
        }
    }

    /// Whether `no_new_privs` is on unless a flag says otherwise.
    pub(crate) const fn no_new_privileges(self) -> bool {
        !matches!(self, Self::Docker)
    }

    /// Most tasks unless a flag says otherwise.
    pub(crate) const fn pids_limit(self) -> Option<i64> {
        match self {
            Self::Standard => Some(1024),
            Self::Strict => Some(256),
            Self::Docker => None,
        }
    }
}
