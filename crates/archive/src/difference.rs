//! What an overlay's upper directory changes of the layers below it.
//!
//! The upper directory says it in overlayfs's own words (character device 0:0: gone; opaque: nothing of below shows);
//! here they become added, modified and deleted names, or a layer's archive. A file that was only touched by the
//! kernel, with the same content, owner, mode and time as before, is no change; a directory is one when its own
//! attributes differ or something in it changed.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::limits::Limits;
use crate::pack::{Mounts, Pack, Packed, join, names, open_below, refuse_mark};
use crate::{Error, Result, xattr};

/// Bytes compared at once.
const BUFFER: usize = 64 << 10;

/// The directories that are compared.
#[derive(Debug)]
pub struct Difference<'a> {
    /// What the container wrote.
    pub upper: BorrowedFd<'a>,
    /// The layers below, top first.
    pub lower: &'a [OwnedFd],
    /// Where something is mounted in the container, without the slash at the beginning: an empty file or directory that
    /// only the mount needs is no change.
    pub mount_points: &'a [PathBuf],
}

/// What happened to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was there, and is different.
    Modified,
    /// It was not there.
    Added,
    /// It is gone.
    Deleted,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The name below the root, without a slash at the beginning.
    pub path: Vec<u8>,
}

/// What the walk comes by; a directory before what is in it.
enum Event<'e> {
    Directory {
        directory: BorrowedFd<'e>,
        stat: &'e Stat,
        path: &'e [u8],
        kind: ChangeKind,
        hides: bool,
    },
    Leaf {
        parent: BorrowedFd<'e>,
        name: &'e [u8],
        stat: &'e Stat,
        path: &'e [u8],
        kind: ChangeKind,
    },
    /// Gone by a whiteout of its own.
    Whiteout {
        parent: &'e [u8],
        name: &'e [u8],
    },
    /// Gone because its directory is a new one.
    Hidden {
        path: &'e [u8],
    },
}

impl Difference<'_> {
    /// Hands out every change but the root directory's own, sorted within each directory.
    ///
    /// # Errors
    /// Everything in [`Error`], and what `visit` answers.
    pub fn changes(&self, limits: &Limits, visit: &mut dyn FnMut(Change) -> Result<()>) -> Result<()> {
        let mut change = |kind, path: &[u8]| visit(Change { kind, path: path.to_vec() });
        self.walk(limits, &mut |event| match event {
            Event::Directory { path: b"", .. } => Ok(()),
            Event::Directory { path, kind, .. } | Event::Leaf { path, kind, .. } => change(kind, path),
            Event::Whiteout { parent, name } => change(ChangeKind::Deleted, &join(parent, name)),
            Event::Hidden { path } => change(ChangeKind::Deleted, path),
        })
    }

    /// Writes the changes as a layer (image-spec, `layer.md`): whiteouts as `.wh.` names.
    ///
    /// # Errors
    /// Everything in [`Error`].
    pub fn pack<W: Write>(&self, out: W, limits: &Limits) -> Result<(W, Packed)> {
        let mut pack = Pack::new(out, Mounts::Stay, limits);
        self.walk(limits, &mut |event| match event {
            Event::Directory { directory, stat, path, hides, .. } => {
                refuse_mark(path.rsplit(|byte| *byte == b'/').next().unwrap_or_default(), path)?;
                pack.directory(directory, stat, path)?;
                if hides { pack.mark(&join(path, b".wh..wh..opq")) } else { Ok(()) }
            }
            Event::Leaf { parent, name, stat, path, .. } => {
                refuse_mark(name, path)?;
                pack.leaf(parent, name, stat, path)
            }
            Event::Whiteout { parent, name } => pack.mark(&join(parent, &[&b".wh."[..], name].concat())),
            Event::Hidden { .. } => Ok(()),
        })?;
        pack.finish()
    }

    fn walk(&self, limits: &Limits, visit: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let failed = |errno| Error::system("stat", b".", errno);
        let upper = open_below(self.upper, b".", Mounts::Stay)
            .map_err(|errno| Error::system("open directory", b".", errno))?;
        let stat = rustix::fs::fstat(&upper).map_err(failed)?;
        let mut lower = Vec::with_capacity(self.lower.len());
        for layer in self.lower {
            lower.push(
                open_below(layer.as_fd(), b".", Mounts::Stay)
                    .map_err(|errno| Error::system("open layer", b".", errno))?,
            );
        }
        let before = lower.first().map(rustix::fs::fstat).transpose().map_err(failed)?;
        let kind = match before {
            Some(before) if is_same_directory(&before, &stat) => None,
            _ => Some(ChangeKind::Modified),
        };
        let level = Level { directory: upper, stat, path: Vec::new(), kind, pending: false, hides: false };
        let mut walk = Walk { difference: self, depth: limits.depth, levels: Vec::new(), visit };
        walk.enter(level, &lower)
    }
}

/// A directory of the upper layer on the way to the present one.
struct Level {
    directory: OwnedFd,
    stat: Stat,
    path: Vec<u8>,
    /// Why it is a change by itself.
    kind: Option<ChangeKind>,
    /// Whether it was not handed out yet.
    pending: bool,
    hides: bool,
}

/// What the layers below have of a name.
enum Below {
    Nothing,
    Directory(Vec<OwnedFd>, Stat),
    Leaf(BelowLeaf),
}

struct BelowLeaf {
    layer: OwnedFd,
    stat: Stat,
}

struct Walk<'w, 'd> {
    difference: &'d Difference<'d>,
    depth: usize,
    levels: Vec<Level>,
    visit: &'w mut dyn FnMut(Event<'_>) -> Result<()>,
}

impl Walk<'_, '_> {
    /// Goes through a directory of the upper layer; `lower` are the directories that overlay merges with it.
    fn enter(&mut self, mut level: Level, lower: &[OwnedFd]) -> Result<()> {
        if self.levels.len() >= self.depth {
            return Err(Error::Limit { what: "components of a path", limit: self.depth as u64 });
        }
        let path = level.path.clone();
        refuse_redirect(level.directory.as_fd(), &path)?;
        let is_opaque = is_opaque(level.directory.as_fd(), &path)?;
        level.hides = is_opaque && !lower.is_empty();
        level.pending = true;
        let must = level.kind.is_some() || level.hides;
        let listed = names(level.directory.as_fd(), &path)?;
        self.levels.push(level);
        if must {
            self.flush()?;
        }
        for name in &listed {
            self.name(name, lower, is_opaque)?;
        }
        if is_opaque {
            for name in merged_names(lower, &path)? {
                if listed.binary_search(&name).is_err() {
                    (self.visit)(Event::Hidden { path: &join(&path, &name) })?;
                }
            }
        }
        self.levels.pop();
        Ok(())
    }

    /// Hands out the directories on the way.
    fn flush(&mut self) -> Result<()> {
        for level in &mut self.levels {
            if std::mem::take(&mut level.pending) {
                (self.visit)(Event::Directory {
                    directory: level.directory.as_fd(),
                    stat: &level.stat,
                    path: &level.path,
                    kind: level.kind.unwrap_or(ChangeKind::Modified),
                    hides: level.hides,
                })?;
            }
        }
        Ok(())
    }

    fn name(&mut self, name: &[u8], lower: &[OwnedFd], is_opaque: bool) -> Result<()> {
        let Some(here) = self.levels.last() else { return Ok(()) };
        let path = join(&here.path, name);
        let stat = match rustix::fs::statat(&here.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(Error::system("stat", &path, errno)),
        };
        let below = below(lower, name, &path)?;
        if is_whiteout(&stat) {
            if matches!(below, Below::Nothing) {
                return Ok(());
            }
            self.flush()?;
            let Some(here) = self.levels.last() else { return Ok(()) };
            return if is_opaque {
                (self.visit)(Event::Hidden { path: &path })
            } else {
                (self.visit)(Event::Whiteout { parent: &here.path, name })
            };
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return self.directory(name, path, stat, below);
        }
        let kind = match &below {
            Below::Nothing if self.is_mount_point(&path) && stat.st_size == 0 => return Ok(()),
            Below::Nothing => ChangeKind::Added,
            Below::Directory(..) => ChangeKind::Modified,
            Below::Leaf(before) => {
                if is_same_leaf(before, here.directory.as_fd(), name, &stat, &path)? {
                    return Ok(());
                }
                ChangeKind::Modified
            }
        };
        self.flush()?;
        let Some(here) = self.levels.last() else { return Ok(()) };
        (self.visit)(Event::Leaf { parent: here.directory.as_fd(), name, stat: &stat, path: &path, kind })
    }

    fn directory(&mut self, name: &[u8], path: Vec<u8>, stat: Stat, below: Below) -> Result<()> {
        let Some(here) = self.levels.last() else { return Ok(()) };
        let directory = match open_below(here.directory.as_fd(), name, Mounts::Stay) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(errno) => return Err(Error::system("open directory", &path, errno)),
        };
        let (kind, lower) = match below {
            // Made for a mount, or for one below: a change only if something is in it.
            Below::Nothing if self.is_for_mount(&path) => (None, Vec::new()),
            Below::Nothing => (Some(ChangeKind::Added), Vec::new()),
            Below::Leaf(_) => (Some(ChangeKind::Modified), Vec::new()),
            Below::Directory(lower, before) => {
                let is_same = is_same_directory(&before, &stat)
                    && (before.st_mtime, before.st_mtime_nsec) == (stat.st_mtime, stat.st_mtime_nsec);
                // The engine made something in it for a mount: its time says nothing.
                let is_same = is_same || is_same_directory(&before, &stat) && self.has_mount(&path);
                let is_same = is_same && same_xattrs(lower.first(), &directory, &path)?;
                (if is_same { None } else { Some(ChangeKind::Modified) }, lower)
            }
        };
        self.enter(Level { directory, stat, path, kind, pending: true, hides: false }, &lower)
    }

    fn is_mount_point(&self, path: &[u8]) -> bool {
        self.mount_points().any(|point| point == path)
    }

    fn is_for_mount(&self, path: &[u8]) -> bool {
        self.mount_points().any(|point| point == path || is_below(point, path))
    }

    /// Whether something is mounted right in this directory.
    fn has_mount(&self, path: &[u8]) -> bool {
        self.mount_points().any(|point| is_below(point, path) && !point[path.len() + 1..].contains(&b'/'))
    }

    fn mount_points(&self) -> impl Iterator<Item = &[u8]> {
        self.difference.mount_points.iter().map(|point| point.as_os_str().as_encoded_bytes())
    }
}

fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/"))
}

/// What overlayfs would show of a name if the upper directory had nothing of it.
fn below(lower: &[OwnedFd], name: &[u8], path: &[u8]) -> Result<Below> {
    let failed = |errno| Error::system("look at a layer's", path, errno);
    let mut merged = Vec::new();
    let mut first = None;
    for layer in lower {
        let stat = match rustix::fs::statat(layer, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(failed(errno)),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            if merged.is_empty() && !is_whiteout(&stat) {
                let layer = rustix::io::fcntl_dupfd_cloexec(layer, 3).map_err(failed)?;
                return Ok(Below::Leaf(BelowLeaf { layer, stat }));
            }
            break;
        }
        let directory = open_below(layer.as_fd(), name, Mounts::Stay).map_err(failed)?;
        let is_last = is_opaque(directory.as_fd(), path)?;
        first.get_or_insert(stat);
        merged.push(directory);
        if is_last {
            break;
        }
    }
    Ok(first.map_or(Below::Nothing, |stat| Below::Directory(merged, stat)))
}

/// The names that merged directories show, sorted.
fn merged_names(lower: &[OwnedFd], path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for layer in lower {
        all.extend(names(layer.as_fd(), path)?);
    }
    all.sort_unstable();
    all.dedup();
    let mut shown = Vec::with_capacity(all.len());
    for name in all {
        if !matches!(below(lower, &name, path)?, Below::Nothing) {
            shown.push(name);
        }
    }
    Ok(shown)
}

/// A character device 0:0.
fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// In the words of root's overlays, or of those with `userxattr`: a store has one kind only.
fn is_opaque(directory: BorrowedFd<'_>, path: &[u8]) -> Result<bool> {
    for name in [&b"trusted.overlay.opaque"[..], b"user.overlay.opaque"] {
        let value = xattr::value(directory, name)
            .map_err(|errno| Error::system("read attributes of", path, errno))?;
        if value.as_deref() == Some(b"y") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A directory that overlayfs moved without copying lies in the layers under another name. Kernels that do so must be
/// told to; this says which one was.
fn refuse_redirect(directory: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
    for name in [&b"trusted.overlay.redirect"[..], b"user.overlay.redirect"] {
        let value = xattr::value(directory, name)
            .map_err(|errno| Error::system("read attributes of", path, errno))?;
        if value.is_some() {
            return Err(Error::entry(
                path,
                "was moved by an overlay with `redirect_dir`, which no layer can say",
            ));
        }
    }
    Ok(())
}

fn is_same_directory(before: &Stat, after: &Stat) -> bool {
    (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)
}

fn same_xattrs(before: Option<&OwnedFd>, after: &OwnedFd, path: &[u8]) -> Result<bool> {
    let Some(before) = before else { return Ok(true) };
    let failed = |errno| Error::system("read attributes of", path, errno);
    Ok(xattr::read(before.as_fd()).map_err(failed)? == xattr::read(after.as_fd()).map_err(failed)?)
}

fn is_same_leaf(
    before: &BelowLeaf,
    parent: BorrowedFd<'_>,
    name: &[u8],
    after: &Stat,
    path: &[u8],
) -> Result<bool> {
    let facts = |stat: &Stat| {
        let time = (stat.st_mtime, stat.st_mtime_nsec);
        (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_size, stat.st_rdev, time)
    };
    if facts(&before.stat) != facts(after) {
        return Ok(false);
    }
    let failed = |errno| Error::system("compare", path, errno);
    match FileType::from_raw_mode(after.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => {
            let read = |at: BorrowedFd<'_>| rustix::fs::readlinkat(at, name, Vec::new()).map_err(failed);
            return Ok(read(before.layer.as_fd())? == read(parent)?);
        }
        _ => return Ok(true),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |at: BorrowedFd<'_>| rustix::fs::openat(at, name, flags, Mode::empty()).map_err(failed);
    let (one, other) = (open(before.layer.as_fd())?, open(parent)?);
    Ok(same_xattrs(Some(&one), &other, path)? && same_content(&one, &other).map_err(failed)?)
}

fn same_content(one: &OwnedFd, other: &OwnedFd) -> rustix::io::Result<bool> {
    let (mut left, mut right) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut offset = 0;
    loop {
        let (a, b) = (read_at(one, &mut left, offset)?, read_at(other, &mut right, offset)?);
        if left[..a] != right[..b] {
            return Ok(false);
        }
        if a == 0 {
            return Ok(true);
        }
        offset += a as u64;
    }
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &OwnedFd, buffer: &mut [u8], offset: u64) -> rustix::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match rustix::io::pread(file, &mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(length)
}
