//! `setns(2)` and `unshare(2)`.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;

use crate::clone::last_errno;

/// Moves the caller into the namespaces that `flags` ([`crate::clone::flags`]) names.
///
/// `target` is a namespace file, or a pidfd (Linux 5.8), which joins several kinds at once.
pub fn join(target: BorrowedFd<'_>, flags: u64) -> Result<(), Errno> {
    let flags = i32::try_from(flags).map_err(|_| Errno::INVAL)?;
    // SAFETY: the call takes a descriptor and flags, and touches no memory of ours.
    match unsafe { libc::setns(target.as_raw_fd(), flags) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Makes new namespaces, as `flags` ([`crate::clone::flags`]) names, for the caller.
pub fn unshare(flags: u64) -> Result<(), Errno> {
    let flags = i32::try_from(flags).map_err(|_| Errno::INVAL)?;
    // SAFETY: only CLONE_NEW* flags reach this; descriptors and memory stay shared as they are.
    match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Has a command enter a mount namespace, and there a directory, between fork and exec, setns(2).
pub fn enter_at_exec(command: &mut Command, namespace: File, directory: CString) {
    // SAFETY: setns and chdir are async-signal-safe and touch no memory but the path, which the closure owns.
    unsafe {
        command.pre_exec(move || {
            if libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) != 0
                || libc::chdir(directory.as_ptr()) != 0
            {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
}
