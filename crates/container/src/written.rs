//! How many bytes a container wrote: what its upper directory holds.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use idmap::{NamespaceRequest, in_user_namespace};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use store::Ownership;

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::value::name::ContainerId;

/// Most directories that are looked into: who writes more is told less.
const MOST_DIRECTORIES: usize = 1 << 20;
/// Most directories that wait at once, each by an open descriptor.
const MOST_OPEN: usize = 512;

impl Containers<'_> {
    /// Bytes of the files that a container wrote. Links are not followed; a file with many names counts for each.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::NoContainer`].
    pub fn written(&self, id: &ContainerId) -> Result<u64> {
        let directory = self.directory_of(id)?;
        let upper = match open(directory.as_fd(), c"upper") {
            Ok(upper) => upper,
            Err(Errno::NOENT) => return Ok(0),
            Err(errno) => return Err(failed(id, errno)),
        };
        let Ownership::Mapped { uid, gid } = self.ownership() else {
            return sum(upper).map_err(|errno| failed(id, errno));
        };
        // Directories of the container belong to subordinate ids, and are theirs alone to read.
        let request = NamespaceRequest { uid, gid, also_new: 0, answer_limit: 64 };
        let outcome = in_user_namespace(&request, || match upper.try_clone().map(sum) {
            Ok(Ok(bytes)) => (0, bytes.to_string().into_bytes()),
            _ => (1, Vec::new()),
        })?;
        let text = String::from_utf8_lossy(&outcome.answer);
        text.parse().map_err(|_| failed(id, Errno::ACCESS))
    }
}

fn failed(id: &ContainerId, source: Errno) -> Error {
    Error::System { action: "measure what was written by", path: id.short().into(), source }
}

fn open(parent: BorrowedFd<'_>, name: &std::ffi::CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn sum(top: OwnedFd) -> rustix::io::Result<u64> {
    let (mut bytes, mut seen) = (0_u64, 0);
    let mut waiting = vec![top];
    while let Some(directory) = waiting.pop() {
        let mut below: Vec<CString> = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => below.push(name.to_owned()),
                FileType::RegularFile => {
                    bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
                }
                _ => {}
            }
        }
        for name in below {
            seen += 1;
            if seen > MOST_DIRECTORIES || waiting.len() >= MOST_OPEN {
                return Err(Errno::TOOBIG);
            }
            match open(directory.as_fd(), &name) {
                Ok(found) => waiting.push(found),
                Err(Errno::NOENT | Errno::ACCESS) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(bytes)
}
