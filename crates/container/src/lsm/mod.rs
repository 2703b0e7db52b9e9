//! What the machine's security modules can do for a container, and what they are asked for.
//!
//! The only part that acts: it loads our AppArmor profile where root runs a container and it is not loaded yet, and
//! reserves SELinux categories. Both happen before a specification is built, so that building stays pure.

pub mod apparmor;
pub mod selinux;

pub use apparmor::Apparmor;
pub use selinux::{Categories, Selinux};

use crate::options::Options;

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
