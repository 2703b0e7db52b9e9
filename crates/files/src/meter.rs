//! How far long work has come, in a memory file that another process reads while it goes on.
//!
//! The work of one command is spread over processes: the command reads, confined children unpack. All of them write the
//! one counter, with a `pwrite(2)` for each block, and none of them prints.

use std::io::{Read, Result as IoResult, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::MemfdFlags;

/// Most bytes of what is said to be done; the rest of a longer text is left out.
pub const MAX_STEP: usize = 240;
/// Two numbers, then the text.
const LENGTH: usize = 16 + MAX_STEP;

/// Where the work writes how far it has come. A process that was forked later counts on from where it was.
#[derive(Debug)]
pub struct Meter {
    file: OwnedFd,
    done: AtomicU64,
}

/// How far the work has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What is being done; bytes of whoever wrote it, not fit for a terminal.
    pub step: String,
    /// Bytes of it that are done.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
}

impl Meter {
    /// Makes the memory file.
    ///
    /// # Errors
    /// The errno of memfd_create(2).
    pub fn new() -> rustix::io::Result<Self> {
        let file = rustix::fs::memfd_create(c"brig-progress", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, LENGTH as u64)?;
        Ok(Self { file, done: AtomicU64::new(0) })
    }

    /// Begins something: of `total` bytes, where that is known.
    pub fn begin(&self, step: &str, total: Option<u64>) {
        self.done.store(0, Ordering::Relaxed);
        let mut bytes = [0; LENGTH];
        // 0 stands for unknown: of nothing there is no part to show
        bytes[8..16].copy_from_slice(&total.unwrap_or(0).to_ne_bytes());
        let length = step.len().min(MAX_STEP);
        bytes[16..16 + length].copy_from_slice(&step.as_bytes()[..length]);
        // progress that cannot be shown is no reason to stop the work
        rustix::io::pwrite(&self.file, &bytes, 0).ok();
    }

    /// Counts bytes that are done.
    pub fn add(&self, bytes: usize) {
        let done = self.done.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        // as above
        rustix::io::pwrite(&self.file, &done.to_ne_bytes(), 0).ok();
    }

    /// How far the work has come, in whichever process it goes on.
    #[must_use]
    pub fn read(&self) -> Reading {
        let mut bytes = [0_u8; LENGTH];
        // the file is as long as that; where it cannot be read nothing is done
        rustix::io::pread(&self.file, &mut bytes, 0).ok();
        let number = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        };
        let text = bytes[16..].split(|byte| *byte == 0).next().unwrap_or_default();
        Reading {
            step: String::from_utf8_lossy(text).into_owned(),
            done: number(0),
            total: Some(number(8)).filter(|total| *total > 0),
        }
    }
}

/// A reader or writer whose bytes are counted, where anybody looks.
#[derive(Debug)]
pub struct Metered<T> {
    inner: T,
    meter: Option<Arc<Meter>>,
}

impl<T> Metered<T> {
    /// Counts what goes through `inner` from now on.
    pub const fn new(inner: T, meter: Option<Arc<Meter>>) -> Self {
        Self { inner, meter }
    }

    fn counted(&self, result: IoResult<usize>) -> IoResult<usize> {
        if let (Some(meter), Ok(count)) = (&self.meter, &result) {
            meter.add(*count);
        }
        result
    }
}

impl<T: Read> Read for Metered<T> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let result = self.inner.read(buffer);
        self.counted(result)
    }
}

impl<T: Write> Write for Metered<T> {
    fn write(&mut self, buffer: &[u8]) -> IoResult<usize> {
        let result = self.inner.write(buffer);
        self.counted(result)
    }

    fn flush(&mut self) -> IoResult<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let meter = Arc::new(Meter::new().unwrap());
        assert_eq!(meter.read(), Reading { step: String::new(), done: 0, total: None });
        meter.begin(&"x".repeat(MAX_STEP + 9), Some(1 << 40));
        let mut reader = Metered::new(&b"0123456789"[..], Some(Arc::clone(&meter)));
        assert_eq!(std::io::copy(&mut reader, &mut std::io::sink()).unwrap(), 10);
        assert_eq!(meter.read(), Reading { step: "x".repeat(MAX_STEP), done: 10, total: Some(1 << 40) });
        meter.begin("next", None);
        assert_eq!(meter.read(), Reading { step: "next".to_owned(), done: 0, total: None });
    }
}
