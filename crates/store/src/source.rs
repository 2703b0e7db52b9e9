//! Where a load reads from: a directory, or the members of an archive.
//!
//! An archive is indexed once and never unpacked: its member names are compared with the names that
//! documents use and never reach a file system, so `../`, absolute names and links lead nowhere
//! (CVE-2014-6408 and its kin).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;

use files::weaken::{Defence, is_off};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::image::clip;
use crate::ingest::Ingest;
use crate::members::{Member, index, plain};

/// Largest archive in bytes once unpacked from gzip or zstd.
const MAX_ARCHIVE: u64 = 128 << 30;

/// An image archive that is open to read.
#[derive(Debug)]
pub(crate) enum Source {
    /// A directory.
    Directory(OwnedFd),
    /// A tar archive and where its members are.
    Archive {
        /// The archive.
        file: File,
        /// What each name stands for; the last of equal names counts, as in tar.
        members: HashMap<String, Member>,
    },
}

impl Source {
    /// Opens an archive in a regular file; a packed one is unpacked into the store first.
    pub(crate) fn file(ingest: &mut Ingest<'_>, mut file: File) -> Result<Self> {
        let mut start = [0; 6];
        let mut length = 0;
        while length < start.len() {
            match file.read(&mut start[length..]).map_err(Error::Input)? {
                0 => break,
                count => length += count,
            }
        }
        file.seek(SeekFrom::Start(0)).map_err(Error::Input)?;
        if archive::Compression::sniff(&start[..length])? == archive::Compression::None {
            return Self::archive(file);
        }
        let total = file.metadata().map_err(Error::Input)?.len();
        Self::stream(ingest, &mut file, Some(total))
    }

    /// Spools a stream, packed or not, of `total` bytes where that is known.
    pub(crate) fn stream(ingest: &mut Ingest<'_>, reader: &mut dyn Read, total: Option<u64>) -> Result<Self> {
        let mut spool = ingest.scratch()?;
        ingest.reading(total);
        let unpacked = archive::decompress(ingest.metered(reader), &archive::Limits::default())?;
        let size = io::copy(&mut unpacked.take(MAX_ARCHIVE + 1), &mut spool).map_err(Error::Input)?;
        if size > MAX_ARCHIVE {
            return Err(Error::Limit { what: "size of an image archive", limit: MAX_ARCHIVE });
        }
        Self::archive(spool)
    }

    fn archive(mut file: File) -> Result<Self> {
        file.seek(SeekFrom::Start(0)).map_err(Error::Input)?;
        let members = index(&file)?;
        Ok(Self::Archive { file, members })
    }

    /// Reads a small file; `None` when there is none of that name.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(content) = self.open(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        content.take(limit + 1).read_to_end(&mut bytes).map_err(Error::Input)?;
        if bytes.len() as u64 > limit {
            return Err(Error::Limit { what: "size of a document", limit });
        }
        Ok(Some(bytes))
    }

    /// Opens a file; `None` when there is none of that name.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Content<'_>>> {
        match self {
            Self::Directory(directory) => open_file(directory, name),
            Self::Archive { file, members } => Ok(find(members, name)
                .map(|(offset, size)| Content::Member { file, offset, end: offset + size })),
        }
    }
}

/// A file of a source.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// A whole file.
    File(File),
    /// A part of an archive.
    Member { file: &'a File, offset: u64, end: u64 },
}

impl Content<'_> {
    /// Bytes that are left to read, where that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        match self {
            Self::File(file) => file.metadata().ok().map(|metadata| metadata.len()),
            Self::Member { offset, end, .. } => Some(end - offset),
        }
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Member { file, offset, end } => {
                let left = usize::try_from(*end - *offset).unwrap_or(usize::MAX);
                let length = left.min(buffer.len());
                if length == 0 {
                    return Ok(0);
                }
                let count = rustix::io::pread(file, &mut buffer[..length], *offset)?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                *offset += count as u64;
                Ok(count)
            }
        }
    }
}

/// Opens a regular file of a hostile directory; no symlink is followed, no fifo waited for.
fn open_file<'a>(directory: &OwnedFd, name: &str) -> Result<Option<Content<'a>>> {
    let relative = files::RelPath::new(name)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = if is_off(Defence::BlobLinks) {
        rustix::fs::openat(directory, relative.as_path(), flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| files::Error::System { operation: "open", path: name.into(), errno })
    } else {
        files::root::open_no_symlinks(directory, relative.as_path(), flags)
    };
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) if matches!(error.errno(), Some(Errno::LOOP)) => {
            let reason = format!("`{}` is or goes through a symbolic link", clip(name));
            return Err(Error::NotAnArchive { reason });
        }
        Err(error) => return Err(error.into()),
    };
    let status = rustix::fs::fstat(&file).map_err(|errno| Error::system("stat", name, errno))?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(Error::NotAnArchive { reason: format!("`{}` is not a regular file", clip(name)) });
    }
    Ok(Some(Content::File(file.into())))
}

/// Finds a member's content. `docker save` before 25 wrote equal layers as a symbolic link to the first.
fn find(members: &HashMap<String, Member>, name: &str) -> Option<(u64, u64)> {
    let content = |name: &str| match members.get(name)? {
        Member::Content { offset, size } => Some((*offset, *size)),
        Member::Link(_) => None,
    };
    match members.get(&plain(name)?)? {
        Member::Content { offset, size } => Some((*offset, *size)),
        // one step only: a chain or loop of links is not what any writer makes
        Member::Link(target) => content(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_once_and_by_name() {
        let content = Member::Content { offset: 512, size: 3 };
        let link = |target: &str| Member::Link(target.to_owned());
        let members = HashMap::from([
            ("a/layer.tar".to_owned(), content),
            ("b/layer.tar".to_owned(), link("a/layer.tar")),
            ("c".to_owned(), link("b/layer.tar")),
            ("loop".to_owned(), link("loop")),
            ("out".to_owned(), link("etc/passwd")),
        ]);
        assert_eq!(find(&members, "a/layer.tar"), Some((512, 3)));
        assert_eq!(find(&members, "./b/layer.tar"), Some((512, 3)));
        for name in ["c", "loop", "out", "../a/layer.tar", "/a/layer.tar", "x"] {
            assert_eq!(find(&members, name), None, "{name}");
        }
    }
}
