//! Reads a tree that may change meanwhile, and writes it as an archive.
//!
//! Every name is opened below the directory it is in, without following a link; a file is opened only after it was
//! seen to be one, so that neither a fifo nor a device is touched. Entries come sorted by name: the same tree gives
//! the same bytes. A file that shrinks while it is read is filled with zeros, one that grows is cut.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::error::display_path;
use crate::limits::Limits;
use crate::options::{MAX_SKIPPED, Skipped, SkippedWhat};
use crate::reader::{Entry, Kind};
use crate::writer::Writer;
use crate::xattr;
use crate::{Error, Result};

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// Whether what is mounted in the tree belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounts {
    /// Its content is a part of the archive.
    Cross,
    /// A directory on which something is mounted is an empty one.
    Stay,
}

/// What was packed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Packed {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of all files' content.
    pub bytes: u64,
    /// What was left out: the first [`MAX_SKIPPED`] of them.
    pub skipped: Vec<Skipped>,
    /// How many were left out altogether.
    pub skipped_count: u64,
}

/// An archive that trees are put into.
#[derive(Debug)]
pub struct Pack<W> {
    writer: Writer<W>,
    mounts: Mounts,
    is_layer: bool,
    depth: usize,
    /// Files with several names: by device and inode, the first name.
    links: HashMap<(u64, u64), Vec<u8>>,
    bytes: u64,
    skipped: Vec<Skipped>,
    skipped_count: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Pack<W> {
    /// Begins an archive.
    pub fn new(out: W, mounts: Mounts, limits: &Limits) -> Self {
        Self {
            writer: Writer::new(out, limits),
            mounts,
            is_layer: false,
            depth: limits.depth,
            links: HashMap::new(),
            bytes: 0,
            skipped: Vec::new(),
            skipped_count: 0,
            buffer: vec![0; BUFFER],
        }
    }

    /// Says that the archive is a layer (image-spec, `layer.md`), in which a name that begins with `.wh.` is an error: it would
    /// mean that something is deleted.
    #[must_use]
    pub fn layer(mut self) -> Self {
        self.is_layer = true;
        self
    }

    /// Puts an open directory and all below it in, under the name `path`; with an empty one it is the archive's root.
    ///
    /// # Errors
    /// Everything in [`Error`].
    pub fn tree(&mut self, directory: impl AsFd, path: &[u8]) -> Result<()> {
        let directory = directory.as_fd();
        let stat = rustix::fs::fstat(directory).map_err(|errno| Error::system("stat", path, errno))?;
        self.directory(directory, &stat, path)?;
        self.content(directory, path)
    }

    /// Puts all below an open directory in, but not the directory itself; `path` is what names begin with.
    ///
    /// # Errors
    /// Everything in [`Error`].
    pub fn content(&mut self, directory: impl AsFd, path: &[u8]) -> Result<()> {
        let directory = directory.as_fd();
        if path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).count() >= self.depth {
            return Err(Error::Limit { what: "components of a path", limit: self.depth as u64 });
        }
        for name in names(directory, path)? {
            let child = join(path, &name);
            self.object(directory, &name, &child)?;
        }
        Ok(())
    }

    /// Puts in what is called `name` in a directory, with all below it, under the name `path`. A link is a link.
    ///
    /// # Errors
    /// Everything in [`Error`]; what is gone meanwhile is none.
    pub fn object(&mut self, parent: impl AsFd, name: &[u8], path: &[u8]) -> Result<()> {
        let parent = parent.as_fd();
        if self.is_layer {
            refuse_mark(name, path)?;
        }
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(Error::system("stat", path, errno)),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return self.leaf(parent, name, &stat, path);
        }
        match open_below(parent, name, self.mounts) {
            Ok(directory) => self.tree(&directory, path),
            // Something is mounted there: the directory below it cannot be seen, its place can.
            Err(Errno::XDEV) => self.put(&directory_entry(&stat, path)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(Error::system("open directory", path, errno)),
        }
    }

    /// Puts in an open directory without what is in it.
    pub(crate) fn directory(&mut self, directory: BorrowedFd<'_>, stat: &Stat, path: &[u8]) -> Result<()> {
        let mut entry = directory_entry(stat, path);
        entry.xattrs = self.xattrs(directory, path)?;
        self.put(&entry)
    }

    /// Puts in what is no directory.
    pub(crate) fn leaf(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        stat: &Stat,
        path: &[u8],
    ) -> Result<()> {
        let mut entry = entry_of(stat, path);
        let id = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1
            && let Some(first) = self.links.get(&id)
        {
            entry.kind = Kind::HardLink(first.clone());
            return self.put(&entry);
        }
        entry.kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return self.file(parent, name, stat, entry),
            FileType::Symlink => match rustix::fs::readlinkat(parent, name, Vec::new()) {
                Ok(target) => Kind::Symlink(target.into_bytes()),
                // It is something else by now, or nothing.
                Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
                Err(errno) => return Err(Error::system("read link", path, errno)),
            },
            FileType::CharacterDevice => Kind::Character(major(stat), minor(stat)),
            FileType::BlockDevice => Kind::Block(major(stat), minor(stat)),
            FileType::Fifo => Kind::Fifo,
            _ => {
                self.skip(path, SkippedWhat::Socket);
                return Ok(());
            }
        };
        self.remember(stat, path);
        self.put(&entry)
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &[u8], seen: &Stat, mut entry: Entry) -> Result<()> {
        let path = entry.path.clone();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(()),
            Err(errno) => return Err(Error::system("open", &path, errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| Error::system("stat", &path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        if (stat.st_dev, stat.st_ino) != (seen.st_dev, seen.st_ino) {
            // Another file came in its place.
            entry = entry_of(&stat, &path);
        }
        entry.data = u64::try_from(stat.st_size).unwrap_or(0);
        entry.xattrs = self.xattrs(file.as_fd(), &path)?;
        self.remember(&stat, &path);
        self.writer.entry(&entry)?;
        self.bytes += entry.data;
        while self.writer.left() > 0 {
            match rustix::io::read(&file, &mut self.buffer) {
                Ok(0) => break,
                Ok(count) => self.writer.data(&self.buffer[..count])?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::system("read", &path, errno)),
            }
        }
        self.writer.end_data()
    }

    /// Puts in a file that is in no tree, with mode 0644, the ids of root and no time; so many bytes are read of `content`,
    /// and zeros stand for what it lacks.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Write`], [`Error::Limit`].
    pub fn member(&mut self, path: &[u8], size: u64, content: &mut dyn Read) -> Result<()> {
        self.writer.entry(&Entry { mode: 0o644, data: size, ..plain_entry(path) })?;
        self.bytes += size;
        let mut content = content.take(size);
        while self.writer.left() > 0 {
            match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => self.writer.data(&self.buffer[..count])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
        self.writer.end_data()
    }

    /// Puts in an empty file, such as a whiteout, with the ids of root.
    pub(crate) fn mark(&mut self, path: &[u8]) -> Result<()> {
        self.put(&plain_entry(path))
    }

    /// Writes the end of the archive.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn finish(self) -> Result<(W, Packed)> {
        let Self { writer, bytes, skipped, skipped_count, .. } = self;
        let (out, entries) = writer.finish()?;
        Ok((out, Packed { entries, bytes, skipped, skipped_count }))
    }

    fn put(&mut self, entry: &Entry) -> Result<()> {
        self.writer.entry(entry)?;
        self.writer.end_data()
    }

    fn remember(&mut self, stat: &Stat, path: &[u8]) {
        if stat.st_nlink > 1 {
            self.links.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.to_vec());
        }
    }

    fn skip(&mut self, path: &[u8], what: SkippedWhat) {
        self.skipped_count += 1;
        if self.skipped.len() < MAX_SKIPPED {
            self.skipped.push(Skipped { path: display_path(path), what });
        }
    }

    /// The attributes that an image may have: a program's capabilities, and `user.*` but overlay's own.
    fn xattrs(&mut self, file: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        xattr::read(file).map_err(|errno| Error::system("read attributes of", path, errno))
    }
}

/// The names in a directory, sorted.
pub(crate) fn names(directory: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let failed = |errno| Error::system("list", path, errno);
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0)).map_err(failed)?;
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut listing = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = listing.next() {
        let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Opens the directory `name` in `parent`: not through a link, and not onto another mount unless that is wanted.
pub(crate) fn open_below(parent: BorrowedFd<'_>, name: &[u8], mounts: Mounts) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if mounts == Mounts::Stay {
        resolve |= ResolveFlags::NO_XDEV;
    }
    loop {
        match rustix::fs::openat2(parent, OsStr::from_bytes(name), flags, Mode::empty(), resolve) {
            Err(Errno::INTR | Errno::AGAIN) => {}
            other => return other,
        }
    }
}

pub(crate) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

fn plain_entry(path: &[u8]) -> Entry {
    Entry {
        path: path.to_vec(),
        kind: Kind::File,
        mode: 0,
        uid: 0,
        gid: 0,
        mtime: (0, 0),
        xattrs: Vec::new(),
        data: 0,
        sparse: None,
    }
}

fn directory_entry(stat: &Stat, path: &[u8]) -> Entry {
    let name = if path.is_empty() { b"./".to_vec() } else { [path, b"/"].concat() };
    Entry { kind: Kind::Directory, ..entry_of(stat, &name) }
}

/// Everything of an entry but its kind, content and attributes.
/// Refuses a name that a layer would say something else with.
pub(crate) fn refuse_mark(name: &[u8], path: &[u8]) -> Result<()> {
    match name.starts_with(b".wh.") {
        true => Err(Error::entry(path, "has a name that means a deletion in a layer")),
        false => Ok(()),
    }
}

fn entry_of(stat: &Stat, path: &[u8]) -> Entry {
    Entry {
        path: path.to_vec(),
        kind: Kind::File,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
        xattrs: Vec::new(),
        data: 0,
        sparse: None,
    }
}

fn major(stat: &Stat) -> u32 {
    rustix::fs::major(stat.st_rdev)
}

fn minor(stat: &Stat) -> u32 {
    rustix::fs::minor(stat.st_rdev)
}
