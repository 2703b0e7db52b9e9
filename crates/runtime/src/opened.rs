//! What the parent opened for the child before clone.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::plan::Slot;
use crate::plan::option::Parameter;

/// One opened source of the plan.
#[derive(Debug)]
pub enum Opened {
    /// A detached mount, ready to attach.
    Tree {
        /// The mount.
        mount: OwnedFd,
        /// Whether its root is a directory.
        directory: bool,
    },
    /// A path that the child clones itself, because the parent has no right over its own mount namespace.
    /// The child's mount must be of this very inode.
    Path {
        /// `O_PATH` descriptor in the parent's mount namespace.
        handle: OwnedFd,
        /// Path in the host's tree.
        path: CString,
        /// Device and inode number.
        identity: (u64, u64),
        /// Whether it is a directory.
        directory: bool,
    },
    /// A mount that comes with `Go`, because its id map is that of the namespace that clone makes.
    Late {
        /// Index among the late mounts.
        index: usize,
        /// Whether its root is a directory.
        directory: bool,
    },
}

impl Opened {
    /// Whether a directory is mounted.
    pub fn is_directory(&self) -> bool {
        match self {
            Self::Tree { directory, .. } | Self::Path { directory, .. } | Self::Late { directory, .. } => {
                *directory
            }
        }
    }
}

/// All that the child uses, made before clone.
#[derive(Debug)]
pub struct Prepared {
    /// One for each source of the plan.
    pub sources: Vec<Opened>,
    /// The SELinux label of file systems that are made for the container, as a mount option.
    pub label: Option<Parameter>,
    /// Sealed program that executes the payload; see [`crate::seal`].
    pub stub: OwnedFd,
    /// The stub as `/proc/self/fd/<n>`, for a filter that lets execve through and not execveat.
    pub stub_path: Option<CString>,
    /// `argv` of the stub: the program, then `argv` of the payload.
    pub arguments: sys::exec::StringArray,
    /// Environment of the payload.
    pub environment: sys::exec::StringArray,
    /// The filter, where the plan installs one.
    pub filter: Option<Filter>,
    /// Hooks that the child runs.
    pub container_hooks: Vec<PreparedHook>,
    /// Hooks that the child runs at start.
    pub start_hooks: Vec<PreparedHook>,
    /// The state that `createContainer` hooks read, filled by the parent once the pid is known.
    pub create_state: Option<OwnedFd>,
    /// The state that `startContainer` hooks read.
    pub start_state: Option<OwnedFd>,
    /// Where to wait for `start`, for a container that is created only.
    pub start: Option<StartGate>,
    /// Descriptors above the standard streams that the payload keeps.
    pub preserved: u32,
    /// Path of the console, where the plan makes a terminal.
    pub console: crate::plan::InnerPath,
    /// Whether the writable layer is thrown away with the container.
    pub ephemeral: bool,
    /// Whether layers keep the overlay's attributes as `user.*`: those of a plain user's store, where root's has
    /// `trusted.*`.
    pub user_attributes: bool,
    /// Files of the container's v1 cgroups that the child writes itself into: a move by another process costs
    /// milliseconds (the kernel waits for a grace period), this one microseconds.
    pub cgroup_files: Vec<OwnedFd>,
    /// Standard streams of the payload in place of the caller's, with their numbers.
    pub streams: Vec<(OwnedFd, u32)>,
    /// What the secrets of the plan hold, in their order.
    pub secrets: Vec<Vec<u8>>,
    /// Namespaces to join, in order.
    pub joins: Vec<(OwnedFd, u64)>,
    /// Where a race test stops the child; nothing in a product.
    pub pauses: files::pause::Points,
}

/// A compiled filter.
#[derive(Debug)]
pub struct Filter {
    /// The program.
    pub instructions: Vec<sys::seccomp::Instruction>,
    /// Flags of seccomp(2).
    pub flags: u32,
}

/// A hook with its strings laid out.
#[derive(Debug)]
pub struct PreparedHook {
    /// `argv` of the stub: the program, then its own `argv`.
    pub arguments: sys::exec::StringArray,
    /// Environment.
    pub environment: sys::exec::StringArray,
    /// Seconds until it is killed.
    pub timeout: Option<i64>,
}

/// What a created container waits with: two fifos, and the lock that it gives back before.
#[derive(Debug)]
pub struct StartGate {
    /// Read end: `start` writes one byte.
    pub go: OwnedFd,
    /// Write end, closed by a successful exec; a failure is written to it.
    pub done: OwnedFd,
    /// The container's directory, locked while it is being set up.
    pub directory: OwnedFd,
}

impl Prepared {
    /// The source of a slot. The plan makes slots only for its own sources.
    pub fn source(&self, slot: Slot) -> Option<&Opened> {
        self.sources.get(slot.0)
    }

    /// The stub.
    pub fn stub(&self) -> BorrowedFd<'_> {
        self.stub.as_fd()
    }
}
