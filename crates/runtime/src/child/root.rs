//! The root of the file system: attach, pivot, read-only.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags};
use sys::mount::{Attributes, Reach, set_attributes};

use super::failure::{During, Failure, Operation, Outcome};
use super::{Child, mount};
use crate::opened::Opened;
use crate::overlay::{self, MAX_LAYERS, Overlay};
use crate::plan::{RootSource, Slot};

pub(super) fn change_propagation(path: &CStr, kind: u64) -> Outcome {
    set_attributes(CWD, path, Reach::Tree, &Attributes::propagation(kind)).during(Operation::Propagation)
}

pub(super) fn change_root_propagation(kind: u64) -> Outcome {
    set_attributes(CWD, c"/", Reach::One, &Attributes::propagation(kind)).during(Operation::Propagation)
}

impl Child<'_> {
    /// Attaches the root over the host's `/`: there it hides nothing yet, since our own root stays the
    /// mount below, and no path of the host is needed for it.
    pub(super) fn attach_root(&mut self, source: &RootSource, propagation: u64) -> Outcome {
        let tree = match source {
            RootSource::Tree(slot) => self.clone_source(*slot, true)?,
            RootSource::Late => {
                self.late[0].take().ok_or(Failure { operation: Operation::OpenRoot, errno: Errno::BADF })?
            }
            RootSource::Overlay { lower, upper } => {
                self.overlay(lower, *upper, (self.prepared.ephemeral, self.prepared.user_attributes))?
            }
        };
        // A shared root would not let itself be pivoted into, and would show our mounts to its peers.
        let propagation = Attributes::propagation(propagation);
        set_attributes(tree.as_fd(), c"", Reach::Tree, &propagation).during(Operation::Propagation)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&tree, c"", CWD, c"/", flags).during(Operation::Attach)?;
        self.root = Some(tree);
        Ok(())
    }

    /// Mounts layers here, in the container's own user namespace (Linux 5.11). Where `ephemeral`, the upper one is thrown
    /// away with the container; where `user_attributes`, the overlay's own are those that a user namespace may write.
    pub(super) fn overlay(
        &self,
        lower: &[Slot],
        upper: Option<(Slot, Slot)>,
        (ephemeral, user_attributes): (bool, bool),
    ) -> Outcome<OwnedFd> {
        let mut layers = [const { None }; MAX_LAYERS];
        let places = layers.get_mut(..lower.len()).ok_or(Errno::TOOBIG).during(Operation::NameLayers)?;
        for (place, slot) in places.iter_mut().zip(lower) {
            *place = Some(self.reopen(*slot)?);
        }
        let upper = match upper {
            Some((upper, work)) => Some((self.reopen(upper)?, self.reopen(work)?)),
            None => None,
        };
        let overlay = Overlay {
            lower: layers.iter().flatten().map(AsFd::as_fd),
            upper: upper.as_ref().map(|(upper, work)| (upper.as_fd(), work.as_fd())),
            user_attributes,
            ephemeral,
            owner: None,
            label: self.prepared.label.as_ref().and_then(|label| label.value.as_deref()),
        };
        match overlay.by_descriptors() {
            Err(failure) if overlay::wants_paths(failure) => overlay.by_paths(),
            mounted => mounted,
        }
    }

    /// The same inode as the parent opened, in this process's own mount namespace.
    pub(super) fn reopen(&self, slot: Slot) -> Outcome<OwnedFd> {
        match self.prepared.source(slot) {
            Some(Opened::Path { path, identity, .. }) => {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                let handle =
                    rustix::fs::open(path.as_c_str(), flags, Mode::empty()).during(Operation::OpenSource)?;
                mount::require_identity(&handle, *identity)?;
                Ok(handle)
            }
            _ => Err(Failure { operation: Operation::OpenSource, errno: Errno::BADF }),
        }
    }

    /// Sets attributes of the root mount.
    pub(super) fn set_root(&self, attributes: u64) -> Outcome {
        let root = self.root()?;
        set_attributes(root, c"", Reach::One, &Attributes::new(attributes, 0)).during(Operation::Attributes)
    }

    /// pivot_root(2) onto itself: the old root ends up stacked over the new one and is detached whole, so
    /// that no directory for it is needed inside the root.
    pub(super) fn pivot(&self) -> Outcome {
        let root = self.root()?;
        rustix::process::fchdir(root).during(Operation::ChangeRoot)?;
        rustix::process::pivot_root(c".", c".").during(Operation::Pivot)?;
        rustix::mount::unmount(c".", UnmountFlags::DETACH).during(Operation::Detach)?;
        rustix::process::chdir(c"/").during(Operation::ChangeRoot)
    }

    /// For a host whose root is a ramdisk, which cannot be pivoted away from.
    pub(super) fn move_root(&self) -> Outcome {
        let root = self.root()?;
        rustix::process::fchdir(root).during(Operation::ChangeRoot)?;
        rustix::process::chroot(c".").during(Operation::ChangeRoot)?;
        rustix::process::chdir(c"/").during(Operation::ChangeRoot)
    }
}
