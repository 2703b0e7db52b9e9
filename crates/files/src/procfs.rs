//! `/proc` that no container can have replaced.
//!
//! Whoever can mount over a part of `/proc` turns a write of ours, to a label or a sysctl, into a write to
//! a file of his choice (CVE-2019-16884, CVE-2025-52881). So [`Procfs::open`] mounts a procfs of its own
//! that is attached nowhere; where that is not allowed it takes the host's, after checking that it is the
//! root of a procfs. Each file is resolved without crossing a mount, and its file system is checked again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::descriptor::read_named;
use crate::relpath::check_name;
use crate::{Error, Result};

/// The inode number of a procfs root (`PROC_ROOT_INO` in the kernel's `proc_fs.h`).
const PROC_ROOT_INODE: u64 = 1;

/// Never onto another mount, never out, never through a `/proc/<pid>/fd`-like link.
///
/// `self` and `thread-self` are plain symlinks, so `RESOLVE_NO_SYMLINKS` would be too much.
const INSIDE: ResolveFlags =
    ResolveFlags::NO_XDEV.union(ResolveFlags::BENEATH).union(ResolveFlags::NO_MAGICLINKS);

/// A checked handle of a procfs.
#[derive(Debug)]
pub struct Procfs {
    root: OwnedFd,
    detached: bool,
}

impl Procfs {
    /// Opens a private, detached procfs of this process's pid namespace, or else the host's `/proc`.
    ///
    /// The private one needs `CAP_SYS_ADMIN` over the mount and pid namespace. No `hidepid` is set: it
    /// would hide a non-dumpable child from the parent that has to write its id maps.
    ///
    /// # Errors
    /// [`Error::NotProcfs`] when `/proc` is something else, [`Error::System`].
    pub fn open() -> Result<Self> {
        Self::detached(false).or_else(|_refused| Self::host())
    }

    /// As [`Procfs::open`], but with the processes only: no `sys`, `kcore`, `sysrq-trigger` (`subset=pid`).
    ///
    /// # Errors
    /// As [`Procfs::open`].
    pub fn open_processes() -> Result<Self> {
        Self::detached(true).or_else(|_refused| Self::host())
    }

    /// Opens the host's `/proc`, checked, for those who know that no private one can be had.
    ///
    /// # Errors
    /// [`Error::NotProcfs`] when `/proc` is something else, [`Error::System`].
    pub fn host() -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open("/proc", flags, Mode::empty())
            .map_err(|errno| Error::system("open", "/proc", errno))?;
        Self::checked(root, false)
    }

    fn detached(processes_only: bool) -> Result<Self> {
        let failed = |operation| move |errno| Error::system(operation, "/proc", errno);
        let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).map_err(failed("fsopen"))?;
        if processes_only {
            rustix::mount::fsconfig_set_string(&context, "subset", "pid").map_err(failed("fsconfig"))?;
        }
        rustix::mount::fsconfig_create(&context).map_err(failed("fsconfig"))?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC
            | MountAttrFlags::MOUNT_ATTR_NOSUID;
        let root = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(failed("fsmount"))?;
        Self::checked(root, true)
    }

    fn checked(root: OwnedFd, detached: bool) -> Result<Self> {
        let path = Path::new("/proc");
        require_procfs(&root, path)?;
        let stat = rustix::fs::fstat(&root).map_err(|errno| Error::system("stat", path, errno))?;
        if stat.st_ino != PROC_ROOT_INODE {
            return Err(Error::NotProcfs { path: path.to_owned(), reason: "it is not the root of a procfs" });
        }
        Ok(Self { root, detached })
    }

    /// Whether this procfs is private, so that nobody else can mount anything over its files.
    pub fn is_detached(&self) -> bool {
        self.detached
    }

    /// Opens `path` (without `/proc/`), refusing mounts, `..` out of it, and magic links.
    ///
    /// # Errors
    /// [`Error::NotProcfs`] when something was mounted over a part of `path`, [`Error::System`].
    pub fn open_file(&self, path: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd> {
        let path = path.as_ref();
        let flags = flags.difference(OFlags::CREATE) | OFlags::CLOEXEC;
        let file = match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), INSIDE) {
            Ok(file) => file,
            Err(Errno::XDEV) => {
                return Err(Error::NotProcfs {
                    path: path.to_owned(),
                    reason: "something is mounted over it",
                });
            }
            Err(errno) => return Err(Error::system("open", path, errno)),
        };
        require_procfs(&file, path)?;
        Ok(file)
    }

    /// Reads the file `path`, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Procfs::open_file`], and [`Error::TooLong`].
    pub fn read(&self, path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
        let path = path.as_ref();
        read_named(self.open_file(path, OFlags::RDONLY)?, path, limit, None)
    }

    /// Writes `bytes` to the file `path` in one `write(2)`, as id maps, labels and sysctls demand.
    ///
    /// # Errors
    /// As [`Procfs::open_file`]; a short write is `EIO`.
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        let path = path.as_ref();
        let file = self.open_file(path, OFlags::WRONLY)?;
        match rustix::io::write(&file, bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err(Error::system("write", path, Errno::IO)),
            Err(errno) => Err(Error::system("write", path, errno)),
        }
    }

    /// Opens what the magic link `name` in the directory `directory` stands for: `exe`, `ns/net`, `fd/3`.
    ///
    /// The link itself is checked to be procfs's own; what it leads to is whatever that process has.
    ///
    /// # Errors
    /// [`Error::WrongType`] when it is not a link, else as [`Procfs::open_file`].
    pub fn follow(&self, directory: impl AsRef<Path>, name: &str, flags: OFlags) -> Result<OwnedFd> {
        let directory = directory.as_ref();
        check_name(name.as_ref())?;
        let path = directory.join(name);
        let link = self.open_file(&path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let stat = rustix::fs::fstat(&link).map_err(|errno| Error::system("stat", &path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Err(Error::WrongType { path, wanted: "a link", found: "something else" });
        }
        let parent = self.open_file(directory, OFlags::PATH | OFlags::DIRECTORY)?;
        rustix::fs::openat(parent, name, flags.difference(OFlags::CREATE) | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::system("open", path, errno))
    }

    /// Opens again, with other flags, the very object that `fd` is: for instance a checked `O_PATH` one.
    ///
    /// # Errors
    /// As [`Procfs::follow`].
    pub fn reopen(&self, fd: impl AsFd, flags: OFlags) -> Result<OwnedFd> {
        use std::os::fd::AsRawFd;
        self.follow("thread-self/fd", &fd.as_fd().as_raw_fd().to_string(), flags)
    }
}

impl AsFd for Procfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

fn require_procfs(file: &OwnedFd, path: &Path) -> Result<()> {
    let stat = rustix::fs::fstatfs(file).map_err(|errno| Error::system("statfs", path, errno))?;
    if stat.f_type == PROC_SUPER_MAGIC {
        Ok(())
    } else {
        Err(Error::NotProcfs { path: path.to_owned(), reason: "its file system has another type" })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn each() -> Vec<Procfs> {
        vec![Procfs::open().unwrap(), Procfs::open_processes().unwrap(), Procfs::host().unwrap()]
    }

    #[test]
    fn reads_and_writes_own_process() {
        for procfs in each() {
            let status = procfs.read("self/status", 1 << 16).unwrap();
            assert!(status.starts_with(b"Name:"), "{procfs:?}");
            procfs.write("thread-self/comm", b"renamed").unwrap();
            assert_eq!(procfs.read("thread-self/comm", 64).unwrap(), b"renamed\n");
            assert!(matches!(procfs.read("self/status", 10), Err(Error::TooLong { .. })));
        }
    }

    #[test]
    fn root_gets_a_private_one() {
        testkit::needs!(root);
        assert!(Procfs::open().unwrap().is_detached());
        let processes = Procfs::open_processes().unwrap();
        assert!(processes.is_detached());
        assert!(processes.read("sysrq-trigger", 1).unwrap_err().is_missing());
        assert!(!Procfs::open().unwrap().read("sys/kernel/ostype", 64).unwrap().is_empty());
    }

    #[test]
    fn magic_links_and_climbing_are_refused() {
        for procfs in each() {
            for path in ["self/exe", "self/root/etc/passwd", "self/cwd", "self/ns/mnt"] {
                assert_eq!(procfs.open_file(path, OFlags::RDONLY).unwrap_err().errno(), Some(Errno::LOOP));
            }
            for path in ["../etc/passwd", "/etc/passwd", "self/../../etc/passwd"] {
                assert!(procfs.open_file(path, OFlags::RDONLY).is_err(), "{path}");
            }
        }
    }

    #[test]
    fn follows_one_magic_link_on_demand() {
        for procfs in each() {
            procfs.follow("self/ns", "mnt", OFlags::RDONLY).unwrap();
            assert!(procfs.follow("self", "status", OFlags::RDONLY).is_err());
            assert!(procfs.follow("self", "ns/mnt", OFlags::RDONLY).is_err());
            let path =
                rustix::fs::open("/etc/passwd", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
            let mut text = String::new();
            let file = procfs.reopen(&path, OFlags::RDONLY).unwrap();
            std::fs::File::from(file).read_to_string(&mut text).unwrap();
            assert!(text.contains("root"));
        }
    }

    #[test]
    fn another_file_system_is_not_procfs() {
        let temporary = crate::open_directory("/tmp").unwrap();
        assert!(matches!(Procfs::checked(temporary, false), Err(Error::NotProcfs { .. })));
        let below = crate::open_directory("/proc/sys").unwrap();
        assert!(matches!(Procfs::checked(below, false), Err(Error::NotProcfs { .. })));
    }
}
