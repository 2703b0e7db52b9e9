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
    #[error("`ociVersion` is `{0}`; this runtime implements 1.0.0 to 1.3.x")]
    Version(String),
    /// A field that must be there is not.
    #[error("the spec has no `{0}`")]
    Missing(&'static str),
    /// A part of the spec that this runtime does not implement; `features` says so too.
    #[error("the spec asks for `{0}`, which this runtime does not support")]
    Unsupported(&'static str),
    /// A path that cannot be used.
    #[error("the {what} `{path}` cannot be used: {error}")]
    Path {
        /// Kind of path.
        what: &'static str,
        /// The path.
        path: String,
        /// Why.
        error: PathError,
    },
    /// A path that must be absolute is not.
    #[error("the {what} path `{path}` is not absolute")]
    RelativePath {
        /// Kind of path.
        what: &'static str,
        /// The path.
        path: String,
    },
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
    #[error("mount at `{destination}`: {error}")]
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
    #[error("a mount at `{0}` could replace a file that the engine writes: it is refused")]
    MountInProc(String),
    /// A bind mount of nothing.
    #[error("the bind mount at `{0}` has no source")]
    NoSource(String),
    /// `tmpcopyup` elsewhere.
    #[error("`tmpcopyup` at `{0}`: it is for tmpfs only")]
    CopyUp(String),
    /// Only one of the two maps.
    #[error("the mount at `{0}` has only one of `uidMappings` and `gidMappings`")]
    HalfIdMap(String),
    /// Id maps on something that is no bind mount.
    #[error("the mount at `{0}` asks for an id map, but is no bind mount")]
    IdMapNeedsBind(String),
    /// `idmap` without maps and without a user namespace.
    #[error("the mount at `{0}` asks for `idmap`, but neither it nor the container has a map")]
    IdMapWithoutUser(String),
    /// A hook that could never end in time.
    #[error("the hook `{path}` has a timeout of {timeout} s: it must be above 0")]
    HookTimeout {
        /// The hook.
        path: String,
        /// Its timeout in seconds.
        timeout: i64,
    },
    /// A device type that does not exist.
    #[error("the device `{path}` has the unknown type `{kind}`")]
    DeviceKind {
        /// Where.
        path: String,
        /// The type.
        kind: String,
    },
    /// A device number out of range.
    #[error("the device `{path}` has a number out of range")]
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
    #[error("unknown `rootfsPropagation` `{0}`")]
    Propagation(String),
    /// A label without the security module that it is for.
    #[error("the spec has {0}, but the kernel does not run that security module")]
    NoSecurityModule(&'static str),
    /// `time_offsets` names another clock.
    #[error("unknown clock `{0}` in `timeOffsets`")]
    Clock(String),
}

impl Refusal {
    pub(super) fn path(what: &'static str, path: &str, error: PathError) -> Self {
        Self::Path { what, path: path.escape_default().to_string(), error }
    }
}
