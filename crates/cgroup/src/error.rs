//! What can go wrong, as situations a caller can act upon.

use std::fmt;

use rustix::io::Errno;

use crate::Controller;

/// A result whose error is this crate's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Failures of cgroup operations.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A kernel file could not be read.
    #[error("read `{path}`: {errno}")]
    Read {
        /// The file, as shown to people.
        path: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A kernel file was larger than its limit.
    #[error("read `{path}`: more than {limit} bytes")]
    TooLarge {
        /// The file, as shown to people.
        path: String,
        /// Bytes.
        limit: usize,
    },
    /// The requested cgroup path cannot be used.
    #[error("cgroup path `{path}`: {reason}")]
    BadPath {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The cgroup could not be created or opened.
    #[error("create cgroup `{path}`: {errno}")]
    Create {
        /// The cgroup's directory, as shown to people.
        path: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A cgroup of this path exists and something lives in it.
    #[error("cgroup `{path}` already has processes in it: choose another path, or stop what runs there")]
    Occupied {
        /// The cgroup's directory, as shown to people.
        path: String,
    },
    /// A process could not be moved into the cgroup.
    #[error("move process {pid} into cgroup `{path}`: {errno}")]
    Join {
        /// The process.
        pid: i32,
        /// The cgroup's directory, as shown to people.
        path: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// A requested limit cannot be applied.
    #[error("{0}")]
    Limit(Box<Unapplied>),
    /// A value in the requested resources makes no sense.
    #[error("resource `{field}`: `{value}`: {reason}")]
    BadValue {
        /// The field of the runtime specification.
        field: &'static str,
        /// The value as given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The operation needs a cgroup and there is none.
    #[error("{operation} needs a cgroup, and this container has none")]
    NoCgroup {
        /// What was tried.
        operation: &'static str,
    },
    /// Freezing, thawing or signalling failed.
    #[error("{operation} cgroup `{path}`: {errno}")]
    Operation {
        /// What was tried.
        operation: &'static str,
        /// The cgroup's directory, as shown to people.
        path: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// Directories that could not be removed.
    #[error("remove cgroup: still there: {}", join(.left))]
    Remains {
        /// Their paths and the kernel's answers.
        left: Vec<(String, Errno)>,
    },
    /// systemd refused, or did not answer.
    #[error("systemd: {operation} `{unit}`: {reason}")]
    Systemd {
        /// The method called.
        operation: &'static str,
        /// The unit.
        unit: String,
        /// Its answer, or the transport's error.
        reason: String,
    },
}

fn join(left: &[(String, Errno)]) -> String {
    let shown: Vec<String> = left.iter().map(|(path, errno)| format!("`{path}` ({errno})")).collect();
    shown.join(", ")
}

impl Error {
    /// Returns what a person could do next, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            // Where the kernel was not asked, the message is the hint.
            Self::Limit(unapplied) => unapplied.hint.filter(|_| unapplied.errno.is_some()),
            Self::Create { errno, .. } | Self::Join { errno, .. } => permission_hint(*errno),
            Self::Remains { .. } => Some("see which processes hold it in its `cgroup.procs`"),
            _ => None,
        }
    }
}

/// Returns the hint for errors that only a delegation mends.
pub(crate) fn permission_hint(errno: Errno) -> Option<&'static str> {
    matches!(errno, Errno::ACCESS | Errno::PERM | Errno::ROFS)
        .then_some("run as root, or in a cgroup that is delegated to this user (systemd: `Delegate=yes`)")
}

/// One limit that was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unapplied {
    /// The controller that it belongs to.
    pub controller: Controller,
    /// The kernel file, or the field of the runtime specification where no file matches.
    pub file: String,
    /// What should have been written.
    pub value: String,
    /// The kernel's answer; `None` where there was nothing to ask.
    pub errno: Option<Errno>,
    /// What a person could do next.
    pub hint: Option<&'static str>,
}

impl fmt::Display for Unapplied {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { controller, file, value, errno, hint } = self;
        write!(out, "cgroup controller `{controller}`: set `{file}` to `{value}`: ")?;
        match (errno, hint) {
            (Some(errno), _) => write!(out, "{errno}"),
            (None, Some(hint)) => write!(out, "{hint}"),
            (None, None) => write!(out, "not available here"),
        }
    }
}

/// Something that is weaker than it could be, and was not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A default limit is not in force.
    Unapplied(Unapplied),
    /// No cgroup of our own could be made: nothing limits, lists or freezes the container.
    NoCgroup {
        /// The first refusal; `None` where no cgroup file system is mounted.
        reason: Option<(String, Errno)>,
    },
    /// One hierarchy could not be used.
    Hierarchy {
        /// The directory that could not be made.
        path: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// Controllers could not be passed on to the container's cgroup.
    NotDelegated {
        /// The `cgroup.subtree_control` file concerned.
        path: String,
        /// The controllers asked for.
        controllers: String,
        /// The kernel's answer.
        errno: Errno,
    },
    /// systemd does not know of a default limit that the kernel has: it may undo it on a reload.
    Systemd {
        /// The method called.
        operation: &'static str,
        /// The unit.
        unit: String,
        /// Its answer, or the transport's error.
        reason: String,
    },
    /// A field has no effect on current kernels.
    Ignored {
        /// The field of the runtime specification.
        field: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unapplied(unapplied) => unapplied.fmt(out),
            Self::NoCgroup { reason: None } => {
                write!(out, "no cgroup file system is mounted: the container has no limits")
            }
            Self::NoCgroup { reason: Some((path, errno)) } => {
                write!(out, "no cgroup can be made (`{path}`: {errno}): the container has no limits")
            }
            Self::Hierarchy { path, errno } => write!(out, "create cgroup `{path}`: {errno}"),
            Self::NotDelegated { path, controllers, errno: Errno::BUSY } => write!(
                out,
                "enable `{controllers}` in `{path}`: that cgroup itself holds processes, and then its \
                 children cannot have controllers"
            ),
            Self::NotDelegated { path, controllers, errno } => {
                write!(out, "enable `{controllers}` in `{path}`: {errno}")
            }
            Self::Systemd { operation, unit, reason } => {
                write!(out, "systemd: {operation} `{unit}`: {reason}")
            }
            Self::Ignored { field } => write!(out, "`{field}` has no effect on current kernels"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_twice() {
        for errno in [None, Some(Errno::ACCESS)] {
            let hint = permission_hint(Errno::ACCESS);
            let (file, value) = ("memory.max".to_owned(), "1".to_owned());
            let error = Error::Limit(Box::new(Unapplied {
                controller: Controller::Memory,
                file,
                value,
                errno,
                hint,
            }));
            let said = format!("{error} {}", error.hint().unwrap_or_default());
            assert_eq!(said.matches("Delegate=yes").count(), 1, "{said}");
        }
    }
}
