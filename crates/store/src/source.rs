//! Where a load reads from: a directory, or the members of an archive.
//!
//! An archive is indexed once and never unpacked: its member names are compared with the names that
//! documents use and never reach a file system, so `../`, absolute names and links lead nowhere
//! (CVE-2014-6408 and its kin).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::image::clip;
use crate::ingest::Ingest;

/// Most members of an archive: three for each layer of many images.
const MAX_MEMBERS: usize = 1 << 16;
/// Longest member name; real ones have a digest and a word.
const MAX_NAME: usize = 4096;
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

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// A regular file.
    Content { offset: u64, size: u64 },
    /// A symbolic or hard link to another member, resolved by name only.
    Link(String),
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
        Self::stream(ingest, &mut file)
    }

    /// Spools a stream, packed or not.
    pub(crate) fn stream(ingest: &mut Ingest<'_>, reader: &mut dyn Read) -> Result<Self> {
        let mut spool = ingest.scratch()?;
        let unpacked = archive::decompress(reader, &archive::Limits::default())?;
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
    let file = match files::root::open_no_symlinks(directory, relative.as_path(), flags) {
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

/// A name without `./`, by words alone; `None` if it climbs above the archive or is absolute.
fn plain(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    if name.starts_with('/') {
        return None;
    }
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Reads the headers of an archive, passing over the content.
fn index(file: &File) -> Result<HashMap<String, Member>> {
    let bad = |error: io::Error| Error::NotAnArchive { reason: clip(&error.to_string()) };
    let length = file.metadata().map_err(Error::Input)?.len();
    let mut archive = tar::Archive::new(file);
    let mut members = HashMap::new();
    for entry in archive.entries_with_seek().map_err(bad)? {
        let entry = entry.map_err(bad)?;
        // no document can name what is not UTF-8
        let Ok(path) = String::from_utf8(entry.path_bytes().into_owned()) else { continue };
        if path.len() > MAX_NAME {
            return Err(Error::Limit { what: "length of a member name", limit: MAX_NAME as u64 });
        }
        let Some(name) = plain(&path) else { continue };
        let kind = entry.header().entry_type();
        let member = if kind.is_file() || kind.is_contiguous() {
            let (offset, size) = (entry.raw_file_position(), entry.size());
            if offset.checked_add(size).is_none_or(|end| end > length) {
                return Err(Error::NotAnArchive { reason: format!("`{}` is cut short", clip(&name)) });
            }
            Member::Content { offset, size }
        } else if kind.is_symlink() || kind.is_hard_link() {
            let Some(target) = entry.link_name_bytes() else { continue };
            let Ok(target) = std::str::from_utf8(&target) else { continue };
            let above = name.rsplit_once('/').map_or("", |(above, _)| above);
            let target = if kind.is_symlink() { format!("{above}/{target}") } else { target.to_owned() };
            let Some(target) = plain(target.trim_start_matches('/')) else { continue };
            Member::Link(target)
        } else {
            continue;
        };
        members.insert(name, member);
        if members.len() > MAX_MEMBERS {
            return Err(Error::Limit { what: "number of archive members", limit: MAX_MEMBERS as u64 });
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_words_alone() {
        for (name, expected) in [
            ("a/b", Some("a/b")),
            ("./a//b/.", Some("a/b")),
            ("a/../b", Some("b")),
            ("../a", None),
            ("a/../../b", None),
            ("/etc/passwd", None),
        ] {
            assert_eq!(plain(name).as_deref(), expected, "{name}");
        }
    }

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
