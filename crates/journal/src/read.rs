//! All chains as one, by time.

use std::os::fd::{AsFd, OwnedFd};

use crate::head::CHAINS;
use crate::line::{Lines, open, segments};
use crate::{Journal, Record, Result};

/// Reads records by time; goes on from where it stopped when there is more.
#[derive(Debug)]
pub struct Reader {
    directory: OwnedFd,
    chains: [Chain; CHAINS],
}

#[derive(Debug, Default)]
struct Chain {
    segment: u64,
    offset: u64,
    lines: Option<Lines>,
    next: Option<Record>,
}

impl Reader {
    /// Begins with the oldest record.
    ///
    /// # Errors
    /// [`crate::Error::System`].
    pub fn new(journal: &Journal) -> Result<Self> {
        let directory = journal.directory().try_clone_to_owned().map_err(|error| {
            let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::MFILE);
            crate::Error::system("copy", "(directory)", errno)
        })?;
        Ok(Self { directory, chains: Default::default() })
    }

    /// The next record; none at the end, where a later call looks again.
    ///
    /// # Errors
    /// [`crate::Error::System`].
    pub fn next_record(&mut self) -> Result<Option<Record>> {
        let mut existing = None;
        for (number, chain) in self.chains.iter_mut().enumerate() {
            if chain.next.is_none() {
                let existing = match &existing {
                    Some(existing) => existing,
                    None => existing.insert(segments(self.directory.as_fd())?),
                };
                chain.next = chain.advance(&self.directory, number, &existing[number])?;
            }
        }
        let filled = self.chains.iter_mut().filter(|chain| chain.next.is_some());
        let earliest = filled.min_by_key(|chain| chain.next.as_ref().map(|record| record.time_nano));
        Ok(earliest.and_then(|chain| chain.next.take()))
    }
}

impl Chain {
    fn advance(&mut self, directory: &OwnedFd, number: usize, existing: &[u64]) -> Result<Option<Record>> {
        loop {
            if self.lines.is_none() {
                if !existing.contains(&self.segment) {
                    let Some(first) = existing.iter().find(|segment| **segment > self.segment) else {
                        return Ok(None);
                    };
                    (self.segment, self.offset) = (*first, 0);
                }
                let Some(file) = open(directory, number, self.segment)? else { return Ok(None) };
                self.lines = Some(Lines::new(file, self.offset)?);
            }
            let line = match &mut self.lines {
                Some(lines) => lines.next()?,
                None => None,
            };
            match line {
                Some(line) if line.is_whole => {
                    self.offset = line.offset + line.length;
                    // What is no record is `verify`'s to tell.
                    if let Some(record) = line.record() {
                        return Ok(Some(record));
                    }
                }
                // Half a line, or none yet: looked at again from its start.
                _ => {
                    self.lines = None;
                    let Some(later) = existing.iter().find(|segment| **segment > self.segment) else {
                        return Ok(None);
                    };
                    (self.segment, self.offset) = (*later, 0);
                }
            }
        }
    }
}
