//! Whole reads and writes, and the close-on-exec flag.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags};

use crate::relpath::check_name;
use crate::root::read_regular;
use crate::{Error, Result};

/// How many bytes one `read(2)` asks for at first.
const FIRST_READ: usize = 4096;

/// Opens a directory of the host by path: the one place where a trusted path becomes a descriptor.
///
/// # Errors
/// [`Error::System`] when it is missing or not a directory.
pub fn open_directory(path: impl AsRef<Path>) -> Result<OwnedFd> {
    let path = path.as_ref();
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::system("open directory", path, errno))
}

/// Reads the regular file `name` of a directory that nobody but the engine writes, `None` when it is missing.
///
/// It is opened once, where [`crate::root::read_bounded`] looks before it opens what somebody else may have put there. A
/// symlink is not followed, and a FIFO hangs nobody.
///
/// # Errors
/// [`Error::BadPath`] for a bad name, [`Error::WrongType`] for anything but a regular file, [`Error::TooLong`] when it
/// holds more than `limit` bytes, [`Error::System`].
pub fn read_own(directory: impl AsFd, name: impl AsRef<OsStr>, limit: u64) -> Result<Option<Vec<u8>>> {
    let name = check_name(name.as_ref())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(file) => read_regular(&file, Path::new(name), limit).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::system("open", name, errno)),
    }
}

/// Reads a file of the host that its administrator or the person themself names, `None` when it is missing.
///
/// Symlinks are followed: nobody else can write on the way there, or the file means nothing anyhow.
///
/// # Errors
/// As [`read_own`].
pub fn read_named_file(path: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>> {
    let path = path.as_ref();
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => read_regular(&file, path, limit).map(Some),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(Error::system("open", path, errno)),
    }
}

/// Whether a pipe or socket has something to read, or its end, within a time.
///
/// # Errors
/// The errno of poll(2).
pub fn is_readable(fd: impl AsFd, within: std::time::Duration) -> std::io::Result<bool> {
    let timeout = rustix::event::Timespec {
        tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(within.subsec_nanos()),
    };
    let mut waited = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    match rustix::event::poll(&mut waited, Some(&timeout)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Reads to the end of `fd`, at most `limit` bytes.
///
/// # Errors
/// [`Error::TooLong`] when more than `limit` bytes come.
pub fn read_all(fd: impl AsFd, limit: u64) -> Result<Vec<u8>> {
    read_named(fd, Path::new("(descriptor)"), limit, None)
}

/// `size` is what a regular file was seen to have: it is not asked for its end then. One of a kernel file system says 0.
pub(crate) fn read_named(fd: impl AsFd, path: &Path, limit: u64, size: Option<u64>) -> Result<Vec<u8>> {
    let fd = fd.as_fd();
    let mut bytes = Vec::with_capacity(FIRST_READ);
    loop {
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.len());
        }
        match rustix::io::read(fd, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(bytes),
            Ok(_) if bytes.len() as u64 > limit => {
                return Err(Error::TooLong { path: path.to_owned(), limit });
            }
            Ok(_) if size == Some(bytes.len() as u64) => return Ok(bytes),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system("read", path, errno)),
        }
    }
}

/// Writes all of `bytes` to `fd`, going on after short writes and signals, and when a descriptor that does not wait
/// takes bytes again: whoever shares a pipe or a terminal may have set it so.
///
/// # Errors
/// [`Error::System`]; some bytes may have been written by then.
pub fn write_all(fd: impl AsFd, bytes: &[u8]) -> Result<()> {
    write_named(fd, Path::new("(descriptor)"), bytes)
}

pub(crate) fn write_named(fd: impl AsFd, path: &Path, mut bytes: &[u8]) -> Result<()> {
    let fd = fd.as_fd();
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut waited = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                match poll(&mut waited, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return Err(Error::system("wait for", path, errno)),
                }
            }
            Err(errno) => return Err(Error::system("write", path, errno)),
        }
    }
    Ok(())
}

/// Lets `fd` end at the next `execve(2)`.
///
/// # Errors
/// [`Error::System`], which for a valid descriptor does not happen.
pub fn set_cloexec(fd: impl AsFd) -> Result<()> {
    rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)
        .map_err(|errno| Error::system("fcntl", "(descriptor)", errno))
}

/// Lets `fd` live through the next `execve(2)`: only for what the payload is meant to have.
///
/// # Errors
/// [`Error::System`], which for a valid descriptor does not happen.
pub fn clear_cloexec(fd: impl AsFd) -> Result<()> {
    rustix::io::fcntl_setfd(fd, FdFlags::empty())
        .map_err(|errno| Error::system("fcntl", "(descriptor)", errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_up_to_the_limit() {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        write_all(&writer, &[7; 10_000]).unwrap();
        drop(writer);
        assert_eq!(read_all(&reader, 10_000).unwrap(), [7; 10_000]);

        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        write_all(&writer, &[7; 10_000]).unwrap();
        assert!(matches!(read_all(&reader, 9_999), Err(Error::TooLong { limit: 9_999, .. })));
    }

    #[test]
    fn cloexec_is_set_and_cleared() {
        let directory = open_directory("/").unwrap();
        assert_eq!(rustix::io::fcntl_getfd(&directory).unwrap(), FdFlags::CLOEXEC);
        clear_cloexec(&directory).unwrap();
        assert_eq!(rustix::io::fcntl_getfd(&directory).unwrap(), FdFlags::empty());
        set_cloexec(&directory).unwrap();
        assert_eq!(rustix::io::fcntl_getfd(&directory).unwrap(), FdFlags::CLOEXEC);
    }
}
