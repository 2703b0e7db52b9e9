//! Files that a person names on the command line.

use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use crate::error::Failure;

/// Reads a file of at most `limit` bytes; the person may name a pipe.
pub(crate) fn read(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>, Failure> {
    let path = path.as_ref();
    let fd = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Failure::user(format!("read `{}`: {error}", path.display())))?;
    files::read_all(fd, limit).map_err(|error| Failure::user(format!("read `{}`: {error}", path.display())))
}
