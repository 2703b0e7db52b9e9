//! Remove a whole tree, however deep, without leaving it.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, SeekFrom};
use rustix::io::Errno;

use crate::relpath::check_name;
use crate::{Error, Result};

/// How deep directories are held open at once; a deeper one is first moved up to the top.
///
/// A container can make a tree deeper than any path or descriptor limit.
const MAX_DEPTH: usize = 64;

/// How many subdirectories' names are remembered at once.
const BATCH: usize = 1024;

/// Bytes that one `getdents64(2)` returns.
const LISTING: usize = 8192;

/// Removes `name` in `directory` with all that is below it; `Ok(false)` when there was nothing.
///
/// Symlinks are removed and never followed. A mount found on the way is an error (`EXDEV`), so that what
/// is mounted there is never emptied. Uses at most about 70 descriptors whatever the depth.
///
/// # Errors
/// [`Error::BadPath`] for a bad name, [`Error::System`] with the name that could not be removed.
pub fn remove_tree(directory: impl AsFd, name: impl AsRef<OsStr>) -> Result<bool> {
    let (directory, name) = (directory.as_fd(), check_name(name.as_ref())?);
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) => return Ok(true),
        Err(Errno::NOENT) => return Ok(false),
        // Linux says EISDIR, POSIX allows EPERM.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(Error::system("unlink", name, errno)),
    }
    let top = open_below(directory, name)?;
    let mut moved = 0;
    empty(top.as_fd(), top.as_fd(), 0, &mut moved)?;
    rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)
        .map_err(|errno| Error::system("rmdir", name, errno))?;
    Ok(true)
}

fn empty(directory: BorrowedFd<'_>, top: BorrowedFd<'_>, depth: usize, moved: &mut u64) -> Result<()> {
    loop {
        let subdirectories = unlink_files(directory)?;
        if subdirectories.is_empty() {
            return Ok(());
        }
        for name in subdirectories {
            let name = OsStr::from_bytes(name.as_bytes());
            if depth == MAX_DEPTH {
                move_to_top(directory, name, top, moved)?;
                continue;
            }
            empty(open_below(directory, name)?.as_fd(), top, depth + 1, moved)?;
            rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)
                .map_err(|errno| Error::system("rmdir", name, errno))?;
        }
    }
}

/// Removes everything but directories, and returns up to [`BATCH`] names of those.
fn unlink_files(directory: BorrowedFd<'_>) -> Result<Vec<CString>> {
    let failed = |errno| Error::system("list", "(directory)", errno);
    rustix::fs::seek(directory, SeekFrom::Start(0)).map_err(failed)?;
    let mut subdirectories = Vec::new();
    let mut buffer = Vec::with_capacity(LISTING);
    let mut listing = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = listing.next() {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() != FileType::Directory {
            match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::ISDIR | Errno::PERM) if entry.file_type() == FileType::Unknown => {}
                Err(errno) => {
                    return Err(Error::system("unlink", OsStr::from_bytes(name.to_bytes()), errno));
                }
            }
        }
        subdirectories.push(name.to_owned());
        if subdirectories.len() == BATCH {
            break;
        }
    }
    Ok(subdirectories)
}

fn open_below(directory: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(directory, name, flags, Mode::empty(), inside)
        .map_err(|errno| Error::system("open", Path::new(name), errno))
}

fn move_to_top(directory: BorrowedFd<'_>, name: &OsStr, top: BorrowedFd<'_>, moved: &mut u64) -> Result<()> {
    loop {
        let free = format!(".moved-{moved}");
        *moved += 1;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(directory, name, top, &free, flags) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::system("rename", name, errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use testkit::TempDir;

    use super::*;

    #[test]
    fn removes_all_and_follows_nothing() {
        let directory = TempDir::new();
        let fd = crate::open_directory(directory.path()).unwrap();
        fs::create_dir_all(directory.join("tree/a/b")).unwrap();
        fs::create_dir(directory.join("outside")).unwrap();
        fs::write(directory.join("outside/canary"), "").unwrap();
        for number in 0..2000 {
            fs::create_dir(directory.join(format!("tree/a/{number}"))).unwrap();
            fs::write(directory.join(format!("tree/a/b/{number}")), "").unwrap();
        }
        symlink("../../outside", directory.join("tree/a/link")).unwrap();
        symlink("outside", directory.join("link")).unwrap();

        assert!(remove_tree(&fd, "tree").unwrap());
        assert!(!remove_tree(&fd, "tree").unwrap());
        assert!(remove_tree(&fd, "link").unwrap());
        assert!(directory.join("outside/canary").exists());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        for name in ["..", ".", "", "a/b"] {
            assert!(remove_tree(&fd, name).is_err());
        }
    }

    #[test]
    fn depth_has_no_limit() {
        let directory = TempDir::new();
        let fd = crate::open_directory(directory.path()).unwrap();
        let mut here = fd.try_clone().unwrap();
        for _ in 0..5000 {
            rustix::fs::mkdirat(&here, "d", Mode::from_raw_mode(0o700)).unwrap();
            rustix::fs::mkdirat(&here, ".moved-0", Mode::from_raw_mode(0o700)).unwrap();
            here = rustix::fs::openat(&here, "d", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        }
        remove_tree(&fd, "d").unwrap();
        remove_tree(&fd, ".moved-0").unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
