//! The steps that the child performs, in order.

use std::ffi::CString;
use std::fmt;

use oci::runtime::NamespaceKind;
use sys::mount::Attributes;

use super::option::Parameter;
use super::path::InnerPath;
use super::sysctl;
use crate::lsm::Label;

/// Index of a descriptor that the parent opens: see [`super::Source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// One thing the child does between clone and exec. Interpreted by `child`, printed by `--dry-run`.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Take id 0 of the new user namespace, if it has one.
    BecomeRoot {
        /// User id to take.
        uid: u32,
        /// Group id to take.
        gid: u32,
    },
    /// Start a session of its own, so that no signal or terminal of the caller reaches it.
    NewSession,
    /// Make a cgroup namespace, now that the process is in its cgroup.
    NewCgroupNamespace,
    /// Make a time namespace with these offsets, in the kernel's format, and enter it.
    NewTimeNamespace {
        /// Lines for `/proc/self/timens_offsets`.
        offsets: CString,
    },
    /// Bring up the loopback device of the new network namespace.
    Loopback,
    /// Replace the session keyring by an empty one.
    NewKeyring,
    /// Change the propagation of every inherited mount, so that nothing mounted here reaches the host.
    Propagation(u64),
    /// Attach the root file system with this propagation and keep its descriptor: from here no path of the host
    /// is used.
    AttachRoot(RootSource, u64),
    /// Make set-user-id bits and file capabilities of the root mount inert.
    NosuidRoot,
    /// Make a mount inside the root.
    Mount(Box<Mount>),
    /// Put secrets on a file system in memory, at `/run/secrets` and where else they are wanted.
    Secrets(Box<Secrets>),
    /// Make a device node, or bind the host's where nodes cannot be made.
    Device(Box<Device>),
    /// Make a symbolic link unless something of that name exists.
    Link {
        /// Where.
        path: InnerPath,
        /// What it holds.
        target: CString,
    },
    /// Allocate a terminal from the container's own devpts, send its master to the parent.
    Terminal {
        /// Rows and columns.
        size: Option<(u16, u16)>,
        /// User who owns it.
        owner: u32,
    },
    /// Make a directory and those above it.
    Directory(InnerPath),
    /// Tell the parent that namespaces and mounts exist, wait until its hooks ran.
    RuntimeHooks,
    /// Run the `createContainer` hooks.
    ContainerHooks,
    /// Make the new root `/` and detach all of the host's mounts.
    Pivot,
    /// Chroot instead of pivot (`--no-pivot`): for a root on a ramdisk.
    MoveRoot,
    /// Set the propagation of the root mount.
    RootPropagation(u64),
    /// Make the root mount read-only.
    ReadonlyRoot,
    /// Host name.
    Hostname(CString),
    /// NIS domain name.
    Domainname(CString),
    /// Write a sysctl through the private procfs.
    Sysctl {
        /// Path below `/proc`.
        path: CString,
        /// Value.
        value: CString,
    },
    /// Hide a path: an empty read-only directory, or the engine's own `/dev/null`.
    Mask(InnerPath),
    /// Make a path read-only.
    Readonly(InnerPath),
    /// Set scheduling of the process.
    Scheduler(sys::process::SchedulerAttributes),
    /// Set I/O priority: class, level.
    IoPriority(u8, u8),
    /// Set the NUMA policy: mode, nodes.
    MemoryPolicy(i32, Vec<u64>),
    /// Set the execution domain.
    Personality(u64),
    /// Read from `/dev/null` instead of the caller's standard input.
    NoInput,
    /// Take the pipes that are relayed to the caller's standard streams.
    Streams,
    /// Give every signal its default, let no descriptor of ours survive exec.
    Tidy,
    /// Set the resource limits of the plan: from here few descriptors may be left.
    Limits,
    /// Run on these processors only.
    Affinity(Vec<u64>),
    /// Find the program in the root, so that `create` can tell that there is none.
    FindProgram,
    /// Tell the parent that everything is in place; wait for `start`.
    Ready,
    /// Run the `startContainer` hooks.
    StartHooks,
    /// Write a security label through the private procfs, and read it back.
    Label(Box<Label>),
    /// Take the ids and capabilities of the process.
    Identity(Box<Identity>),
    /// Enter the working directory, and check that it is inside the root.
    WorkingDirectory(CString),
    /// No new privileges from now on.
    NoNewPrivileges,
    /// Install the system call filter.
    Filter,
    /// Stay as pid 1 that reaps and forwards signals, and let a child go on (`--init`).
    Init,
    /// Execute the payload.
    Execute,
}

/// Where the root file system comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum RootSource {
    /// A tree of the host.
    Tree(Slot),
    /// A mount that the parent sends after clone.
    Late,
    /// An overlay mounted by the child: descriptors of the layers, uppermost first, then upper and work.
    Overlay {
        /// Lower layers, uppermost first.
        lower: Vec<Slot>,
        /// Writable layer and its work directory.
        upper: Option<(Slot, Slot)>,
    },
}

/// A mount inside the root.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    /// Where.
    pub destination: InnerPath,
    /// What.
    pub source: MountSource,
    /// Attributes of the mount itself.
    pub attributes: Attributes,
    /// Attributes of the mount and of all below it.
    pub recursive: Attributes,
    /// Propagation changes after attaching.
    pub propagation: Vec<(u64, bool)>,
    /// Refuse any symbolic link on the way: mounts of kernel file systems (CVE-2019-19921, CVE-2025-54867).
    pub no_symlinks: bool,
    /// Copy what is below into the new file system.
    pub copy_up: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq)]
pub enum MountSource {
    /// A new instance of a file system.
    Filesystem {
        /// Type.
        kind: CString,
        /// Source label.
        source: Option<CString>,
        /// Parameters.
        parameters: Vec<Parameter>,
    },
    /// A tree of the host, cloned by the parent, or by the child where the parent may not.
    Tree {
        /// Which.
        slot: Slot,
        /// With everything mounted below.
        recursive: bool,
    },
    /// Directories of the host that are not changed, under one that is thrown away, or under none.
    Overlay {
        /// The directories, uppermost first.
        lower: Vec<Slot>,
        /// Where what is written goes, and its work directory.
        upper: Option<(Slot, Slot)>,
    },
    /// The container's private procfs, made earlier for its own writes.
    Proc {
        /// Parameters.
        parameters: Vec<Parameter>,
    },
    /// Nothing: change what is there.
    Existing,
}

/// Secrets: what they hold is not in the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Secrets {
    /// `/run/secrets`.
    pub directory: InnerPath,
    /// Parameters of the file system.
    pub parameters: Vec<Parameter>,
    /// One for each secret, in the order of their contents.
    pub files: Vec<SecretFile>,
}

/// The file of one secret.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretFile {
    /// Name in the directory.
    pub name: CString,
    /// Where else it is mounted.
    pub target: Option<InnerPath>,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Permission bits.
    pub mode: u32,
}

/// A device node.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Where.
    pub path: InnerPath,
    /// File type bits.
    pub kind: u32,
    /// Major and minor number.
    pub number: (u32, u32),
    /// Permission bits.
    pub mode: u32,
    /// Owner and group inside.
    pub owner: (u32, u32),
    /// The host's node, where nodes cannot be made.
    pub bind: Option<Slot>,
}

/// Ids and capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, exactly these.
    pub groups: Vec<u32>,
    /// File mode creation mask.
    pub umask: u32,
    /// Capability sets.
    pub capabilities: CapabilitySets,
}

/// Five capability sets as bit masks, bit n for capability n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    /// Bounding.
    pub bounding: u64,
    /// Effective.
    pub effective: u64,
    /// Permitted.
    pub permitted: u64,
    /// Inheritable.
    pub inheritable: u64,
    /// Ambient.
    pub ambient: u64,
}

impl Step {
    /// The field of the spec, and the kind of namespace that the step changes, or shows the whole of: it must not be
    /// the host's.
    pub(crate) fn changes(&self) -> Option<(&'static str, NamespaceKind)> {
        match self {
            Self::Hostname(_) => Some(("hostname", NamespaceKind::Uts)),
            Self::Domainname(_) => Some(("domainname", NamespaceKind::Uts)),
            Self::Pivot | Self::MoveRoot => Some(("root", NamespaceKind::Mount)),
            Self::Mount(mount) => match &mount.source {
                MountSource::Filesystem { kind, .. } if kind.to_bytes().starts_with(b"cgroup") => {
                    Some(("mounts", NamespaceKind::Cgroup))
                }
                _ => None,
            },
            Self::Sysctl { path, .. } => Some(("linux.sysctl", sysctl::kind_of(path))),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |string: &CString| string.to_string_lossy().into_owned();
        match self {
            Self::BecomeRoot { uid, gid } => write!(formatter, "become {uid}:{gid} of the user namespace"),
            Self::NewSession => write!(formatter, "start a session"),
            Self::NewCgroupNamespace => write!(formatter, "make a cgroup namespace"),
            Self::NewTimeNamespace { offsets } => {
                write!(formatter, "make a time namespace ({})", text(offsets).trim_end().replace('\n', ", "))
            }
            Self::Loopback => write!(formatter, "bring up the loopback device"),
            Self::NewKeyring => write!(formatter, "join a new session keyring"),
            Self::Propagation(kind) => write!(formatter, "make every mount {}", propagation_name(*kind)),
            Self::AttachRoot(RootSource::Tree(_), _) => write!(formatter, "attach the root directory"),
            Self::AttachRoot(RootSource::Late, _) => {
                write!(formatter, "attach the id-mapped root from the parent")
            }
            Self::AttachRoot(RootSource::Overlay { lower, .. }, _) => {
                write!(formatter, "attach an overlay of {} layers as root", lower.len())
            }
            Self::NosuidRoot => write!(formatter, "make the root nosuid"),
            Self::Mount(mount) => mount.fmt(formatter),
            Self::Secrets(secrets) => {
                write!(formatter, "put {} secrets at {}", secrets.files.len(), secrets.directory)
            }
            Self::Device(device) => write!(
                formatter,
                "{} device {} {}:{} mode {:04o}",
                if device.bind.is_some() { "bind" } else { "make" },
                device.path,
                device.number.0,
                device.number.1,
                device.mode
            ),
            Self::Link { path, target } => write!(formatter, "link {path} -> {}", text(target)),
            Self::Terminal { .. } => write!(formatter, "allocate a terminal at /dev/console"),
            Self::Directory(path) => write!(formatter, "make directory {path}"),
            Self::RuntimeHooks => write!(formatter, "wait for the prestart and createRuntime hooks"),
            Self::ContainerHooks => write!(formatter, "run the createContainer hooks"),
            Self::Pivot => write!(formatter, "pivot into the root, detach the host's mounts"),
            Self::MoveRoot => write!(formatter, "move the root mount to / and chroot"),
            Self::RootPropagation(kind) => {
                write!(formatter, "make the root mount {}", propagation_name(*kind))
            }
            Self::ReadonlyRoot => write!(formatter, "make the root read-only"),
            Self::Hostname(name) => write!(formatter, "set the host name `{}`", text(name)),
            Self::Domainname(name) => write!(formatter, "set the domain name `{}`", text(name)),
            Self::Sysctl { path, value } => {
                write!(formatter, "write `{}` to /proc/{}", text(value), text(path))
            }
            Self::Mask(path) => write!(formatter, "mask {path}"),
            Self::Readonly(path) => write!(formatter, "make {path} read-only"),
            Self::Scheduler(attributes) => write!(formatter, "set scheduling policy {}", attributes.policy),
            Self::IoPriority(class, level) => {
                write!(formatter, "set I/O priority class {class} level {level}")
            }
            Self::MemoryPolicy(mode, _) => write!(formatter, "set memory policy {mode}"),
            Self::Personality(domain) => write!(formatter, "set execution domain {domain:#x}"),
            Self::Streams => write!(formatter, "take pipes as standard streams"),
            Self::NoInput => write!(formatter, "take /dev/null as standard input"),
            Self::Tidy => write!(formatter, "reset signals, close descriptors on exec"),
            Self::Limits => write!(formatter, "set the resource limits"),
            Self::Affinity(mask) => write!(formatter, "run on the processors {mask:x?}"),
            Self::FindProgram => write!(formatter, "find the program"),
            Self::Ready => write!(formatter, "wait for start"),
            Self::StartHooks => write!(formatter, "run the startContainer hooks"),
            Self::Label(label) => {
                let (written, file) = (text(&label.written), text(&label.file));
                write!(formatter, "write the label `{written}` to {file}, read it back")
            }
            Self::Identity(identity) => {
                let sets = &identity.capabilities;
                write!(
                    formatter,
                    "become uid {} gid {} groups {:?} with capabilities bounding {:#x} permitted {:#x} \
                     effective {:#x} inheritable {:#x} ambient {:#x}",
                    identity.uid,
                    identity.gid,
                    identity.groups,
                    sets.bounding,
                    sets.permitted,
                    sets.effective,
                    sets.inheritable,
                    sets.ambient
                )
            }
            Self::WorkingDirectory(path) => {
                write!(formatter, "enter {}, check that it is inside", text(path))
            }
            Self::NoNewPrivileges => write!(formatter, "set no_new_privs"),
            Self::Filter => write!(formatter, "install the seccomp filter"),
            Self::Init => write!(formatter, "stay as pid 1, go on in a child"),
            Self::Execute => write!(formatter, "execute the payload through a sealed stub"),
        }
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            MountSource::Filesystem { kind, parameters, .. } => {
                write!(formatter, "mount {} at {}", kind.to_string_lossy(), self.destination)?;
                write_parameters(formatter, parameters)?;
            }
            MountSource::Proc { parameters } => {
                write!(formatter, "mount proc at {}", self.destination)?;
                write_parameters(formatter, parameters)?;
            }
            MountSource::Tree { slot, recursive } => {
                let how = if *recursive { "rbind" } else { "bind" };
                write!(formatter, "{how} source {} at {}", slot.0, self.destination)?;
            }
            MountSource::Overlay { lower, upper } => {
                let lower: Vec<String> = lower.iter().map(|slot| slot.0.to_string()).collect();
                write!(formatter, "overlay source {}", lower.join(":"))?;
                if let Some((upper, _)) = upper {
                    write!(formatter, " with {}", upper.0)?;
                }
                write!(formatter, " at {}", self.destination)?;
            }
            MountSource::Existing => write!(formatter, "remount {}", self.destination)?,
        }
        for (name, attributes) in [("set", &self.attributes), ("set below", &self.recursive)] {
            if attributes.set != 0 || attributes.clear != 0 {
                write!(formatter, ", {name} {:#x} clear {:#x}", attributes.set, attributes.clear)?;
            }
        }
        for (kind, below) in &self.propagation {
            write!(formatter, ", {}{}", if *below { "r" } else { "" }, propagation_name(*kind))?;
        }
        if self.copy_up {
            write!(formatter, ", copy up")?;
        }
        Ok(())
    }
}

fn write_parameters(formatter: &mut fmt::Formatter<'_>, parameters: &[Parameter]) -> fmt::Result {
    for parameter in parameters {
        write!(formatter, " {}", parameter.key.to_string_lossy())?;
        if let Some(value) = &parameter.value {
            write!(formatter, "={}", value.to_string_lossy())?;
        }
    }
    Ok(())
}

fn propagation_name(kind: u64) -> &'static str {
    match kind {
        0x2_0000 => "unbindable",
        0x4_0000 => "private",
        0x8_0000 => "slave",
        0x10_0000 => "shared",
        _ => "as it is",
    }
}
