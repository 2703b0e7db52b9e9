//! Snapshots: the directories an overlay is made of. Nothing is mounted here: the runtime does that.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::image::Image;
use crate::layout::Store;

/// The read-only part of a container's root file system.
#[derive(Debug)]
pub struct Snapshot {
    /// `O_PATH` descriptors of the layers' directories, top first, as overlayfs wants them.
    pub lower: Vec<OwnedFd>,
}

/// The writable part of a container's root file system.
#[derive(Debug)]
pub struct Upper {
    /// `upperdir`.
    pub upper: OwnedFd,
    /// `workdir`; on the same file system.
    pub work: OwnedFd,
}

impl Store {
    /// Opens the layers of an image: one `openat(2)` each, nothing is copied or hashed.
    ///
    /// The caller holds the store lock, or a container's directory names the image.
    ///
    /// # Errors
    /// [`Error::Missing`] for a layer that is not there.
    pub fn prepare(&self, image: &Image) -> Result<Snapshot> {
        let lower = image.layers.iter().rev().map(|chain| self.open_layer(chain)).collect::<Result<_>>()?;
        Ok(Snapshot { lower })
    }
}

/// Makes `upper` and `work` in a container's directory.
///
/// The merged root directory shows the attributes of `upper`, so that gets the mode of the top layer's
/// root, and its owner where the caller may give it.
///
/// # Errors
/// [`Error::System`], also when they exist.
pub fn create_upper(container: BorrowedFd<'_>, snapshot: &Snapshot) -> Result<Upper> {
    let upper = make(container, "upper")?;
    let work = make(container, "work")?;
    let mut mode = Mode::from_raw_mode(0o755);
    if let Some(top) = snapshot.lower.first() {
        let root = rustix::fs::fstat(top).map_err(|errno| Error::system("stat", "layer", errno))?;
        let own = rustix::fs::fstat(&upper).map_err(|errno| Error::system("stat", "upper", errno))?;
        mode = Mode::from_raw_mode(root.st_mode & 0o7777);
        if (root.st_uid, root.st_gid) != (own.st_uid, own.st_gid) {
            let (uid, gid) = (Uid::from_raw(root.st_uid), Gid::from_raw(root.st_gid));
            match rustix::fs::fchown(&upper, Some(uid), Some(gid)) {
                // a root directory of a subordinate id is rare; the container's root may still enter it
                Ok(()) | Err(Errno::PERM) => {}
                Err(errno) => return Err(Error::system("chown", "upper", errno)),
            }
        }
    }
    rustix::fs::fchmod(&upper, mode).map_err(|errno| Error::system("chmod", "upper", errno))?;
    Ok(Upper { upper, work })
}

fn make(container: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    rustix::fs::mkdirat(container, name, Mode::RWXU)
        .map_err(|errno| Error::system("make directory", name, errno))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(container, name, flags, Mode::empty())
        .map_err(|errno| Error::system("open", name, errno))
}
