//! Which namespaces a container makes, joins or shares.

use std::fmt;

use oci::runtime::{Namespace, NamespaceKind};
use sys::clone::flags;

use super::Refusal;

/// The namespaces of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// Kinds to make.
    create: Vec<NamespaceKind>,
    /// Kinds to join, and the path of each; the user namespace comes first, since it may own the others.
    join: Vec<(NamespaceKind, String)>,
}

/// The `CLONE_NEW*` flag of a kind.
pub fn flag(kind: NamespaceKind) -> u64 {
    match kind {
        NamespaceKind::Pid => flags::NEWPID,
        NamespaceKind::Network => flags::NEWNET,
        NamespaceKind::Mount => flags::NEWNS,
        NamespaceKind::Ipc => flags::NEWIPC,
        NamespaceKind::Uts => flags::NEWUTS,
        NamespaceKind::User => flags::NEWUSER,
        NamespaceKind::Cgroup => flags::NEWCGROUP,
        NamespaceKind::Time => flags::NEWTIME,
    }
}

impl Namespaces {
    /// Sorts the spec's list.
    pub fn new(list: &[Namespace]) -> Result<Self, Refusal> {
        let mut namespaces = Self::default();
        for namespace in list {
            if namespaces.owns(namespace.kind) {
                return Err(Refusal::DuplicateNamespace(namespace.kind));
            }
            match namespace.path.as_ref().filter(|path| !path.is_empty()) {
                None => namespaces.create.push(namespace.kind),
                Some(path) if path.starts_with('/') => namespaces.join.push((namespace.kind, path.clone())),
                Some(path) => return Err(Refusal::RelativePath { what: "namespace", path: path.clone() }),
            }
        }
        namespaces.create.sort();
        namespaces.join.sort_by_key(|(kind, _)| (*kind != NamespaceKind::User, *kind));
        Ok(namespaces)
    }

    /// Whether the container does not share this kind with the caller.
    pub fn owns(&self, kind: NamespaceKind) -> bool {
        self.creates(kind) || self.join.iter().any(|(joined, _)| *joined == kind)
    }

    /// Whether this kind is made anew.
    pub fn creates(&self, kind: NamespaceKind) -> bool {
        self.create.contains(&kind)
    }

    /// Kinds to join with their paths.
    pub fn joins(&self) -> &[(NamespaceKind, String)] {
        &self.join
    }

    /// Flags for clone3. The cgroup namespace is made later, when the process is in its cgroup, and the
    /// time namespace too, since its offsets can be set only while nobody is inside.
    pub fn clone_flags(&self) -> u64 {
        self.create
            .iter()
            .filter(|kind| !matches!(kind, NamespaceKind::Cgroup | NamespaceKind::Time))
            .fold(0, |flags, kind| flags | flag(*kind))
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "new {:?}", self.create)?;
        for (kind, path) in &self.join {
            write!(formatter, ", join {kind:?} at {path}")?;
        }
        Ok(())
    }
}
