//! What several targets do with their bytes.

use std::io::{self, Read};

/// The bytes as text, where they are.
#[must_use]
pub fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// An error message must be fit for a terminal and a log: one line, without control characters, of bounded length.
///
/// # Panics
/// When it is not.
pub fn check_message(message: &str, limit: usize) {
    assert!(!message.chars().any(char::is_control), "control characters in {message:?}");
    assert!(message.len() <= limit, "{} bytes: {message:.200?}", message.len());
}

/// Numbers out of bytes, zeros at their end.
#[derive(Debug)]
pub struct Numbers<'a>(pub &'a [u8]);

impl Numbers<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// The next byte as an index below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// The next four bytes.
    pub fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    /// The next number: mostly one of the kind at which comparisons go wrong.
    pub fn value(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=99 => u64::from(small % 8),
            100..=119 => u64::from(u32::MAX),
            120..=139 => 1 << 32,
            140..=159 => u64::MAX,
            160..=179 => 1 << (self.byte() % 64),
            180..=199 => u64::from(self.word()) << 32 | u64::from(self.byte()),
            _ => u64::from_le_bytes(self.bytes()),
        }
    }
}

/// Gives at most so many bytes at a time, as a network does.
#[derive(Debug)]
pub struct Slowly<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl<'a> Slowly<'a> {
    /// Gives `bytes`, `step` at a time.
    #[must_use]
    pub fn new(bytes: &'a [u8], step: usize) -> Self {
        Self { bytes, step }
    }
}

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(buffer.len());
        self.bytes.read(&mut buffer[..count])
    }
}
