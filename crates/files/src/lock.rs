//! Advisory locks by `flock(2)`: owned by the open file, so they end with their last holder.
//!
//! A lock answers "is it alive?": no process has to clean up after another one's death. It is inherited
//! over `fork` (not over `execve`, as every descriptor here is close-on-exec).

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::relpath::check_name;
use crate::{Error, Result};

/// A held lock; dropping it, or the death of its holder, releases it.
#[derive(Debug)]
pub struct Lock {
    file: OwnedFd,
}

impl Lock {
    /// The locked file, for instance to pass the lock on to a child process.
    pub fn into_fd(self) -> OwnedFd {
        self.file
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Opens the lock file `name` in `directory`, and makes it (mode 0600) if it is missing.
///
/// # Errors
/// [`Error::BadPath`] for a bad name, [`Error::System`] also when `name` is a symlink.
pub fn open(directory: impl AsFd, name: impl AsRef<OsStr>) -> Result<OwnedFd> {
    let name = check_name(name.as_ref())?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))
        .map_err(|errno| Error::system("open lock", name, errno))
}

/// Waits for a lock that any number may hold together.
///
/// # Errors
/// [`Error::System`].
pub fn shared(file: OwnedFd) -> Result<Lock> {
    wait(file, FlockOperation::LockShared)
}

/// Waits for a lock that nobody else holds.
///
/// # Errors
/// [`Error::System`].
pub fn exclusive(file: OwnedFd) -> Result<Lock> {
    wait(file, FlockOperation::LockExclusive)
}

/// Takes a shared lock, or returns `None` when it is held exclusively.
///
/// # Errors
/// [`Error::System`].
pub fn try_shared(file: OwnedFd) -> Result<Option<Lock>> {
    try_take(file, FlockOperation::NonBlockingLockShared)
}

/// Takes an exclusive lock, or returns `None` when anybody holds it.
///
/// # Errors
/// [`Error::System`].
pub fn try_exclusive(file: OwnedFd) -> Result<Option<Lock>> {
    try_take(file, FlockOperation::NonBlockingLockExclusive)
}

/// Whether a living process holds the lock file `name` exclusively; a missing file is not held.
///
/// # Errors
/// [`Error::System`].
pub fn is_held(directory: impl AsFd, name: impl AsRef<OsStr>) -> Result<bool> {
    let name = check_name(name.as_ref())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(file) => Ok(try_shared(file)?.is_none()),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::system("open lock", name, errno)),
    }
}

fn wait(file: OwnedFd, operation: FlockOperation) -> Result<Lock> {
    loop {
        match rustix::fs::flock(&file, operation) {
            Ok(()) => return Ok(Lock { file }),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}

fn try_take(file: OwnedFd, operation: FlockOperation) -> Result<Option<Lock>> {
    match wait(file, operation) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) if error.errno() == Some(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(errno: Errno) -> Error {
    Error::system("flock", Path::new("(lock)"), errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excludes_and_releases() {
        let directory = testkit::TempDir::new();
        let fd = crate::open_directory(directory.path()).unwrap();
        let file = || open(&fd, "lock").unwrap();

        assert!(!is_held(&fd, "lock").unwrap());
        let first = shared(file()).unwrap();
        let second = try_shared(file()).unwrap().unwrap();
        assert!(try_exclusive(file()).unwrap().is_none());
        assert!(!is_held(&fd, "lock").unwrap(), "a shared lock is not exclusive");
        drop((first, second));

        let lock = exclusive(file()).unwrap();
        assert!(is_held(&fd, "lock").unwrap());
        assert!(try_shared(file()).unwrap().is_none());
        let passed_on = lock.into_fd();
        assert!(is_held(&fd, "lock").unwrap());
        drop(passed_on);
        assert!(!is_held(&fd, "lock").unwrap());
    }

    #[test]
    fn never_follows_a_symlink() {
        let directory = testkit::TempDir::new();
        let fd = crate::open_directory(directory.path()).unwrap();
        std::os::unix::fs::symlink("elsewhere", directory.path().join("lock")).unwrap();
        assert_eq!(open(&fd, "lock").unwrap_err().errno(), Some(Errno::LOOP));
        assert!(is_held(&fd, "lock").is_err());
        assert!(!directory.path().join("elsewhere").exists());
        assert!(matches!(open(&fd, "../lock"), Err(Error::BadPath { .. })));
    }
}
