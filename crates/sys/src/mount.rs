//! `mount_setattr(2)` (Linux 5.12).

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::clone::last_errno;

/// `MOUNT_ATTR_*` of `<linux/mount.h>`.
pub mod attribute {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// Ignore set-id bits and file capabilities.
    pub const NOSUID: u64 = 0x2;
    /// No device access.
    pub const NODEV: u64 = 0x4;
    /// No execution.
    pub const NOEXEC: u64 = 0x8;
    /// Mask of the access time setting.
    pub const ATIME: u64 = 0x70;
    /// Update the access time relative to the modification time (the default).
    pub const RELATIME: u64 = 0x0;
    /// Do not update access times.
    pub const NOATIME: u64 = 0x10;
    /// Always update access times.
    pub const STRICTATIME: u64 = 0x20;
    /// Do not update access times of directories.
    pub const NODIRATIME: u64 = 0x80;
    /// Map ids through a user namespace.
    pub const IDMAP: u64 = 0x10_0000;
    /// Do not follow symbolic links (Linux 5.14).
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
}

/// What to change on a mount.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// [`attribute`] bits to set.
    pub set: u64,
    /// [`attribute`] bits to clear.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`; 0 leaves it.
    pub propagation: u64,
    userns: u64,
}

impl Attributes {
    /// Attributes to set and to clear, with propagation left alone.
    pub const fn new(set: u64, clear: u64) -> Self {
        Self { set, clear, propagation: 0, userns: 0 }
    }

    /// Only a change of propagation.
    pub const fn propagation(propagation: u64) -> Self {
        Self { set: 0, clear: 0, propagation, userns: 0 }
    }

    /// An id map taken from `userns`, which must stay open until the call.
    pub fn with_id_map(mut self, userns: BorrowedFd<'_>) -> Self {
        self.set |= attribute::IDMAP;
        self.userns = u64::from(userns.as_raw_fd().cast_unsigned());
        self
    }

    /// Whether applying it changes nothing.
    pub const fn is_empty(&self) -> bool {
        self.set == 0 && self.clear == 0 && self.propagation == 0
    }
}

/// Whether a change reaches the mounts below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The mount itself.
    One,
    /// The mount and all below it, or none of them.
    Tree,
}

/// Changes the mount that `path` names, relative to `directory`; an empty path means the descriptor's own.
pub fn set_attributes(
    directory: BorrowedFd<'_>,
    path: &CStr,
    reach: Reach,
    attributes: &Attributes,
) -> Result<(), Errno> {
    let mut flags = libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW;
    if reach == Reach::Tree {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: the path ends in NUL, the structure has the size that is passed and is only read.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory.as_raw_fd(),
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<Attributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}
