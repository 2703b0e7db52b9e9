//! Hooks that run in the container's namespaces.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

use super::Child;
use super::failure::{During, Failure, Operation, Outcome};
use crate::opened::PreparedHook;

/// Which hooks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// `createContainer`: the host's files are still reachable.
    Create,
    /// `startContainer`: inside, as the payload's user.
    Start,
}

impl Child<'_> {
    pub(super) fn run_hooks(&self, moment: Moment) -> Outcome {
        let (hooks, state) = match moment {
            Moment::Create => (&self.prepared.container_hooks, &self.prepared.create_state),
            Moment::Start => (&self.prepared.start_hooks, &self.prepared.start_state),
        };
        hooks.iter().try_for_each(|hook| self.run_hook(hook, state.as_ref()))
    }

    fn run_hook(&self, hook: &PreparedHook, state: Option<&OwnedFd>) -> Outcome {
        let pid = sys::clone::fork().during(Operation::Hook)?;
        let Some(pid) = Pid::from_raw(pid) else {
            let failure = self.become_hook(hook, state);
            sys::exec::exit_now(if failure.errno == Errno::NOENT { 127 } else { 126 });
        };
        wait(pid, hook.timeout)
    }

    /// Executes the hook with the state on its standard input; comes back only with a failure.
    fn become_hook(&self, hook: &PreparedHook, state: Option<&OwnedFd>) -> Failure {
        let prepare = || {
            // A group of its own, so that a shell's children end with it.
            rustix::process::setpgid(None, None).during(Operation::Hook)?;
            if let Some(state) = state {
                rustix::fs::seek(state, SeekFrom::Start(0)).during(Operation::Hook)?;
                sys::exec::replace_stream(state.as_fd(), 0).during(Operation::Hook)?;
            }
            sys::signal::reset_all().during(Operation::Signals)?;
            sys::exec::close_on_exec_from(3).during(Operation::Descriptors)
        };
        match prepare() {
            Err(failure) => failure,
            Ok(()) => {
                let errno =
                    sys::exec::execve_descriptor(self.prepared.stub(), &hook.arguments, &hook.environment);
                Failure { operation: Operation::Hook, errno }
            }
        }
    }
}

fn wait(pid: Pid, timeout: Option<i64>) -> Outcome {
    if let Some(seconds) = timeout {
        let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).during(Operation::Hook)?;
        let mut waited = [PollFd::new(&process, PollFlags::IN)];
        let limit = Timespec { tv_sec: seconds.max(1), tv_nsec: 0 };
        if poll(&mut waited, Some(&limit)).during(Operation::Hook)? == 0 {
            // After so long it has its group; if not, it has no children either.
            if rustix::process::kill_process_group(pid, Signal::KILL).is_err() {
                rustix::process::kill_process(pid, Signal::KILL).during(Operation::Hook)?;
            }
            rustix::process::waitpid(Some(pid), WaitOptions::empty()).during(Operation::Hook)?;
            return Err(Failure { operation: Operation::Hook, errno: Errno::TIMEDOUT });
        }
    }
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            Ok(Some((_, status))) if status.exit_status() == Some(0) => return Ok(()),
            Ok(_) => return Err(Failure { operation: Operation::Hook, errno: Errno::CANCELED }),
            Err(errno) => return Err(Failure { operation: Operation::Hook, errno }),
        }
    }
}
