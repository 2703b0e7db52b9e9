//! Everything a person opened, in one type (design invariant 4).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of door an option opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WeakeningKind {
    /// A namespace shared with the host.
    Namespace,
    /// The host's own network services, to a container with a network of its own.
    Network,
    /// A capability beyond the profile's.
    Capability,
    /// `no_new_privs` is off.
    NewPrivileges,
    /// Another system call filter, or none.
    Seccomp,
    /// A kernel file that the profile hides or keeps read-only.
    KernelFile,
    /// A device of the host.
    Device,
    /// A host path that the guard refuses unless named.
    HostPath,
    /// Devices or set-id programs work on a mount.
    MountOption,
    /// AppArmor or SELinux confinement is off.
    Label,
    /// A default limit is off.
    Limit,
    /// The kernel kills others first when memory runs out.
    OutOfMemory,
    /// The host's environment is copied.
    Environment,
    /// A whole profile with weaker defaults.
    Profile,
}

/// One protection that an option opened: stored with the container, shown by `inspect`, read by `audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weakening {
    /// Which door.
    pub kind: WeakeningKind,
    /// The flag that opened it, as a person would type it.
    pub flag: String,
    /// What a process in the container can do now that it could not before.
    pub opens: String,
}

impl fmt::Display for Weakening {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` opens {}", self.flag, self.opens)
    }
}

/// Collects weakenings while a specification is built; the only way to make one.
#[derive(Debug, Default)]
pub(crate) struct Weakenings(Vec<Weakening>);

impl Weakenings {
    /// Records a door that is opened. The same door by the same flag is recorded once.
    pub(crate) fn open(&mut self, kind: WeakeningKind, flag: impl Into<String>, opens: impl Into<String>) {
        let weakening = Weakening { kind, flag: flag.into(), opens: opens.into() };
        if !self.0.contains(&weakening) {
            self.0.push(weakening);
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Weakening> {
        self.0
    }
}
