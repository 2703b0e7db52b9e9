//! A closure in a child process of its own, with the child's end as a value.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use crate::clone::{Cloned, clone3};
use crate::exec::exit_now;

/// Exit code of a child whose closure panicked.
pub const PANICKED: u8 = 101;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with a code.
    Code(u8),
    /// A signal killed it.
    Signal(i32),
}

/// A child that runs a closure. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Child {
    /// Process id in the caller's pid namespace; means this child until it was waited for.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// The pidfd: readable once the child ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for the end and reaps the child.
    pub fn wait(mut self) -> Result<Exit, Errno> {
        self.reap()
    }

    fn reap(&mut self) -> Result<Exit, Errno> {
        let status = loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
                Ok(status) => break status.ok_or(Errno::CHILD)?,
            }
        };
        self.reaped = true;
        if let Some(signal) = status.terminating_signal() {
            return Ok(Exit::Signal(signal));
        }
        let code = status.exit_status().ok_or(Errno::CHILD)?;
        // The kernel keeps the low eight bits of an exit code.
        Ok(Exit::Code(u8::try_from(code & 0xff).map_err(|_| Errno::OVERFLOW)?))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            // Fails only where the child is dead already, which is the state wanted.
            pidfd_send_signal(&self.pidfd, Signal::KILL).ok();
            self.reap().ok();
        }
    }
}

/// Runs `closure` in a new process, in the new namespaces that `new` ([`crate::clone::flags`]) names.
///
/// The child works on a copy of the caller's memory and shares its open descriptors; it ends with the
/// closure's value as its exit code, without running destructors or `atexit` handlers of the caller.
///
/// # Errors
/// `EDEADLK` when the caller has more than one thread: a lock that another thread held would stay locked
/// in the child for ever, the allocator's first of all. Else the errno of clone3(2).
pub fn fork_closure(new: u64, closure: impl FnOnce() -> u8) -> Result<Child, Errno> {
    match clone3(new, None)? {
        Cloned::Parent { pid, pidfd } => {
            let pid = Pid::from_raw(pid).ok_or(Errno::CHILD)?;
            Ok(Child { pid, pidfd, reaped: false })
        }
        Cloned::Child => {
            // A panic must not unwind into the caller's frames, which are the parent's business.
            let code = catch_unwind(AssertUnwindSafe(closure)).unwrap_or(PANICKED);
            exit_now(i32::from(code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_with_a_second_thread() {
        // The test harness itself runs this in a thread; idmap's `tests/namespace.rs` runs
        // the rest without one.
        assert_eq!(fork_closure(0, || 0).unwrap_err(), Errno::DEADLK);
    }
}
