//! The heads of the chains: which record is the last, so that one that was cut off is missed.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::{Error, Result};

/// How many chains there are. One is used as long as nobody is stopped in the middle of an append.
pub const CHAINS: usize = 8;
/// The file that holds them all.
pub(crate) const NAME: &str = "heads";
/// Bytes of one chain's slot: three numbers, a hash, padding.
const SLOT: usize = 128;
/// What is before the first record.
pub(crate) const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The end of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Number of the segment that is written, from 1.
    pub(crate) segment: u64,
    /// Number of the last record.
    pub(crate) sequence: u64,
    /// SHA-256 of its line.
    pub(crate) hash: String,
    /// Bytes of the segment.
    pub(crate) size: u64,
}

impl Head {
    /// A chain without a record.
    pub(crate) fn start() -> Self {
        Self { segment: 1, sequence: 0, hash: NOTHING.to_owned(), size: 0 }
    }

    fn parse(slot: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(slot).ok()?.split_ascii_whitespace();
        let (segment, sequence) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let hash = words.next().filter(|hash| hash.len() == NOTHING.len())?.to_owned();
        Some(Self { segment, sequence, hash, size: words.next()?.parse().ok()? })
    }
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Heads(OwnedFd);

impl Heads {
    /// Opens the file, and makes it where it is missing and may be made.
    pub(crate) fn open(directory: impl AsFd, make: bool) -> Result<Option<Self>> {
        let mut flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        flags |= if make { OFlags::RDWR | OFlags::CREATE } else { OFlags::RDONLY };
        match rustix::fs::openat(directory, NAME, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::NOENT) if !make => Ok(None),
            Err(errno) => Err(Error::system("open", NAME, errno)),
        }
    }

    /// All chains' ends; none for one that has no record, or an unreadable slot.
    pub(crate) fn read(&self) -> Result<[Option<Head>; CHAINS]> {
        let mut bytes = [0; SLOT * CHAINS];
        let mut filled = 0;
        while filled < bytes.len() {
            let offset = u64::try_from(filled).expect("about a thousand");
            match rustix::io::pread(&self.0, &mut bytes[filled..], offset) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Error::system("read", NAME, errno)),
            }
        }
        let mut heads = [const { None }; CHAINS];
        for (head, slot) in heads.iter_mut().zip(bytes.chunks(SLOT)) {
            *head = Head::parse(slot.split(|byte| *byte == 0).next().unwrap_or_default());
        }
        Ok(heads)
    }

    /// Writes one chain's end. One write of a slot is whole for whoever reads it while it happens.
    pub(crate) fn write(&self, chain: usize, head: &Head) -> Result<()> {
        let Head { segment, sequence, hash, size } = head;
        let text = format!("{segment} {sequence} {hash} {size}");
        let slot = format!("{text:<width$}\n", width = SLOT - 1);
        let offset = u64::try_from(chain * SLOT).expect("about a thousand");
        match rustix::io::pwrite(&self.0, slot.as_bytes(), offset) {
            Ok(count) if count == SLOT => Ok(()),
            Ok(_) => Err(Error::system("write", NAME, rustix::io::Errno::NOSPC)),
            Err(errno) => Err(Error::system("write", NAME, errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_as_written() {
        let directory = testkit::TempDir::new();
        let fd = files::open_directory(directory.path()).unwrap();
        assert!(Heads::open(&fd, false).unwrap().is_none());
        let heads = Heads::open(&fd, true).unwrap().unwrap();
        let head = Head { segment: 3, sequence: u64::MAX, hash: NOTHING.to_owned(), size: u64::MAX };
        heads.write(5, &head).unwrap();
        let read = heads.read().unwrap();
        assert_eq!(read[5].as_ref(), Some(&head));
        assert_eq!(read.iter().flatten().count(), 1);
    }

    #[test]
    fn a_damaged_slot_is_none() {
        for slot in ["", "1 2", "1 2 3 4", "x 2 0000 4", "\u{fffd}"] {
            assert_eq!(Head::parse(slot.as_bytes()), None, "{slot}");
        }
    }
}
