//! Write an archive's entries below a directory.
//!
//! Works as any user, in any namespace, with the root's descriptor only: no path string leads anywhere
//! (CVE-2021-32760, RUSTSEC-2026-0067), nothing is executed, no name service is asked, no thread starts.
//! What an entry replaces is unlinked first, so nothing is ever written through an existing object.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Mutex;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawDir, Timespec, Uid, XattrFlags};
use rustix::io::Errno;

use crate::decompress::Decoded;
use crate::directories::{Directories, Last, times};
use crate::error::display_path;
use crate::limits::Limits;
use crate::options::{
    Applied, CompressedDigest, Devices, Ids, MAX_SKIPPED, Options, Skipped, SkippedWhat, Target, Whiteouts,
};
use crate::pack::Mounts;
use crate::path::{Meaning, components, meaning};
use crate::reader::{Entry, Kind, Reader};
use crate::xattr::{CAPABILITY, Verdict, judge};
use crate::{Compression, Error, Result};

/// Reads the archive `input`, compressed or not, and writes its entries below `root`.
///
/// On an error `root` holds a part of the archive: unpack into a fresh directory and rename it when done.
/// Call it in a process with one thread that [`confine`](crate::confine) has confined; for a FIFO or a device it
/// changes the process's umask for an instant.
///
/// # Errors
/// Everything in [`Error`]; the whole archive is refused for one bad entry.
pub fn apply(input: impl Read, root: impl AsFd, options: &Options<'_>, limits: &Limits) -> Result<Applied> {
    let hashed = options.compressed == CompressedDigest::Compute;
    let mut reader = Reader::new(Decoded::new(input, limits, hashed)?, limits);
    let mut unpack = Unpack::new(root.as_fd(), options, limits)?;
    let mut entries = 0;
    while let Some(entry) = reader.next()? {
        entries += 1;
        if entries > limits.entries {
            return Err(Error::Limit { what: "entries", limit: limits.entries });
        }
        unpack.entry(&entry, &mut reader)?;
    }
    unpack.directories.finish()?;
    let end = reader.end();
    let (diff_id, bytes, decoded) = reader.into_source().finish();
    let compressed = match (options.compressed, decoded.compression()) {
        (CompressedDigest::Skip, _) => None,
        (CompressedDigest::Compute, Compression::None) => Some((diff_id, bytes)),
        (CompressedDigest::Compute, _) => decoded.compressed(),
    };
    Ok(Applied {
        entries,
        bytes,
        diff_id,
        compression: decoded.compression(),
        compressed,
        end,
        opaque_root: unpack.opaque_root,
        skipped: unpack.skipped.list,
        skipped_count: unpack.skipped.count,
    })
}

struct Unpack<'a> {
    directories: Directories,
    options: &'a Options<'a>,
    limits: &'a Limits,
    skipped: SkippedList,
    opaque_root: bool,
    /// What this layer made, by key, where whiteouts delete: they mean earlier layers only.
    made: HashSet<u64>,
    umask: u32,
    /// Who owns what this process makes.
    creator: (u32, u32),
}

#[derive(Default)]
struct SkippedList {
    list: Vec<Skipped>,
    count: u64,
}

impl SkippedList {
    fn push(&mut self, entry: &Entry, what: SkippedWhat) {
        self.count += 1;
        if self.list.len() < MAX_SKIPPED {
            self.list.push(Skipped { path: display_path(&entry.path), what });
        }
    }
}

/// The owner an entry gets, and its mode under that owner.
struct Owner {
    /// Who it must belong to, if that can be chosen at all.
    wanted: Option<(Uid, Gid)>,
    /// The same, unless it belongs to them already.
    chown: Option<(Uid, Gid)>,
    mode: u32,
}

/// Who made the object that an entry describes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// This process, just now, in the directory entered last.
    Here,
    /// Someone, some time.
    Before,
}

impl<'a> Unpack<'a> {
    fn new(root: BorrowedFd<'_>, options: &'a Options<'a>, limits: &'a Limits) -> Result<Self> {
        let opaque = match options.whiteouts {
            Whiteouts::OverlayTrusted => Some("trusted.overlay.opaque"),
            Whiteouts::OverlayUser => Some("user.overlay.opaque"),
            Whiteouts::Apply | Whiteouts::Plain => None,
        };
        let mounts = if options.target == Target::Layer { Mounts::Stay } else { Mounts::Cross };
        Ok(Self {
            directories: Directories::new(root, opaque, mounts)?,
            options,
            limits,
            skipped: SkippedList::default(),
            opaque_root: false,
            made: HashSet::new(),
            umask: umask(),
            creator: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        })
    }

    fn entry<R: Read>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
        let components = components(&entry.path, self.limits)?;
        match self.meaning(&components, &entry.path)? {
            Meaning::Plain => {}
            Meaning::Bookkeeping => {
                self.skipped.push(entry, SkippedWhat::Bookkeeping);
                return Ok(());
            }
            other => return self.whiteout(entry, &components, other),
        }
        let Some((name, parents)) = components.split_last() else { return self.root(entry) };
        self.directories.enter(parents, &entry.path)?;
        if self.options.whiteouts == Whiteouts::Apply {
            for depth in 1..=components.len() {
                self.made.insert(self.directories.key(&components[..depth]));
            }
        }
        match &entry.kind {
            Kind::File => self.file(entry, name, reader),
            Kind::Directory => self.directory(entry, name, &components),
            Kind::Symlink(target) => self.symlink(entry, name, target),
            Kind::HardLink(target) => self.hard_link(entry, name, target),
            Kind::Character(0, 0) => Err(Error::entry(&entry.path, "is a forged overlay whiteout")),
            Kind::Character(major, minor) => {
                self.node(entry, name, FileType::CharacterDevice, (*major, *minor))
            }
            Kind::Block(major, minor) => self.node(entry, name, FileType::BlockDevice, (*major, *minor)),
            Kind::Fifo => self.node(entry, name, FileType::Fifo, (0, 0)),
        }
    }

    fn meaning<'p>(&self, components: &[&'p [u8]], path: &[u8]) -> Result<Meaning<'p>> {
        match self.options.whiteouts {
            Whiteouts::Plain => Ok(Meaning::Plain),
            _ => meaning(components, path),
        }
    }

    fn root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Error::entry(&entry.path, "would replace the root"));
        }
        self.directories.enter(&[], &entry.path)?;
        // The root was made by someone else, so its owner is always set.
        let owner = self.owner(entry, Made::Before)?;
        chown(self.directories.root(), owner.chown, &entry.path)?;
        set_xattrs(self.directories.root(), entry, self.keeps_privileges(), &mut self.skipped)?;
        self.directories.set_last(&[], Last { mode: owner.mode, mtime: time(entry), chmod: true });
        Ok(())
    }

    fn directory(&mut self, entry: &Entry, name: &[u8], components: &[&[u8]]) -> Result<()> {
        let owner = self.owner(entry, Made::Here)?;
        let inherited = if self.directories.inherits_group() { 0o2000 } else { 0 };
        let first = (owner.mode & 0o1777) | 0o700;
        let made = match self.directories.enter_entry(name, first, &entry.path)? {
            Some(made) => made,
            None => {
                let hides = self.directories.is_whiteout(name);
                if matches!(self.options.target, Target::Tree { overwrite: false, .. }) {
                    return Err(Error::entry(&entry.path, "is a directory in place of something else"));
                }
                self.clear(name, entry)?;
                let Some(made) = self.directories.enter_entry(name, first, &entry.path)? else {
                    return Err(Error::entry(&entry.path, "changed while it was unpacked"));
                };
                if hides {
                    self.directories.set_opaque(self.directories.here(), &entry.path)?;
                }
                made
            }
        };
        let directory = self.directories.here();
        chown(directory, if made { owner.chown } else { owner.wanted }, &entry.path)?;
        set_xattrs(directory, entry, true, &mut self.skipped)?;
        let chmod = !made || (first & !self.umask) | inherited != owner.mode;
        self.directories.set_last(components, Last { mode: owner.mode, mtime: time(entry), chmod });
        Ok(())
    }

    fn file<R: Read>(&mut self, entry: &Entry, name: &[u8], reader: &mut Reader<R>) -> Result<()> {
        let owner = self.owner(entry, Made::Here)?;
        let path = &entry.path;
        // Setting a `user.` attribute takes the right to write.
        let first = (owner.mode & 0o777) | if entry.xattrs.is_empty() { 0 } else { 0o200 };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create =
            |parent: BorrowedFd<'_>| rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(first));
        let file = match create(self.directories.here()) {
            Err(Errno::EXIST) => {
                self.clear(name, entry)?;
                create(self.directories.here())
            }
            other => other,
        }
        .map_err(|errno| Error::system("create", path, errno))?;

        write_data(&file, entry, reader)?;
        chown(&file, owner.chown, path)?;
        set_xattrs(&file, entry, self.keeps_privileges(), &mut self.skipped)?;
        if first & !self.umask != owner.mode {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(owner.mode))
                .map_err(|errno| Error::system("chmod", path, errno))?;
        }
        rustix::fs::futimens(&file, &times(time(entry)))
            .map_err(|errno| Error::system("set time of", path, errno))
    }

    fn symlink(&mut self, entry: &Entry, name: &[u8], target: &[u8]) -> Result<()> {
        if target.is_empty() || target.len() > 4095 || target.contains(&0) {
            return Err(Error::entry(&entry.path, "is a symlink with a bad target"));
        }
        let owner = self.owner(entry, Made::Here)?;
        self.make(name, entry, |parent| rustix::fs::symlinkat(target, parent, name))?;
        self.finish_node(entry, name, owner.chown)
    }

    /// Links to what this tree holds already; the last component is never followed, none before it may be a link.
    fn hard_link(&mut self, entry: &Entry, name: &[u8], target: &[u8]) -> Result<()> {
        let path = &entry.path;
        let target = components(target, self.limits)
            .map_err(|_| Error::entry(path, "is a hard link with a bad target"))?;
        let Some((target_name, target_parents)) = target.split_last() else {
            return Err(Error::entry(path, "is a hard link to the root"));
        };
        let missing = |errno| match errno {
            Errno::NOENT => Error::entry(path, "is a hard link to what this layer does not hold"),
            Errno::LOOP | Errno::NOTDIR | Errno::XDEV => {
                Error::entry(path, "is a hard link through something that is not a directory")
            }
            errno => Error::system("link", path, errno),
        };
        let from = self.directories.open_path(target_parents).map_err(missing)?;
        let stat = rustix::fs::statat(&from, *target_name, AtFlags::SYMLINK_NOFOLLOW).map_err(missing)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return Err(Error::entry(path, "is a hard link to a directory")),
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                return Err(Error::entry(path, "is a hard link to a whiteout"));
            }
            _ => {}
        }
        let here = rustix::fs::fstat(&from).map_err(missing)?;
        let parent = rustix::fs::fstat(self.directories.here()).map_err(missing)?;
        if (here.st_dev, here.st_ino) == (parent.st_dev, parent.st_ino) && *target_name == name {
            return Err(Error::entry(path, "is a hard link to itself"));
        }
        self.make(name, entry, |parent| {
            rustix::fs::linkat(&from, *target_name, parent, name, AtFlags::empty())
        })
    }

    fn node(&mut self, entry: &Entry, name: &[u8], kind: FileType, device: (u32, u32)) -> Result<()> {
        if kind != FileType::Fifo && self.options.devices == Devices::Skip {
            self.skipped.push(entry, SkippedWhat::Device);
            return Ok(());
        }
        let owner = self.owner(entry, Made::Here)?;
        let mode = Mode::from_raw_mode(owner.mode);
        let device = rustix::fs::makedev(device.0, device.1);
        let made = self.make(name, entry, |parent| {
            // The mode cannot be set afterwards without opening the device or following a name.
            with_umask(0, || rustix::fs::mknodat(parent, name, kind, mode, device))
        });
        match made {
            Err(error) if kind != FileType::Fifo && error.errno() == Some(Errno::PERM) => {
                self.skipped.push(entry, SkippedWhat::Device);
                return Ok(());
            }
            other => other?,
        }
        self.finish_node(entry, name, owner.chown)
    }

    fn finish_node(&mut self, entry: &Entry, name: &[u8], owner: Option<(Uid, Gid)>) -> Result<()> {
        let parent = self.directories.here();
        for (xattr, value) in &entry.xattrs {
            // Judged, because a forbidden one is an error on everything; set on nothing but files.
            judge(&entry.path, xattr, value)?;
            self.skipped.push(entry, SkippedWhat::Xattr(String::from_utf8_lossy(xattr).into_owned()));
        }
        if let Some((uid, gid)) = owner {
            rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| Error::system("chown", &entry.path, errno))?;
        }
        rustix::fs::utimensat(parent, name, &times(time(entry)), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| Error::system("set time of", &entry.path, errno))
    }

    fn whiteout(&mut self, entry: &Entry, components: &[&[u8]], meaning: Meaning<'_>) -> Result<()> {
        match entry.kind {
            Kind::File if entry.data == 0 => {}
            // AUFS made its whiteouts as hard links to one file.
            Kind::HardLink(_) => {}
            _ => return Err(Error::entry(&entry.path, "is a whiteout with content")),
        }
        let parents = &components[..components.len() - 1];
        self.directories.enter(parents, &entry.path)?;
        let overlay = self.options.whiteouts != Whiteouts::Apply;
        match meaning {
            Meaning::Opaque if parents.is_empty() && overlay => self.opaque_root = true,
            Meaning::Opaque if overlay => {
                self.directories.set_opaque(self.directories.here(), &entry.path)?;
            }
            Meaning::Opaque => {
                let directory =
                    self.directories.open(b".").map_err(|e| Error::system("open", &entry.path, e))?;
                self.delete_earlier(&directory, parents, entry)?;
            }
            Meaning::Whiteout(hidden) if overlay => self.hide(entry, hidden)?,
            Meaning::Whiteout(hidden) => {
                let mut path = parents.to_vec();
                path.push(hidden);
                if !self.made.contains(&self.directories.key(&path)) {
                    self.clear(hidden, entry)?;
                } else if let Ok(directory) = self.directories.open(hidden) {
                    self.delete_earlier(&directory, &path, entry)?;
                }
            }
            Meaning::Plain | Meaning::Bookkeeping => {}
        }
        Ok(())
    }

    /// Makes an overlay whiteout; what this layer has of that name stays, but shows nothing of lower layers.
    fn hide(&mut self, entry: &Entry, hidden: &[u8]) -> Result<()> {
        let parent = self.directories.here();
        match rustix::fs::mknodat(parent, hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => match self.directories.open(hidden) {
                Ok(directory) => self.directories.set_opaque(&directory, &entry.path),
                Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
                Err(errno) => Err(Error::system("open", &entry.path, errno)),
            },
            Err(errno) => Err(Error::system("make whiteout", &entry.path, errno)),
        }
    }

    /// Deletes what earlier layers left in `directory`. Its depth is bounded: only this layer's paths are entered.
    fn delete_earlier(&self, directory: &OwnedFd, path: &[&[u8]], entry: &Entry) -> Result<()> {
        for name in list(directory).map_err(|errno| Error::system("list", &entry.path, errno))? {
            let child = [path, &[name.as_slice()]].concat();
            if !self.made.contains(&self.directories.key(&child)) {
                remove(directory.as_fd(), &name, entry)?;
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(below) = rustix::fs::openat(directory, name.as_slice(), flags, Mode::empty()) {
                self.delete_earlier(&below, &child, entry)?;
            }
        }
        Ok(())
    }

    /// Makes something that is not a directory, after removing what has its name.
    fn make(
        &mut self,
        name: &[u8],
        entry: &Entry,
        make: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
    ) -> Result<()> {
        match make(self.directories.here()) {
            Err(Errno::EXIST) => {
                self.clear(name, entry)?;
                make(self.directories.here())
            }
            other => other,
        }
        .map_err(|errno| Error::system("make", &entry.path, errno))
    }

    fn clear(&self, name: &[u8], entry: &Entry) -> Result<()> {
        if matches!(self.options.target, Target::Tree { overwrite: false, .. })
            && entry.kind != Kind::Directory
            && self.directories.open(name).is_ok()
        {
            return Err(Error::entry(&entry.path, "would take the place of a directory"));
        }
        remove(self.directories.here(), name, entry)
    }

    /// Who `entry` belongs to, asked before its directory is entered.
    fn owner(&mut self, entry: &Entry, made: Made) -> Result<Owner> {
        let mut owner = self.owner_of(entry, made)?;
        if !self.keeps_privileges() && entry.kind != Kind::Directory && owner.mode & 0o6000 != 0 {
            owner.mode &= !0o6000;
            self.skipped.push(entry, SkippedWhat::SpecialBits);
        }
        Ok(owner)
    }

    fn keeps_privileges(&self) -> bool {
        !matches!(self.options.target, Target::Tree { privileges: false, .. })
    }

    fn owner_of(&mut self, entry: &Entry, made: Made) -> Result<Owner> {
        let (uid, gid) = match self.options.ids {
            Ids::Keep => (entry.uid, entry.gid),
            Ids::Shift(shift) => shift(entry.uid, entry.gid)
                .ok_or_else(|| Error::entry(&entry.path, "has an owner outside of the id range"))?,
            Ids::SingleId => return Ok(self.single_owner(entry)),
        };
        let fits = made == Made::Here && (uid, gid) == self.creator && !self.directories.inherits_group();
        let wanted = Some((Uid::from_raw(uid), Gid::from_raw(gid)));
        Ok(Owner { wanted, chown: if fits { None } else { wanted }, mode: entry.mode })
    }

    fn single_owner(&mut self, entry: &Entry) -> Owner {
        let mut mode = entry.mode;
        if (entry.uid, entry.gid) != (0, 0) {
            self.skipped.push(entry, SkippedWhat::Owner(entry.uid, entry.gid));
            let lost = if entry.uid == 0 { 0 } else { 0o4000 } | if entry.gid == 0 { 0 } else { 0o2000 };
            if mode & lost != 0 && entry.kind != Kind::Directory {
                mode &= !lost;
                self.skipped.push(entry, SkippedWhat::SpecialBits);
            }
        }
        Owner { wanted: None, chown: None, mode }
    }
}

fn write_data<R: Read>(file: &OwnedFd, entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
    let failed = |errno| Error::system("write", &entry.path, errno);
    let Some(sparse) = &entry.sparse else {
        loop {
            let bytes = reader.data()?;
            if bytes.is_empty() {
                return Ok(());
            }
            let count = write_some(bytes, |bytes| rustix::io::write(file, bytes)).map_err(failed)?;
            reader.consume(count);
        }
    };
    for (offset, length) in &sparse.segments {
        let (mut offset, mut length) = (*offset, *length);
        while length > 0 {
            let bytes = reader.data()?;
            let most = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
            if most == 0 {
                return Err(Error::entry(&entry.path, "has a sparse map longer than its data"));
            }
            let count = write_some(&bytes[..most], |bytes| rustix::io::pwrite(file, bytes, offset))
                .map_err(failed)?;
            reader.consume(count);
            offset += count as u64;
            length -= count as u64;
        }
    }
    rustix::fs::ftruncate(file, sparse.size).map_err(failed)
}

fn write_some(bytes: &[u8], write: impl Fn(&[u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<usize> {
    loop {
        match write(bytes) {
            Err(Errno::INTR) => {}
            Ok(0) => return Err(Errno::IO),
            other => return other,
        }
    }
}

fn set_xattrs(file: impl AsFd, entry: &Entry, privileges: bool, skipped: &mut SkippedList) -> Result<()> {
    let file = file.as_fd();
    for (name, value) in &entry.xattrs {
        let skip = || SkippedWhat::Xattr(String::from_utf8_lossy(name).into_owned());
        match judge(&entry.path, name, value)? {
            Verdict::Skip => skipped.push(entry, skip()),
            Verdict::Set(_) if name == CAPABILITY && !privileges => skipped.push(entry, skip()),
            Verdict::Set(value) => {
                match rustix::fs::fsetxattr(file, name.as_slice(), &value, XattrFlags::empty()) {
                    Ok(()) => {}
                    // A user without CAP_SETFCAP, a file system without attributes.
                    Err(Errno::PERM) if name == CAPABILITY => skipped.push(entry, skip()),
                    Err(Errno::OPNOTSUPP) => skipped.push(entry, skip()),
                    Err(errno) => return Err(Error::system("set attribute of", &entry.path, errno)),
                }
            }
        }
    }
    Ok(())
}

fn chown(file: impl AsFd, owner: Option<(Uid, Gid)>, path: &[u8]) -> Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(|errno| Error::system("chown", path, errno))
}

fn remove(parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<()> {
    match files::remove_tree(parent, OsStr::from_bytes(name)) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Replace { path: display_path(&entry.path), source }),
    }
}

fn list(directory: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(8192);
    let mut listing = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = listing.next() {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

fn time(entry: &Entry) -> Timespec {
    Timespec { tv_sec: entry.mtime.0, tv_nsec: entry.mtime.1.into() }
}

/// Two threads that look at the umask together would lose it: `umask(2)` only reads by writing.
static UMASK: Mutex<()> = Mutex::new(());

fn with_umask<T>(mask: u32, work: impl FnOnce() -> T) -> T {
    let _guard = UMASK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let before = rustix::process::umask(Mode::from_raw_mode(mask));
    let result = work();
    rustix::process::umask(before);
    result
}

fn umask() -> u32 {
    let _guard = UMASK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::umask(mask);
    mask.as_raw_mode()
}
