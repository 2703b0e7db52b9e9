//! Containers on disk: `<root>/<id>/state.json`, and the fifos of one that waits for `start`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use files::atomic::{self, Durability};
use oci::runtime::{Spec, State, Status};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::weaken::{self, Defence};
use crate::{Error, Result};

const STATE: &str = "state.json";
/// `start` writes a byte to it.
pub(crate) const GO: &str = "start.go";
/// Closed by exec; a failure is written to it.
pub(crate) const DONE: &str = "start.done";
/// Longest accepted state file in bytes: a spec of the largest accepted size, and what is around it.
const MAX_STATE: u64 = 40 * 1024 * 1024;
/// Longest id, as in runc.
const MAX_ID: usize = 1024;

/// The directory that holds one directory for each container.
#[derive(Debug)]
pub struct StateRoot {
    directory: OwnedFd,
    path: PathBuf,
}

/// What is kept of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// The container's id.
    pub id: String,
    /// Its first process, as the host sees it; 0 while it is being created.
    pub pid: i32,
    /// When that process started, in clock ticks after boot: tells it from a later one with its number.
    pub start_time: u64,
    /// Absolute path of the bundle.
    pub bundle: String,
    /// When the container was created, RFC 3339.
    pub created: String,
    /// User who created it.
    pub owner: u32,
    /// Its cgroup.
    pub cgroup: Option<cgroup::Saved>,
    /// Its spec.
    pub spec: Spec,
}

impl StateRoot {
    /// Opens the directory and makes it, with those above, where it is missing. Mode 0700.
    pub fn open(path: &Path) -> Result<Self> {
        std::fs::DirBuilder::new_private(path)?;
        let directory = files::open_directory(path).map_err(Error::Files)?;
        Ok(Self { directory, path: path.to_owned() })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reserves a container's directory: of two that ask for one id, one gets it.
    ///
    /// It comes locked. The lock goes with the descriptor's last copy, of which the container's process has one until it
    /// executes its program: so whoever makes the container may be killed meanwhile, and nobody joins half of it.
    pub fn reserve(&self, id: &str) -> Result<OwnedFd> {
        check_id(id)?;
        match rustix::fs::mkdirat(&self.directory, id, Mode::from_raw_mode(0o711)) {
            Ok(()) => {
                let directory = self.directory_of(id)?;
                lock(&directory, FlockOperation::LockExclusive, id)?;
                Ok(directory)
            }
            Err(Errno::EXIST) => Err(Error::Exists(id.to_owned())),
            Err(errno) => Err(Error::system("make the state directory of", id, errno)),
        }
    }

    /// Opens a container's directory.
    pub fn directory_of(&self, id: &str) -> Result<OwnedFd> {
        check_id(id)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.directory, id, flags, Mode::empty()) {
            Ok(directory) => Ok(directory),
            Err(Errno::NOENT) => Err(Error::NoContainer(id.to_owned())),
            Err(errno) => Err(Error::system("open the state directory of", id, errno)),
        }
    }

    /// Removes a container's directory.
    pub fn remove(&self, id: &str) -> Result<()> {
        check_id(id)?;
        let directory = self.directory_of(id)?;
        for name in [STATE, GO, DONE] {
            atomic::remove(directory.as_fd(), name, Durability::Volatile).map_err(Error::Files)?;
        }
        match rustix::fs::unlinkat(&self.directory, id, AtFlags::REMOVEDIR) {
            // The engine keeps files of its own beside the state.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(errno) => Err(Error::system("remove the state directory of", id, errno)),
        }
    }

    /// Reads a container.
    pub fn load(&self, id: &str) -> Result<Saved> {
        let directory = self.directory_of(id)?;
        let bytes = files::root::read_bounded(&directory, STATE, MAX_STATE).map_err(Error::Files)?;
        let bytes = bytes.ok_or_else(|| Error::NoContainer(id.to_owned()))?;
        serde_json::from_slice(&bytes).map_err(|source| Error::State { id: id.to_owned(), source })
    }

    /// The ids of all containers, in order.
    pub fn ids(&self) -> Result<Vec<String>> {
        Ok(self.names()?.into_iter().filter(|name| self.load(name).is_ok()).collect())
    }

    /// The names of what is there, in order: an engine has directories here that hold no state.
    pub fn names(&self) -> Result<BTreeSet<String>> {
        let failed = |errno| Error::system("list", self.path.display().to_string(), errno);
        let mut names = BTreeSet::new();
        for entry in Dir::read_from(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(
                entry.file_name().to_str().ok().filter(|name| check_id(name).is_ok()).map(str::to_owned),
            );
        }
        Ok(names)
    }
}

/// `mkdir -p` with mode 0700: what is in there belongs to its user alone.
trait PrivateDirectory {
    fn new_private(path: &Path) -> Result<()>;
}

impl PrivateDirectory for std::fs::DirBuilder {
    fn new_private(path: &Path) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        Self::new().recursive(true).mode(0o700).create(path).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            Error::system("make", path.display().to_string(), errno)
        })
    }
}

/// Ids as runc takes them: they become the name of a directory.
pub fn check_id(id: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-' | b'.');
    if id.is_empty() || id.len() > MAX_ID || id == "." || id == ".." || !id.bytes().all(plain) {
        return Err(Error::BadId(id.chars().take(64).collect::<String>().escape_default().to_string()));
    }
    Ok(())
}

impl Saved {
    /// Writes it to the container's directory.
    pub fn write(&self, directory: &OwnedFd) -> Result<()> {
        let bytes =
            serde_json::to_vec(self).map_err(|source| Error::State { id: self.id.clone(), source })?;
        atomic::write(directory.as_fd(), STATE, &bytes, 0o600, Durability::Volatile).map_err(Error::Files)
    }

    /// Whether the first process lives.
    pub fn is_alive(&self) -> bool {
        self.pid > 0 && start_time(self.pid) == Some(self.start_time)
    }

    /// Where in its life the container is.
    pub fn status(&self, directory: &OwnedFd) -> Status {
        if self.pid == 0 {
            return Status::Creating;
        }
        if !self.is_alive() {
            return Status::Stopped;
        }
        if is_being_set_up(directory) {
            return Status::Creating;
        }
        if rustix::fs::statat(directory, GO, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            return Status::Created;
        }
        let frozen = self.open_cgroup().ok().flatten().and_then(|cgroup| cgroup.is_frozen().ok());
        if frozen == Some(true) { Status::Paused } else { Status::Running }
    }

    /// Its cgroup, as far as it exists still.
    pub fn open_cgroup(&self) -> Result<Option<cgroup::Cgroup>> {
        match &self.cgroup {
            Some(saved) => Ok(Some(cgroup::Cgroup::from_saved(saved)?)),
            None => Ok(None),
        }
    }

    /// What `state` prints.
    pub fn to_oci(&self, status: Status) -> State {
        State {
            oci_version: oci::runtime::SPEC_VERSION.to_owned(),
            id: self.id.clone(),
            status,
            pid: (status != Status::Stopped && self.pid > 0).then_some(self.pid),
            bundle: self.bundle.clone(),
            annotations: self.spec.annotations.clone(),
        }
    }
}

/// Says that the container is set up, where its process does not execute its program yet.
pub(crate) fn finish_set_up(directory: &OwnedFd, id: &str) -> Result<()> {
    lock(directory, FlockOperation::Unlock, id)
}

fn lock(directory: &OwnedFd, operation: FlockOperation, id: &str) -> Result<()> {
    rustix::io::retry_on_intr(|| rustix::fs::flock(directory, operation))
        .map_err(|errno| Error::system("lock the state directory of", id, errno))
}

/// Whether somebody makes the container still: its first process sees the host's files until its root is pivoted, and the
/// kernel's unmasked until they are masked. What cannot be told is taken for it.
fn is_being_set_up(directory: &OwnedFd) -> bool {
    weaken::prepare();
    if weaken::is_off(Defence::HalfMade) {
        return false;
    }
    let try_lock = |operation| rustix::fs::flock(directory, operation);
    try_lock(FlockOperation::NonBlockingLockShared).and_then(|()| try_lock(FlockOperation::Unlock)).is_err()
}

/// When a process started, field 22 of `/proc/<pid>/stat`; `None` for one that is dead or a zombie.
pub fn start_time(pid: i32) -> Option<u64> {
    start_of(&crate::facts::read_small(&format!("/proc/{pid}/stat"))?)
}

fn start_of(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, with whatever it likes in it.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    // A process whose first thread ended is shown as a zombie while its others run on.
    let ended = matches!(state, "X" | "x") || (state == "Z" && threads < 2);
    if ended { None } else { fields.nth(1)?.parse().ok() }
}

/// The pid as the type that calls take.
pub(crate) fn pid(number: i32) -> Result<Pid> {
    Pid::from_raw(number).ok_or_else(|| Error::system("use", format!("pid {number}"), Errno::INVAL))
}

/// Names of files in a container's directory that an engine must not use.
pub fn is_reserved(name: &OsStr) -> bool {
    [STATE, GO, DONE].iter().any(|reserved| name == *reserved)
}

/// The time now as RFC 3339 in UTC.
pub fn now() -> String {
    oci::Moment::now().fixed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_lives_as_long_as_one_of_its_threads() {
        let stat = |state: &str, threads: u32| {
            format!("7 (a) Z 1) {state} 1 7 7 0 -1 4227340 87 0 0 0 0 0 0 0 20 0 {threads} 0 1820900 0 0")
        };
        for (state, threads, start) in [
            ("S", 1, Some(1_820_900)),
            ("R", 9, Some(1_820_900)),
            ("Z", 1, None),
            ("Z", 0, None),
            ("X", 2, None),
            ("Z", 2, Some(1_820_900)),
        ] {
            assert_eq!(start_of(&stat(state, threads)), start, "{state} {threads}");
        }
    }

    #[test]
    fn ids_cannot_leave_their_directory() {
        for good in ["a", "A_b+c-d.e", "0", &"x".repeat(1024)] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a\0", "é", &"x".repeat(1025)] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn own_start_time_is_known() {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        assert!(start_time(pid).is_some());
        assert_eq!(start_time(i32::MAX), None);
    }
}
