//! The directories on the way to the current entry, held open.
//!
//! Archives list a directory's entries together, so the parent of the next entry is nearly always open
//! already and costs no system call. Each level was opened from the one above it without following a link
//! or crossing a mount.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use crate::pack::Mounts;
use crate::{Error, Result};
use files::weaken::{Defence, is_off};

/// One name, in this directory and on this mount.
const INSIDE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// One name, in this directory, and on what is mounted there.
const ACROSS: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How many directories may lack a permission of their owner: each has its path remembered to the end.
const MAX_CLOSED: usize = 1 << 14;

/// What the owner of a directory needs while entries are made in it.
const OPEN_TO_OWNER: u32 = 0o700;

/// What a directory gets when all its entries are there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Last {
    pub(crate) mode: u32,
    pub(crate) mtime: Timespec,
    /// Whether the mode it has now differs.
    pub(crate) chmod: bool,
}

struct Level {
    name: Vec<u8>,
    directory: OwnedFd,
    setgid: bool,
    last: Option<Last>,
}

/// The open directories from the root down.
pub(crate) struct Directories {
    root: OwnedFd,
    root_setgid: bool,
    root_last: Option<Last>,
    levels: Vec<Level>,
    /// By hash of the path (64 bits, keyed at random): a hostile archive cannot fill memory with names.
    lasts: HashMap<u64, Last>,
    keys: RandomState,
    /// Those without all rights for their owner, who would lock himself out before the end.
    closed: HashMap<u64, Vec<Vec<u8>>>,
    /// Name of the attribute that makes a directory opaque, where whiteouts are for overlay.
    opaque: Option<&'static str>,
    resolve: ResolveFlags,
}

impl Directories {
    pub(crate) fn new(root: BorrowedFd<'_>, opaque: Option<&'static str>, mounts: Mounts) -> Result<Self> {
        let failed = |errno| Error::system("open root", b".", errno);
        let root = rustix::fs::openat(root, ".", DIRECTORY, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&root).map_err(failed)?;
        Ok(Self {
            root,
            root_setgid: stat.st_mode & 0o2000 != 0,
            root_last: None,
            levels: Vec::new(),
            lasts: HashMap::new(),
            keys: RandomState::new(),
            closed: HashMap::new(),
            opaque,
            resolve: if mounts == Mounts::Stay { INSIDE } else { ACROSS },
        })
    }

    /// The root directory.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The directory entered last.
    pub(crate) fn here(&self) -> BorrowedFd<'_> {
        self.levels.last().map_or(self.root.as_fd(), |level| level.directory.as_fd())
    }

    /// Whether what is made here inherits this directory's group.
    pub(crate) fn inherits_group(&self) -> bool {
        self.levels.last().map_or(self.root_setgid, |level| level.setgid)
    }

    /// A key for a path, the same for the whole run.
    pub(crate) fn key(&self, components: &[&[u8]]) -> u64 {
        let mut hasher = self.keys.build_hasher();
        for component in components {
            hasher.write(component);
            hasher.write_u8(b'/');
        }
        hasher.finish()
    }

    /// Goes to the directory `components`, and makes what is missing of it (mode 0755).
    ///
    /// A symlink on the way is an error, even one that stays inside: which of two trees such an archive
    /// makes differs between programs.
    pub(crate) fn enter(&mut self, components: &[&[u8]], path: &[u8]) -> Result<()> {
        let common =
            self.levels.iter().zip(components).take_while(|(level, name)| level.name == **name).count();
        self.leave(common, path)?;
        for depth in common..components.len() {
            let name = components[depth];
            let key = self.key(&components[..=depth]);
            let (directory, setgid) = match self.open(name) {
                Ok(directory) => {
                    let stat =
                        rustix::fs::fstat(&directory).map_err(|errno| Error::system("stat", path, errno))?;
                    (directory, stat.st_mode & 0o2000 != 0)
                }
                Err(Errno::NOENT) => {
                    self.lasts.remove(&key);
                    (self.make(name, 0o755, path)?, self.inherits_group())
                }
                // O_DIRECTORY is looked at before O_NOFOLLOW, so a symlink answers so too.
                Err(Errno::NOTDIR | Errno::LOOP) if self.is_whiteout(name) => {
                    rustix::fs::unlinkat(self.here(), name, AtFlags::empty())
                        .map_err(|errno| Error::system("unlink", path, errno))?;
                    let directory = self.make(name, 0o755, path)?;
                    self.set_opaque(&directory, path)?;
                    (directory, self.inherits_group())
                }
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    return Err(Error::entry(path, "lies below something that is not a directory"));
                }
                Err(Errno::XDEV) => return Err(Error::entry(path, "lies on another mount")),
                Err(errno) => return Err(Error::system("open directory", path, errno)),
            };
            let last = self.lasts.get(&key).copied();
            self.levels.push(Level { name: name.to_vec(), directory, setgid, last });
        }
        Ok(())
    }

    /// Enters the directory `name` here, as a directory entry of the archive does.
    ///
    /// Made if missing; an existing one keeps its content; anything else must be gone already (`EEXIST`).
    /// Returns whether it was made.
    pub(crate) fn enter_entry(&mut self, name: &[u8], mode: u32, path: &[u8]) -> Result<Option<bool>> {
        let made = match rustix::fs::mkdirat(self.here(), name, Mode::from_raw_mode(mode)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(Error::system("mkdir", path, errno)),
        };
        let directory = match self.open(name) {
            Ok(directory) => directory,
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(Error::system("open directory", path, errno)),
        };
        let setgid = if made {
            self.inherits_group()
        } else {
            let stat = rustix::fs::fstat(&directory).map_err(|errno| Error::system("stat", path, errno))?;
            stat.st_mode & 0o2000 != 0
        };
        self.levels.push(Level { name: name.to_vec(), directory, setgid, last: None });
        Ok(Some(made))
    }

    /// Sets what the directory `components`, entered last, gets when its entries are there.
    pub(crate) fn set_last(&mut self, components: &[&[u8]], last: Last) {
        let key = self.key(components);
        match self.levels.last_mut() {
            Some(level) => {
                level.last = Some(last);
                self.lasts.insert(key, last);
            }
            None => self.root_last = Some(last),
        }
    }

    /// Marks a directory so that overlay shows nothing of the lower layers in it.
    pub(crate) fn set_opaque(&self, directory: impl AsFd, path: &[u8]) -> Result<()> {
        let Some(name) = self.opaque else { return Ok(()) };
        rustix::fs::fsetxattr(directory, name, b"y", rustix::fs::XattrFlags::empty())
            .map_err(|errno| Error::system("mark opaque", path, errno))
    }

    /// Whether `name` here is an overlay whiteout.
    pub(crate) fn is_whiteout(&self, name: &[u8]) -> bool {
        rustix::fs::statat(self.here(), name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
        })
    }

    /// Opens the directory `name` here.
    pub(crate) fn open(&self, name: &[u8]) -> rustix::io::Result<OwnedFd> {
        open_inside(self.here(), name, self.resolve)
    }

    /// Opens the directory `components` without entering it.
    pub(crate) fn open_path(&self, components: &[&[u8]]) -> rustix::io::Result<OwnedFd> {
        let path = if components.is_empty() { b".".to_vec() } else { components.join(&b'/') };
        open_inside(self.root(), &path, self.resolve)
    }

    /// Finishes all directories, the root last.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.leave(0, b".")?;
        // Deepest first: a closed directory hides what is below it from its owner.
        let mut closed: Vec<_> = std::mem::take(&mut self.closed).into_iter().collect();
        closed.sort_by_key(|(_, components)| std::cmp::Reverse(components.len()));
        for (key, components) in closed {
            // Another entry may have removed it, or given it another mode.
            let Some(last) = self.lasts.get(&key).filter(|last| last.mode & OPEN_TO_OWNER != OPEN_TO_OWNER)
            else {
                continue;
            };
            let components: Vec<&[u8]> = components.iter().map(Vec::as_slice).collect();
            let path = components.join(&b'/');
            match self.open_path(&components) {
                Ok(directory) => finish(&directory, *last, &path)?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(Error::system("open directory", &path, errno)),
            }
        }
        match self.root_last {
            Some(last) => finish(&self.root, last, b"."),
            None => Ok(()),
        }
    }

    fn make(&self, name: &[u8], mode: u32, path: &[u8]) -> Result<OwnedFd> {
        rustix::fs::mkdirat(self.here(), name, Mode::from_raw_mode(mode))
            .and_then(|()| self.open(name))
            .map_err(|errno| Error::system("mkdir", path, errno))
    }

    fn leave(&mut self, depth: usize, path: &[u8]) -> Result<()> {
        while self.levels.len() > depth {
            let last = self.levels.last().and_then(|level| level.last);
            if last.is_some_and(|last| last.mode & OPEN_TO_OWNER != OPEN_TO_OWNER) {
                if self.closed.len() == MAX_CLOSED {
                    return Err(Error::Limit {
                        what: "directories closed to their owner",
                        limit: MAX_CLOSED as u64,
                    });
                }
                let components: Vec<Vec<u8>> = self.levels.iter().map(|level| level.name.clone()).collect();
                let borrowed: Vec<&[u8]> = components.iter().map(Vec::as_slice).collect();
                self.closed.insert(self.key(&borrowed), components);
                self.levels.pop();
                continue;
            }
            let Some(level) = self.levels.pop() else { break };
            if let Some(last) = level.last {
                finish(&level.directory, last, path)?;
            }
        }
        Ok(())
    }
}

fn open_inside(directory: BorrowedFd<'_>, path: &[u8], resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    if is_off(Defence::UnpackResolution) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        return rustix::fs::openat(directory, path, flags, Mode::empty());
    }
    rustix::fs::openat2(directory, path, DIRECTORY, Mode::empty(), resolve)
}

fn finish(directory: &OwnedFd, last: Last, path: &[u8]) -> Result<()> {
    if last.chmod {
        rustix::fs::fchmod(directory, Mode::from_raw_mode(last.mode))
            .map_err(|errno| Error::system("chmod", path, errno))?;
    }
    rustix::fs::futimens(directory, &times(last.mtime))
        .map_err(|errno| Error::system("set time of", path, errno))
}

/// The modification time alone; nobody needs an archive's access times.
pub(crate) fn times(mtime: Timespec) -> Timestamps {
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: mtime }
}
