use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::CapabilitySet;

use crate::{Error, Map, Side, helper, read};

/// Who writes the maps of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The caller, who has CAP_SETUID and CAP_SETGID in the namespace above.
    Direct,
    /// The caller, who has no privilege: a map of his own id alone. `setgroups` is denied first, as the
    /// kernel demands since Linux 3.19 (CVE-2014-8989).
    SingleId,
    /// The set-id programs of shadow-utils, both at once.
    Helpers {
        /// Path of `newuidmap`.
        newuidmap: PathBuf,
        /// Path of `newgidmap`.
        newgidmap: PathBuf,
    },
}

impl How {
    /// The cheapest way that can work for the caller: direct writes wherever possible, since each helper
    /// costs about a millisecond.
    ///
    /// # Errors
    /// [`Error::HelperMissing`] where helpers are needed and not installed.
    pub fn choose(uid: &Map, gid: &Map) -> Result<Self, Error> {
        let effective =
            rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        if effective.contains(CapabilitySet::SETUID | CapabilitySet::SETGID) {
            return Ok(Self::Direct);
        }
        let (own_uid, own_gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if uid.is_single(own_uid) && gid.is_single(own_gid) {
            return Ok(Self::SingleId);
        }
        let program = |side: Side| sys::program::find(side.program()).ok_or(Error::HelperMissing { side });
        Ok(Self::Helpers { newuidmap: program(Side::Uid)?, newgidmap: program(Side::Gid)? })
    }
}

/// Writes both maps of a process that is in a new user namespace, from the namespace above.
///
/// `process` is the open directory `/proc/<pid>` of a child that the caller has not reaped, so that
/// neither it nor `pid`, which the helpers need, can mean another process. The child has to be dumpable
/// still, else its map files belong to root.
///
/// # Errors
/// [`Error::MapRefused`] with the kernel's errno (EPERM: an id that the caller may not map; EINVAL: the
/// map was written before), [`Error::HelperFailed`] with what the helper printed.
pub fn write_maps(process: BorrowedFd<'_>, pid: Pid, uid: &Map, gid: &Map, how: &How) -> Result<(), Error> {
    match how {
        How::Direct => {
            write(process, pid, Side::Uid, uid)?;
            write(process, pid, Side::Gid, gid)
        }
        How::SingleId => {
            write_file(process, "setgroups", b"deny").map_err(|errno| refused(Side::Gid, pid, errno))?;
            write(process, pid, Side::Uid, uid)?;
            write(process, pid, Side::Gid, gid)
        }
        How::Helpers { newuidmap, newgidmap } => {
            let users = helper::Running::start(newuidmap, &arguments(pid, uid))?;
            let groups = helper::Running::start(newgidmap, &arguments(pid, gid))?;
            users.require()?;
            groups.require()?;
            Ok(())
        }
    }
}

/// The maps of the caller's own user namespace, as `/proc/self` shows them.
///
/// # Errors
/// [`Error::Io`], or [`Error::Empty`] where the namespace has no map yet.
pub fn own_maps() -> Result<(Map, Map), Error> {
    let map = |side: Side| {
        let path = PathBuf::from("/proc/self").join(side.map_file());
        let text = read::optional(&path)?.unwrap_or_default();
        Map::parse(&String::from_utf8_lossy(&text))
    };
    Ok((map(Side::Uid)?, map(Side::Gid)?))
}

fn arguments(pid: Pid, map: &Map) -> Vec<String> {
    let mut arguments = Vec::with_capacity(1 + 3 * map.ranges().len());
    arguments.push(pid.as_raw_nonzero().to_string());
    for range in map.ranges() {
        arguments.extend([range.container_id, range.host_id, range.size].map(|number| number.to_string()));
    }
    arguments
}

fn write(process: BorrowedFd<'_>, pid: Pid, side: Side, map: &Map) -> Result<(), Error> {
    write_file(process, side.map_file(), map.render().as_bytes()).map_err(|errno| refused(side, pid, errno))
}

fn refused(side: Side, pid: Pid, errno: Errno) -> Error {
    Error::MapRefused { side, pid: pid.as_raw_nonzero().get(), errno }
}

/// One write: the kernel takes a map in a single call or not at all.
fn write_file(process: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(process, name, flags, Mode::empty())?;
    let written = rustix::io::write(file.as_fd(), bytes)?;
    if written == bytes.len() { Ok(()) } else { Err(Errno::IO) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helper_arguments_are_the_ranges() {
        let map = Map::parse("0 1000 1\n1 100000 65536\n").unwrap();
        let pid = Pid::from_raw(42).unwrap();
        assert_eq!(arguments(pid, &map), ["42", "0", "1000", "1", "1", "100000", "65536"]);
    }

    #[test]
    fn own_maps_can_be_read() {
        let (uid, gid) = own_maps().unwrap();
        assert!(uid.count() > 0 && gid.count() > 0);
    }

    #[test]
    fn a_second_map_is_refused() {
        // The initial namespace has its map since boot: a write to it is EPERM or EINVAL, never taken.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let process = rustix::fs::open("/proc/self", flags, Mode::empty()).unwrap();
        let map = Map::single(0, 0).unwrap();
        let pid = rustix::process::getpid();
        assert!(matches!(
            write_maps(process.as_fd(), pid, &map, &map, &How::Direct),
            Err(Error::MapRefused { side: Side::Uid, .. })
        ));
    }
}
