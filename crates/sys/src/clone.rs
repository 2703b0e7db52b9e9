//! `clone3(2)`: one call that makes a process in new namespaces, with a pidfd, in a cgroup.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

/// `CLONE_NEW*` flags, combined by `|`; values of `<linux/sched.h>`.
pub mod flags {
    /// New time namespace for children (Linux 5.6).
    pub const NEWTIME: u64 = 0x80;
    /// New mount namespace.
    pub const NEWNS: u64 = 0x0002_0000;
    /// New cgroup namespace (Linux 4.6).
    pub const NEWCGROUP: u64 = 0x0200_0000;
    /// New UTS namespace.
    pub const NEWUTS: u64 = 0x0400_0000;
    /// New IPC namespace.
    pub const NEWIPC: u64 = 0x0800_0000;
    /// New user namespace.
    pub const NEWUSER: u64 = 0x1000_0000;
    /// New pid namespace.
    pub const NEWPID: u64 = 0x2000_0000;
    /// New network namespace.
    pub const NEWNET: u64 = 0x4000_0000;
    /// The child's parent is the caller's parent.
    pub const PARENT: u64 = 0x0000_8000;
}

const CLONE_PIDFD: u64 = 0x0000_1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args`, version 2 (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct Arguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Whether [`clone3`] made this process. It is one that executes or exits, and makes no threads.
static CLONED: AtomicBool = AtomicBool::new(false);

/// Who returned from [`clone3`].
#[derive(Debug)]
pub enum Cloned {
    /// The caller: the child's pid in the caller's pid namespace, and its pidfd.
    Parent {
        /// Process id.
        pid: i32,
        /// `pidfd`, close-on-exec.
        pidfd: OwnedFd,
    },
    /// The new process, running on a copy of the caller's memory.
    Child,
}

/// Makes a child process in the namespaces that `new` names.
///
/// With `cgroup`, a directory of a cgroup v2 hierarchy, the child starts in there (Linux 5.7); a v1
/// directory is `EBADF`. The exit signal is `SIGCHLD` unless [`flags::PARENT`] is given.
///
/// Refuses with `EDEADLK` when the caller has more than one thread: another thread could hold the
/// allocator's lock, which nobody would release in the child.
pub fn clone3(new: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned, Errno> {
    if !is_single_threaded() {
        return Err(Errno::DEADLK);
    }
    let mut pidfd: i32 = -1;
    let mut arguments = Arguments {
        flags: new | CLONE_PIDFD,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: if new & flags::PARENT == 0 { libc::SIGCHLD as u64 } else { 0 },
        ..Arguments::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: the structure has the size that is passed and outlives the call; the pidfd pointer is to a
    // live i32; neither CLONE_VM nor a stack is given, so the child runs on its own copy of this stack,
    // and the caller has no other thread.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<Arguments>()) };
    match result {
        -1 => Err(last_errno()),
        0 => {
            CLONED.store(true, Ordering::Relaxed);
            Ok(Cloned::Child)
        }
        pid => {
            // SAFETY: on success the kernel has stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent { pid: i32::try_from(pid).map_err(|_| Errno::OVERFLOW)?, pidfd })
        }
    }
}

/// Makes a plain child process by clone(2), which filters let through where they answer clone3 with `ENOSYS`.
///
/// Returns its pid, or 0 in the child. Refuses with `EDEADLK` as [`clone3`] does; a process that [`clone3`] made
/// began with one thread and is not asked again, since a filter may refuse the question.
pub fn fork() -> Result<i32, Errno> {
    if !CLONED.load(Ordering::Relaxed) && !is_single_threaded() {
        return Err(Errno::DEADLK);
    }
    // SAFETY: no flag but the exit signal: the child runs on its own copy of this stack, and the caller
    // has no other thread. All remaining arguments are zero, in whatever order the architecture has them.
    match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } {
        -1 => Err(last_errno()),
        pid => i32::try_from(pid).map_err(|_| Errno::OVERFLOW),
    }
}

/// Whether the calling process has one thread.
///
/// `unshare(CLONE_THREAD)` does nothing for a single-threaded process and is `EINVAL` for any other
/// (unshare(2)), which costs one call where `/proc/self/task` costs four.
pub fn is_single_threaded() -> bool {
    // SAFETY: unshare with CLONE_THREAD changes nothing, it only checks.
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

pub(crate) fn last_errno() -> Errno {
    // SAFETY: the location is this thread's errno, always valid.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_with_a_second_thread() {
        // The test harness itself runs this in a thread.
        assert!(!is_single_threaded());
        assert_eq!(clone3(0, None).unwrap_err(), Errno::DEADLK);
    }
}
