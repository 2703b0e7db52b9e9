//! Output between a container's fifo and its log, so that no kill of ours loses or doubles any of it.
//!
//! What a process has read from a fifo and not written yet dies with it. So output is moved by splice(2) from the fifo
//! to a file of the run directory, the inbox: the kernel takes from one what it has put into the other. Messages are
//! made from the inbox, and a record says up to where: whoever comes next goes on there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

/// Most bytes that are moved at once: what a pipe holds. Others of the loop get their turn then.
pub(crate) const MOVE: usize = 64 << 10;
/// Bytes that were used up after which an inbox is emptied.
const EMPTY_AFTER: u64 = 64 << 10;
/// Bytes that were used up after which their blocks are given back while an unfinished line follows.
const PUNCH_AFTER: u64 = 1 << 20;

/// One stream's inbox.
#[derive(Debug)]
pub(crate) struct Inbox {
    file: OwnedFd,
    /// Bytes that came.
    pub(crate) length: u64,
    /// Bytes that became messages.
    pub(crate) used: u64,
    /// Bytes that attached clients saw.
    pub(crate) shown: u64,
    punched: u64,
}

impl Inbox {
    /// Opens or makes it; `used` is what the record says.
    pub(crate) fn open(directory: BorrowedFd<'_>, name: &str, used: u64) -> Result<Self, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600))?;
        let length = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        // Shorter than the record says: it was emptied, and who did that did not live to write so.
        let used = if length < used { 0 } else { used };
        Ok(Self { file, length, used, shown: length, punched: used })
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.length - self.used
    }

    /// Moves what waits in a fifo; 0 where nothing does.
    pub(crate) fn take(&mut self, fifo: BorrowedFd<'_>) -> Result<usize, Errno> {
        let mut end = self.length;
        match splice(fifo, None, &self.file, Some(&mut end), MOVE, SpliceFlags::NONBLOCK) {
            Ok(moved) => {
                self.length += moved as u64;
                Ok(moved)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(errno) => Err(errno),
        }
    }

    /// Adds bytes that were read from something that is no fifo.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        let mut end = self.length;
        while !bytes.is_empty() {
            match rustix::io::pwrite(&self.file, bytes, end) {
                Ok(written) => {
                    end += written as u64;
                    bytes = &bytes[written..];
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.length = end;
        Ok(())
    }

    /// Reads from a place on.
    pub(crate) fn read(&self, from: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        loop {
            match rustix::io::pread(&self.file, &mut *buffer, from) {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Gives back what was used up; whether the record must be written again before anything is moved here.
    pub(crate) fn trim(&mut self) -> bool {
        if self.used == self.length && self.used >= EMPTY_AFTER {
            if rustix::fs::ftruncate(&self.file, 0).is_ok() {
                (self.length, self.used, self.shown, self.punched) = (0, 0, 0, 0);
                return true;
            }
        } else if self.used - self.punched >= PUNCH_AFTER {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // A file system without holes keeps the blocks until all is used up.
            let _punched = rustix::fs::fallocate(self.file.as_fd(), flags, 0, self.used);
            self.punched = self.used;
        }
        false
    }
}

/// What the record holds: up to where the inboxes were used, the log's file, and what was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) used: [u64; 2],
    pub(crate) file: (u64, u64),
    pub(crate) lost: Lost,
}

/// Output that is in no log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why the last of them were: an errno, 0 where nothing was lost.
    pub reason: u32,
}

/// Bytes of the record: one write, which a kill cannot cut within a page.
const RECORD: usize = 64;

impl Position {
    pub(crate) fn to_bytes(self) -> [u8; RECORD] {
        let lost = self.lost;
        let mut bytes = [0; RECORD];
        let numbers = [
            1,
            self.used[0],
            self.used[1],
            self.file.0,
            self.file.1,
            lost.messages,
            lost.bytes,
            u64::from(lost.reason),
        ];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RECORD] = bytes.try_into().ok()?;
        let mut numbers = [0; 8];
        for (number, chunk) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = u64::from_le_bytes(chunk.try_into().ok()?);
        }
        let [1, out, error, inode, length, messages, lost, reason] = numbers else { return None };
        let lost = Lost { messages, bytes: lost, reason: u32::try_from(reason).ok()? };
        Some(Self { used: [out, error], file: (inode, length), lost })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let lost = Lost { messages: 5, bytes: 6, reason: 28 };
        let position = Position { used: [1, 2], file: (3, 4), lost };
        assert_eq!(Position::from_bytes(&position.to_bytes()), Some(position));
        assert_eq!(Position::from_bytes(&[0; RECORD]), None);
        assert_eq!(Position::from_bytes(b""), None);
    }

    #[test]
    fn an_emptied_inbox_starts_again() {
        let base = testkit::TempDir::new();
        let directory = files::open_directory(base.path()).unwrap();
        let mut inbox = Inbox::open(directory.as_fd(), "in", 0).unwrap();
        inbox.add(&[b'x'; 70_000]).unwrap();
        inbox.used = 70_000;
        assert!(inbox.trim());
        assert_eq!((inbox.length, inbox.waiting()), (0, 0));
        // Killed before the record was written.
        assert_eq!(Inbox::open(directory.as_fd(), "in", 70_000).unwrap().used, 0);
    }

    #[test]
    fn blocks_of_a_used_part_are_given_back() {
        use std::os::unix::fs::MetadataExt;
        let base = testkit::TempDir::new();
        let directory = files::open_directory(base.path()).unwrap();
        let mut inbox = Inbox::open(directory.as_fd(), "in", 0).unwrap();
        inbox.add(&vec![b'x'; (2 << 20) + 10]).unwrap();
        inbox.used = 2 << 20;
        assert!(!inbox.trim());
        assert_eq!(inbox.waiting(), 10);
        assert!(base.path().join("in").metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
