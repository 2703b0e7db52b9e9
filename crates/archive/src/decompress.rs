//! Compressed input: sniffed by its first bytes, decoded in this process, bounded by ratio and window.
//!
//! No program is started: one found in a container or a path would run with our rights (CVE-2026-41567).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use oci::{Algorithm, Digest, Hasher};

use crate::limits::Limits;
use crate::{Error, Result};

/// Bytes asked of the compressed input at once.
const INPUT_BUFFER: usize = 128 << 10;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// Zstandard (RFC 8878), any number of frames.
    Zstd,
}

impl Compression {
    /// Tells from the first bytes of a stream; what is not known is taken for uncompressed.
    ///
    /// # Errors
    /// [`Error::Compression`] for formats that are known and not read: xz, bzip2, lz4, compress.
    pub fn sniff(start: &[u8]) -> Result<Self> {
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(Error::Compression("xz")),
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', ..] => Err(Error::Compression("bzip2")),
            [0x04, 0x22, 0x4d, 0x18, ..] => Err(Error::Compression("lz4")),
            [0x1f, 0x9d, ..] => Err(Error::Compression("compress")),
            _ => Ok(Self::None),
        }
    }
}

/// Decodes `input`, whatever its compression, within `limits`.
///
/// A broken limit arrives as an [`io::Error`] that holds an [`Error`].
///
/// # Errors
/// [`Error::Compression`], [`Error::Read`].
pub fn decompress<'a>(input: impl Read + 'a, limits: &Limits) -> Result<Box<dyn Read + 'a>> {
    Ok(Box::new(Decoded::new(input, limits, false)?))
}

/// A decoded stream that knows how much it took in and gave out.
pub(crate) struct Decoded<'a> {
    compression: Compression,
    output: Box<dyn Read + 'a>,
    meter: Rc<Meter>,
    given: u64,
    ratio: u64,
    ratio_after: u64,
}

impl<'a> Decoded<'a> {
    pub(crate) fn new(input: impl Read + 'a, limits: &Limits, hashed: bool) -> Result<Self> {
        let meter = Rc::new(Meter::default());
        let mut input = Input {
            inner: input,
            buffer: vec![0; INPUT_BUFFER].into(),
            start: 0,
            end: 0,
            meter: Rc::clone(&meter),
        };
        input.fill_at_least(MAGIC).map_err(Error::Read)?;
        let compression = Compression::sniff(&input.buffer[..input.end])?;
        if hashed && compression != Compression::None {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(&input.buffer[..input.end]);
            *meter.hasher.borrow_mut() = Some(hasher);
        }
        let output: Box<dyn Read + 'a> = match compression {
            Compression::None => Box::new(input),
            Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(Error::Read)?;
                decoder.window_log_max(limits.zstd_window_log).map_err(Error::Read)?;
                Box::new(decoder)
            }
        };
        Ok(Self {
            compression,
            output,
            meter,
            given: 0,
            ratio: limits.ratio,
            ratio_after: limits.ratio_after,
        })
    }

    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// The digest and length of the compressed bytes, if they were hashed.
    pub(crate) fn compressed(&self) -> Option<(Digest, u64)> {
        let hasher = self.meter.hasher.borrow_mut().take()?;
        Some((hasher.finish(), self.meter.taken.get()))
    }
}

impl Read for Decoded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.output.read(buffer)?;
        self.given += count as u64;
        if self.compression != Compression::None
            && self.given > self.ratio_after
            && self.given / self.ratio.max(1) > self.meter.taken.get()
        {
            return Err(
                Error::Limit { what: "uncompressed bytes per compressed byte", limit: self.ratio }.into()
            );
        }
        Ok(count)
    }
}

impl fmt::Debug for Decoded<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Decoded").field("compression", &self.compression).finish_non_exhaustive()
    }
}

/// The longest magic that [`Compression::sniff`] looks at.
const MAGIC: usize = 6;

#[derive(Default)]
struct Meter {
    taken: Cell<u64>,
    hasher: RefCell<Option<Hasher>>,
}

/// The compressed input, buffered, counted and hashed.
struct Input<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    meter: Rc<Meter>,
}

impl<R: Read> Input<R> {
    /// Reads until the buffer, empty so far, holds `count` bytes or the input ends.
    fn fill_at_least(&mut self, count: usize) -> io::Result<()> {
        while self.end < count {
            let got = read_some(&mut self.inner, &mut self.buffer[self.end..])?;
            if got == 0 {
                break;
            }
            self.end += got;
            self.meter.taken.set(self.meter.taken.get() + got as u64);
        }
        Ok(())
    }

    fn note(&self, bytes: &[u8]) {
        self.meter.taken.set(self.meter.taken.get() + bytes.len() as u64);
        if let Some(hasher) = self.meter.hasher.borrow_mut().as_mut() {
            hasher.update(bytes);
        }
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = read_some(&mut self.inner, &mut self.buffer)?;
            self.note(&self.buffer[..self.end]);
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end && buffer.len() >= self.buffer.len() {
            let count = read_some(&mut self.inner, buffer)?;
            self.note(&buffer[..count]);
            return Ok(count);
        }
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

pub(crate) fn read_some(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(bytes: &[u8], limits: &Limits) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        decompress(OneByOne(bytes), limits)?.read_to_end(&mut output)?;
        Ok(output)
    }

    /// Gives one byte at a time, as a slow network does.
    struct OneByOne<'a>(&'a [u8]);

    impl Read for OneByOne<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1).min(buffer.len());
            self.0.read(&mut buffer[..count])
        }
    }

    #[test]
    fn sniffs_and_decodes() {
        let limits = Limits::default();
        assert_eq!(decode(b"", &limits).unwrap(), b"");
        assert_eq!(decode(b"abc", &limits).unwrap(), b"abc");
        assert_eq!(decode(&gzip(b"abc"), &limits).unwrap(), b"abc");
        assert_eq!(decode(&[gzip(b"abc"), gzip(b""), gzip(b"def")].concat(), &limits).unwrap(), b"abcdef");
        let frame = |bytes| zstd::stream::encode_all(bytes, 3).unwrap();
        assert_eq!(decode(&frame(&b"abc"[..]), &limits).unwrap(), b"abc");
        let skippable = b"\x50\x2a\x4d\x18\x02\0\0\0xx".to_vec();
        let frames = [skippable.clone(), frame(b"abc"), skippable, frame(b"def")].concat();
        assert_eq!(decode(&frames, &limits).unwrap(), b"abcdef");
    }

    #[test]
    fn refuses_what_it_cannot_read_in_full() {
        let limits = Limits::default();
        for (start, name) in
            [(&b"\xfd7zXZ\0"[..], "xz"), (b"BZh91AY", "bzip2"), (b"\x1f\x9d\x90", "compress")]
        {
            assert!(matches!(Compression::sniff(start), Err(Error::Compression(found)) if found == name));
        }
        let whole = gzip(b"abc");
        for length in 2..whole.len() {
            decode(&whole[..length], &limits).unwrap_err();
        }
        decode(&[&whole[..], b"garbage"].concat(), &limits).unwrap_err();
        let whole = zstd::stream::encode_all(&b"abc"[..], 3).unwrap();
        for length in 4..whole.len() {
            decode(&whole[..length], &limits).unwrap_err();
        }
    }

    #[test]
    fn bombs_are_stopped() {
        let bomb = gzip(&vec![0; 4 << 20]);
        let limits = Limits { ratio_after: 1 << 20, ..Limits::default() };
        let error = Error::from_read(decode(&bomb, &limits).unwrap_err());
        assert!(matches!(error, Error::Limit { limit: 200, .. }), "{error}");
        assert_eq!(decode(&bomb, &Limits::default()).unwrap().len(), 4 << 20);

        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(20).unwrap();
        encoder.write_all(&(0..3_000_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>()).unwrap();
        let wide = encoder.finish().unwrap();
        decode(&wide, &Limits { zstd_window_log: 20, ..Limits::default() }).unwrap();
        decode(&wide, &Limits { zstd_window_log: 19, ..Limits::default() }).unwrap_err();
    }

    #[test]
    fn hashes_the_compressed_bytes() {
        let bytes = gzip(&[7; 1000]);
        let mut decoded = Decoded::new(OneByOne(&bytes), &Limits::default(), true).unwrap();
        io::copy(&mut decoded, &mut io::sink()).unwrap();
        assert_eq!(decoded.compressed().unwrap(), (Digest::of(&bytes), bytes.len() as u64));
    }
}
