//! Waiting for the end of a container: its watcher holds a lock for as long as it lives.

use std::os::fd::{AsFd, OwnedFd};

use files::lock;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::thread::nanosleep;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::state::{State, Status};
use crate::value::name::ContainerId;

/// How long a container that is about to change is waited for until somebody looks again, in milliseconds.
pub(crate) const MOMENT: i64 = 500;
/// How long one that has ended may be watched, in milliseconds.
const SETTLES_WITHIN: i64 = 30_000;

/// A container that is waited for. Made before the container may end, so that the exit code of one that is removed at
/// its end is not missed.
#[derive(Debug)]
pub struct Waiting {
    lock: Option<OwnedFd>,
    id: ContainerId,
}

/// Looks at a container that is to be waited for.
///
/// # Errors
/// [`crate::Error::System`].
pub fn wait(containers: &Containers<'_>, id: &ContainerId) -> Result<Waiting> {
    Ok(Waiting { lock: containers.open_lock(id)?, id: id.clone() })
}

impl Waiting {
    /// Waits until nobody watches the container and returns its exit code.
    ///
    /// # Errors
    /// [`crate::Error::Files`], [`crate::Error::NoContainer`].
    pub fn end(self, containers: &Containers<'_>) -> Result<u8> {
        if let Some(file) = self.lock {
            let held = lock::shared(file)?;
            // Whoever watched it wrote the exit code there before the file was removed.
            let code = files::read_all(held.as_fd(), 16)
                .ok()
                .and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok());
            if let Some(code) = code {
                return Ok(code);
            }
        }
        Ok(containers.state(&self.id)?.exit_code)
    }
}

/// A container's state once it is not being taken down: one that has ended is watched until that is done, and where
/// another command starts it again. Who does not come to an end with it is not waited for longer.
pub(crate) fn settled(containers: &Containers<'_>, id: &ContainerId) -> Result<State> {
    let end = milliseconds().saturating_add(SETTLES_WITHIN);
    loop {
        let state = containers.state(id)?;
        let has_ended = matches!(state.status, Status::Exited | Status::Dead);
        if !has_ended || !state.watched || milliseconds() > end {
            return Ok(state);
        }
        unwatched(containers, id, MOMENT)?;
    }
}

/// Waits so many milliseconds until nobody watches the container; false where somebody still does.
pub(crate) fn unwatched(containers: &Containers<'_>, id: &ContainerId, limit: i64) -> Result<bool> {
    let Some(file) = containers.open_lock(id)? else { return Ok(true) };
    let end = milliseconds().saturating_add(limit);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK | Errno::INTR) if milliseconds() < end => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(false),
            Err(source) => return Err(Error::System { action: "lock", path: id.as_str().into(), source }),
        }
        // flock(2) knows no limit of time. An end takes some milliseconds; who is woken earlier looks earlier.
        let _woken = nanosleep(&Timespec { tv_sec: 0, tv_nsec: LOOK });
    }
}

/// Between two looks at a lock, in nanoseconds.
const LOOK: i64 = 500_000;

pub(crate) fn milliseconds() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}
