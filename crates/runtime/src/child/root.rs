//! The root of the file system: attach, pivot, read-only.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags};
use sys::mount::{Attributes, Reach, set_attributes};

use super::failure::{During, Failure, Operation, Outcome};
use super::{Child, mount};
use crate::opened::Opened;
use crate::plan::{RootSource, Slot};

/// Longest `/proc/self/fd/<number>` with its NUL.
const DESCRIPTOR_PATH: usize = 32;

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
            RootSource::Overlay { lower, upper } => self.overlay(lower, *upper)?,
        };
        // A shared root would not let itself be pivoted into, and would show our mounts to its peers.
        let propagation = Attributes::propagation(propagation);
        set_attributes(tree.as_fd(), c"", Reach::Tree, &propagation).during(Operation::Propagation)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        rustix::mount::move_mount(&tree, c"", CWD, c"/", flags).during(Operation::Attach)?;
        self.root = Some(tree);
        Ok(())
    }

    /// Mounts the layers here, in the container's own user namespace (Linux 5.11).
    fn overlay(&self, lower: &[Slot], upper: Option<(Slot, Slot)>) -> Outcome<OwnedFd> {
        let context = rustix::mount::fsopen(c"overlay", FsOpenFlags::FSOPEN_CLOEXEC)
            .during(Operation::OpenFileSystem)?;
        let set = |key: &CStr, slot: Slot| {
            let layer = self.reopen(slot)?;
            match rustix::mount::fsconfig_set_fd(&context, key, &layer) {
                // Before Linux 6.13 a layer is a path.
                Err(Errno::INVAL) => {
                    let mut buffer = [0; DESCRIPTOR_PATH];
                    let path = mount::descriptor_path(layer.as_fd(), &mut buffer)?;
                    rustix::mount::fsconfig_set_string(&context, key, path).during(Operation::Configure)
                }
                result => result.during(Operation::Configure),
            }
        };
        for slot in lower {
            set(c"lowerdir+", *slot)?;
        }
        if let Some((upper, work)) = upper {
            set(c"upperdir", upper)?;
            set(c"workdir", work)?;
        }
        rustix::mount::fsconfig_set_flag(&context, c"userxattr").during(Operation::Configure)?;
        // The container is thrown away after a crash: no layer needs to be on disk before it ends. With
        // `volatile` the kernel would refuse to mount the layer again after a crash, so a restart could not.
        rustix::mount::fsconfig_create(&context).during(Operation::CreateFileSystem)?;
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)
            .during(Operation::MakeMount)
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
