//! From defaults, image and flags to a runtime specification.
//!
//! [`build`] is pure: the same image, options and host facts give the same specification, which tests
//! compare as snapshots and `--dry-run` prints. Defaults come first, then the image, then the flags; no
//! label of the image ever decides anything (CVE-2026-53488).

mod ids;
pub(crate) use ids::Maps;
pub(crate) mod mounts;
mod process;
pub(crate) mod resources;
mod seccomp;
mod security;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use idmap::Map;
use oci::image::Config;
use oci::runtime::{
    Linux, Namespace, NamespaceKind, Personality, Process, Resources, Root, SPEC_VERSION, Spec,
};

pub(crate) use process::PROXY;
pub use process::signal;
pub(crate) use process::{clean, signal_name, workdir};

use crate::error::{Error, Result};
use crate::host::{Host, IdSource};
use crate::network::{self, Network, NetworkConfig};
use crate::options::{NamespaceOptions, Options, Sharing};
use crate::peer::{Peer, Peers};
use crate::profile::Profile;
use crate::protection::{self, Protection};
use crate::value::name::ContainerId;
use crate::value::user::{Accounts, Resolved};
use crate::weakening::{Weakening, WeakeningKind, Weakenings};

/// The user of the strict profile where neither image nor flags name one: the kernel's overflow id, which
/// owns nothing.
const STRICT_USER: &str = "65534:65534";

/// What the image says.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Its configuration.
    pub config: &'a Config,
    /// Its users and groups.
    pub accounts: &'a Accounts,
}

/// The files of the engine that are mounted over the image's, as paths on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineFiles {
    /// `/etc/hosts`.
    pub hosts: PathBuf,
    /// `/etc/hostname`.
    pub host_name: PathBuf,
    /// `/etc/resolv.conf`.
    pub resolver: PathBuf,
    /// `/etc/localtime`, with `--tz`.
    pub time_zone: PathBuf,
    /// The directory with the socket of `--sdnotify container`.
    pub notify: PathBuf,
}

/// A specification and everything a person should know about it.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What the runtime gets; its root path is a placeholder.
    pub spec: Spec,
    /// What the paths of its bind mounts led to when the guard saw them.
    pub checked_sources: Vec<runtime::CheckedSource>,
    /// Limits nobody asked for; they are not in `spec`.
    pub default_limits: Resources,
    /// What was opened.
    pub weakenings: Vec<Weakening>,
    /// What works less well than asked for.
    pub warnings: Vec<String>,
    /// Which protections are in force, as far as is known before the start.
    pub protections: Vec<Protection>,
    /// How it is connected.
    pub connection: Network,
    /// What it joins: the paths in `spec` are those of these descriptors.
    pub peers: Peers,
    /// The same for its record.
    pub network: NetworkConfig,
    /// The signal that asks the container to stop.
    pub stop_signal: i32,
    /// The container's host name.
    pub host_name: String,
    /// The maps of its user namespace, users then groups; none if it shares the host's.
    pub maps: Option<(Map, Map)>,
}

/// Builds the specification of a container.
///
/// # Errors
/// Every variant of [`Error`] that speaks of a value, a user, the image or a host path.
pub fn build(
    id: &ContainerId,
    image: Image<'_>,
    options: &Options,
    host: &Host,
    files: Option<&EngineFiles>,
) -> Result<Configured> {
    check(options)?;
    let mut weakenings = Weakenings::default();
    let mut warnings = Vec::new();
    let mut protections = Vec::new();
    if options.profile == Profile::Docker {
        let opens = "Docker's capabilities, system calls and masks";
        weakenings.open(WeakeningKind::Profile, "--profile docker", opens);
    }

    let mut user = resolve_user(image, options)?;
    if let crate::value::ids::UserNamespace::KeepId { uid, gid } = options.namespaces.user
        && options.process.user.is_none()
        && image.config.user.is_empty()
    {
        // Who keeps his id wants to be it, as with podman.
        (user.uid, user.gid) = (uid.unwrap_or(host.uid), gid.unwrap_or(host.gid));
        user.groups = vec![user.gid];
    }
    let maps = match host.peers.maps(options, host)? {
        Some(joined) => {
            protections.push(Protection::applied("user namespace"));
            Some(joined)
        }
        None => ids::maps(options, &user, host, &mut weakenings, &mut protections)?,
    };
    let groups = mapped_ids(&user, maps.as_ref(), options, host, &mut warnings)?;
    let host_name = match host.peers.host_name() {
        Some(name) => name.to_owned(),
        None => host_name(id, &options.namespaces)?,
    };

    let capabilities = security::capabilities(options, &user, &mut weakenings);
    let exposed: Vec<String> = image.config.exposed_ports.iter().cloned().collect();
    let connection =
        network::choose(options, &exposed, &capabilities.bounding, host, &mut weakenings, &mut warnings)?;
    network::report(&connection, maps.is_some(), host, &mut protections);
    let no_new_privileges = security::no_new_privileges(options, &mut weakenings);
    let labels = security::labels(options, host, &mut weakenings, &mut protections)?;
    let seccomp = seccomp::filter(options, &capabilities.bounding, host, &mut weakenings, &mut protections)?;
    security::report(no_new_privileges, &mut protections);
    if options.process.oom_score_adj.is_some_and(|score| score < 0) {
        let flag = format!("--oom-score-adj {}", options.process.oom_score_adj.unwrap_or(0));
        weakenings.open(
            WeakeningKind::OutOfMemory,
            flag,
            "other programs are killed first when memory runs out",
        );
    }
    let process = Process {
        terminal: options.terminal,
        user: process::user(options, &user, groups),
        args: process::args(image.config, options)?,
        env: process::environment(image.config, options, &user, &host_name, host, &mut weakenings)?,
        cwd: process::working_directory(image.config, options)?,
        capabilities: Some(capabilities),
        rlimits: resources::rlimits(options, host, &mut warnings)?,
        no_new_privileges,
        apparmor_profile: labels.apparmor,
        selinux_label: labels.process,
        oom_score_adj: options.process.oom_score_adj,
        ..Process::default()
    };

    let user_namespace = maps.is_some();
    let gids = maps.as_ref().map(|maps| &maps.gids);
    let tty_gid = gids.is_none_or(|map| map.to_host(5).is_some());
    let mut mounts = mounts::kernel(options, user_namespace, tty_gid, host, &mut weakenings);
    mounts.extend(mounts::engine_files(files, options));
    mounts.extend(mounts::scratch(options));
    mounts.extend(mounts::notify(files, options));
    mounts.extend(mounts::requested(options, host, user_namespace && !host.is_rootless(), &mut weakenings)?);
    let (masked_paths, readonly_paths) =
        security::kernel_files(options, user_namespace, host, &mut weakenings);
    let (devices, device_rules) =
        resources::devices(options, user_namespace, host, &mut mounts, &mut weakenings)?;
    let mut limits = resources::resources(options, host)?;
    limits.devices = device_rules;

    let mut shared = namespaces(&options.namespaces, user_namespace, &mut weakenings);
    let mut new_maps = maps.as_ref();
    if let Network::Container(peer) = &connection {
        join_network(peer, &mut shared);
        new_maps = new_maps.filter(|_| peer.user_path().is_none());
    }
    host.peers.join(&mut shared, &mut weakenings, &mut warnings);
    if host.is_rootless() && host.peers.user_path().is_some() {
        new_maps = None;
    }
    let linux = Linux {
        devices,
        // A user namespace that is joined has its maps.
        uid_mappings: new_maps.map(|maps| maps.uids.ranges().to_vec()).unwrap_or_default(),
        gid_mappings: new_maps.map(|maps| maps.gids.ranges().to_vec()).unwrap_or_default(),
        sysctl: security::sysctls(options, gids)?,
        cgroups_path: options.limits.cgroup_parent.as_ref().map(|parent| format!("{parent}/brig-{id}")),
        resources: Some(limits),
        seccomp,
        namespaces: shared,
        masked_paths,
        readonly_paths,
        mount_label: labels.files,
        personality: options
            .process
            .personality
            .clone()
            .map(|domain| Personality { domain, ..Personality::default() }),
        ..Linux::default()
    };
    let spec = Spec {
        oci_version: SPEC_VERSION.to_owned(),
        root: Some(Root {
            path: "rootfs".to_owned(),
            readonly: options.read_only || options.profile == Profile::Strict,
        }),
        mounts,
        process: Some(process),
        hostname: (options.namespaces.uts == Sharing::Private).then(|| host_name.clone()),
        domainname: options.namespaces.domain_name.clone(),
        linux: Some(linux),
        annotations: options.annotations.iter().cloned().collect::<BTreeMap<_, _>>(),
        ..Spec::default()
    };
    if options.require_all {
        protection::require_all(&protections)?;
    }
    Ok(Configured {
        spec,
        checked_sources: mounts::checked(host),
        default_limits: resources::defaults(options, host, &mut weakenings),
        weakenings: weakenings.into_vec(),
        warnings,
        protections,
        network: network::config(&connection, &options.network, &exposed),
        connection,
        peers: host.peers.clone(),
        stop_signal: process::stop_signal(image.config, options)?,
        host_name,
        maps: maps.map(|maps| (maps.uids, maps.gids)),
    })
}

/// Refuses combinations that contradict each other before anything else is looked at.
fn check(options: &Options) -> Result<()> {
    let conflict = |first: &str, second: &str, reason| {
        Err(Error::Conflict { first: first.to_owned(), second: second.to_owned(), reason })
    };
    let namespaces = &options.namespaces;
    if options.profile == Profile::Strict {
        if options.privileged {
            return conflict("--privileged", "--profile strict", "one opens everything, the other closes it");
        }
        if namespaces.network == Sharing::Host {
            return conflict("--network host", "--profile strict", "the profile has no network");
        }
    }
    if namespaces.uts != Sharing::Private
        && (namespaces.host_name.is_some() || namespaces.domain_name.is_some())
    {
        return conflict("--hostname", "--uts", "the name is not the container's own");
    }
    if namespaces.ipc != Sharing::Private && options.shm_size.is_some() {
        return conflict("--shm-size", "--ipc", "the /dev/shm that is shared has its own size");
    }
    if options.process.init && namespaces.pid != Sharing::Private {
        return conflict("--init", "--pid", "there is a first process already");
    }
    Ok(())
}

fn resolve_user(image: Image<'_>, options: &Options) -> Result<Resolved> {
    let named =
        options.process.user.as_deref().or(Some(image.config.user.as_str()).filter(|user| !user.is_empty()));
    let strict = options.profile == Profile::Strict;
    let text = named.unwrap_or(if strict { STRICT_USER } else { "" });
    let user = image.accounts.resolve(text, &options.process.group_add)?;
    if strict && (user.uid == 0 || user.groups.contains(&0)) {
        let reason = if user.uid == 0 {
            "it is root, which `--profile strict` refuses: name another user with `--user`"
        } else {
            "its group is root's, which `--profile strict` refuses: name a group with `--user USER:GROUP`"
        };
        return Err(Error::User { value: text.to_owned(), reason: reason.to_owned() });
    }
    Ok(user)
}

/// Checks that every id of the process exists in its user namespace; returns its supplementary groups.
fn mapped_ids(
    user: &Resolved,
    maps: Option<&ids::Maps>,
    options: &Options,
    host: &Host,
    warnings: &mut Vec<String>,
) -> Result<Vec<u32>> {
    let Some(maps) = maps else { return Ok(user.groups.clone()) };
    let fail = |value: String, what: &str| Error::User {
        value,
        reason: format!(
            "the container's user namespace has no such {what}: see `brig doctor` and `--userns`"
        ),
    };
    if maps.uids.to_host(user.uid).is_none() {
        return Err(fail(user.uid.to_string(), "user"));
    }
    if maps.gids.to_host(user.gid).is_none() {
        return Err(fail(format!("{}:{}", user.uid, user.gid), "group"));
    }
    if matches!(host.ids, IdSource::Single(_)) {
        // The kernel lets a plain user write a single-id map only after setgroups(2) is denied for good.
        if !options.process.group_add.is_empty() {
            return Err(fail(options.process.group_add.join(","), "group"));
        }
        if user.groups.len() > 1 {
            warnings.push(
                "supplementary groups of the image are left out: you have a single group id".to_owned(),
            );
        }
        return Ok(Vec::new());
    }
    match user.groups.iter().find(|gid| maps.gids.to_host(**gid).is_none()) {
        Some(gid) => Err(fail(format!("supplementary group {gid}"), "group")),
        None => Ok(user.groups.clone()),
    }
}

fn host_name(id: &ContainerId, namespaces: &NamespaceOptions) -> Result<String> {
    match &namespaces.host_name {
        Some(name) => crate::value::name::host_name("--hostname", name),
        None => Ok(id.short().to_owned()),
    }
}

/// Lets the network, and of a plain user's container the user namespace that owns it, be another container's.
fn join_network(peer: &Peer, list: &mut [Namespace]) {
    for namespace in list {
        match namespace.kind {
            NamespaceKind::Network => namespace.path = Some(peer.network_path()),
            NamespaceKind::User => namespace.path = peer.user_path(),
            _ => {}
        }
    }
}

/// The namespaces to create; one that the host shares is not listed.
fn namespaces(
    request: &NamespaceOptions,
    user_namespace: bool,
    weakenings: &mut Weakenings,
) -> Vec<Namespace> {
    let mut list = Vec::with_capacity(7);
    let mut add = |kind| list.push(Namespace { kind, path: None });
    if user_namespace {
        add(NamespaceKind::User);
    }
    add(NamespaceKind::Mount);
    for (kind, sharing, flag, opens) in [
        (NamespaceKind::Pid, &request.pid, "--pid host", "seeing and signalling the host's processes"),
        (NamespaceKind::Ipc, &request.ipc, "--ipc host", "the host's shared memory and queues"),
        (NamespaceKind::Uts, &request.uts, "--uts host", "the host's name"),
        (NamespaceKind::Cgroup, &request.cgroup, "--cgroupns host", "the host's tree of control groups"),
        (
            NamespaceKind::Network,
            &request.network,
            "--network host",
            "the host's network, local services too",
        ),
    ] {
        match sharing {
            // Whose it is comes later.
            Sharing::Private | Sharing::Container(_) => add(kind),
            Sharing::Host => weakenings.open(WeakeningKind::Namespace, flag, opens),
        }
    }
    list
}
