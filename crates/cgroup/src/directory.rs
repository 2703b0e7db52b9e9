//! One cgroup directory, by descriptor.
//!
//! Everything below a hierarchy's mount point is reached with `openat2(RESOLVE_BENEATH |
//! RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)` from a descriptor whose file system type was checked, so that
//! no path from a bundle and nothing mounted over the tree leads elsewhere.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::layout::Version;

/// `CGROUP_SUPER_MAGIC` of `linux/magic.h`.
const V1_MAGIC: u64 = 0x27_e0eb;
/// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const V2_MAGIC: u64 = 0x6367_7270;
/// Largest statistics file read; `memory.numa_stat` on a large machine is about 100 KiB.
const FILE_BYTES: usize = 1 << 20;

/// An open cgroup directory.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    /// Opens a mount point; `None` when it is not a cgroup file system of that version.
    pub(crate) fn open_mount(path: &str, version: Version) -> Result<Option<Self>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let directory = Self { fd };
        Ok((directory.version()? == Some(version)).then_some(directory))
    }

    /// Returns which cgroup version the file system is of.
    pub(crate) fn version(&self) -> Result<Option<Version>, Errno> {
        // The type of `f_type` differs between architectures; magic numbers fit in all of them.
        Ok(match rustix::fs::fstatfs(&self.fd)?.f_type.cast_unsigned() {
            V1_MAGIC => Some(Version::V1),
            V2_MAGIC => Some(Version::V2),
            _ => None,
        })
    }

    /// Opens the directory `path` below this one.
    pub(crate) fn open(&self, path: &str) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let path = if path.is_empty() { "." } else { path };
        rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve).map(|fd| Self { fd })
    }

    /// Makes the directory `path`; its ancestors must exist.
    pub(crate) fn make(&self, path: &str) -> Result<(), Errno> {
        rustix::fs::mkdirat(&self.fd, path, Mode::from_raw_mode(0o755))
    }

    /// Removes the empty directory `path`.
    pub(crate) fn remove(&self, path: &str) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.fd, path, AtFlags::REMOVEDIR)
    }

    /// Opens a file of this cgroup.
    pub(crate) fn file(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.fd, name, flags, Mode::empty())
    }

    /// Writes `value` in one call, as kernel files demand.
    pub(crate) fn write(&self, name: &str, value: &str) -> Result<(), Errno> {
        let fd = self.file(name, OFlags::WRONLY)?;
        match rustix::io::write(&fd, value.as_bytes())? {
            written if written == value.len() => Ok(()),
            _ => Err(Errno::IO),
        }
    }

    /// Reads a small file; longer ones are `EFBIG`.
    pub(crate) fn read(&self, name: &str) -> Result<String, Errno> {
        let fd = self.file(name, OFlags::RDONLY)?;
        let mut content = Vec::new();
        while read_more(&fd, &mut content)? {
            if content.len() > FILE_BYTES {
                return Err(Errno::FBIG);
            }
        }
        String::from_utf8(content).map_err(|_| Errno::ILSEQ)
    }

    /// Tells whether the cgroup has this file.
    pub(crate) fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Tells whether this process may write `name`, going by its effective ids.
    pub(crate) fn writable(&self, name: &str) -> bool {
        rustix::fs::accessat(&self.fd, name, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    }

    /// Returns the kernel's identity of this cgroup (never reused on v2 since Linux 5.5).
    pub(crate) fn identity(&self) -> Result<u64, Errno> {
        Ok(rustix::fs::fstat(&self.fd)?.st_ino)
    }

    /// Returns the identity of the cgroup `path` below this one, as [`Self::identity`].
    pub(crate) fn identity_of(&self, path: &str) -> Result<u64, Errno> {
        Ok(rustix::fs::statat(&self.fd, path, AtFlags::SYMLINK_NOFOLLOW)?.st_ino)
    }

    /// Returns the names of the cgroup's own files.
    pub(crate) fn files(&self) -> Result<Vec<String>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            if entry.file_type() == FileType::RegularFile {
                names.extend(entry.file_name().to_str().ok().map(str::to_owned));
            }
        }
        Ok(names)
    }

    /// Returns the names of the child cgroups, at most `limit`.
    pub(crate) fn children(&self, limit: usize) -> Result<Vec<String>, Errno> {
        // kernfs counts sub-directories in the link count, so a leaf needs no scan.
        if rustix::fs::fstat(&self.fd)?.st_nlink <= 2 {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if entry.file_type() != FileType::Directory || name == b"." || name == b".." {
                continue;
            }
            if let Ok(name) = std::str::from_utf8(name) {
                names.push(name.to_owned());
            }
            if names.len() >= limit {
                break;
            }
        }
        Ok(names)
    }
}

/// Reads once into the end of `content`; `false` at the end of the file.
pub(crate) fn read_more(fd: &OwnedFd, content: &mut Vec<u8>) -> Result<bool, Errno> {
    /// One page: what a seq_file hands out at a time.
    const STEP: usize = 4096;
    let old = content.len();
    content.resize(old + STEP, 0);
    let read = rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut content[old..]));
    content.truncate(old + *read.as_ref().unwrap_or(&0));
    Ok(read? > 0)
}
