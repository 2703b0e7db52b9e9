//! A pure function from a spec to the steps that make a container: [`build`].
//!
//! Nothing here opens, reads or changes anything; what must be known of the machine comes in as [`Facts`].

pub mod attributes;
mod build;
pub mod capability;
mod device;
mod mount;
mod namespace;
pub mod option;
pub mod path;
mod refusal;
pub mod step;
pub mod sysctl;

use oci::runtime::{IdMapping, NamespaceKind};

pub use build::{build, build_exec};
pub(crate) use mount::label as mount_label;
pub use namespace::{Namespaces, flag as namespace_flag};
pub use path::InnerPath;
pub use refusal::Refusal;
pub use step::{CapabilitySets, Identity, RootSource, Slot, Step};

/// What the plan must know of the machine and of the caller.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether device nodes can be made: CAP_MKNOD in the initial user namespace.
    pub can_make_nodes: bool,
    /// The kernel loaded AppArmor.
    pub apparmor: bool,
    /// The kernel enforces SELinux.
    pub selinux: bool,
    /// One entry for each cgroup hierarchy to show inside, uppermost first.
    pub cgroups: Vec<CgroupView>,
    /// Where the root file system comes from.
    pub root: RootKind,
    /// Chroot instead of pivot_root.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub keep_keyring: bool,
    /// The standard input is not the container's.
    pub no_input: bool,
    /// Whether standard streams are pipes that are relayed to the caller's.
    pub relayed: bool,
    /// Keep a reaping pid 1 of ours in front of the payload.
    pub init: bool,
    /// Secrets that are handed over, without what they hold.
    pub secrets: Vec<step::SecretFile>,
    /// Absolute path of the bundle: what relative sources count from.
    pub bundle: String,
}

/// Where the root file system comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RootKind {
    /// The directory that the spec names.
    #[default]
    Directory,
    /// Layers handed over as descriptors.
    Overlay {
        /// How many lower layers.
        lower: usize,
        /// Whether there is a writable layer.
        writable: bool,
        /// Mounted by the parent, with id-mapped layers, after clone.
        late: bool,
    },
}

/// One cgroup hierarchy as a container sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupView {
    /// Directory below `/sys/fs/cgroup`; empty for pure v2.
    pub name: String,
    /// `cgroup2`, or `cgroup` with its controllers as options.
    pub kind: String,
    /// Mount parameters (v1: the controllers).
    pub options: Vec<String>,
    /// The container's cgroup as the host sees it, for a container in the host's cgroup namespace.
    pub host_path: String,
}

/// What the parent opens before clone, in the order of the [`Slot`]s.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The root directory.
    Root(String),
    /// A path of the host to bind.
    Bind {
        /// Absolute path.
        path: String,
        /// With everything below.
        recursive: bool,
        /// Id map, where one is asked for: `None` for the map of the container.
        id_map: Option<IdMap>,
    },
    /// A directory of the host for an overlay.
    Directory(String),
    /// An overlay that the parent mounts, once the container's ids are there to map.
    Layers {
        /// The directories that are not changed, uppermost first.
        lower: Vec<String>,
        /// Where `upper` and `work` are.
        writable: Option<String>,
        /// The lower ones are shown by the container's id map.
        id_mapped: bool,
    },
    /// A device node of the host.
    Device {
        /// Absolute path.
        path: String,
        /// `S_IFCHR` or `S_IFBLK`.
        kind: u32,
        /// Major and minor number that it must have.
        number: (u32, u32),
    },
    /// A descriptor that the caller hands over, by its index.
    Given(usize),
}

/// Whose ids an id-mapped mount shows.
#[derive(Clone, Debug, PartialEq)]
pub struct IdMap {
    /// User ids; empty for those of the container.
    pub uid: Vec<IdMapping>,
    /// Group ids; empty for those of the container.
    pub gid: Vec<IdMapping>,
    /// Whether the mounts below are mapped too.
    pub recursive: bool,
}

/// Everything that makes one container.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Namespaces to make and to join.
    pub namespaces: Namespaces,
    /// User ids of the new user namespace.
    pub uid_map: Vec<IdMapping>,
    /// Group ids of the new user namespace.
    pub gid_map: Vec<IdMapping>,
    /// What the parent opens.
    pub sources: Vec<Source>,
    /// The host's `/dev/null`, where a file is masked.
    pub null: Option<Slot>,
    /// What the child does.
    pub steps: Vec<Step>,
    /// Resource limits, set by the parent.
    pub limits: Vec<attributes::Limit>,
    /// `oom_score_adj`, set by the parent.
    pub oom_score_adj: Option<i32>,
    /// What is odd in the spec but no error.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Whether a namespace of this kind is the container's own: made, or joined by path.
    pub fn owns(&self, kind: NamespaceKind) -> bool {
        self.namespaces.owns(kind)
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "clone: {}", self.namespaces)?;
        for (name, map) in [("uid", &self.uid_map), ("gid", &self.gid_map)] {
            for range in map {
                writeln!(
                    formatter,
                    "map {name}: {} -> {} x {}",
                    range.container_id, range.host_id, range.size
                )?;
            }
        }
        for (index, source) in self.sources.iter().enumerate() {
            match source {
                Source::Root(path) => writeln!(formatter, "open {index}: root {path}")?,
                Source::Bind { path, .. } => writeln!(formatter, "open {index}: {path}")?,
                Source::Layers { lower, .. } => writeln!(formatter, "open {index}: {}", lower.join(":"))?,
                Source::Directory(path) => writeln!(formatter, "open {index}: {path}")?,
                Source::Device { path, number, .. } => {
                    writeln!(formatter, "open {index}: device {path} {}:{}", number.0, number.1)?;
                }
                Source::Given(given) => writeln!(formatter, "open {index}: given descriptor {given}")?,
            }
        }
        for limit in &self.limits {
            writeln!(formatter, "limit {:?}: {}:{}", limit.resource, limit.soft, limit.hard)?;
        }
        if let Some(score) = self.oom_score_adj {
            writeln!(formatter, "oom_score_adj: {score}")?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(formatter, "{index:3}: {step}")?;
        }
        Ok(())
    }
}
