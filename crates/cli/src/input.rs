//! Files that a person names on the command line.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use crate::error::Failure;

/// Reads a file of at most `limit` bytes; the person may name a pipe.
pub(crate) fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, Failure> {
    let path = path.as_ref();
    let fd = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Failure::user(format!("read `{}`: {error}", path.display())))?;
    files::read_all(fd, limit).map_err(|error| Failure::user(format!("read `{}`: {error}", path.display())))
}

/// Makes a file that must not exist yet, as docker's `--cidfile`.
pub(crate) fn create_new(path: &str) -> Result<OwnedFd, Failure> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o644))
        .map_err(|error| Failure::user(format!("create `{path}`: {error}")))
}

/// A path of the caller's as one that means the same wherever the process goes.
pub(crate) fn absolute(path: &str) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::user(format!("`{path}`: {error}")))
}

/// The running program, which the built-in image is made of.
pub(crate) fn own_program() -> Result<OwnedFd, Failure> {
    rustix::fs::openat(CWD, "/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Failure::environment(format!("open `/proc/self/exe`: {error}")))
}
