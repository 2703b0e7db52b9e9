//! Lines of a segment: read one by one in bounded memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, Record, Result};

/// Longest line in bytes, without its end.
pub const MAX_LINE: usize = 64 * 1024;

/// The name of a segment.
pub(crate) fn segment_name(chain: usize, segment: u64) -> String {
    format!("{chain}-{segment:06}.jsonl")
}

/// Chain and number of a segment's name.
pub(crate) fn parse_name(name: &str) -> Option<(usize, u64)> {
    let (chain, segment) = name.strip_suffix(".jsonl")?.split_once('-')?;
    let (chain, segment) = (chain.parse().ok()?, segment.parse().ok()?);
    (segment_name(chain, segment) == name && chain < crate::CHAINS).then_some((chain, segment))
}

/// The numbers of the segments of each chain, in order.
pub(crate) fn segments(directory: impl AsFd) -> Result<[Vec<u64>; crate::CHAINS]> {
    let mut found = [const { Vec::new() }; crate::CHAINS];
    let failed = |errno| Error::system("list", "(directory)", errno);
    for entry in rustix::fs::Dir::read_from(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Some((chain, segment)) = entry.file_name().to_str().ok().and_then(parse_name) {
            found[chain].push(segment);
        }
    }
    for list in &mut found {
        list.sort_unstable();
    }
    Ok(found)
}

/// Opens a segment for reading; none where it is missing.
pub(crate) fn open(directory: impl AsFd, chain: usize, segment: u64) -> Result<Option<OwnedFd>> {
    let name = segment_name(chain, segment);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, &name, flags, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::system("open", name, errno)),
    }
}

/// One line of a segment.
#[derive(Debug)]
pub(crate) struct Line {
    /// Where it starts.
    pub(crate) offset: u64,
    /// Its bytes without the end; of one that is too long only the first.
    pub(crate) bytes: Vec<u8>,
    /// Whether it ends with an end of line.
    pub(crate) is_whole: bool,
    /// Its length in the file, with the end.
    pub(crate) length: u64,
}

impl Line {
    /// What it says; none for what is no record.
    pub(crate) fn record(&self) -> Option<Record> {
        let fits = self.is_whole && self.bytes.len() <= MAX_LINE;
        let record: Record = serde_json::from_slice(&self.bytes).ok().filter(|_| fits)?;
        (record.sequence > 0).then_some(record)
    }

    /// Its SHA-256.
    pub(crate) fn hash(&self) -> String {
        oci::Digest::of(&self.bytes).hex()
    }
}

/// The lines of a file from an offset on.
#[derive(Debug)]
pub(crate) struct Lines {
    file: BufReader<File>,
    offset: u64,
}

impl Lines {
    pub(crate) fn new(file: OwnedFd, offset: u64) -> Result<Self> {
        let mut file = BufReader::new(File::from(file));
        file.seek(SeekFrom::Start(offset)).map_err(|error| failed("seek", &error))?;
        Ok(Self { file, offset })
    }

    /// The next line; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Line>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_LINE + 2).expect("64 KiB");
        let read = |error| failed("read", &error);
        let mut length = (&mut self.file).take(limit).read_until(b'\n', &mut bytes).map_err(read)?;
        if length == 0 {
            return Ok(None);
        }
        let mut is_whole = bytes.last() == Some(&b'\n');
        if is_whole {
            bytes.pop();
        } else if bytes.len() > MAX_LINE {
            // Whatever this is, no writer of ours made it: only its end is looked for.
            let (skipped, found) = skip_line(&mut self.file).map_err(read)?;
            length += skipped;
            is_whole = found;
        }
        let length = u64::try_from(length).expect("a file's size");
        let offset = self.offset;
        self.offset += length;
        Ok(Some(Line { offset, bytes, is_whole, length }))
    }
}

fn skip_line(file: &mut impl BufRead) -> std::io::Result<(usize, bool)> {
    let mut skipped = 0;
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok((skipped, false));
        }
        let (count, found) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        file.consume(count);
        skipped += count;
        if found {
            return Ok((skipped, true));
        }
    }
}

fn failed(tried: &'static str, error: &std::io::Error) -> Error {
    Error::system(tried, "(segment)", Errno::from_io_error(error).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(parse_name("0-000001.jsonl"), Some((0, 1)));
        assert_eq!(parse_name("7-1234567.jsonl"), Some((7, 1_234_567)));
        for name in ["8-000001.jsonl", "0-1.jsonl", "0-000001", "a-000001.jsonl", "heads", "0.lock"] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }

    #[test]
    fn lines_have_their_places() {
        let directory = testkit::TempDir::new();
        let path = directory.join("0-000001.jsonl");
        let long = "x".repeat(3 * MAX_LINE);
        std::fs::write(&path, format!("a\n{long}\n\nbc")).unwrap();
        let fd = files::open_directory(directory.path()).unwrap();
        let mut lines = Lines::new(open(&fd, 0, 1).unwrap().unwrap(), 0).unwrap();
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push((line.offset, line.length, line.is_whole, line.bytes.len() <= MAX_LINE));
        }
        let long = u64::try_from(long.len()).unwrap();
        let expected = [
            (0, 2, true, true),
            (2, long + 1, true, false),
            (long + 3, 1, true, true),
            (long + 4, 2, false, true),
        ];
        assert_eq!(seen, expected);
    }
}
