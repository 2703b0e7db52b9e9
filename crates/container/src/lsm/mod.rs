//! What the machine's security modules can do for a container, and what they are asked for.
//!
//! The only part that acts: it loads our AppArmor profile where root runs a container and it is not loaded yet, and
//! reserves SELinux categories. Both happen before a specification is built, so that building stays pure.

pub mod apparmor;
pub mod selinux;

pub use apparmor::Apparmor;
pub use selinux::{Categories, Selinux};

use std::fmt;

use crate::options::Options;

/// Why a module that is on does not confine a container, and the command that mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// In one line.
    pub reason: String,
    /// To be run as root, where there is one.
    pub mend: Option<String>,
}

impl Lack {
    pub(crate) fn new(reason: impl Into<String>, mend: &str) -> Self {
        Self { reason: reason.into(), mend: Some(mend.to_owned()) }
    }

    pub(crate) fn without_mend(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), mend: None }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mend {
            Some(mend) => write!(formatter, "{}: as root run `{mend}`", self.reason),
            None => write!(formatter, "{}", self.reason),
        }
    }
}

/// What the security modules can do for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modules {
    /// AppArmor.
    pub apparmor: Apparmor,
    /// SELinux.
    pub selinux: Selinux,
}

impl Modules {
    /// Neither is on.
    pub const OFF: Self = Self { apparmor: Apparmor::Off, selinux: Selinux::Off };

    /// Looks and changes nothing.
    #[must_use]
    pub fn look(options: &Options) -> Self {
        Self { apparmor: apparmor::look(options), selinux: selinux::look(options, None) }
    }

    /// Loads our profile where that is needed and possible. `categories` are the container's own.
    #[must_use]
    pub fn prepare(options: &Options, categories: Option<&Categories>) -> Self {
        Self {
            apparmor: apparmor::prepare(options),
            selinux: selinux::look(options, categories.map(Categories::as_str)),
        }
    }
}
