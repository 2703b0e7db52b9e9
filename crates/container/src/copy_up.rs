//! Copies what an image has at a path into an empty volume, before anything is mounted.
//!
//! The source are the image's layers, which nobody changes; every object is found by name in a directory's descriptor and
//! no symlink is followed, so nothing outside of the image can be copied (CVE-2022-23648). A container that has the empty
//! volume mounted already may change it meanwhile: what we make is made new, by descriptor, and stays inside.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::lookup::{self, Found, Merged};

/// Deepest tree that is copied: each level costs a descriptor of every layer.
const MAX_DEPTH: usize = 64;
/// Most bytes of one extended attribute, and of all their names, as Linux has it.
const MAX_XATTR: usize = 64 << 10;
/// Bytes copied at once where the kernel does not copy by itself.
const BLOCK: usize = 128 << 10;

/// What was tried, on which path of the image, and the kernel's answer.
#[derive(Debug)]
pub(crate) struct Failure {
    path: PathBuf,
    errno: Errno,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.to_string_lossy();
        write!(formatter, "copy `{}` of the image: {}", path.escape_debug(), self.errno)
    }
}

/// Copies a directory of an image, its owner and mode too, to the directory `target`.
pub(crate) fn copy_up(image: &Merged, target: &OwnedFd) -> Result<(), Failure> {
    let umask = sys::process::set_umask(0);
    let mut copy = Copy { root: target.as_fd(), path: PathBuf::new(), links: HashMap::new() };
    let copied = open(target, OsStr::new("."))
        .and_then(|target| copy.directory(image, &target, 0))
        .map_err(|errno| Failure { path: std::mem::take(&mut copy.path), errno });
    sys::process::set_umask(umask);
    copied
}

struct Copy<'a> {
    root: BorrowedFd<'a>,
    /// Where we are, below the root.
    path: PathBuf,
    /// The first place of files with several names.
    links: HashMap<(u64, u64), PathBuf>,
}

fn open(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

impl Copy<'_> {
    fn directory(&mut self, image: &Merged, target: &OwnedFd, depth: usize) -> Result<(), Errno> {
        if depth == MAX_DEPTH {
            return Err(Errno::NAMETOOLONG);
        }
        for name in names(image)? {
            self.path.push(&name);
            self.object(image, target, &name, depth)?;
            self.path.pop();
        }
        let top = image.first().ok_or(Errno::NOENT)?;
        let stat = rustix::fs::fstat(top)?;
        copy_xattrs(top, target)?;
        set_attributes(target, &stat)
    }

    fn object(&mut self, image: &Merged, target: &OwnedFd, name: &OsStr, depth: usize) -> Result<(), Errno> {
        match lookup::find(image, name.as_bytes())? {
            Found::Nothing => Ok(()),
            Found::Directory(inner) => {
                rustix::fs::mkdirat(target, name, Mode::RWXU)?;
                self.directory(&inner, &open(target, name)?, depth + 1)
            }
            Found::Link(text) => {
                let stat = first_stat(image, name)?;
                rustix::fs::symlinkat(OsStr::from_bytes(&text), target, name)?;
                set_owner_of_name(target, name, &stat)
            }
            Found::File(file) => self.file(&file, target, name),
        }
    }

    fn file(&mut self, file: &OwnedFd, target: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        let stat = rustix::fs::fstat(file)?;
        let key = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1
            && let Some(first) = self.links.get(&key)
        {
            return link(self.root, first, target, name);
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let copy = rustix::fs::openat(target, name, flags, Mode::RUSR | Mode::WUSR)?;
                copy_data(file, &copy, u64::try_from(stat.st_size).unwrap_or(0))?;
                copy_xattrs(file, &copy)?;
                set_attributes(&copy, &stat)?;
            }
            FileType::Fifo => {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o777);
                rustix::fs::mknodat(target, name, FileType::Fifo, mode, 0)?;
                set_owner_of_name(target, name, &stat)?;
            }
            // A container gets its devices from the engine, and a socket is its listener's.
            _ => return Ok(()),
        }
        if stat.st_nlink > 1 {
            self.links.insert(key, self.path.clone());
        }
        Ok(())
    }
}

/// The names in all layers of a directory; of some nothing is to be seen.
fn names(image: &Merged) -> Result<BTreeSet<OsString>, Errno> {
    let mut names = BTreeSet::new();
    for layer in image {
        for entry in Dir::read_from(layer)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.insert(OsStr::from_bytes(name).to_owned());
            }
        }
    }
    Ok(names)
}

/// The attributes of a name in the uppermost layer that has it.
fn first_stat(image: &Merged, name: &OsStr) -> Result<Stat, Errno> {
    let found = |layer| rustix::fs::statat(layer, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    image.iter().find_map(found).ok_or(Errno::NOENT)
}

/// Gives a file that was copied another name.
fn link(root: BorrowedFd<'_>, first: &PathBuf, target: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    let first = files::root::open(root, first, OFlags::PATH | OFlags::NOFOLLOW)
        .map_err(|error| error.errno().unwrap_or(Errno::IO))?;
    // By the descriptor; AT_EMPTY_PATH would need a right that a user's namespace does not give.
    let path = format!("/proc/self/fd/{}", first.as_raw_fd());
    rustix::fs::linkat(CWD, path, target, name, AtFlags::SYMLINK_FOLLOW)
}

/// Copies the data and leaves the holes: a sparse file may be longer than the disk.
fn copy_data(from: &OwnedFd, to: &OwnedFd, size: u64) -> Result<(), Errno> {
    rustix::fs::ftruncate(to, size)?;
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole.
            Err(Errno::NXIO) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start))?;
        copy_range(from, to, start, end)?;
        at = end;
    }
    Ok(())
}

fn copy_range(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> Result<(), Errno> {
    let (mut source, mut target) = (start, start);
    while source < end {
        let wanted = usize::try_from((end - source).min(1 << 30)).unwrap_or(BLOCK);
        match rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), wanted) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                return copy_blocks(from, to, source, end);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn copy_blocks(from: &OwnedFd, to: &OwnedFd, mut at: u64, end: u64) -> Result<(), Errno> {
    let mut block = vec![0; BLOCK];
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
        let count = rustix::io::pread(from, &mut block[..wanted], at)?;
        if count == 0 {
            break;
        }
        let mut written = 0;
        while written < count {
            written += rustix::io::pwrite(to, &block[written..count], at + written as u64)?;
        }
        at += count as u64;
    }
    Ok(())
}

/// Attributes of programs and capabilities; never the overlay's bookkeeping nor a label of the host.
fn copy_xattrs(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let mut names = vec![0; MAX_XATTR];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other?,
    };
    let mut value = vec![0; MAX_XATTR];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let is_kept = name == b"security.capability"
            || name.starts_with(b"system.posix_acl_")
            || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."));
        if !is_kept {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            // The file system of volumes has none, or the owner may not: as when the layer was unpacked.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

/// Who has one id only keeps it: the layers were unpacked so, too.
fn lenient(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::PERM | Errno::INVAL) => Ok(()),
        other => other,
    }
}

fn set_attributes(file: &OwnedFd, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = owner(stat);
    lenient(rustix::fs::fchown(file, uid, gid))?;
    // After the owner, since a change of owner takes set-id bits away.
    rustix::fs::fchmod(file, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    rustix::fs::futimens(file, &times(stat))
}

fn set_owner_of_name(parent: &OwnedFd, name: &OsStr, stat: &Stat) -> Result<(), Errno> {
    let (uid, gid) = owner(stat);
    lenient(rustix::fs::chownat(parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW))?;
    rustix::fs::utimensat(parent, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_merged_view_is_copied() {
        let base = testkit::TempDir::new();
        for directory in ["low/data/sub", "low/data/gone", "top/data/sub", "target", "outside"] {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        fs::write(base.join("outside/secret"), "secret").unwrap();
        fs::write(base.join("low/data/both"), "low").unwrap();
        fs::write(base.join("top/data/both"), "top").unwrap();
        fs::write(base.join("low/data/sub/below"), "below").unwrap();
        fs::hard_link(base.join("low/data/sub/below"), base.join("low/data/linked")).unwrap();
        symlink(base.join("outside"), base.join("top/data/out")).unwrap();
        let sparse = fs::File::create(base.join("low/data/sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        fs::set_permissions(base.join("top/data"), fs::Permissions::from_mode(0o2750)).unwrap();
        rustix::fs::setxattr(base.join("top/data/both"), "user.kept", b"1", XattrFlags::empty()).unwrap();
        rustix::fs::setxattr(base.join("top/data/both"), "user.overlay.x", b"1", XattrFlags::empty())
            .unwrap();
        let layers: Vec<_> =
            ["top", "low"].iter().map(|name| files::open_directory(base.join(name)).unwrap()).collect();
        let image = lookup::directory(&layers, "/data/").unwrap().unwrap();
        let target = files::open_directory(base.join("target")).unwrap();
        copy_up(&image, &target).unwrap();

        let read = |name: &str| fs::read_to_string(base.join("target").join(name)).unwrap();
        assert_eq!((read("both"), read("sub/below")), ("top".to_owned(), "below".to_owned()));
        let meta = |name: &str| fs::symlink_metadata(base.join("target").join(name)).unwrap();
        assert_eq!(meta("linked").ino(), meta("sub/below").ino());
        assert!(meta("out").is_symlink());
        assert_eq!((meta("sparse").len(), meta("sparse").blocks()), (1 << 40, 0));
        assert_eq!(meta(".").mode() & 0o7777, 0o2750);
        assert_eq!(meta("both").mtime_nsec(), fs::metadata(base.join("top/data/both")).unwrap().mtime_nsec());
        let mut value = [0; 8];
        let both = base.join("target/both");
        assert_eq!(rustix::fs::getxattr(&both, "user.kept", &mut value[..]), Ok(1));
        assert_eq!(rustix::fs::getxattr(&both, "user.overlay.x", &mut value[..]), Err(Errno::NODATA));
    }

    #[test]
    fn a_path_of_the_image_stays_in_it() {
        let base = testkit::TempDir::new();
        fs::create_dir_all(base.join("outside")).unwrap();
        fs::create_dir_all(base.join("top/real")).unwrap();
        symlink(base.join("outside"), base.join("top/link")).unwrap();
        symlink("../../../..", base.join("top/up")).unwrap();
        symlink("real", base.join("top/inside")).unwrap();
        let layers = vec![files::open_directory(base.join("top")).unwrap()];
        let climb = format!("/up{}", base.join("outside").display());
        for (path, found) in [
            ("/link", false),
            (climb.as_str(), false),
            ("/inside", true),
            ("/../../real", true),
            ("/up", false),
        ] {
            assert_eq!(lookup::directory(&layers, path).unwrap().is_some(), found, "{path}");
        }
    }
}
