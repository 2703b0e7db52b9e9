//! The entries of an archive, one after the other.
//!
//! One reader serves scanning and unpacking alike. Where GNU tar, libarchive, Python and Go would not
//! agree on what an archive holds, it is refused.

use std::io::Read;

use crate::header::{BLOCK, Block, Format, Header, MAX_OCTAL_SIZE, text, unsigned};
use crate::limits::Limits;
use crate::pax::{Pax, decimal};
use crate::source::Source;
use crate::{Error, Result};
use files::weaken::{Defence, is_off};

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Character(u32, u32),
    Block(u32, u32),
    Fifo,
}

/// Where the stored bytes of a sparse file belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// Offset and length, ascending, not overlapping.
    pub(crate) segments: Vec<(u64, u64)>,
    /// Logical size of the file.
    pub(crate) size: u64,
}

/// One entry, its extension headers applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name as the archive has it.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Stored bytes.
    pub(crate) data: u64,
    pub(crate) sparse: Option<Sparse>,
}

/// How an archive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the two zero blocks that POSIX demands.
    Marker,
    /// Without them, maybe without the last padding: some writers forget them, and so does a transfer that broke
    /// between two entries.
    Missing,
}

/// Reads entries from a stream.
pub(crate) struct Reader<R> {
    source: Source<R>,
    limits: Limits,
    /// Stored bytes of the current entry not yet handed out.
    left: u64,
    /// Zeros after them up to the next block.
    padding: u64,
    headers: u64,
    logical: u64,
    end: Option<End>,
}

#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl Extensions {
    fn any(&self) -> bool {
        self.pax.is_some() || self.long_path.is_some() || self.long_link.is_some()
    }
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(input: R, limits: &Limits) -> Self {
        Self::over(Source::new(input, limits.bytes), limits)
    }

    pub(crate) fn over(source: Source<R>, limits: &Limits) -> Self {
        Self { source, limits: limits.clone(), left: 0, padding: 0, headers: 0, logical: 0, end: None }
    }

    /// The next entry; what was not taken of the one before is passed over.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        self.source.skip(self.left)?;
        // Writers that forget the end marker may forget the last padding too (umoci 0.4 does). Every byte of the
        // file is there, so this is how the archive ends, as Go's reader and GNU tar have it.
        self.source.skip_at_most(self.padding)?;
        (self.left, self.padding) = (0, 0);
        if self.end.is_some() {
            return Ok(None);
        }
        let mut extensions = Extensions::default();
        let mut is_first = true;
        loop {
            let offset = self.source.offset();
            let malformed = |reason| Error::Malformed { offset, reason };
            let Some(block) = self.header_block()? else {
                // Of a global one, too: Python refuses it.
                if !is_first {
                    return Err(malformed("extension header without an entry"));
                }
                return Ok(None);
            };
            is_first = false;
            // Each entry has at most three extension headers; those that stand alone count as well.
            self.headers += 1;
            if self.headers > self.limits.entries.saturating_mul(4) {
                return Err(Error::Limit { what: "headers", limit: self.limits.entries.saturating_mul(4) });
            }
            let header = Header::parse(&block).map_err(malformed)?;
            match header.kind {
                b'x' | b'g' => {
                    if extensions.any() {
                        return Err(malformed("several extension headers for one entry"));
                    }
                    let records = self.extension(&header)?;
                    if header.kind == b'g' {
                        Pax::check_global(&records, &self.limits).map_err(malformed)?;
                    } else {
                        extensions.pax = Some(Pax::parse(&records, &self.limits).map_err(malformed)?);
                    }
                }
                b'L' | b'K' => {
                    let pax = extensions.pax.is_some();
                    let value = self.extension(&header)?;
                    let name = long_name(value).map_err(malformed)?;
                    let slot = if header.kind == b'L' {
                        &mut extensions.long_path
                    } else {
                        &mut extensions.long_link
                    };
                    if pax || slot.is_some() {
                        return Err(malformed("several extension headers for one entry"));
                    }
                    *slot = Some(name);
                }
                _ => return self.entry(header, &block, extensions, offset).map(Some),
            }
        }
    }

    /// The next piece of the current entry's stored bytes, empty at their end.
    pub(crate) fn data(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        if self.source.peek(self.left)?.is_empty() {
            return Err(self.source.truncated());
        }
        self.source.peek(self.left)
    }

    /// Where the current entry's stored bytes begin.
    pub(crate) fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// Passes over the current entry's stored bytes, all of which must be there.
    pub(crate) fn content_is_there(&mut self) -> Result<()> {
        self.source.skip(self.left)?;
        self.left = 0;
        Ok(())
    }

    /// Marks bytes of the last [`Reader::data`] as used.
    pub(crate) fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.left -= count as u64;
    }

    /// How the archive ended, once [`Reader::next`] has returned `None`.
    pub(crate) fn end(&self) -> End {
        self.end.unwrap_or(End::Missing)
    }

    /// Gives the source back, for its digest.
    pub(crate) fn into_source(self) -> Source<R> {
        self.source
    }

    fn header_block(&mut self) -> Result<Option<Block>> {
        let Some(block) = self.source.block()? else {
            self.end = Some(End::Missing);
            return Ok(None);
        };
        if block[0] != 0 || block.iter().any(|byte| *byte != 0) {
            return Ok(Some(*block));
        }
        let offset = self.source.offset();
        self.end = match self.source.block()? {
            None => Some(End::Missing),
            Some(block) if block.iter().all(|byte| *byte == 0) => Some(End::Marker),
            Some(_) => return Err(Error::Malformed { offset, reason: "lone zero block" }),
        };
        self.source.drain()?;
        Ok(None)
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        if header.size > self.limits.extension {
            return Err(Error::Limit { what: "bytes of an extension header", limit: self.limits.extension });
        }
        let bytes = self.source.take(header.size)?;
        let offset = self.source.offset();
        // Python reads records to the end of the block, and GNU tar a name that has no NUL.
        if self.source.take(padding(header.size))?.iter().any(|byte| *byte != 0) {
            return Err(Error::Malformed { offset, reason: "data after an extension header" });
        }
        Ok(bytes)
    }

    fn entry(
        &mut self,
        mut header: Header,
        block: &Block,
        extensions: Extensions,
        offset: u64,
    ) -> Result<Entry> {
        let malformed = |reason| Error::Malformed { offset, reason };
        let pax = extensions.pax.unwrap_or_default();
        let stored = stored_size(header.size, pax.size).map_err(malformed)?;
        if stored > self.limits.bytes {
            return Err(Error::Limit { what: "uncompressed bytes", limit: self.limits.bytes });
        }
        let is_directory = header.path.ends_with(b"/");
        let path = pax.path.or(extensions.long_path).unwrap_or_else(|| std::mem::take(&mut header.path));
        let link = pax.link.or(extensions.long_link).unwrap_or_else(|| std::mem::take(&mut header.link));
        self.left = stored;
        self.padding = padding(stored);

        let (path, sparse) = match (header.kind, pax.sparse) {
            (b'S', None) => (path, Some(self.gnu_sparse(&header, block, offset)?)),
            (b'0' | 0, Some((name, size))) => (name, Some(self.pax_sparse(size, offset)?)),
            (_, Some(_)) => return Err(malformed("sparse map on something that is not a file")),
            (_, None) => (path, None),
        };
        // Before POSIX a slash made a directory of a file: Python looks at the header's name, GNU tar at the long one.
        if header.kind == 0 && is_directory != path.ends_with(b"/") {
            return Err(malformed("two names disagree on whether it is a directory"));
        }
        let kind = kind(&header, &path, link, stored).map_err(malformed)?;
        let logical = sparse.as_ref().map_or(stored, |sparse| sparse.size);
        self.logical = self.logical.saturating_add(logical);
        if self.logical > self.limits.bytes {
            return Err(Error::Limit { what: "bytes of files", limit: self.limits.bytes });
        }
        let id = |id: u64| match u32::try_from(id) {
            Ok(u32::MAX) | Err(_) => Err(malformed("owner is out of range")),
            Ok(id) => Ok(id),
        };
        Ok(Entry {
            kind,
            mode: header.mode,
            uid: id(pax.uid.unwrap_or(header.uid))?,
            gid: id(pax.gid.unwrap_or(header.gid))?,
            mtime: pax.mtime.unwrap_or((header.mtime, 0)),
            xattrs: pax.xattrs,
            data: self.left,
            path,
            sparse,
        })
    }

    /// GNU's old sparse map: four segments in the header, 21 in each block after it.
    fn gnu_sparse(&mut self, header: &Header, block: &Block, offset: u64) -> Result<Sparse> {
        let malformed = |reason| Error::Malformed { offset, reason };
        if header.format != Format::Gnu {
            return Err(malformed("GNU sparse entry in another format"));
        }
        let size = unsigned(&block[483..495]).map_err(malformed)?;
        let mut segments = Vec::new();
        let mut more = add_segments(&mut segments, &block[386..482]).map_err(malformed)? && block[482] != 0;
        while more {
            let Some(next) = self.source.block()? else { return Err(self.source.truncated()) };
            more = add_segments(&mut segments, &next[..504]).map_err(malformed)? && next[504] != 0;
            if segments.len() > self.limits.segments {
                return Err(Error::Limit { what: "segments", limit: self.limits.segments as u64 });
            }
        }
        check_sparse(Sparse { segments, size }, self.left).map_err(malformed)
    }

    /// GNU's sparse format 1.0: the map stands, in decimal lines, before the data.
    fn pax_sparse(&mut self, size: u64, offset: u64) -> Result<Sparse> {
        let malformed = |reason| Error::Malformed { offset, reason };
        let mut lines = Lines { block: [0; BLOCK], used: BLOCK };
        let count = lines
            .next(&mut self.source, &mut self.left)
            .and_then(|count| count.ok_or_else(|| malformed(BAD_MAP)))?;
        if count > self.limits.segments as u64 {
            return Err(Error::Limit { what: "segments", limit: self.limits.segments as u64 });
        }
        let mut segments = Vec::new();
        for _ in 0..count {
            let mut number =
                || lines.next(&mut self.source, &mut self.left)?.ok_or_else(|| malformed(BAD_MAP));
            segments.push((number()?, number()?));
        }
        check_sparse(Sparse { segments, size }, self.left).map_err(malformed)
    }
}

const BAD_MAP: &str = "malformed sparse map";

/// Numbers in decimal, each with a newline after it, in whole blocks.
struct Lines {
    block: Block,
    used: usize,
}

impl Lines {
    fn next<R: Read>(&mut self, source: &mut Source<R>, left: &mut u64) -> Result<Option<u64>> {
        let mut digits = Vec::with_capacity(20);
        loop {
            if self.used == BLOCK {
                if *left < BLOCK as u64 {
                    return Ok(None);
                }
                let Some(block) = source.block()? else { return Err(source.truncated()) };
                self.block = *block;
                self.used = 0;
                *left -= BLOCK as u64;
            }
            let byte = self.block[self.used];
            self.used += 1;
            match byte {
                b'\n' => return Ok(decimal(&digits).ok()),
                b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                _ => return Ok(None),
            }
        }
    }
}

/// Adds the segments of one map; `false` when it ended early.
fn add_segments(segments: &mut Vec<(u64, u64)>, map: &[u8]) -> std::result::Result<bool, &'static str> {
    for field in map.chunks_exact(24) {
        if field[0] == 0 {
            return Ok(false);
        }
        segments.push((unsigned(&field[..12])?, unsigned(&field[12..])?));
    }
    Ok(true)
}

fn check_sparse(sparse: Sparse, stored: u64) -> std::result::Result<Sparse, &'static str> {
    let mut position = 0;
    let mut total: u64 = 0;
    for (offset, length) in &sparse.segments {
        let end = offset.checked_add(*length).ok_or(BAD_MAP)?;
        if *offset < position || end > sparse.size {
            return Err(BAD_MAP);
        }
        position = end;
        total += length;
    }
    if total == stored { Ok(sparse) } else { Err("sparse map and stored size disagree") }
}

/// The one stored size that header and PAX record agree on.
///
/// A size beyond eleven octal digits leaves the header at zero (Go, Python), at all ones (libarchive) or
/// cut (others). Any other difference is how RUSTSEC-2026-0068 and CVE-2025-62518 smuggle entries.
fn stored_size(header: u64, pax: Option<u64>) -> std::result::Result<u64, &'static str> {
    match pax {
        None => Ok(header),
        Some(size) if size == header => Ok(size),
        Some(_) if is_off(Defence::UnpackSizes) => Ok(header),
        Some(size)
            if size > MAX_OCTAL_SIZE && [0, MAX_OCTAL_SIZE, size & MAX_OCTAL_SIZE].contains(&header) =>
        {
            Ok(size)
        }
        Some(_) => Err("header and PAX record disagree on the size"),
    }
}

fn kind(header: &Header, path: &[u8], link: Vec<u8>, stored: u64) -> std::result::Result<Kind, &'static str> {
    let slash = path.ends_with(b"/");
    let kind = match header.kind {
        // Before POSIX a directory was a file whose name ends with a slash.
        0 if slash && stored == 0 => Kind::Directory,
        0 | b'0' | b'7' | b'S' if slash => return Err("name of a file ends with a slash"),
        0 | b'0' | b'7' | b'S' => return Ok(Kind::File),
        // GNU tar makes a link to `.` of it.
        b'1' | b'2' if link.is_empty() => return Err("link without a target"),
        b'1' => Kind::HardLink(link),
        b'2' => Kind::Symlink(link),
        b'3' => Kind::Character(header.device.0, header.device.1),
        b'4' => Kind::Block(header.device.0, header.device.1),
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        _ => return Err("unknown type of entry"),
    };
    // Some programs pass over these bytes, others read the next header there.
    if stored != 0 {
        return Err("entry that is not a file has data");
    }
    if slash && kind != Kind::Directory {
        return Err("name ends with a slash, but is not of a directory");
    }
    Ok(kind)
}

fn long_name(mut value: Vec<u8>) -> std::result::Result<Vec<u8>, &'static str> {
    let length = text(&value).len();
    if length == 0 || value[length..].len() > 1 {
        return Err("malformed long name");
    }
    value.truncate(length);
    Ok(value)
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}
