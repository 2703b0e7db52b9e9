//! Two processes for one container: the one that does the work, and one that holds the same descriptors and waits.
//!
//! Whichever is killed, the other makes a new one at once, with nothing lost: fifos and a terminal's master stay open, and
//! with the lock nobody adopts in between. The holder is the container's parent, so that its exit status is known when
//! the worker is killed; when the holder is, the kernel says it (Linux 6.15). The two are one fork, which shares its
//! memory.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, wait};
use rustix::thread::nanosleep;
use rustix::time::{ClockId, clock_gettime};

use crate::run::{self, Watched};
use crate::{Ended, Life, Outcome, Settings};

/// Exit codes of a worker that waited for the next start.
const START: i32 = 1;
/// See [`START`].
const STOPPED: i32 = 2;
/// A worker that lives shorter, in seconds, is followed by the next only after as long.
const SHORT: i64 = 1;
/// How long the holder gets to say how the container ended, in milliseconds.
const PATIENCE: i64 = 2_000;

/// The worker's end of the pipe to its holder.
#[derive(Debug)]
pub(crate) struct Holder(OwnedFd);

/// The holder's end, and the worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pid: i32,
    teller: OwnedFd,
}

/// Which of the two this process is.
#[derive(Debug)]
pub(crate) enum Side {
    /// The one that works.
    Works(Holder),
    /// The one that waits.
    Holds(Worker),
}

/// Makes the two of one process.
pub(crate) fn split() -> Result<Side, Errno> {
    let (reader, teller) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    match sys::clone::fork()? {
        0 => Ok(Side::Works(Holder(reader))),
        pid => {
            // Orphans of a container in the host's pid namespace are its children.
            rustix::process::set_child_subreaper(Some(rustix::process::getpid())).ok();
            Ok(Side::Holds(Worker { pid, teller }))
        }
    }
}

impl Holder {
    /// Ready for reading when the container ended, or the holder is gone.
    pub(crate) fn pipe(&self) -> &OwnedFd {
        &self.0
    }

    /// Whether the holder is gone.
    pub(crate) fn is_gone(&self) -> bool {
        let mut waited = [PollFd::new(&self.0, PollFlags::empty())];
        poll(&mut waited, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// How the container ended, as wait(2) has it, where the holder is its parent.
    pub(crate) fn exit_status(&self) -> Option<i32> {
        let limit = Timespec { tv_sec: PATIENCE / 1000, tv_nsec: PATIENCE % 1000 * 1_000_000 };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit)).ok()?;
        let mut bytes = [0; 4];
        match rustix::io::read(&self.0, &mut bytes) {
            Ok(4) => Some(i32::from_le_bytes(bytes)),
            _ => None,
        }
    }
}

/// Watches the container until it ends, by two processes. In both the caller's memory is the same.
///
/// # Errors
/// What the system says; the container runs on then, and the next command that looks at it starts another monitor.
pub fn run(mut settings: Settings) -> Result<Ended, Errno> {
    let mut exited = None;
    let mut side = split();
    loop {
        let worker = match side {
            Ok(Side::Holds(worker)) => worker,
            Ok(Side::Works(holder)) => match run::watch(settings, Some(holder)) {
                Ok(Watched::Over { ended, alone: true }) => return Ok(ended),
                Ok(Watched::Over { ended, .. }) => end(ended.outcome),
                Ok(Watched::Holds(left, worker)) => {
                    settings = left;
                    worker
                }
                // As if killed: the holder makes another.
                Err(_) => die(),
            },
            // No more processes are allowed: one does it alone.
            Err(_) => match run::watch(settings, None)? {
                Watched::Over { ended, .. } => return Ok(ended),
                Watched::Holds(left, worker) => {
                    settings = left;
                    worker
                }
            },
        };
        // Clients see the worker's end as the monitor's; an input that ends with its client's ends with the worker.
        settings.client = None;
        if settings.stdin_once {
            settings.stdin = None;
        }
        if let Some(outcome) = hold(&worker, &settings, &mut exited) {
            settings.life = Life::read(settings.directory.as_fd()).unwrap_or(settings.life);
            return Ok(Ended { settings, outcome });
        }
        side = split();
    }
}

/// Waits for the worker's end; none where it was killed and another is needed.
fn hold(worker: &Worker, settings: &Settings, exited: &mut Option<i32>) -> Option<Outcome> {
    let started = clock_gettime(ClockId::Monotonic).tv_sec;
    if let Some(status) = exited {
        tell(worker, *status);
    }
    loop {
        // It goes on without, too.
        sys::memory::release().ok();
        let (pid, status) = match wait(WaitOptions::empty()) {
            Ok(Some(found)) => found,
            Err(Errno::INTR) | Ok(None) => continue,
            // It cannot be: the worker is a child.
            Err(_) => return None,
        };
        let pid = Pid::as_raw(Some(pid));
        if pid == settings.life.pid && settings.process.is_some() {
            *exited = Some(status.as_raw());
            tell(worker, status.as_raw());
        }
        if pid != worker.pid {
            continue;
        }
        let Some(code) = status.exit_status() else {
            if clock_gettime(ClockId::Monotonic).tv_sec - started < SHORT {
                let _rest = nanosleep(&Timespec { tv_sec: SHORT, tv_nsec: 0 });
            }
            return None;
        };
        return Some(match (&settings.process, code) {
            (Some(_), code) => Outcome::Exited(u8::try_from(code & 0xff).unwrap_or(1)),
            (None, STOPPED) => Outcome::Stopped,
            (None, _) => Outcome::Start,
        });
    }
}

fn tell(worker: &Worker, status: i32) {
    // One that is gone is followed by one that is told again.
    rustix::io::write(&worker.teller, &status.to_le_bytes()).ok();
}

fn end(outcome: Outcome) -> ! {
    sys::exec::exit_now(match outcome {
        Outcome::Exited(code) => i32::from(code),
        Outcome::Start => START,
        Outcome::Stopped => STOPPED,
    })
}

fn die() -> ! {
    rustix::process::kill_process(rustix::process::getpid(), Signal::KILL).ok();
    sys::exec::exit_now(i32::from(u8::MAX))
}
