//! One container in the foreground: from an image's name to an exit code, and nothing left behind.
//!
//! The order matters to whoever kills us in between: the run-time lock, then the directory, then the name,
//! then the hold on the image; taken down in reverse. Until the record is written a container counts as one
//! that was not meant to stay.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use idmap::allocate::{self, Claim, Pool};
use idmap::{Map, Span, Subordinate};
use monitor::Life;
use oci::Reference;
use oci::image::Platform;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use store::{Image, Ownership, Snapshot, Store};

use crate::containers::{Containers, Reserved};
use crate::error::{Error, Result};
use crate::host::{Host, IdSource};
use crate::images;
use crate::kept::{KEPT, Kept, SPEC};
use crate::lsm::{Categories, Modules, selinux};
use crate::network::{Network, NetworkFacts};
use crate::options::Options;
use crate::peer::Peers;
use crate::record::{ProcessConfig, Record};
use crate::spec::{self, Configured, EngineFiles};
use crate::value::ids::{DEFAULT_SIZE, UserNamespace};
use crate::value::name::ContainerId;
use crate::value::user::Accounts;
use crate::{lookup, names, notify, overlays, peer, secrets, time_zone, value, volumes};

/// Most bytes of the image's account files and of the host's `resolv.conf` that are read.
const MAX_FILE: u64 = 1 << 20;

/// Where containers are run.
#[derive(Debug)]
pub struct Site<'a> {
    /// The images.
    pub store: &'a Store,
    /// The containers.
    pub containers: &'a Containers<'a>,
    /// The running program, which the built-in image is made of.
    pub binary: BorrowedFd<'a>,
    /// The caller's environment.
    pub environment: Vec<(String, String)>,
    /// The host's configuration directory, usually `/etc`.
    pub etc: &'a Path,
    /// The bus of the systemd that makes the caller's scopes, where there is one.
    pub bus: Option<PathBuf>,
}

/// A container that is ready to start.
#[derive(Debug)]
pub struct Ready {
    pub(crate) reserved: Reserved,
    pub(crate) snapshot: Snapshot,
    pub(crate) claim: Option<Claim>,
    pub(crate) categories: Option<Categories>,
    pub(crate) options: Options,
    /// Its specification and what should be known about it.
    pub configured: Configured,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, or 128 and the signal that ended it.
    pub code: u8,
    /// What could not be done and was not asked for.
    pub warnings: Vec<String>,
}

/// What `--dry-run` prints.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The specification and what should be known about it.
    pub configured: Configured,
    /// The image's id.
    pub image_id: String,
    /// The steps of the runtime.
    pub plan: runtime::plan::Plan,
}

/// How the files of a store belong to this user, and where the ids of his containers come from.
///
/// # Errors
/// [`Error::Ids`] where the files of subordinate ids cannot be read.
pub fn ownership(etc: &Path) -> Result<(Ownership, IdSource)> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if user == 0 {
        return Ok((Ownership::Kept, IdSource::Range(Span { start: 0, count: 0 })));
    }
    let own = Subordinate::for_user(etc, user)?;
    if !own.is_usable() {
        let name = own.name.unwrap_or_else(|| user.to_string());
        let mut reason = format!("`{name}` has no subordinate ids, so only one id exists inside");
        if let Some(groups) = kept_groups(group) {
            reason.push_str(&format!(", and your groups {groups} stay in force there"));
        }
        let ownership = Ownership::Mapped { uid: Map::single(0, user)?, gid: Map::single(0, group)? };
        return Ok((ownership, IdSource::Single(reason)));
    }
    let ownership = Ownership::Mapped {
        uid: Map::rootless(user, &own.uids, u32::MAX - 1)?,
        gid: Map::rootless(group, &own.gids, u32::MAX - 1)?,
    };
    Ok((ownership, IdSource::Subordinate { uids: own.uids, gids: own.gids }))
}

/// The supplementary groups that a container has from its caller, when setgroups(2) is denied to it: user_namespaces(7)
/// denies it so that nobody gets rid of a group that a mode refuses (CVE-2014-8989).
fn kept_groups(own: u32) -> Option<String> {
    let groups = rustix::process::getgroups().unwrap_or_default();
    let others: Vec<String> =
        groups.iter().map(|group| group.as_raw()).filter(|id| *id != own).map(|id| id.to_string()).collect();
    (!others.is_empty()).then(|| others.join(", "))
}

/// Finds the image, makes the container's directories, builds its specification.
///
/// # Errors
/// Whatever is wrong with image, options or host; nothing is left behind then.
pub fn prepare(site: &Site<'_>, image: &str, options: &Options, ids: IdSource) -> Result<Ready> {
    let lock = site.store.shared()?;
    let found = find(site, image)?;
    let snapshot = site.store.prepare(&found)?;
    let reserved = site.containers.reserve(options.name.as_ref())?;
    let held = store::hold(reserved.directory.as_fd(), &found)
        .map_err(Error::from)
        .and_then(|()| images::hold(site, reserved.directory.as_fd(), options));
    drop(lock);
    let mut options = options.clone();
    let config = &found.configuration.config;
    let held = held.and_then(|()| secrets::check(site.store, &options));
    let settled = held.and_then(|()| volumes::settle(site, config, &mut options, &snapshot));
    let made = settled.and_then(|settled| {
        let made = make(site, image, &found, &options, ids, &snapshot, &reserved);
        match made {
            Ok((mut configured, claim, categories)) => {
                configured.warnings.extend_from_slice(&settled.warnings);
                // From here on the record names the volumes.
                drop(settled);
                Ok((configured, claim, categories))
            }
            Err(error) => {
                settled.give_up(site);
                Err(error)
            }
        }
    });
    match made {
        Ok((configured, claim, categories)) => {
            Ok(Ready { reserved, snapshot, claim, categories, options, configured })
        }
        Err(error) => {
            // The first error is the one to tell; what could not be removed is swept later.
            drop(site.containers.remove(reserved));
            Err(error)
        }
    }
}

/// Builds the specification and makes nothing.
///
/// # Errors
/// As [`prepare`].
pub fn preview(site: &Site<'_>, image: &str, options: &Options, ids: IdSource) -> Result<Preview> {
    let _lock = site.store.shared()?;
    let found = find(site, image)?;
    let snapshot = site.store.prepare(&found)?;
    let id = ContainerId::from_bytes([0; 32]);
    let ids = match ids {
        // The range is claimed at the start; the first of the pool stands for it.
        IdSource::Range(_) => IdSource::Range(Span { start: allocate::DEFAULT_START, count: DEFAULT_SIZE }),
        other => other,
    };
    let directory = site.store.path().join("containers").join(id.as_str());
    let modules = Modules::look(options);
    let configured =
        configure(site, &found, (options, modules), ids, &snapshot, &id, &engine_files(site, &id))?;
    let layers = Some((snapshot.lower.len(), true));
    let plan = runtime::plan_of(&configured.spec, &bundle(&directory), layers, options.process.init)?;
    Ok(Preview { configured, image_id: found.id.to_string(), plan })
}

pub(crate) fn find(site: &Site<'_>, text: &str) -> Result<Image> {
    let found = match text.parse::<Reference>() {
        Ok(reference) if store::is_hello(&reference) => {
            site.store.resolve_or_hello(&reference, site.binary)?
        }
        _ => site.store.find(text)?,
    };
    let configuration = &found.configuration;
    check_platform(&configuration.os, &configuration.architecture)?;
    Ok(found)
}

/// Whether programs of this system and architecture, as an image calls them, run here.
fn check_platform(os: &str, architecture: &str) -> Result<()> {
    let host = Platform::host();
    if os == host.os && architecture == host.architecture {
        return Ok(());
    }
    Err(Error::Image {
        field: "architecture",
        // The image's own text, which writes no line of the message.
        value: format!("{os}/{architecture}").escape_debug().to_string(),
        reason: format!("this machine is {}/{}", host.os, host.architecture),
    })
}

fn make(
    site: &Site<'_>,
    name: &str,
    image: &Image,
    options: &Options,
    ids: IdSource,
    snapshot: &Snapshot,
    reserved: &Reserved,
) -> Result<(Configured, Option<Claim>, Option<Categories>)> {
    let layer = store::create_upper(reserved.directory.as_fd(), snapshot)?;
    if let Some(size) = options.layer_size {
        // On `work` first: no container sees it, so that is where the limit is looked for.
        files::quota::limit(&layer.work, size)?;
        files::quota::share(&layer.work, &layer.upper)?;
    }
    let categories = if selinux::wants_categories(options) {
        Some(Categories::reserve(site.containers.runtime_directory("mcs")?, reserved.id.as_str())?)
    } else {
        None
    };
    let (ids, claim) = claim(site, options, ids, &reserved.id)?;
    let files = engine_files(site, &reserved.id);
    let asked = (options, Modules::prepare(options, categories.as_ref()));
    let made = configure(site, image, asked, ids, snapshot, &reserved.id, &files).and_then(|configured| {
        write_files(site, options, &configured, site.containers.make_etc(&reserved.id)?.as_fd())?;
        if options.detached || !options.remove {
            reserved.write_json(KEPT, &Kept::new(options, &site.environment))?;
        }
        if !options.remove {
            // Who goes away has it in the run-time state only: each file on a disk costs its making and removal.
            reserved.write_json(SPEC, &configured.spec)?;
        }
        reserved.write_record(&record(site, (name, image), options, &configured, reserved)?)?;
        Ok(configured)
    });
    match made {
        Ok(configured) => Ok((configured, claim, categories)),
        Err(error) => {
            // As above: the first error counts.
            if let Some(claim) = claim {
                drop(claim.release(claims(site)?.as_fd()));
            }
            drop(categories.map(Categories::release));
            Err(error)
        }
    }
}

pub(crate) fn configure(
    site: &Site<'_>,
    image: &Image,
    (options, modules): (&Options, Modules),
    ids: IdSource,
    snapshot: &Snapshot,
    id: &ContainerId,
    files: &EngineFiles,
) -> Result<Configured> {
    let read = |path| lookup::read(&snapshot.lower, path, MAX_FILE).map(Option::unwrap_or_default);
    let accounts = Accounts::parse(&read("/etc/passwd")?, &read("/etc/group")?)?;
    let own = vec![site.store.path().to_owned(), site.containers.runroot().to_owned()];
    let network = NetworkFacts::look(options, site.containers, || host_resolver(site.etc))?;
    let mut files = files.clone();
    if let Some(peer) = &network.peer {
        // Names belong to the network.
        let shared = engine_files(site, &peer.id);
        (files.hosts, files.resolver) = (shared.hosts, shared.resolver);
    }
    let mut host = Host::gather(options, ids, site.environment.clone(), own, modules, network)?;
    host.container = site.containers.path_of(id);
    host.peers = Peers::look(options, site.containers, host.network.peer.as_ref())?;
    volumes::look(site, options, &mut host)?;
    images::look(site, id, options, &mut host)?;
    let image = spec::Image { config: &image.configuration.config, accounts: &accounts };
    spec::build(id, image, options, &host, Some(&files))
}

/// A range of ids of the container's own, where root asks for one.
pub(crate) fn claim(
    site: &Site<'_>,
    options: &Options,
    ids: IdSource,
    id: &ContainerId,
) -> Result<(IdSource, Option<Claim>)> {
    let request = &options.namespaces;
    let size = match (&ids, &request.user) {
        // It gets those of the container that it joins.
        _ if peer::takes_ids(options) => return Ok((ids, None)),
        (IdSource::Range(_), UserNamespace::Default)
            if request.uid_map.is_empty() && request.gid_map.is_empty() =>
        {
            DEFAULT_SIZE
        }
        (IdSource::Range(_), UserNamespace::Auto { size }) => *size,
        _ => return Ok((ids, None)),
    };
    let pool = Pool::of_host(site.etc)?;
    let directory = claims(site)?;
    let is_alive = |owner: &str| {
        // An owner that cannot be looked at may be alive: his range stays his.
        ContainerId::parse(owner).is_some_and(|owner| site.containers.is_alive(&owner).unwrap_or(true))
    };
    let claim = allocate::claim(directory.as_fd(), &pool, id.as_str(), size, is_alive)?;
    Ok((IdSource::Range(claim.span()), Some(claim)))
}

pub(crate) fn claims(site: &Site<'_>) -> Result<OwnedFd> {
    site.containers.runtime_directory("ids")
}

pub(crate) fn engine_files(site: &Site<'_>, id: &ContainerId) -> EngineFiles {
    let directory = site.containers.etc(id);
    EngineFiles {
        hosts: directory.join("hosts"),
        host_name: directory.join("hostname"),
        resolver: directory.join("resolv.conf"),
        time_zone: directory.join("localtime"),
        notify: directory.join(notify::NAME),
    }
}

/// Writes the three files, owned by the container's root so that he may edit them.
pub(crate) fn write_files(
    site: &Site<'_>,
    options: &Options,
    configured: &Configured,
    directory: BorrowedFd<'_>,
) -> Result<()> {
    let resolver = host_resolver(site.etc);
    let host_name = &configured.host_name;
    let zone =
        options.process.time_zone.as_deref().map(|zone| time_zone::read(zone, site.etc)).transpose()?;
    let texts = [
        ("hosts", names::hosts(host_name, &configured.connection, &options.names).into_bytes()),
        ("hostname", format!("{host_name}\n").into_bytes()),
        ("resolv.conf", names::resolver(&configured.connection, &resolver, &options.names)),
    ];
    let texts = texts.into_iter().chain(zone.map(|zone| ("localtime", zone)));
    let root = configured.maps.as_ref().and_then(|(uids, gids)| Some((uids.to_host(0)?, gids.to_host(0)?)));
    let is_root = rustix::process::geteuid().is_root();
    let label = configured.spec.linux.as_ref().and_then(|linux| linux.mount_label.as_deref());
    for (name, text) in texts {
        let fail = |source| Error::System { action: "write", path: PathBuf::from(name), source };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644)).map_err(fail)?;
        files::write_all(&file, &text)?;
        if let Some(label) = label {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::fsetxattr(&file, "security.selinux", label.as_bytes(), flags).map_err(fail)?;
        }
        // Whatever the caller's umask.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644)).map_err(fail)?;
        if let Some((uid, gid)) = root
            && is_root
        {
            rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).map_err(fail)?;
        }
    }
    Ok(())
}

/// The host's `resolv.conf`; nothing where it cannot be read.
fn host_resolver(etc: &Path) -> Vec<u8> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, etc.join("resolv.conf"), flags, Mode::empty())
        .ok()
        .and_then(|file| files::read_all(&file, MAX_FILE).ok())
        .unwrap_or_default()
}

fn record(
    site: &Site<'_>,
    (name, image): (&str, &Image),
    options: &Options,
    configured: &Configured,
    reserved: &Reserved,
) -> Result<Record> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let config = &image.configuration.config;
    Ok(Record {
        id: reserved.id.to_string(),
        name: reserved.name().map(ToString::to_string),
        image: name.to_owned(),
        image_id: image.id.to_string(),
        created: now.tv_sec,
        created_nanoseconds: u32::try_from(now.tv_nsec).unwrap_or(0),
        remove: options.remove,
        command: configured.spec.process.as_ref().map(|process| process.args.clone()).unwrap_or_default(),
        stop_signal: configured.stop_signal,
        labels: labels(config, options),
        weakenings: configured.weakenings.clone(),
        protections: configured.protections.clone(),
        stop_timeout: options.stop_timeout,
        timeout: options.timeout,
        tty: options.terminal,
        open_stdin: options.interactive,
        detach_keys: options.detach_keys.clone(),
        restart: options.restart.clone(),
        log: options.log.clone(),
        health: value::health::merge(&options.health, config.healthcheck.as_ref(), &config.shell)?,
        network: configured.network.clone(),
        process: process_config(image, options, configured),
        attached: options.attached,
        mounts: volumes::points(site.store, options),
        secrets: options.secrets.clone(),
    })
}

/// The image's labels and the person's, which win. An image that brings more than a record should hold keeps its own.
fn labels(config: &oci::image::Config, options: &Options) -> BTreeMap<String, String> {
    const MOST: usize = 1 << 20;
    let bytes: usize = config.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    let mut labels = if bytes <= MOST { config.labels.clone() } else { BTreeMap::new() };
    labels.extend(options.labels.iter().cloned());
    labels
}

/// The process as `inspect` shows it.
fn process_config(image: &Image, options: &Options, configured: &Configured) -> ProcessConfig {
    let config = &image.configuration.config;
    let asked = &options.process;
    let process = configured.spec.process.as_ref();
    let entrypoint = asked.entrypoint.as_ref().or(Some(&config.entrypoint)).filter(|words| !words.is_empty());
    let entrypoint = entrypoint.cloned();
    let all = process.map_or(&[][..], |process| &process.args);
    let arguments = all.get(entrypoint.as_ref().map_or(0, Vec::len)..).unwrap_or_default().to_vec();
    ProcessConfig {
        env: process.map(|process| process.env.clone()).unwrap_or_default(),
        user: asked.user.clone().unwrap_or_else(|| config.user.clone()),
        workdir: process.map(|process| process.cwd.clone()).unwrap_or_default(),
        entrypoint,
        arguments,
        hostname: configured.host_name.clone(),
        exposed_ports: config.exposed_ports.iter().cloned().collect(),
        image_volumes: config.volumes.iter().cloned().collect(),
    }
}

impl Ready {
    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.reserved.id
    }

    /// Starts the container and waits for its end in the foreground; then takes it down.
    ///
    /// `warn` gets what protects less than it should before the payload runs.
    ///
    /// The steps after the end go on after an error; what could not be removed is in the warnings and is
    /// swept by the next command.
    ///
    /// # Errors
    /// [`Error::Runtime`]: nothing is left behind then.
    pub fn run(self, site: &Site<'_>, warn: &dyn Fn(&str)) -> Result<Ended> {
        let Self { reserved, snapshot, claim, categories, options, configured } = self;
        let started = monitor::now();
        let (remove, mut report) = (options.remove, runtime::Report::default());
        let ended = with_request(site, &reserved, snapshot, &options, configured, warn, |request| {
            runtime::run(request, false, false, &mut report)
        });
        let disconnected = site.containers.disconnect(&reserved.id);
        let mut warnings = report.warnings;
        let mut note = |what: &str, result: Result<()>| {
            if let Err(error) = result {
                warnings.push(format!("{what}: {error}"));
            }
        };
        note("end the container's network", disconnected);
        if let Some(claim) = claim {
            let released = claims(site).and_then(|directory| Ok(claim.release(directory.as_fd())?));
            note("give back the container's ids", released);
        }
        if let Some(categories) = categories {
            note("give back the container's categories", categories.release());
        }
        match ended {
            Ok(exit) => {
                reserved.tell_exit_code(exit.0);
                if remove {
                    note("remove the container", site.containers.remove(reserved));
                } else {
                    let life = Life {
                        status: monitor::Status::Exited,
                        started,
                        finished: monitor::now(),
                        exit_code: exit.0,
                        ..Life::default()
                    };
                    note("keep the exit code", life.write(reserved.directory.as_fd()).map_err(Error::from));
                    note("discard overlays", site.containers.remove_overlays(&reserved.id));
                    note("leave the container", site.containers.leave(reserved));
                }
                Ok(Ended { code: exit.0, warnings })
            }
            Err(error) => {
                // The first error is the one to tell; what could not be removed is swept later.
                drop(site.containers.remove(reserved));
                Err(error)
            }
        }
    }

    /// Gives the container up before its start.
    ///
    /// # Errors
    /// As [`Containers::remove`].
    pub fn discard(self, site: &Site<'_>) -> Result<()> {
        let released = match self.claim {
            Some(claim) => claim.release(claims(site)?.as_fd()).map_err(Error::from),
            None => Ok(()),
        };
        let released = released.and(self.categories.map_or(Ok(()), Categories::release));
        site.containers.remove(self.reserved).and(released)
    }
}

/// Hands what is ready to the runtime.
pub(crate) fn with_request<T>(
    site: &Site<'_>,
    reserved: &Reserved,
    snapshot: Snapshot,
    options: &Options,
    mut configured: Configured,
    warn: &dyn Fn(&str),
    then: impl FnOnce(runtime::Request<'_>) -> runtime::Result<T>,
) -> Result<T> {
    let writable = rustix::io::fcntl_dupfd_cloexec(&reserved.directory, 3)
        .map_err(|source| Error::System { action: "duplicate", path: reserved.path.clone(), source })?;
    let cache = filter_cache(site, &configured);
    let bus = site.bus.clone().filter(|_| in_scope(&mut configured.spec, reserved.id.as_str()));
    let mut connect = match &configured.connection {
        Network::Stack(connected) => {
            let (id, maps) = (&reserved.id, configured.maps.as_ref());
            Some(move |process: BorrowedFd<'_>| {
                let connected = site.containers.connect(id, connected, process, maps);
                connected
                    .map(drop)
                    .map_err(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>)
            })
        }
        _ => None,
    };
    overlays::make(reserved.directory.as_fd(), options)?;
    let request = runtime::Request {
        id: reserved.id.as_str(),
        spec: configured.spec,
        bundle: &bundle(&reserved.path),
        root: site.containers.states(),
        layers: Some(runtime::Layers {
            lower: snapshot.lower,
            writable: Some(writable),
            ephemeral: options.remove,
        }),
        checked_sources: configured.checked_sources,
        mounts: configured.peers.mounts()?,
        cgroup: runtime::CgroupOptions::for_caller(bus),
        default_resources: Some(&configured.default_limits),
        require_defaults: options.require_all,
        announce: Some(runtime::Announce(warn)),
        connect: connect.as_mut().map(|connect| runtime::Connect(connect)),
        filter_cache: cache.as_ref().map(AsFd::as_fd),
        console_socket: None,
        pid_file: options.pid_file.clone(),
        preserve_descriptors: 0,
        no_pivot: false,
        keep_keyring: false,
        init: options.process.init,
        interactive: options.interactive,
        secrets: secrets::open(site.store, options)?,
    };
    Ok(then(request)?)
}

/// The runtime names the bundle in `state` and in what hooks read; nothing is opened by this text.
fn bundle(directory: &Path) -> String {
    directory.to_string_lossy().into_owned()
}

/// Whether systemd makes the container's cgroup: not below a directory that the caller named, but in a slice, which is
/// then written as systemd's driver wants it.
fn in_scope(spec: &mut oci::runtime::Spec, id: &str) -> bool {
    let Some(path) = spec.linux.as_mut().and_then(|linux| linux.cgroups_path.as_mut()) else { return true };
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    if parent.contains('/') || !parent.ends_with(".slice") {
        return false;
    }
    *path = format!("{parent}:brig:{id}");
    true
}

/// Where compiled filters are kept; none for the default one, which is in the binary, and none where the
/// directory cannot be made: then the filter is compiled each time.
fn filter_cache(site: &Site<'_>, configured: &Configured) -> Option<OwnedFd> {
    let filter = configured.spec.linux.as_ref()?.seccomp.as_ref()?;
    if seccomp::standard::is_default(filter) {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = "cache/seccomp-v1";
    match rustix::fs::mkdirat(site.store.root(), path, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(_) => return None,
    }
    rustix::fs::openat(site.store.root(), path, flags, Mode::empty()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_cannot_write_lines_of_its_own() {
        let text = check_platform("linux", "amd64\nwarning: forged").unwrap_err().to_string();
        assert!(text.contains("forged") && !text.contains('\n'), "{text}");
        let host = Platform::host();
        assert!(check_platform(&host.os, &host.architecture).is_ok());
    }

    #[test]
    fn systemd_makes_what_no_directory_was_named_for() {
        for (path, expected, is_in_scope) in [
            (None, None, true),
            (Some("/mine/brig-a"), Some("/mine/brig-a"), false),
            (Some("mine/brig-a"), Some("mine/brig-a"), false),
            (Some("machine.slice/brig-a"), Some("machine.slice:brig:a"), true),
            (Some("/machine.slice/brig-a"), Some("/machine.slice/brig-a"), false),
            (Some("a.slice/b.slice/brig-a"), Some("a.slice/b.slice/brig-a"), false),
        ] {
            let linux = oci::runtime::Linux { cgroups_path: path.map(str::to_owned), ..Default::default() };
            let mut spec = oci::runtime::Spec { linux: Some(linux), ..Default::default() };
            assert_eq!(in_scope(&mut spec, "a"), is_in_scope, "{path:?}");
            let written = spec.linux.and_then(|linux| linux.cgroups_path);
            assert_eq!(written.as_deref(), expected, "{path:?}");
        }
    }
}
