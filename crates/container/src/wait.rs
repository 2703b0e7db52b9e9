//! Waiting for the end of a container: its watcher holds a lock for as long as it lives.

use std::os::fd::{AsFd, OwnedFd};

use files::lock;
use rustix::time::{ClockId, clock_gettime};

use crate::containers::Containers;
use crate::error::Result;
use crate::value::name::ContainerId;

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

/// Waits until nobody watches the container.
pub(crate) fn unwatched(containers: &Containers<'_>, id: &ContainerId) -> Result<()> {
    if let Some(file) = containers.open_lock(id)? {
        lock::shared(file)?;
    }
    Ok(())
}

pub(crate) fn milliseconds() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}
