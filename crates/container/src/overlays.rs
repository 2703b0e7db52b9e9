//! The writable halves of overlays of host directories (`-v DIRECTORY:TARGET:O`).
//!
//! They lie in the container's directory, are made anew at each start and go with its end: what was written never
//! reaches the host's directory, nor the next start (CVE-2025-4953).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::value::mount::MountKind;

/// The work directory of a container's root file system: the project of its quota is its project.
pub(crate) const WORK: &str = "work";
/// Directory of them in a container's directory.
pub(crate) const DIRECTORY: &str = "overlays";

/// The paths of the writable half of the mount at this place among the mounts.
pub(crate) fn paths(container: &Path, at: usize) -> (String, String) {
    let path =
        |name| container.join(DIRECTORY).join(at.to_string()).join(name).to_string_lossy().into_owned();
    (path("upper"), path("work"))
}

/// Makes them, empty; the merged directory shows the attributes of the upper one.
pub(crate) fn make(container: BorrowedFd<'_>, options: &Options) -> Result<()> {
    let is_overlay = |(_, mount): &(usize, &crate::value::mount::MountRequest)| {
        matches!(mount.kind, MountKind::Overlay { .. })
    };
    let mut wanted = options.mounts.iter().enumerate().filter(is_overlay).peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let fail = |source| Error::System { action: "make the overlay of", path: DIRECTORY.into(), source };
    let all = directory(container, DIRECTORY, Mode::RWXU).map_err(fail)?;
    if options.layer_size.is_some() {
        files::quota::share(work(container)?, &all)?;
    }
    for (at, mount) in wanted {
        let MountKind::Overlay { source } = &mount.kind else { continue };
        let one = directory(all.as_fd(), &at.to_string(), Mode::RWXU).map_err(fail)?;
        let stat = rustix::fs::stat(source.as_str()).map_err(fail)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        for (name, mode) in [("upper", mode), ("work", Mode::RWXU)] {
            let made = directory(one.as_fd(), name, Mode::RWXU).map_err(fail)?;
            // Whatever the caller's umask.
            rustix::fs::fchmod(&made, mode).map_err(fail)?;
        }
    }
    Ok(())
}

/// Opens the work directory of the root file system.
pub(crate) fn work(container: BorrowedFd<'_>) -> Result<OwnedFd> {
    open(container, WORK).map_err(|source| Error::System { action: "open", path: WORK.into(), source })
}

fn directory(parent: BorrowedFd<'_>, name: &str, mode: Mode) -> std::result::Result<OwnedFd, Errno> {
    rustix::fs::mkdirat(parent, name, mode)?;
    open(parent, name)
}

fn open(parent: BorrowedFd<'_>, name: &str) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
