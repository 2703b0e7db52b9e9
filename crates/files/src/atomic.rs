//! Files that are there in full or not at all.
//!
//! Write under a temporary name, `fsync` the file, rename it, `fsync` the directory. A crash leaves at
//! most a file whose name starts with [`TEMPORARY_PREFIX`], which a later check may delete.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

use crate::descriptor::write_named;
use crate::relpath::check_name;
use crate::{Error, Result};

/// How the name of an unfinished file starts; nothing else may be named so.
pub const TEMPORARY_PREFIX: &str = ".brig-part-";

/// Whether the file must still be there after a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On the disk when the call returns: two `fsync(2)`.
    Durable,
    /// Whole for every living reader, but a power cut may lose it: for `/run` and caches.
    Volatile,
}

/// Makes or replaces the file `name` in `directory` with `bytes`, with exactly `mode`.
///
/// An existing symlink of that name is replaced, never followed.
///
/// # Errors
/// [`Error::BadPath`] for a bad name, else [`Error::System`]; the old file is then untouched.
pub fn write(
    directory: BorrowedFd<'_>,
    name: impl AsRef<OsStr>,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
) -> Result<()> {
    put(directory, name.as_ref(), bytes, mode, durability, RenameFlags::empty())
}

/// As [`write`], but fails with `EEXIST` when `name` exists: of many writers one wins.
///
/// # Errors
/// As [`write`], and [`Error::System`] with `EEXIST`.
pub fn write_new(
    directory: BorrowedFd<'_>,
    name: impl AsRef<OsStr>,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
) -> Result<()> {
    put(directory, name.as_ref(), bytes, mode, durability, RenameFlags::NOREPLACE)
}

/// Removes the file `name`; `Ok(false)` when there was none.
///
/// # Errors
/// [`Error::System`], also when `name` is a directory.
pub fn remove(directory: BorrowedFd<'_>, name: impl AsRef<OsStr>, durability: Durability) -> Result<bool> {
    let name = check_name(name.as_ref())?;
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => {}
        Err(Errno::NOENT) => return Ok(false),
        Err(errno) => return Err(Error::system("unlink", name, errno)),
    }
    if durability == Durability::Durable {
        fsync_directory(directory)?;
    }
    Ok(true)
}

/// Waits until the names in `directory` are on the disk; also takes an `O_PATH` descriptor.
///
/// # Errors
/// [`Error::System`].
pub fn fsync_directory(directory: impl AsFd) -> Result<()> {
    let directory = directory.as_fd();
    let failed = |errno| Error::system("fsync", "(directory)", errno);
    match rustix::fs::fsync(directory) {
        Err(Errno::BADF) => {}
        other => return other.map_err(failed),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(directory, ".", flags, Mode::empty()).map_err(failed)?;
    rustix::fs::fsync(readable).map_err(failed)
}

fn put(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
    rename: RenameFlags,
) -> Result<()> {
    let name = check_name(name)?;
    let (temporary, file) = create_temporary(directory)?;
    let done = fill(&file, name, bytes, mode, durability).and_then(|()| {
        crate::pause::at("atomic.before-rename");
        rustix::fs::renameat_with(directory, &temporary, directory, name, rename)
            .map_err(|errno| Error::system("rename", name, errno))
    });
    if let Err(error) = done {
        // The first error is the one to report; a file left behind is swept by its prefix.
        let _unlinked = rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
        return Err(error);
    }
    if durability == Durability::Durable {
        fsync_directory(directory)?;
    }
    Ok(())
}

fn fill(file: &OwnedFd, name: &OsStr, bytes: &[u8], mode: u32, durability: Durability) -> Result<()> {
    write_named(file, name.as_ref(), bytes)?;
    // Not by open(2): its mode is cut by the umask, which belongs to whoever started us.
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode & 0o7777))
        .map_err(|errno| Error::system("chmod", name, errno))?;
    if durability == Durability::Durable {
        rustix::fs::fsync(file).map_err(|errno| Error::system("fsync", name, errno))?;
    }
    Ok(())
}

fn create_temporary(directory: BorrowedFd<'_>) -> Result<(OsString, OwnedFd)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let name = temporary_name()?;
        match rustix::fs::openat(directory, &name, flags, Mode::from_raw_mode(0o600)) {
            Ok(file) => return Ok((name, file)),
            // 128 random bits do not meet twice; a planted name costs one more round.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::system("create", name, errno)),
        }
    }
}

fn temporary_name() -> Result<OsString> {
    let mut random = [0_u8; 16];
    rustix::rand::getrandom(&mut random[..], GetRandomFlags::empty())
        .map_err(|errno| Error::system("getrandom", "(random)", errno))?;
    let mut name = String::from(TEMPORARY_PREFIX);
    // Writing to a String cannot fail.
    let _written = write!(name, "{:032x}", u128::from_ne_bytes(random));
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn replaces_in_full_and_leaves_nothing() {
        let directory = testkit::TempDir::new();
        let fd = crate::open_directory(directory.path()).unwrap();
        let fd = fd.as_fd();
        write(fd, "a", b"one", 0o640, Durability::Durable).unwrap();
        write(fd, "a", b"two", 0o444, Durability::Volatile).unwrap();
        write(fd, "a", b"three", 0o600, Durability::Durable).unwrap();
        let path = directory.path().join("a");
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);

        let error = write_new(fd, "a", b"four", 0o600, Durability::Volatile).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EXIST));
        write_new(fd, "b", b"four", 0o600, Durability::Volatile).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);

        assert!(remove(fd, "b", Durability::Durable).unwrap());
        assert!(!remove(fd, "b", Durability::Volatile).unwrap());
    }

    #[test]
    fn a_symlink_is_replaced_and_not_followed() {
        let directory = testkit::TempDir::new();
        let fd = crate::open_directory(directory.path()).unwrap();
        std::fs::write(directory.path().join("canary"), "alive").unwrap();
        symlink("canary", directory.path().join("link")).unwrap();
        write(fd.as_fd(), "link", b"new", 0o600, Durability::Volatile).unwrap();
        assert_eq!(std::fs::read(directory.path().join("canary")).unwrap(), b"alive");
        assert_eq!(std::fs::read(directory.path().join("link")).unwrap(), b"new");
    }

    #[test]
    fn bad_names_and_failures_leave_nothing() {
        let directory = testkit::TempDir::new();
        let fd = crate::open_directory(directory.path()).unwrap();
        for name in ["", ".", "..", "a/b", "/a", "a\0b"] {
            let result = write(fd.as_fd(), name, b"", 0o600, Durability::Volatile);
            assert!(matches!(result, Err(Error::BadPath { .. })), "{name}");
        }
        std::fs::create_dir(directory.path().join("sub")).unwrap();
        write(fd.as_fd(), "sub", b"", 0o600, Durability::Volatile).unwrap_err();
        remove(fd.as_fd(), "sub", Durability::Volatile).unwrap_err();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_path_descriptor_can_be_synced() {
        let directory = testkit::TempDir::new();
        let fd = rustix::fs::open(directory.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        write(fd.as_fd(), "a", b"x", 0o600, Durability::Durable).unwrap();
    }
}
