//! The facts about the machine and the caller that a specification depends on.
//!
//! A plain value, so that [`crate::spec::build`] is a pure function; [`Host::gather`] is the one place
//! that asks the system.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use idmap::Span;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::error::{Error, Result};
use crate::guard;
use crate::lsm::Modules;
use crate::network::NetworkFacts;
use crate::options::Options;
use crate::peer::Peers;
use crate::value::mount::MountKind;
use crate::value::rlimit::UNLIMITED;

/// Where the ids of a container come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdSource {
    /// Run by root: a range that was claimed for this container alone.
    Range(Span),
    /// Run by a plain user: his subordinate ids.
    Subordinate {
        /// User ids.
        uids: Vec<Span>,
        /// Group ids.
        gids: Vec<Span>,
    },
    /// Run by a plain user without subordinate ids: only his own id; the reason, for the report.
    Single(String),
}

/// What a host path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path without symlinks.
    pub resolved: PathBuf,
    /// Whether it is a directory.
    pub directory: bool,
    /// Device and inode number: what the path must still lead to when it is mounted.
    pub identity: (u64, u64),
    /// Whether it is a socket, or a directory with one of an engine or a service manager at a usual place.
    pub socket: bool,
}

/// What a volume leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// A directory of the store, or one in it.
    Directory {
        /// Its path.
        path: String,
        /// Device and inode number.
        identity: (u64, u64),
    },
    /// Memory.
    Tmpfs(volume::Tmpfs),
    /// A host path, which is among the sources.
    Bind {
        /// The path, as the volume has it.
        source: String,
        /// Never written to.
        read_only: bool,
    },
}

/// A device node of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNode {
    /// `b` or `c`.
    pub kind: char,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
}

/// The machine and the caller.
#[derive(Clone, Debug)]
pub struct Host {
    /// The caller's effective user id.
    pub uid: u32,
    /// The caller's effective group id.
    pub gid: u32,
    /// Where the container's ids come from.
    pub ids: IdSource,
    /// The caller's environment, for `-e NAME`, `--env-host` and `--http-proxy`.
    pub environment: Vec<(String, String)>,
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
    /// Whether the cgroup v2 hierarchy is the only one.
    pub unified: bool,
    /// Whether the host has a directory of message queues, `/dev/mqueue`.
    pub queues: bool,
    /// Memory of the machine in bytes.
    pub memory: u64,
    /// Processors that have a `thermal_throttle` directory.
    pub thermal: Vec<u32>,
    /// Hard limits of the caller, by `RLIMIT_*`; a limit that is not listed is not known.
    pub hard_limits: BTreeMap<&'static str, u64>,
    /// Whether the caller may raise hard limits (`CAP_SYS_RESOURCE`).
    pub raises_limits: bool,
    /// What there is to connect the container with.
    pub network: NetworkFacts,
    /// The containers whose namespaces it joins, the network aside.
    pub peers: Peers,
    /// What AppArmor and SELinux can do for the container.
    pub modules: Modules,
    /// The engine's own directories, which no container may mount.
    pub own_directories: Vec<PathBuf>,
    /// The sources of the bind mounts, by what was typed.
    pub sources: BTreeMap<String, Source>,
    /// The layers of mounted images, uppermost first, by their place among the mounts.
    pub images: BTreeMap<usize, Vec<String>>,
    /// What the mounts of volumes lead to, by their place among the mounts.
    pub volumes: BTreeMap<usize, VolumeSource>,
    /// The container's directory.
    pub container: PathBuf,
    /// Devices named by flags, by path.
    pub devices: BTreeMap<String, DeviceNode>,
}

/// The limits whose ceilings a specification may need.
const LIMITS: &[(&str, Resource)] = &[
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_STACK", Resource::Stack),
];

/// Number of `CAP_SYS_RESOURCE`.
const SYS_RESOURCE: u64 = 1 << 24;

impl Host {
    /// Asks the system for everything that `options` need.
    ///
    /// # Errors
    /// [`Error::Source`] for a bind source or device that is not there.
    pub fn gather(
        options: &Options,
        ids: IdSource,
        environment: Vec<(String, String)>,
        own_directories: Vec<PathBuf>,
        modules: Modules,
        network: NetworkFacts,
    ) -> Result<Self> {
        let mut host = Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            ids,
            environment,
            kernel: kernel(),
            unified: exists("/sys/fs/cgroup/cgroup.controllers"),
            queues: exists("/dev/mqueue"),
            memory: memory(),
            thermal: thermal(),
            hard_limits: hard_limits(options),
            raises_limits: raises_limits(),
            network,
            peers: Peers::default(),
            modules,
            own_directories,
            sources: BTreeMap::new(),
            images: BTreeMap::new(),
            volumes: BTreeMap::new(),
            container: PathBuf::new(),
            devices: BTreeMap::new(),
        };
        for mount in &options.mounts {
            if let MountKind::Bind { source, .. } | MountKind::Overlay { source } = &mount.kind {
                host.sources.insert(source.clone(), resolve(source)?);
            }
        }
        let limits = &options.limits;
        let rates = [
            &limits.blkio_weight_device,
            &limits.device_read_bps,
            &limits.device_write_bps,
            &limits.device_read_iops,
            &limits.device_write_iops,
        ];
        let blocks = rates.into_iter().flatten().map(|value| value.path.as_str());
        for path in options.devices.iter().map(|device| device.source.as_str()).chain(blocks) {
            if !host.devices.contains_key(path) {
                host.devices.insert(path.to_owned(), device(path)?);
            }
        }
        Ok(host)
    }

    /// Whether the caller is not root.
    #[must_use]
    pub const fn is_rootless(&self) -> bool {
        self.uid != 0
    }

    /// A variable of the caller's environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Resolves a host path to what it leads to.
///
/// # Errors
/// [`Error::Source`].
pub fn resolve(path: &str) -> Result<Source> {
    let fail = |source| Error::Source { path: PathBuf::from(path), source };
    let fd = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(fail)?;
    let stat = rustix::fs::fstat(&fd).map_err(fail)?;
    let link =
        rustix::fs::readlinkat(CWD, format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new()).map_err(fail)?;
    let resolved = PathBuf::from(OsStr::from_bytes(link.as_bytes()));
    // A path that is not absolute here was deleted or lies outside of our root.
    if !resolved.is_absolute() || stat.st_nlink == 0 {
        return Err(fail(Errno::NOENT));
    }
    let kind = FileType::from_raw_mode(stat.st_mode);
    let directory = kind == FileType::Directory;
    let is_socket = |name: &&str| {
        let found = rustix::fs::statat(&fd, *name, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket)
    };
    let socket = kind == FileType::Socket || (directory && guard::SOCKETS.iter().any(is_socket));
    Ok(Source { resolved, directory, identity: (stat.st_dev, stat.st_ino), socket })
}

fn device(path: &str) -> Result<DeviceNode> {
    let fail = |source| Error::Source { path: PathBuf::from(path), source };
    let stat = rustix::fs::stat(path).map_err(fail)?;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        _ => return Err(fail(Errno::NODEV)),
    };
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Ok(DeviceNode { kind, major, minor, mode: stat.st_mode & 0o7777 })
}

fn exists(path: &str) -> bool {
    rustix::fs::stat(Path::new(path)).is_ok()
}

/// The running kernel's version; (0, 0) for a release that does not start with two numbers.
fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => (0, 0),
    }
}

fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    // Both are `unsigned long` or smaller; on 64-bit machines the product cannot overflow.
    u64::from(info.mem_unit).saturating_mul(info.totalram)
}

fn thermal() -> Vec<u32> {
    let has = |processor: u32| exists(&crate::kernel_files::thermal(processor));
    if !has(0) {
        return Vec::new();
    }
    // Bounded: the kernel's largest configuration is 8192 processors.
    (0..8192)
        .take_while(|processor| exists(&format!("/sys/devices/system/cpu/cpu{processor}")))
        .filter(|processor| has(*processor))
        .collect()
}

fn hard_limits(options: &Options) -> BTreeMap<&'static str, u64> {
    LIMITS
        .iter()
        .filter(|(name, _)| {
            matches!(*name, "RLIMIT_NOFILE" | "RLIMIT_CORE")
                || options.ulimits.iter().any(|limit| limit.kind == *name)
        })
        .map(|(name, resource)| (*name, getrlimit(*resource).maximum.unwrap_or(UNLIMITED)))
        .collect()
}

fn raises_limits() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.bits() & SYS_RESOURCE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved() {
        let source = resolve("/proc/self/exe").unwrap();
        assert!(!source.directory && source.resolved.is_absolute());
        assert_ne!(source.resolved, Path::new("/proc/self/exe"));
        assert!(matches!(resolve("/nonexistent/x"), Err(Error::Source { source: Errno::NOENT, .. })));
    }

    #[test]
    fn sockets_are_told_whatever_their_name() {
        let directory = testkit::TempDir::new();
        for path in ["engine", "user/podman/podman.sock", "session/bus", "plain/service", "file/docker.sock"]
        {
            std::fs::create_dir_all(directory.join(path).parent().unwrap()).unwrap();
        }
        std::fs::write(directory.join("file/docker.sock"), "").unwrap();
        for path in ["engine", "user/podman/podman.sock", "session/bus", "plain/service"] {
            drop(std::os::unix::net::UnixListener::bind(directory.join(path)).unwrap());
        }
        std::os::unix::fs::symlink("engine", directory.join("link")).unwrap();
        for (path, expected) in [
            ("engine", true),
            ("link", true),
            ("plain/service", true),
            ("user", true),
            ("session", true),
            ("user/podman", true),
            ("plain", false),
            ("file", false),
            ("", false),
        ] {
            let source = resolve(directory.join(path).to_str().unwrap()).unwrap();
            assert_eq!(source.socket, expected, "{path}");
        }
    }

    #[test]
    fn only_devices_are_devices() {
        let null = device("/dev/null").unwrap();
        assert_eq!((null.kind, null.major, null.minor), ('c', 1, 3));
        assert!(device("/proc/self/status").is_err());
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(memory() > 1 << 20);
        assert!(kernel() >= (5, 14));
    }
}
