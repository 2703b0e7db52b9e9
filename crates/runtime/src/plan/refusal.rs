//! Why a spec cannot become a container: one variant for each reason, one line of text for each.

use oci::runtime::NamespaceKind;

use super::attributes::AttributeError;
use super::option::OptionError;
use super::path::PathError;
use super::sysctl::SysctlError;

/// Why a spec cannot become a container.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The version is not one we implement.
    #[error("`ociVersion` is `{}`; this runtime implements 1.0.0 to 1.3.x", .0.escape_debug())]
    Version(String),
    /// A field that must be there is not.
    #[error("the spec has no `{0}`")]
    Missing(&'static str),
    /// A part of the spec that this runtime does not implement; `features` says so too.
    #[error("the spec asks for `{0}`, which this runtime does not support")]
    Unsupported(&'static str),
    /// A path that cannot be used.
    #[error("the {what} `{}` cannot be used: {error}", path.escape_debug())]
    Path {
        /// Kind of path.
        what: &'static str,
        /// The path.
        path: String,
        /// Why.
        error: PathError,
    },
    /// A path that must be absolute is not.
    #[error("the {what} path `{}` is not absolute", path.escape_debug())]
    RelativePath {
        /// Kind of path.
        what: &'static str,
        /// The path.
        path: String,
    },
    /// A secret's name is no file name.
    #[error("the secret's name `{}` is no file name", .0.escape_debug())]
    SecretName(String),
    /// The kernel takes no NUL in a string.
    #[error("a {0} string contains a NUL byte")]
    Nul(&'static str),
    /// More of something than any honest bundle has.
    #[error("{count} {what}: at most {limit} are taken")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many at most.
        limit: usize,
    },
    /// The same namespace twice.
    #[error("the {0:?} namespace is listed twice")]
    DuplicateNamespace(NamespaceKind),
    /// A field that needs a namespace of the container's own.
    #[error("`{field}` needs a {kind:?} namespace of the container's own")]
    NeedsNamespace {
        /// Field of the spec.
        field: &'static str,
        /// Kind of namespace.
        kind: NamespaceKind,
    },
    /// A user namespace without maps, or maps without one.
    #[error("a new user namespace needs `uidMappings` and `gidMappings`, and they need a new user namespace")]
    IdMaps,
    /// An id that the map does not hold.
    #[error("{what} {id} is not mapped in the container's user namespace")]
    UnmappedId {
        /// `user id` or `group id`.
        what: &'static str,
        /// The id.
        id: u32,
    },
    /// An option of a mount.
    #[error("mount at `{}`: {error}", destination.escape_debug())]
    MountOption {
        /// Where.
        destination: String,
        /// Why.
        error: OptionError,
    },
    /// A mount on the root itself.
    #[error("a mount on `/` would hide the root file system")]
    MountOnRoot,
    /// A mount that could stand in for what the engine itself writes.
    #[error("a mount at `{}` could replace a file that the engine writes: it is refused", .0.escape_debug())]
    MountInProc(String),
    /// A bind mount of nothing.
    #[error("the bind mount at `{}` has no source", .0.escape_debug())]
    NoSource(String),
    /// `tmpcopyup` elsewhere.
    #[error("`tmpcopyup` at `{}`: it is for tmpfs only", .0.escape_debug())]
    CopyUp(String),
    /// Only one of the two maps.
    #[error("the mount at `{}` has only one of `uidMappings` and `gidMappings`", .0.escape_debug())]
    HalfIdMap(String),
    /// Id maps on something that is no bind mount.
    #[error("the mount at `{}` asks for an id map, but is no bind mount", .0.escape_debug())]
    IdMapNeedsBind(String),
    /// `idmap` without maps and without a user namespace.
    #[error("the mount at `{}` asks for `idmap`, but neither it nor the container has a map", .0.escape_debug())]
    IdMapWithoutUser(String),
    /// A hook that could never end in time.
    #[error("the hook `{}` has a timeout of {timeout} s: it must be above 0", path.escape_debug())]
    HookTimeout {
        /// The hook.
        path: String,
        /// Its timeout in seconds.
        timeout: i64,
    },
    /// A device type that does not exist.
    #[error("the device `{}` has the unknown type `{}`", path.escape_debug(), kind.escape_debug())]
    DeviceKind {
        /// Where.
        path: String,
        /// The type.
        kind: String,
    },
    /// A device number out of range.
    #[error("the device `{}` has a number out of range", path.escape_debug())]
    DeviceNumber {
        /// Where.
        path: String,
    },
    /// A sysctl.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// An attribute of the process.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// `rootfsPropagation` holds something else.
    #[error("unknown `rootfsPropagation` `{}`", .0.escape_debug())]
    Propagation(String),
    /// A label without the security module that it is for.
    #[error("the spec has {0}, but the kernel does not run that security module")]
    NoSecurityModule(&'static str),
    /// `time_offsets` names another clock.
    #[error("unknown clock `{}` in `timeOffsets`", .0.escape_debug())]
    Clock(String),
}

impl Refusal {
    pub(crate) fn path(what: &'static str, path: &str, error: PathError) -> Self {
        Self::Path { what, path: path.to_owned(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by the fuzz target `spec`: an unknown I/O priority class with delete characters in it.
    #[test]
    fn what_a_bundle_says_writes_no_line_and_no_escape_of_its_own() {
        let text = || "a\nwarning: forged\u{7f}\u{1b}[2J".to_owned();
        let refusals = [
            Refusal::Version(text()),
            Refusal::Path { what: "root", path: text(), error: PathError::Nul },
            Refusal::RelativePath { what: "hook", path: text() },
            Refusal::MountOption { destination: text(), error: OptionError::Nul(text()) },
            Refusal::MountInProc(text()),
            Refusal::NoSource(text()),
            Refusal::CopyUp(text()),
            Refusal::HalfIdMap(text()),
            Refusal::IdMapNeedsBind(text()),
            Refusal::IdMapWithoutUser(text()),
            Refusal::HookTimeout { path: text(), timeout: 0 },
            Refusal::DeviceKind { path: text(), kind: text() },
            Refusal::DeviceNumber { path: text() },
            Refusal::Attribute(AttributeError::Unknown { what: "class", value: text() }),
            Refusal::Attribute(AttributeError::DuplicateLimit(text())),
            Refusal::Attribute(AttributeError::SoftAboveHard(text())),
            Refusal::Sysctl(super::super::sysctl::check(&text(), "1", |_| true).unwrap_err()),
            Refusal::Propagation(text()),
            Refusal::Clock(text()),
        ];
        for refusal in refusals {
            let message = refusal.to_string();
            assert!(!message.chars().any(char::is_control), "{message:?}");
            assert!(message.contains("forged"), "{message}");
        }
    }
}
