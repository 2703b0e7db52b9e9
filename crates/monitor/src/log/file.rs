//! A log file that is rotated: `container.log`, `container.log.1` and so on, newest first.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// Name of the newest file.
pub const NAME: &str = "container.log";

/// Name of the file that was rotated `age` times; 0 is the newest.
#[must_use]
pub fn name(age: u32) -> String {
    if age == 0 { NAME.to_owned() } else { format!("{NAME}.{age}") }
}

/// The newest file, open for appending.
#[derive(Debug)]
pub(crate) struct File {
    directory: OwnedFd,
    file: OwnedFd,
    /// Bytes in it that are whole messages.
    length: u64,
    inode: u64,
    max_size: u64,
    max_files: u32,
}

impl File {
    /// Opens or makes it. `known` is inode and length of what was written whole: what comes after is cut off.
    pub(crate) fn open(
        directory: OwnedFd,
        max_size: u64,
        max_files: u32,
        known: Option<(u64, u64)>,
    ) -> Result<Self, Errno> {
        let (file, inode, mut length) = open(&directory)?;
        if let Some((_, whole)) = known.filter(|(known, whole)| *known == inode && *whole < length) {
            rustix::fs::ftruncate(&file, whole)?;
            length = whole;
        }
        Ok(Self { directory, file, length, inode, max_size, max_files })
    }

    /// A file that takes nothing.
    #[cfg(test)]
    pub(crate) fn full() -> Self {
        let file = rustix::fs::open("/dev/full", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let directory = files::open_directory("/").unwrap();
        Self { directory, file, length: 0, inode: 0, max_size: 0, max_files: 1 }
    }

    /// Inode and length, for [`Self::open`] after a kill.
    pub(crate) fn known(&self) -> (u64, u64) {
        (self.inode, self.length)
    }

    /// Whether `more` bytes on top would be the file's last. Docker writes on until the limit is reached or passed.
    pub(crate) fn is_full(&self, more: usize) -> bool {
        self.max_size > 0 && self.length + more as u64 >= self.max_size
    }

    /// Appends whole messages; after an error none of them is in the file.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        let length = bytes.len() as u64;
        while !bytes.is_empty() {
            match rustix::io::write(&self.file, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                Err(errno) => {
                    // A half message would spoil the next one's line. If even that fails, readers skip the line.
                    let _cut = rustix::fs::ftruncate(&self.file, self.length);
                    return Err(errno);
                }
            }
        }
        self.length += length;
        Ok(())
    }

    /// Starts a new file; the oldest goes.
    pub(crate) fn rotate(&mut self) -> Result<(), Errno> {
        if self.max_files <= 1 {
            rustix::fs::ftruncate(&self.file, 0)?;
            self.length = 0;
            return Ok(());
        }
        for age in (0..self.max_files - 1).rev() {
            match rustix::fs::renameat(&self.directory, name(age), &self.directory, name(age + 1)) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        (self.file, self.inode, self.length) = open(&self.directory)?;
        Ok(())
    }
}

fn open(directory: &OwnedFd) -> Result<(OwnedFd, u64, u64), Errno> {
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, NAME, flags, Mode::from_raw_mode(0o600))?;
    let stat = rustix::fs::fstat(&file)?;
    Ok((file, stat.st_ino, u64::try_from(stat.st_size).unwrap_or(0)))
}

/// Removes every file of the log, the rotated ones as well.
///
/// # Errors
/// What unlinkat(2) says, of the first that stays.
pub fn remove_all(directory: &OwnedFd, max_files: u32) -> Result<(), Errno> {
    for age in 0..max_files.max(1) {
        match rustix::fs::unlinkat(directory, name(age), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(path: &std::path::Path) -> OwnedFd {
        files::open_directory(path).unwrap()
    }

    #[test]
    fn the_oldest_goes() {
        let base = testkit::TempDir::new();
        let mut file = File::open(directory(base.path()), 10, 3, None).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            file.append(line.as_bytes()).unwrap();
            assert!(file.is_full(6));
            file.rotate().unwrap();
        }
        file.append(b"five\n").unwrap();
        let read = |age| std::fs::read_to_string(base.path().join(name(age))).unwrap();
        assert_eq!((read(0).as_str(), read(1).as_str(), read(2).as_str()), ("five\n", "four\n", "three\n"));
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 3);
        remove_all(&directory(base.path()), 3).unwrap();
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_file_starts_again() {
        let base = testkit::TempDir::new();
        let mut file = File::open(directory(base.path()), 10, 1, None).unwrap();
        file.append(b"one\n").unwrap();
        file.rotate().unwrap();
        file.append(b"two\n").unwrap();
        assert_eq!(std::fs::read_to_string(base.path().join(NAME)).unwrap(), "two\n");
    }

    #[test]
    fn what_was_not_written_whole_is_cut_off() {
        let base = testkit::TempDir::new();
        let mut file = File::open(directory(base.path()), 0, 3, None).unwrap();
        file.append(b"whole\n").unwrap();
        let known = file.known();
        file.append(b"ha").unwrap();
        let file = File::open(directory(base.path()), 0, 3, Some(known)).unwrap();
        assert_eq!(file.known(), known);
        assert_eq!(std::fs::read_to_string(base.path().join(NAME)).unwrap(), "whole\n");
        // Another file is none of our business.
        let other = File::open(directory(base.path()), 0, 3, Some((known.0 + 1, 0))).unwrap();
        assert_eq!(other.known(), known);
    }
}
