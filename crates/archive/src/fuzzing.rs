//! Entrances for the fuzz targets: what only this crate sees of a parse.

use std::io::Read;

use crate::path::components;
use crate::reader::{Kind, Reader};
use crate::writer::Writer;
use crate::{End, Limits, Result};

/// One entry of an archive, as [`apply`](crate::apply) would take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name as the archive has it.
    pub path: Vec<u8>,
    /// `-` file, `d` directory, `l` symlink, `h` hard link, `c` and `b` devices, `p` fifo.
    pub kind: char,
    /// Target of a link, empty for anything else.
    pub link: Vec<u8>,
    /// Logical size in bytes.
    pub size: u64,
    /// Stored bytes.
    pub stored: u64,
    /// Permission bits.
    pub mode: u32,
    /// User and group id.
    pub owner: (u32, u32),
    /// Seconds since 1970.
    pub mtime: i64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Whether it is stored with a sparse map.
    pub is_sparse: bool,
    /// Whether its name can be made below a root.
    pub is_below_root: bool,
}

/// Lists an uncompressed archive with the reader that unpacks.
///
/// # Errors
/// As [`apply`](crate::apply), the work on the file system aside.
pub fn list(input: impl Read, limits: &Limits) -> Result<(Vec<Listed>, End)> {
    let mut reader = Reader::new(input, limits);
    let mut found = Vec::new();
    while let Some(entry) = reader.next()? {
        let (kind, link, device) = match entry.kind {
            Kind::File => ('-', Vec::new(), (0, 0)),
            Kind::Directory => ('d', Vec::new(), (0, 0)),
            Kind::Symlink(link) => ('l', link, (0, 0)),
            Kind::HardLink(link) => ('h', link, (0, 0)),
            Kind::Character(major, minor) => ('c', Vec::new(), (major, minor)),
            Kind::Block(major, minor) => ('b', Vec::new(), (major, minor)),
            Kind::Fifo => ('p', Vec::new(), (0, 0)),
        };
        found.push(Listed {
            kind,
            link,
            device,
            size: entry.sparse.as_ref().map_or(entry.data, |sparse| sparse.size),
            stored: entry.data,
            mode: entry.mode,
            owner: (entry.uid, entry.gid),
            mtime: entry.mtime.0,
            is_sparse: entry.sparse.is_some(),
            is_below_root: components(&entry.path, limits).is_ok(),
            path: entry.path,
        });
    }
    Ok((found, reader.end()))
}

/// Reads an archive and writes every entry of it again, its sparse files aside; `None` where one cannot be written.
///
/// # Errors
/// As [`list`].
pub fn rewrite(input: impl Read, limits: &Limits) -> Result<Option<Vec<u8>>> {
    let mut reader = Reader::new(input, limits);
    let mut writer = Writer::new(Vec::new(), limits);
    while let Some(entry) = reader.next()? {
        if entry.sparse.is_some() {
            continue;
        }
        if writer.entry(&entry).is_err() {
            return Ok(None);
        }
        loop {
            let bytes = reader.data()?;
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len();
            writer.data(bytes)?;
            reader.consume(count);
        }
        writer.end_data()?;
    }
    Ok(Some(writer.finish()?.0))
}
