//! The uncompressed stream: buffered, hashed and bounded.

use std::io::Read;

use oci::{Algorithm, Digest, Hasher};

use crate::decompress::read_some;
use crate::header::{BLOCK, Block};
use crate::{Error, Result};

/// Bytes read at once: large enough that one write serves most files, small enough for the cache.
const BUFFER: usize = 256 << 10;

/// Moves an input ahead by so many bytes, or to its end, and says by how many.
type Ahead<R> = fn(&mut R, u64) -> std::io::Result<u64>;

/// A stream of blocks whose every byte is hashed once, when it arrives.
pub(crate) struct Source<R> {
    input: R,
    /// Only for an input of which nobody wants the digest.
    ahead: Option<Ahead<R>>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    read: u64,
    limit: u64,
    hasher: Hasher,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(input: R, limit: u64) -> Self {
        Self {
            input,
            ahead: None,
            buffer: vec![0; BUFFER].into(),
            start: 0,
            end: 0,
            read: 0,
            limit,
            hasher: Hasher::new(Algorithm::Sha256),
        }
    }

    /// An input in which `ahead` passes over what nobody reads, and that has no digest for it.
    pub(crate) fn seeking(input: R, limit: u64, ahead: Ahead<R>) -> Self {
        Self { ahead: Some(ahead), ..Self::new(input, limit) }
    }

    /// Bytes handed out so far.
    pub(crate) fn offset(&self) -> u64 {
        self.read - (self.end - self.start) as u64
    }

    /// At least one and at most `limit` bytes, or none at the end of the stream.
    pub(crate) fn peek(&mut self, limit: u64) -> Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.fill()?;
        }
        let count = usize::try_from(limit).unwrap_or(usize::MAX).min(self.end - self.start);
        Ok(&self.buffer[self.start..self.start + count])
    }

    /// Marks bytes of the last [`Source::peek`] as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// The next block, `None` at the end of the stream.
    pub(crate) fn block(&mut self) -> Result<Option<&Block>> {
        while self.end - self.start < BLOCK {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if self.fill()? == 0 {
                return if self.end == 0 { Ok(None) } else { Err(self.truncated()) };
            }
        }
        let block = self.buffer[self.start..].first_chunk::<BLOCK>();
        self.start += BLOCK;
        Ok(block)
    }

    /// Passes over `count` bytes.
    pub(crate) fn skip(&mut self, count: u64) -> Result<()> {
        if self.skip_at_most(count)? == count { Ok(()) } else { Err(self.truncated()) }
    }

    /// Passes over `count` bytes, or what is left of the stream, and returns how many those were.
    pub(crate) fn skip_at_most(&mut self, count: u64) -> Result<u64> {
        let mut left = count;
        let buffered = (self.end - self.start) as u64;
        if let Some(ahead) = self.ahead.filter(|_| left > buffered) {
            self.start = self.end;
            let passed = ahead(&mut self.input, left - buffered).map_err(Error::from_read)?;
            self.read += passed;
            if self.read > self.limit {
                return Err(Error::Limit { what: "uncompressed bytes", limit: self.limit });
            }
            return Ok(buffered + passed);
        }
        while left > 0 {
            let got = self.peek(left)?.len();
            if got == 0 {
                break;
            }
            self.consume(got);
            left -= got as u64;
        }
        Ok(count - left)
    }

    /// Appends `count` bytes to a new vector; the caller has bounded `count`.
    pub(crate) fn take(&mut self, mut count: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while count > 0 {
            let got = self.peek(count)?;
            let length = got.len();
            bytes.extend_from_slice(got);
            if length == 0 {
                return Err(self.truncated());
            }
            self.consume(length);
            count -= length as u64;
        }
        Ok(bytes)
    }

    /// Reads to the end of the stream, where nothing but zeros may follow.
    pub(crate) fn drain(&mut self) -> Result<()> {
        loop {
            let offset = self.offset();
            let rest = self.peek(u64::MAX)?;
            if rest.is_empty() {
                return Ok(());
            }
            if let Some(at) = rest.iter().position(|byte| *byte != 0) {
                let offset = offset + at as u64;
                return Err(Error::Malformed { offset, reason: "data after the end of the archive" });
            }
            let count = rest.len();
            self.consume(count);
        }
    }

    pub(crate) fn truncated(&self) -> Error {
        Error::Truncated { offset: self.read }
    }

    /// The digest and length of all that was read, and the input.
    pub(crate) fn finish(self) -> (Digest, u64, R) {
        (self.hasher.finish(), self.read, self.input)
    }

    fn fill(&mut self) -> Result<usize> {
        let count = read_some(&mut self.input, &mut self.buffer[self.end..]).map_err(Error::from_read)?;
        if self.ahead.is_none() {
            self.hasher.update(&self.buffer[self.end..self.end + count]);
        }
        self.end += count;
        self.read += count as u64;
        if self.read > self.limit {
            return Err(Error::Limit { what: "uncompressed bytes", limit: self.limit });
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(buffer.len());
            self.0.read(&mut buffer[..count])
        }
    }

    #[test]
    fn a_fault_lies_where_it_lies_however_slowly_the_input_comes() {
        let bytes = [&[0; 700][..], b"x", &[0; 40]].concat();
        for step in [1, 7, 511, 4096] {
            let mut source = Source::new(Slowly(&bytes, step), u64::MAX);
            assert!(matches!(source.drain(), Err(Error::Malformed { offset: 700, .. })), "{step}");
        }
    }
}
