//! The file system of a container, seen by a helper process of ours.
//!
//! Of a container that runs: the helper joins its user and mount namespaces by its pidfd, so whatever it does there it
//! does with the container's own rights, and no path leads anywhere else (CVE-2018-15664, CVE-2026-41568). Of one that
//! does not: the helper mounts the container's layers in a mount namespace of its own. Either way nothing of the
//! container is executed or loaded (CVE-2019-14271, CVE-2026-41567).

mod mounted;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use files::lock::{self, Lock};
use oci::runtime::Status;
use runtime::state::Saved;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::process::{Gid, PidfdFlags, Uid};
use store::{Ownership, Store};
use sys::clone::flags;

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::helper::{self, Answer};
use crate::value::name::ContainerId;
use crate::weaken::{self, Defence};
use mounted::Mounted;

/// What of the container is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Its root file system alone, to read: what is mounted in it is an empty directory.
    Root,
    /// All that a process in it sees, to read.
    All,
    /// The same, to write.
    Writable,
}

/// A container's file system.
#[derive(Debug)]
pub(crate) struct View {
    scope: Scope,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Running {
        process: OwnedFd,
        join: u64,
        root: (u32, u32),
    },
    Stopped {
        ownership: Ownership,
        store: PathBuf,
        directory: String,
        layers: Vec<String>,
        mounted: Mounted,
        // Nobody starts the container while we write to its layer.
        _held: Option<Lock>,
    },
}

impl View {
    /// Opens a container's file system.
    ///
    /// # Errors
    /// [`Error::NoContainer`], [`Error::Busy`] for one that is being started, [`Error::System`].
    pub(crate) fn open(
        store: &Store,
        containers: &Containers<'_>,
        id: &ContainerId,
        scope: Scope,
    ) -> Result<Self> {
        if let Some(saved) = running(containers, id)? {
            return Ok(Self { scope, source: Source::of_process(&saved)? });
        }
        let mounted = match scope {
            Scope::Root => Mounted::default(),
            Scope::All | Scope::Writable => Mounted::of(store, containers, id)?,
        };
        // The targets of the mounts of one that never ran are made, as a start makes them.
        let scope = if mounted.is_new && !mounted.is_empty() { Scope::Writable } else { scope };
        let held = match scope {
            Scope::Writable => {
                // Shared: it does not look like a container that lives, and excludes who would start it.
                let file = lock::open(containers.runtime_directory("alive")?, id.as_str())?;
                let held = lock::try_shared(file)?;
                Some(held.ok_or_else(|| Error::Busy { id: id.short().to_owned() })?)
            }
            _ => None,
        };
        let lease = store.held_by(id.as_str())?;
        let lease = lease.ok_or_else(|| Error::NoContainer { name: id.to_string() })?;
        let source = Source::Stopped {
            ownership: store.ownership().clone(),
            store: store.path().to_owned(),
            directory: format!("containers/{id}"),
            layers: lease.layers.iter().rev().map(|chain| format!("layers/{}/fs", chain.hex())).collect(),
            mounted,
            _held: held,
        };
        Ok(Self { scope, source })
    }

    /// Does a piece of work in a child that sees the container's root as this descriptor. It is opened to be read.
    pub(crate) fn within(&self, work: impl FnOnce(BorrowedFd<'_>) -> Answer) -> Result<Vec<u8>> {
        match &self.source {
            Source::Running { process, join, root } => {
                let parent = rustix::process::getpid();
                helper::start(0, || {
                    let root = enter(process.as_fd(), *join, *root, self.scope, parent)
                        .map_err(|(step, errno)| format!("{step} of the container: {errno}"))?;
                    work(root.as_fd())
                })?
                .finish()
            }
            Source::Stopped { ownership, store, directory, layers, mounted, .. } => {
                helper::as_owner(ownership, flags::NEWNS, || {
                    let writable = self.scope == Scope::Writable;
                    let user = matches!(ownership, Ownership::Mapped { .. });
                    let root = mount(store, directory, layers, mounted, (writable, user))?;
                    work(root.as_fd())
                })
            }
        }
    }
}

/// What the runtime keeps of a container that has a process.
pub(crate) fn running(containers: &Containers<'_>, id: &ContainerId) -> Result<Option<Saved>> {
    match runtime::Container::load(containers.states(), id.as_str()) {
        Ok(container) => match container.status() {
            Status::Running | Status::Paused | Status::Created => Ok(Some(container.saved().clone())),
            Status::Creating | Status::Stopped => Ok(None),
        },
        Err(runtime::Error::NoContainer(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Source {
    fn of_process(saved: &Saved) -> Result<Self> {
        let failed = |action| {
            let path = PathBuf::from(format!("container {}", saved.id));
            move |source| Error::System { action, path, source }
        };
        let pid = rustix::process::Pid::from_raw(saved.pid)
            .ok_or_else(|| Error::NoContainer { name: saved.id.clone() })?;
        let process =
            rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(failed("open the process of"))?;
        // The pidfd is of this process only if it is still the one that was started.
        if !saved.is_alive() {
            return Err(failed("open the process of")(Errno::SRCH));
        }
        let theirs = namespace(&format!("/proc/{}/ns/user", saved.pid)).map_err(failed("look at"))?;
        let ours = namespace("/proc/self/ns/user").map_err(failed("look at"))?;
        let join = if theirs == ours { flags::NEWNS } else { flags::NEWUSER | flags::NEWNS };
        let lowest = |maps: &[oci::runtime::IdMapping]| maps.iter().map(|map| map.container_id).min();
        let linux = saved.spec.linux.as_ref();
        let root = (
            linux.and_then(|linux| lowest(&linux.uid_mappings)).unwrap_or(0),
            linux.and_then(|linux| lowest(&linux.gid_mappings)).unwrap_or(0),
        );
        Ok(Self::Running { process, join, root })
    }
}

fn namespace(path: &str) -> rustix::io::Result<(u64, u64)> {
    let stat = rustix::fs::stat(path)?;
    Ok((stat.st_dev, stat.st_ino))
}

type Step = (&'static str, Errno);

/// In the child: goes into the container, and becomes its root.
fn enter(
    process: BorrowedFd<'_>,
    join: u64,
    (uid, gid): (u32, u32),
    scope: Scope,
    parent: rustix::process::Pid,
) -> std::result::Result<OwnedFd, Step> {
    let step = |name| move |errno| (name, errno);
    if weaken::is_off(Defence::CopyView) {
        let root = format!("/proc/{}/root", pid_of(process).ok_or(("find the process", Errno::SRCH))?);
        return rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(step("open the root"));
    }
    // Before anybody inside can look at us.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(step("hide from the processes"))?;
    sys::namespace::join(process, join).map_err(step("join the namespaces"))?;
    if join & flags::NEWUSER != 0 {
        match rustix::thread::set_thread_groups(&[]) {
            // A user without subordinate ids keeps his groups: user_namespaces(7) denies their loss.
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(("leave the groups for that", errno)),
        }
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(step("become the root"))?;
        rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(step("become the root"))?;
        helper::die_with(parent).map_err(step("stay bound to the parent, not the root"))?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if scope != Scope::Root {
        // setns(2) made the namespace's root ours.
        return rustix::fs::open("/", flags, Mode::empty()).map_err(step("open the root"));
    }
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let alone = rustix::mount::open_tree(CWD, "/", clone).map_err(step("take the root file system alone"))?;
    rustix::fs::openat(&alone, ".", flags, Mode::empty()).map_err(step("open the root"))
}

/// The process of a pidfd, for an attack test that leaves the namespaces out.
fn pid_of(process: BorrowedFd<'_>) -> Option<String> {
    let text = format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(&process));
    let file = rustix::fs::open(text, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let bytes = files::read_all(&file, 4096).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().find_map(|line| line.strip_prefix("Pid:")).map(|pid| pid.trim().to_owned())
}

/// In the child: mounts a container's layers. They are opened by the store's path once more, because a mount
/// namespace's overlays take directories of that namespace only.
fn mount(
    store: &std::path::Path,
    directory: &str,
    layers: &[String],
    mounts: &Mounted,
    (writable, user): (bool, bool),
) -> std::result::Result<OwnedFd, String> {
    let store = files::open_directory(store).map_err(|error| files::chain(&error))?;
    let open = |path: &str| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&store, path, flags, Mode::empty())
            .map_err(|errno| format!("open `{path}` of the store: {errno}"))
    };
    let mut lower = layers.iter().map(|path| open(path)).collect::<std::result::Result<Vec<_>, _>>()?;
    let upper = open(&format!("{directory}/upper"))?;
    let is_mount = writable || !lower.is_empty();
    let mounted = if writable {
        let work = open(&format!("{directory}/work"))?;
        runtime::mount_layers(&lower, Some((upper.as_fd(), work.as_fd())), user)
    } else if lower.is_empty() {
        Ok(upper)
    } else {
        lower.insert(0, upper);
        runtime::mount_layers(&lower, None, user)
    };
    let mounted = mounted.map_err(|error| files::chain(&error))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mounted = if mounts.is_empty() {
        mounted
    } else {
        mounts.attach(mounted, open(directory)?.as_fd(), is_mount, writable)?
    };
    rustix::fs::openat(&mounted, ".", flags, Mode::empty()).map_err(|errno| format!("open the root: {errno}"))
}
