//! A user namespace as a descriptor, for id-mapped mounts.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::{Error, How, Map, write_maps};

/// Makes a user namespace with these maps and returns its descriptor (`/proc/<pid>/ns/user`); the namespace
/// lives as long as that, no process stays.
///
/// # Errors
/// [`Error::Namespace`], and those of [`write_maps`].
pub fn namespace_of(uid: &Map, gid: &Map) -> Result<OwnedFd, Error> {
    let failed = |action| move |errno| Error::Namespace { step: action, errno };
    let child = sys::fork::fork_closure(sys::clone::flags::NEWUSER, || {
        loop {
            // Ended by the parent's SIGKILL.
            rustix::event::pause();
        }
    })
    .map_err(|errno| match errno {
        rustix::io::Errno::DEADLK => Error::Threads,
        errno => Error::refused_namespace(errno),
    })?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = format!("/proc/{}", child.pid().as_raw_nonzero());
    let process = rustix::fs::open(path.as_str(), flags, Mode::empty()).map_err(failed("open a process"))?;
    write_maps(process.as_fd(), child.pid(), uid, gid, &How::choose(uid, gid)?)?;
    rustix::fs::openat(&process, "ns/user", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed("open a user namespace"))
}
