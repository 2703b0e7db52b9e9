//! Containers whose namespaces another one joins: `--network`, `--pid`, `--ipc` and `--uts container:NAME`.
//!
//! Processes and shared memory belong to the user namespace that they were made in, so who joins them joins that as well,
//! with its maps: its ids mean the same then, and no right of the joiner reaches further than there.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use idmap::Map;
use oci::runtime::{Namespace, NamespaceKind, Status};
use runtime::message::{self, Message};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::DumpableBehavior;
use sys::clone::flags;
use sys::fork::{Exit, fork_closure};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::export::duplicate;
use crate::helper;
use crate::host::Host;
use crate::options::Options;
use crate::spec::Maps;
use crate::value::ids::UserNamespace;
use crate::value::name::ContainerId;
use crate::weakening::{WeakeningKind, Weakenings};

/// A running container whose namespaces another one shares, by descriptors: a process number may be another's by the time
/// it is used.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its id.
    pub id: ContainerId,
    process: Arc<OwnedFd>,
    network: Arc<OwnedFd>,
    user: Option<Arc<OwnedFd>>,
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Peer {}

impl Peer {
    /// Finds it and opens its namespaces.
    ///
    /// # Errors
    /// [`Error::NoContainer`]; [`Error::NotRunning`] for one that does not run.
    pub(crate) fn open(containers: &Containers<'_>, name: &str) -> Result<Self> {
        Ok(Self::open_with(containers, name)?.0)
    }

    /// The same, and the record of the runtime.
    fn open_with<'a>(containers: &'a Containers<'_>, name: &str) -> Result<(Self, runtime::Container<'a>)> {
        let id = containers.find(name)?;
        let stopped = || Error::NotRunning { id: id.short().to_owned() };
        let container = runtime::Container::load(containers.states(), id.as_str()).map_err(|_| stopped())?;
        let saved = container.saved();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = format!("/proc/{}", saved.pid);
        let process = rustix::fs::open(path.as_str(), flags | OFlags::DIRECTORY, Mode::empty())
            .map_err(|_| stopped())?;
        // After the directory was opened: it is that process's for ever. While it is set up its mounts are the host's.
        if !matches!(container.status(), Status::Running | Status::Paused) {
            return Err(stopped());
        }
        // A plain user enters a namespace by entering the user namespace that owns it.
        let user = if rustix::process::geteuid().is_root() { None } else { Some(open(&process, "ns/user")?) };
        let network = open(&process, "ns/net")?;
        Ok((Self { network, user, id, process: Arc::new(process) }, container))
    }

    /// A path of the network namespace, for as long as this value lives.
    pub(crate) fn network_path(&self) -> String {
        path_of(&self.network)
    }

    /// The same of the user namespace, where that is shared as well.
    pub(crate) fn user_path(&self) -> Option<String> {
        self.user.as_deref().map(path_of)
    }
}

fn open(process: &OwnedFd, name: &'static str) -> Result<Arc<OwnedFd>> {
    rustix::fs::openat(process, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map(Arc::new)
        .map_err(|source| Error::System { action: "open", path: name.into(), source })
}

fn path_of(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

/// What can be joined beside the network: kind, flag, file in `/proc`, what it opens.
const KINDS: [(NamespaceKind, &str, &str, &str); 3] = [
    (
        NamespaceKind::Pid,
        "--pid",
        "ns/pid",
        "seeing, signalling and tracing that container's processes, and their files by `/proc`",
    ),
    (NamespaceKind::Ipc, "--ipc", "ns/ipc", "that container's shared memory and queues"),
    (NamespaceKind::Uts, "--uts", "ns/uts", "that container's host name"),
];

fn asked(options: &Options, kind: NamespaceKind) -> Option<&str> {
    let namespaces = &options.namespaces;
    match kind {
        NamespaceKind::Pid => namespaces.pid.container(),
        NamespaceKind::Ipc => namespaces.ipc.container(),
        NamespaceKind::Uts => namespaces.uts.container(),
        _ => None,
    }
}

/// Whether a container has the ids of one that it joins: those of its own would be strangers there.
pub(crate) fn takes_ids(options: &Options) -> bool {
    options.namespaces.pid.container().is_some()
}

/// The namespaces to join, beside the network.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// Kind, descriptor, the container as it was typed.
    namespaces: Vec<(NamespaceKind, Arc<OwnedFd>, String)>,
    user: Option<Arc<OwnedFd>>,
    /// The maps of that user namespace, users then groups; none where it is the host's.
    maps: Option<(Map, Map)>,
    host_name: Option<String>,
    /// Its `/dev/shm` where `--ipc` is shared, as a mount attached nowhere, or why it cannot be had.
    memory: Option<std::result::Result<Arc<OwnedFd>, String>>,
}

impl Peers {
    /// Opens what the options name; `network` is the container whose network is joined, which was opened already.
    ///
    /// # Errors
    /// As [`Peer::open`]; [`Error::Conflict`] for containers that have not one user namespace.
    pub(crate) fn look(
        options: &Options,
        containers: &Containers<'_>,
        network: Option<&Peer>,
    ) -> Result<Self> {
        let mut peers = Self::default();
        let root = rustix::process::geteuid().is_root();
        // Where a plain user's network is another's, its user namespace is, too.
        let mut owner = network.and_then(|peer| peer.user.clone());
        for (kind, flag, file, _) in KINDS {
            let Some(name) = asked(options, kind) else { continue };
            let conflict = |second: &str, reason| Error::Conflict {
                first: format!("{flag} container:{}", name.escape_debug()),
                second: second.to_owned(),
                reason,
            };
            if root && kind == NamespaceKind::Ipc && !takes_ids(options) {
                // Without its first process nobody keeps its ids: the next container may get them.
                let reason = "as root it takes `--pid` of that container, too";
                return Err(conflict("a process namespace of its own", reason));
            }
            let (peer, container) = Peer::open_with(containers, name)?;
            peers.namespaces.push((kind, open(&peer.process, file)?, name.to_owned()));
            if kind == NamespaceKind::Uts {
                let record = containers.record(&peer.id)?;
                peers.host_name = record.map(|record| record.process.hostname);
                if root {
                    continue;
                }
            }
            let user = open(&peer.process, "ns/user")?;
            if kind == NamespaceKind::Ipc {
                peers.memory = Some(memory_of(&peer.process, &user));
            }
            if let Some(owner) = &owner
                && identity(owner)? != identity(&user)?
            {
                return Err(conflict(
                    "container:NAME",
                    "the containers to join have different user namespaces",
                ));
            }
            if root && peers.maps.is_none() {
                peers.maps = maps_of(&container)?;
            }
            owner = Some(user);
        }
        if let Some(owner) = owner
            && !peers.namespaces.is_empty()
            && identity(&owner)? != identity(&open_own()?)?
        {
            peers.user = Some(owner);
        }
        Ok(peers)
    }

    /// The maps that the container has by joining; nothing where it has its own.
    ///
    /// # Errors
    /// [`Error::Conflict`] for options that ask for others.
    pub(crate) fn maps(&self, options: &Options, host: &Host) -> Result<Option<Maps>> {
        if host.is_rootless() || !takes_ids(options) {
            return Ok(None);
        }
        let request = &options.namespaces;
        let conflict = |second: &str, reason| {
            Err(Error::Conflict {
                first: "--pid container:NAME".to_owned(),
                second: second.to_owned(),
                reason,
            })
        };
        if !request.uid_map.is_empty() || !request.gid_map.is_empty() {
            return conflict("--uidmap", "it has the ids of the container that it joins");
        }
        match (&request.user, &self.maps) {
            (UserNamespace::Default, Some((uids, gids))) => {
                Ok(Some(Maps { uids: uids.clone(), gids: gids.clone() }))
            }
            // The host's, as the target's: that is said aloud as for any container.
            (UserNamespace::Host, None) => Ok(None),
            (_, None) => conflict(
                "a user namespace of its own",
                "that container has the host's: `--userns host` says that it is meant",
            ),
            (_, Some(_)) => conflict("--userns", "it has the user namespace of the container that it joins"),
        }
    }

    /// The host name that is shared.
    pub(crate) fn host_name(&self) -> Option<&str> {
        self.host_name.as_deref()
    }

    /// A path of the user namespace that is joined.
    pub(crate) fn user_path(&self) -> Option<String> {
        self.user.as_deref().map(path_of)
    }

    /// Puts the paths into the list, and notes what they open.
    pub(crate) fn join(
        &self,
        list: &mut [Namespace],
        weakenings: &mut Weakenings,
        warnings: &mut Vec<String>,
    ) {
        for namespace in list {
            if namespace.kind == NamespaceKind::User && self.user.is_some() {
                namespace.path = self.user_path();
            }
            let joined = self.namespaces.iter().find(|(kind, _, _)| *kind == namespace.kind);
            if let Some((_, descriptor, _)) = joined {
                namespace.path = Some(path_of(descriptor));
            }
        }
        for (kind, _, name) in &self.namespaces {
            let Some((_, flag, _, opens)) = KINDS.iter().find(|(known, ..)| known == kind) else { continue };
            let flag = format!("{flag} container:{}", name.escape_debug());
            weakenings.open(WeakeningKind::Namespace, flag, *opens);
            if let (NamespaceKind::Ipc, Some(Err(reason))) = (kind, &self.memory) {
                warnings.push(format!(
                    "`--ipc` shares System V memory and message queues, `/dev/shm` stays the container's own: {reason}"
                ));
            }
        }
    }

    fn memory(&self) -> Option<&OwnedFd> {
        self.memory.as_ref()?.as_deref().ok()
    }

    /// A path that stands for the `/dev/shm` that is shared, as long as this value lives.
    pub(crate) fn memory_path(&self) -> Option<String> {
        self.memory().map(path_of)
    }

    /// What the runtime mounts in the place of such paths.
    pub(crate) fn mounts(&self) -> Result<Vec<(String, OwnedFd)>> {
        let own = |mount: &OwnedFd| Ok((path_of(mount), duplicate(mount)?));
        self.memory().map(own).into_iter().collect()
    }
}

/// The memory at `/dev/shm` of a container that runs: a process of ours enters its mount namespace, as `user`'s root unless
/// we are the host's, clones that mount, hands it over and ends. Nothing is executed there.
fn memory_of(process: &OwnedFd, user: &OwnedFd) -> std::result::Result<Arc<OwnedFd>, String> {
    const TMPFS: u64 = 0x0102_1994;
    let failed = |errno: Errno| errno.to_string();
    let namespace = open(process, "ns/mnt").map_err(|error| files::chain(&error))?;
    let enter_user = !rustix::process::geteuid().is_root()
        && open_own().and_then(|own| Ok(identity(&own)? != identity(user)?)).unwrap_or(true);
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(failed)?;
    let parent = rustix::process::getpid();
    let clone = || {
        // Before anybody inside can look at us.
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        if enter_user {
            sys::namespace::join(user.as_fd(), flags::NEWUSER)?;
        }
        sys::namespace::join(namespace.as_fd(), flags::NEWNS)?;
        helper::die_with(parent)?;
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let memory = files::root::open(&root, "dev/shm", path)
            .map_err(|error| error.errno().unwrap_or(Errno::LOOP))?;
        if u64::try_from(rustix::fs::fstatfs(&memory)?.f_type).ok() != Some(TMPFS) {
            return Err(Errno::NODEV);
        }
        let how =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let mount = rustix::mount::open_tree(&memory, c"", how)?;
        message::send(theirs.as_fd(), Message::Mounted, &[mount.as_fd()])
    };
    let child = fork_closure(0, || match clone() {
        Ok(()) => 0,
        Err(errno) => u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX),
    })
    .map_err(failed)?;
    let exit = child.wait().map_err(failed)?;
    drop(theirs);
    let mut mount = None;
    match message::receive(ours.as_fd(), |descriptor| mount = Some(descriptor)) {
        Ok(Some(Message::Mounted)) => mount.map(Arc::new).ok_or_else(|| "it was not handed over".to_owned()),
        _ => Err(match exit {
            Exit::Code(code) => Errno::from_raw_os_error(i32::from(code)).to_string(),
            Exit::Signal(signal) => format!("the process that takes it was killed by signal {signal}"),
        }),
    }
}

/// The maps of a container's user namespace; none where it is the host's.
fn maps_of(container: &runtime::Container<'_>) -> Result<Option<(Map, Map)>> {
    let Some(linux) = &container.saved().spec.linux else { return Ok(None) };
    if linux.uid_mappings.is_empty() {
        return Ok(None);
    }
    Ok(Some((Map::new(linux.uid_mappings.clone())?, Map::new(linux.gid_mappings.clone())?)))
}

fn open_own() -> Result<OwnedFd> {
    let path = "/proc/self/ns/user";
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(|source| Error::System {
        action: "open",
        path: path.into(),
        source,
    })
}

/// Device and inode: what tells namespaces apart.
fn identity(namespace: &OwnedFd) -> Result<(u64, u64)> {
    let stat = rustix::fs::fstat(namespace).map_err(|source| Error::System {
        action: "look at",
        path: "ns/user".into(),
        source,
    })?;
    Ok((stat.st_dev, stat.st_ino))
}
