//! The mounts: the kernel's own file systems first, then the engine's files, then what was asked for.

use oci::runtime::Mount;

use crate::error::{Error, Result};
use crate::guard;
use crate::host::{Host, VolumeSource};
use crate::notify::{self, Notify};
use crate::options::{Options, Sharing};
use crate::overlays;
use crate::profile::Profile;
use crate::spec::EngineFiles;
use crate::value::mount::{MountKind, MountRequest};
use crate::weakening::{WeakeningKind, Weakenings};

/// Bytes of `/dev/shm` unless a flag says otherwise, as docker has it.
const SHM_SIZE: i64 = 64 << 20;

pub(crate) fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

/// What decides how `/sys` is mounted: a new sysfs needs a network namespace of the same user namespace.
pub(crate) fn host_sys(options: &Options, user_namespace: bool, host: &Host) -> bool {
    // A plain user's container joins the user namespace as well.
    let joined = matches!(options.network.mode, network::Mode::Container(_)) && host.uid == 0;
    user_namespace && (options.namespaces.network == Sharing::Host || joined)
}

/// `/proc`, `/dev`, `/sys` and what lies below them.
///
/// `tty_gid` says whether group 5 is mapped, which devpts then gives to terminals, `host` whether there are
/// message queues to share.
pub(crate) fn kernel(
    options: &Options,
    user_namespace: bool,
    tty_gid: bool,
    host: &Host,
    weakenings: &mut Weakenings,
) -> Vec<Mount> {
    let namespaces = &options.namespaces;
    let mut mounts = Vec::with_capacity(16);
    // A new procfs needs a process namespace of the same user namespace.
    mounts.push(match (&namespaces.pid, user_namespace) {
        (Sharing::Host, true) => mount("/proc", "bind", "/proc", &["rbind", "nosuid", "noexec", "nodev"]),
        _ => mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
    });
    mounts.push(mount(
        "/dev",
        "tmpfs",
        "tmpfs",
        &["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"],
    ));
    let mut devpts = mount(
        "/dev/pts",
        "devpts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    );
    if tty_gid {
        devpts.options.push("gid=5".to_owned());
    }
    mounts.push(devpts);
    let writable = options.privileged;
    let access = if writable { "rw" } else { "ro" };
    mounts.push(if host_sys(options, user_namespace, host) {
        let recursive = if writable { "rw" } else { "rro" };
        mount("/sys", "bind", "/sys", &["rbind", "nosuid", "noexec", "nodev", recursive])
    } else {
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access])
    });
    mounts.push(mount(
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", access],
    ));
    if writable {
        weakenings.open(WeakeningKind::KernelFile, "--privileged", "writing to /sys and to its own cgroup");
    }
    match &namespaces.ipc {
        Sharing::Private | Sharing::Container(_) => {
            mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
            let size = format!("size={}", options.shm_size.unwrap_or(SHM_SIZE));
            mounts.push(match host.peers.memory_path() {
                Some(memory) => mount("/dev/shm", "bind", &memory, &["bind", "nosuid", "noexec", "nodev"]),
                None => mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &size]),
            });
        }
        Sharing::Host => {
            // A mount of our own would need rights over the host's namespace of queues.
            if host.queues {
                mounts.push(mount(
                    "/dev/mqueue",
                    "bind",
                    "/dev/mqueue",
                    &["bind", "nosuid", "noexec", "nodev"],
                ));
            }
            mounts.push(mount("/dev/shm", "bind", "/dev/shm", &["bind", "nosuid", "noexec", "nodev"]));
        }
    }
    mounts
}

/// The three files that name hosts, and the time zone's. They live in the container's own directory and are mounted read-write,
/// as docker has it: programs edit `/etc/hosts`, and a change shows in this container only.
pub(crate) fn engine_files(files: Option<&EngineFiles>, options: &Options) -> Vec<Mount> {
    let Some(files) = files else { return Vec::new() };
    let names = &options.names;
    [
        ("/etc/hosts", &files.hosts, !names.no_hosts),
        ("/etc/hostname", &files.host_name, !names.no_host_name),
        ("/etc/resolv.conf", &files.resolver, true),
        ("/etc/localtime", &files.time_zone, options.process.time_zone.is_some()),
    ]
    .into_iter()
    .filter(|(_, _, wanted)| *wanted)
    .map(|(target, source, _)| {
        mount(target, "bind", &source.to_string_lossy(), &["bind", "nosuid", "nodev", "noexec"])
    })
    .collect()
}

/// The directory with the socket that a container says by that it is up.
pub(crate) fn notify(files: Option<&EngineFiles>, options: &Options) -> Option<Mount> {
    let source = &files.filter(|_| options.notify == Notify::Container)?.notify;
    let flags = &["bind", "ro", "nosuid", "nodev", "noexec"];
    Some(mount(notify::DIRECTORY, "bind", &source.to_string_lossy(), flags))
}

/// What a read-only root needs to be of use: the strict profile gives these by itself, `--read-only-tmpfs` to others.
pub(crate) fn scratch(options: &Options) -> Vec<Mount> {
    if options.profile != Profile::Strict && !options.scratch {
        return Vec::new();
    }
    ["/tmp", "/run", "/var/tmp"]
        .into_iter()
        .filter(|target| options.mounts.iter().all(|mount| mount.target != *target))
        .map(|target| {
            mount(target, "tmpfs", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"])
        })
        .collect()
}

/// The mounts of `-v`, `--mount` and `--tmpfs`, each past the guard; what lies below another mount comes after it.
///
/// `mapped` says whether files of the host have to be shown by an id map to have the ids that they have on disk.
pub(crate) fn requested(
    options: &Options,
    host: &Host,
    mapped: bool,
    weakenings: &mut Weakenings,
) -> Result<Vec<Mount>> {
    let mut mounts = Vec::with_capacity(options.mounts.len());
    for (at, request) in options.mounts.iter().enumerate() {
        if options.mounts[..at].iter().any(|other| same(&other.target, &request.target)) {
            return Err(Error::Conflict {
                first: request.typed.clone(),
                second: "an earlier mount".into(),
                reason: "both mount over the same path",
            });
        }
        let read_only = request.read_only;
        let mut made = match &request.kind {
            MountKind::Bind { source, recursive } => {
                bind(request, source, (*recursive, read_only), options, host, weakenings)?
            }
            MountKind::Tmpfs { size, mode, copy_up } => tmpfs(&request.target, *size, Some(*mode), *copy_up),
            MountKind::Volume { name, .. } => {
                let Some(source) = host.volumes.get(&at) else {
                    return Err(Error::NoVolume { name: name.clone() });
                };
                volume(request, source, (options, mapped), host, weakenings)?
            }
            MountKind::Image { image } => of_image(request, image, host.images.get(&at), mapped)?,
            MountKind::Overlay { source } => overlay(request, source, at, options, host, weakenings)?,
        };
        flags(request, &mut made.options, weakenings);
        mounts.push(made);
    }
    mounts.sort_by_key(|mount| depth(&mount.destination));
    Ok(mounts)
}

/// How many names a target has: what lies below another mount comes after it.
pub(crate) fn depth(target: &str) -> usize {
    target.split('/').filter(|part| !part.is_empty()).count()
}

/// A host directory under one that is thrown away. What may be read of it is what a read-only mount would show.
fn overlay(
    request: &MountRequest,
    source: &str,
    at: usize,
    options: &Options,
    host: &Host,
    weakenings: &mut Weakenings,
) -> Result<Mount> {
    let bound = bind(request, source, (false, true), options, host, weakenings)?;
    let lower = bound.source.unwrap_or_default();
    if host.sources.get(source).is_some_and(|found| !found.directory) {
        return Err(Error::value("--volume", source, "an overlay is of a directory"));
    }
    let (upper, work) = overlays::paths(&host.container, at);
    if [&lower, &upper].iter().any(|path| path.contains([':', ',', '\\'])) {
        return Err(Error::value("--volume", lower, "an overlay's path holds no `:`, `,` or `\\`"));
    }
    let layers = [format!("lowerdir={lower}"), format!("upperdir={upper}"), format!("workdir={work}")];
    let mut mount = mount(&request.target, "overlay", "overlay", &[]);
    mount.options.extend(layers);
    mount.options.extend(bound.options.into_iter().filter(|option| option == "idmap"));
    Ok(mount)
}

/// The layers of an image, over each other. One alone needs no overlay, and the kernel makes none of it.
fn of_image(
    request: &MountRequest,
    image: &str,
    layers: Option<&Vec<String>>,
    mapped: bool,
) -> Result<Mount> {
    let layers = layers.map(Vec::as_slice).unwrap_or_default();
    let mut made = match layers {
        [layer] => mount(&request.target, "bind", layer, &["bind", "rprivate"]),
        _ => {
            if layers.iter().any(|path| path.contains([':', ',', '\\'])) {
                let reason = "the store's path holds no `:`, `,` or `\\` then";
                return Err(Error::value("--mount", image.escape_debug().to_string(), reason));
            }
            let lower = format!("lowerdir={}", layers.join(":"));
            mount(&request.target, "overlay", "overlay", &[&lower])
        }
    };
    if mapped {
        // The ids on disk are the image's: each start has another range of the host's.
        made.options.push("idmap".to_owned());
    }
    Ok(made)
}

fn tmpfs(target: &str, size: Option<i64>, mode: Option<u32>, copy_up: bool) -> Mount {
    let mut mount = mount(target, "tmpfs", "tmpfs", &[]);
    mount.options.extend(mode.map(|mode| format!("mode={mode:o}")));
    mount.options.extend(size.map(|size| format!("size={size}")));
    if copy_up {
        mount.options.push("tmpcopyup".to_owned());
    }
    mount
}

fn volume(
    request: &MountRequest,
    source: &VolumeSource,
    (options, mapped): (&Options, bool),
    host: &Host,
    weakenings: &mut Weakenings,
) -> Result<Mount> {
    match source {
        VolumeSource::Directory { path, .. } => {
            let mut mount = mount(&request.target, "bind", path, &["bind"]);
            if mapped {
                // The ids on disk are the container's: each start has another range of the host's.
                mount.options.push("idmap".to_owned());
            }
            mount.options.push("rprivate".to_owned());
            Ok(mount)
        }
        VolumeSource::Tmpfs(memory) => {
            let size = memory.size.and_then(|size| i64::try_from(size).ok());
            let mut mount = tmpfs(&request.target, size, memory.mode, false);
            mount.options.extend(memory.uid.map(|uid| format!("uid={uid}")));
            mount.options.extend(memory.gid.map(|gid| format!("gid={gid}")));
            for (word, is_set) in [("ro", memory.read_only), ("noexec", memory.no_exec)] {
                if is_set {
                    mount.options.push(word.to_owned());
                }
            }
            Ok(mount)
        }
        VolumeSource::Bind { source, read_only } => {
            let read_only = request.read_only || *read_only;
            let mut mount = bind(request, source, (true, read_only), options, host, weakenings)?;
            if read_only && !request.read_only {
                mount.options.push("rro".to_owned());
            }
            Ok(mount)
        }
    }
}

/// What the guard saw, for the runtime to compare with what it opens.
pub(crate) fn checked(host: &Host) -> Vec<runtime::CheckedSource> {
    let sources = host.sources.values().filter_map(|source| {
        let (device, inode) = source.identity;
        Some(runtime::CheckedSource { path: source.resolved.to_str()?.to_owned(), device, inode })
    });
    let volumes = host.volumes.values().filter_map(|volume| match volume {
        VolumeSource::Directory { path, identity: (device, inode) } => {
            Some(runtime::CheckedSource { path: path.clone(), device: *device, inode: *inode })
        }
        VolumeSource::Tmpfs(_) | VolumeSource::Bind { .. } => None,
    });
    sources.chain(volumes).collect()
}

fn bind(
    request: &MountRequest,
    source: &str,
    (recursive, read_only): (bool, bool),
    options: &Options,
    host: &Host,
    weakenings: &mut Weakenings,
) -> Result<Mount> {
    let Some(found) = host.sources.get(source) else {
        return Err(Error::Source { path: source.into(), source: rustix::io::Errno::NOENT });
    };
    let path = &found.resolved;
    let check = |allowed| guard::refuse(path, found.socket, read_only, &host.own_directories, allowed);
    if let Some(reason) = check(&options.allowed_host_paths) {
        return Err(Error::HostPath { path: path.clone(), reason });
    }
    if let Some(reason) = check(&[]) {
        let flag = format!("--allow-host-path {}", path.display());
        weakenings.open(WeakeningKind::HostPath, flag, format!("`{}`: {reason}", path.display()));
    }
    let Some(path) = path.to_str() else {
        return Err(Error::value("--volume", path.to_string_lossy(), "the path is not UTF-8"));
    };
    let kind = if recursive { "rbind" } else { "bind" };
    let mut mount = mount(&request.target, "bind", path, &[kind]);
    if request.id_mapped {
        weakenings.open(
            WeakeningKind::MountOption,
            &request.typed,
            "the host's files there as the host's own users, root too",
        );
        mount.options.push(if recursive { "ridmap" } else { "idmap" }.to_owned());
    }
    mount.options.push(request.propagation.clone().unwrap_or_else(|| "rprivate".to_owned()));
    Ok(mount)
}

/// Access flags. A bind mount's also hold for the mounts below it, where that is asked for.
fn flags(request: &MountRequest, options: &mut Vec<String>, weakenings: &mut Weakenings) {
    let recursive = options.iter().any(|option| option == "rbind");
    if request.read_only && request.writable_below {
        options.push("ro".to_owned());
    }
    let mut push = |plain: &str, recursively: &str| {
        options.push(if recursive { recursively.to_owned() } else { plain.to_owned() });
    };
    if request.read_only && !request.writable_below {
        push("ro", "rro");
    }
    if !request.exec {
        push("noexec", "rnoexec");
    }
    if request.suid {
        weakenings.open(WeakeningKind::MountOption, &request.typed, "set-id programs on this mount");
    } else {
        push("nosuid", "rnosuid");
    }
    if request.dev {
        weakenings.open(WeakeningKind::MountOption, &request.typed, "device nodes on this mount");
    } else {
        push("nodev", "rnodev");
    }
}

/// Whether two paths of the container are one, as far as their words tell.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let parts = |path: &str| {
        path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect::<Vec<_>>()
    };
    parts(one) == parts(other)
}
