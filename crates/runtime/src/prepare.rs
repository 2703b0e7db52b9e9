//! Before clone: open what the plan names, lay out strings, compile the filter.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use oci::runtime::{Hook, NamespaceKind, Process};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use sys::mount::{Attributes, Reach, set_attributes};

use crate::create::CheckedSource;
use crate::opened::{Filter, Opened, Prepared, PreparedHook, StartGate};
use crate::plan::option::Parameter;
use crate::plan::{IdMap, InnerPath, Plan, RootKind, Source, Step};
use crate::relay::Stream;
use crate::weaken::Defence;
use crate::{Error, Result, seal, weaken};

/// Where programs are searched when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most directories of a `PATH` that are searched.
const MAX_PATH_ENTRIES: usize = 128;

/// A mount that gets the container's own id map once its user namespace exists.
#[derive(Debug)]
pub(crate) enum LateMount {
    /// A cloned tree.
    Tree { mount: OwnedFd, recursive: bool },
    /// Layers, which the map shows where `id_mapped`, and the directory with `upper` and `work`, which it always does.
    Overlay {
        lower: Vec<OwnedFd>,
        upper: Option<OwnedFd>,
        id_mapped: bool,
        ephemeral: bool,
        label: Option<CString>,
    },
}

/// Layers of a root file system, as descriptors.
#[derive(Debug)]
pub struct Layers {
    /// Lower layers, uppermost first: `O_PATH` directories.
    pub lower: Vec<OwnedFd>,
    /// The directory that holds `upper` and `work`; none for a root that is not written to.
    pub writable: Option<OwnedFd>,
    /// Whether the writable layer is thrown away with the container, so that nothing of it has to reach the disk.
    pub ephemeral: bool,
}

/// What the caller hands over beside the spec.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub layers: Option<Layers>,
    pub start: Option<StartGate>,
    pub preserved: u32,
    /// What the environment lacks.
    pub home: Option<String>,
    /// The SELinux label of file systems that are made, as a mount option.
    pub label: Option<Parameter>,
    pub checked_sources: Vec<CheckedSource>,
    /// Mounts that stand for sources, by path.
    pub mounts: Vec<(String, OwnedFd)>,
    pub streams: Vec<Stream>,
    pub secrets: crate::secrets::Secrets,
}

/// Everything for the child and what the parent adds after clone.
pub(crate) struct Ready {
    pub prepared: Prepared,
    pub late: Vec<LateMount>,
}

pub(crate) fn prepare(
    plan: &Plan,
    root: &RootKind,
    process: &Process,
    filter: Option<Filter>,
    given: Given,
) -> Result<Ready> {
    weaken::prepare();
    let mut late = Vec::new();
    let mut layers = given.layers;
    if matches!(root, RootKind::Overlay { late: true, .. })
        && let Some(Layers { lower, writable, ephemeral }) = layers.take()
    {
        let label = given.label.as_ref().and_then(|label| label.value.clone());
        late.push(LateMount::Overlay { lower, upper: writable, id_mapped: true, ephemeral, label });
    }
    let ephemeral = layers.as_ref().is_some_and(|layers| layers.ephemeral);
    let mut given_descriptors = match layers {
        Some(Layers { lower, writable, .. }) => with_upper(lower, writable)?,
        None => Vec::new(),
    };
    let mut sources = Vec::with_capacity(plan.sources.len());
    for source in &plan.sources {
        let opened = match source {
            Source::Root(path) => open_tree(path)?,
            Source::Bind { path, .. } if given.mounts.iter().any(|(known, _)| known == path) => {
                given_mount(path, &given.mounts)?
            }
            Source::Bind { path, recursive, id_map } => {
                let handle = open_source(path, &given.checked_sources)?;
                bind(handle, path, *recursive, id_map.as_ref(), &mut late)?
            }
            Source::Layers { lower, writable, id_mapped } => {
                let lower = lower.iter().map(|path| open_source(path, &given.checked_sources));
                let lower = lower.collect::<Result<_>>()?;
                let upper = writable.as_ref().map(|path| open_source(path, &[])).transpose()?;
                let label = given.label.as_ref().and_then(|label| label.value.clone());
                let id_mapped = *id_mapped;
                late.push(LateMount::Overlay { lower, upper, id_mapped, ephemeral: true, label });
                Opened::Late { index: late.len() - 1, directory: true }
            }
            Source::Directory(path) => open_layer(path, &given.checked_sources)?,
            Source::Device { path, kind, number } => open_device(path, *kind, *number)?,
            Source::Given(index) if given_descriptors.len() > *index => {
                take_given(&mut given_descriptors[*index])?
            }
            // The root is a late mount: its slots are not used.
            Source::Given(_) => Opened::Late { index: 0, directory: true },
        };
        sources.push(opened);
    }
    let mut environment = strings("environment", &process.env)?;
    environment.extend(strings("environment", given.home.as_slice())?);
    let secrets = given.secrets;
    let is_secret = |variable: &CString| {
        let name = |text: &[u8]| text.split(|byte| *byte == b'=').next().unwrap_or_default().to_vec();
        secrets.environment.iter().any(|secret| name(secret.as_bytes()) == name(variable.to_bytes()))
    };
    environment.retain(|variable| !is_secret(variable));
    environment.extend(strings("environment", &secrets.environment)?);
    let stub = seal::stub(given.label.as_ref().and_then(|label| label.value.as_deref()))?;
    let stub_path = match &filter {
        Some(filter) if !lets_execveat_through(filter)? => {
            Some(strings("path", &[format!("/proc/self/fd/{}", stub.as_raw_fd())])?.remove(0))
        }
        _ => None,
    };
    let prepared = Prepared {
        sources,
        label: given.label,
        stub,
        stub_path,
        arguments: arguments(process)?,
        environment: sys::exec::StringArray::new(environment),
        filter,
        container_hooks: Vec::new(),
        start_hooks: Vec::new(),
        create_state: None,
        start_state: None,
        start: given.start,
        preserved: given.preserved,
        ephemeral,
        user_attributes: !rustix::process::geteuid().is_root(),
        cgroup_files: Vec::new(),
        streams: given.streams,
        secrets: secrets.files.into_iter().map(|file| file.content).collect(),
        joins: open_namespaces(plan)?,
        pauses: files::pause::Points::prepare(),
        console: InnerPath::new("/dev/console").map_err(|error| crate::plan::Refusal::Path {
            what: "console",
            path: "/dev/console".to_owned(),
            error,
        })?,
    };
    Ok(Ready { prepared, late })
}

/// Whether the filter lets the call through that executes the stub by its descriptor.
fn lets_execveat_through(filter: &Filter) -> Result<bool> {
    let Some(native) = seccomp::Arch::native() else { return Ok(true) };
    let Some(number) = native.number("execveat") else { return Ok(true) };
    let data =
        seccomp::emulate::Data { number, arch: native.audit(), instruction_pointer: 0, arguments: [0; 6] };
    Ok(seccomp::emulate::emulate(&filter.instructions, &data)?.is_permissive())
}

fn with_upper(lower: Vec<OwnedFd>, writable: Option<OwnedFd>) -> Result<Vec<Option<OwnedFd>>> {
    let mut descriptors: Vec<_> = lower.into_iter().map(Some).collect();
    if let Some(directory) = writable {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        for name in ["upper", "work"] {
            let opened = rustix::fs::openat(&directory, name, flags, Mode::empty())
                .map_err(|errno| Error::system("open", format!("the writable layer's `{name}`"), errno))?;
            descriptors.push(Some(opened));
        }
    }
    Ok(descriptors)
}

fn take_given(place: &mut Option<OwnedFd>) -> Result<Opened> {
    let handle = place.take().ok_or_else(|| Error::system("open", "a layer", Errno::BADF))?;
    let path = rustix::fs::readlink(format!("/proc/self/fd/{}", handle.as_raw_fd()), Vec::new())
        .map_err(|errno| Error::system("find the path of", "a layer", errno))?;
    let stat = stat(&handle, "a layer")?;
    Ok(Opened::Path { handle, path, identity: (stat.st_dev, stat.st_ino), directory: true })
}

fn stat(handle: &OwnedFd, what: &str) -> Result<Stat> {
    rustix::fs::fstat(handle).map_err(|errno| Error::system("stat", what, errno))
}

/// Opens the root directory and clones its mounts; where that is not allowed the child will.
fn open_tree(path: &str) -> Result<Opened> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| Error::system("open", path, errno))?;
    clone_handle(handle, path, true)
}

fn clone_handle(handle: OwnedFd, path: &str, recursive: bool) -> Result<Opened> {
    let stat = stat(&handle, path)?;
    let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive && directory {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    match rustix::mount::open_tree(&handle, c"", flags) {
        Ok(mount) => Ok(Opened::Tree { mount, directory }),
        Err(Errno::PERM | Errno::INVAL) => {
            let path = CString::new(path)
                .map_err(|_| Error::system("open", path.replace('\0', "\\0"), Errno::INVAL))?;
            Ok(Opened::Path { handle, path, identity: (stat.st_dev, stat.st_ino), directory })
        }
        Err(errno) => Err(Error::system("clone the mount of", path, errno)),
    }
}

/// Opens the source of a bind mount. Whoever owns a directory above it could have put a link to something else in its
/// place since the caller looked at it.
fn open_source(path: &str, checked: &[CheckedSource]) -> Result<OwnedFd> {
    let handle = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::system("open", path, errno))?;
    let Some(checked) = checked.iter().find(|checked| checked.path == path) else { return Ok(handle) };
    let stat = stat(&handle, path)?;
    if (stat.st_dev, stat.st_ino) != (checked.device, checked.inode) && !weaken::is_off(Defence::Source) {
        return Err(Error::SourceReplaced { path: path.to_owned() });
    }
    Ok(handle)
}

/// A mount that the caller hands over in a source's place.
fn given_mount(path: &str, given: &[(String, OwnedFd)]) -> Result<Opened> {
    let found = given.iter().find(|(known, _)| known == path);
    let (_, mount) = found.ok_or_else(|| Error::system("find", path, Errno::NOENT))?;
    let directory = FileType::from_raw_mode(stat(mount, path)?.st_mode) == FileType::Directory;
    let mount =
        rustix::io::fcntl_dupfd_cloexec(mount, 3).map_err(|errno| Error::system("duplicate", path, errno))?;
    Ok(Opened::Tree { mount, directory })
}

/// Opens a layer of an overlay that the child mounts: it opens the path again and compares.
fn open_layer(path: &str, checked: &[CheckedSource]) -> Result<Opened> {
    let handle = open_source(path, checked)?;
    let stat = stat(&handle, path)?;
    let path =
        CString::new(path).map_err(|_| Error::system("open", path.replace('\0', "\\0"), Errno::INVAL))?;
    Ok(Opened::Path { handle, path, identity: (stat.st_dev, stat.st_ino), directory: true })
}

fn bind(
    handle: OwnedFd,
    path: &str,
    recursive: bool,
    id_map: Option<&IdMap>,
    late: &mut Vec<LateMount>,
) -> Result<Opened> {
    let opened = clone_handle(handle, path, recursive)?;
    let Some(id_map) = id_map else { return Ok(opened) };
    let Opened::Tree { mount, directory } = opened else {
        return Err(Error::system("map the ids of", path, Errno::PERM));
    };
    if id_map.uid.is_empty() {
        late.push(LateMount::Tree { mount, recursive: id_map.recursive });
        return Ok(Opened::Late { index: late.len() - 1, directory });
    }
    let uid = idmap::Map::new(id_map.uid.clone())?;
    let gid = idmap::Map::new(id_map.gid.clone())?;
    let namespace = idmap::namespace_of(&uid, &gid)?;
    let reach = if id_map.recursive { Reach::Tree } else { Reach::One };
    set_attributes(mount.as_fd(), c"", reach, &Attributes::new(0, 0).with_id_map(namespace.as_fd()))
        .map_err(|errno| Error::system("map the ids of", path, errno))?;
    Ok(Opened::Tree { mount, directory })
}

/// Opens a device node of the host and checks that it is the one meant (CVE-2025-31133).
fn open_device(path: &str, kind: u32, number: (u32, u32)) -> Result<Opened> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| Error::system("open device", path, errno))?;
    let stat = stat(&handle, path)?;
    let wanted = rustix::fs::makedev(number.0, number.1);
    if FileType::from_raw_mode(stat.st_mode) != FileType::from_raw_mode(kind) || stat.st_rdev != wanted {
        return Err(Error::system("find the expected device at", path, Errno::NODEV));
    }
    clone_handle(handle, path, false)
}

fn open_namespaces(plan: &Plan) -> Result<Vec<(OwnedFd, u64)>> {
    let mut joins = Vec::with_capacity(plan.namespaces.joins().len());
    for (kind, path) in plan.namespaces.joins() {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::open(path.as_str(), flags, Mode::empty())
            .map_err(|errno| Error::system("open namespace", path, errno))?;
        let flag = crate::plan::namespace_flag(*kind);
        // setns(2) checks that the file is a namespace of that kind. One's own user namespace cannot be joined.
        if *kind == NamespaceKind::User && is_own(&namespace, "user")? {
            continue;
        }
        if let Some(field) = changed_in(plan, *kind)
            && !weaken::is_off(Defence::Sysctl)
            && is_hosts(&namespace, *kind)?
        {
            return Err(crate::plan::Refusal::NeedsNamespace { field, kind: *kind }.into());
        }
        joins.push((namespace, flag));
    }
    Ok(joins)
}

/// The field of the spec that changes something of this kind of namespace.
fn changed_in(plan: &Plan, kind: NamespaceKind) -> Option<&'static str> {
    plan.steps.iter().filter_map(Step::changes).find(|(_, changed)| *changed == kind).map(|(field, _)| field)
}

/// Whether a namespace file is the host's: our own, or that of the machine's first process. To join it by a path is to
/// share it (GO-2022-0363): its settings are the host's, its cgroups are all cgroups, and to pivot in it takes the host's
/// own root away. runc 1.1 and crun 1.8 take any path for a namespace of the container's own.
fn is_hosts(namespace: &OwnedFd, kind: NamespaceKind) -> Result<bool> {
    let name = match kind {
        NamespaceKind::Network => "net",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::Uts => "uts",
        NamespaceKind::Mount => "mnt",
        NamespaceKind::Cgroup => "cgroup",
        _ => return Ok(false),
    };
    if is_own(namespace, name)? {
        return Ok(true);
    }
    let stat = stat(namespace, name)?;
    // Only root may look; who is not root cannot join it either.
    let first = rustix::fs::stat(format!("/proc/1/ns/{name}"));
    Ok(first.is_ok_and(|first| (first.st_dev, first.st_ino) == (stat.st_dev, stat.st_ino)))
}

/// Whether a namespace file is the one that this process is in.
pub(crate) fn is_own(namespace: &OwnedFd, name: &str) -> Result<bool> {
    let own = format!("/proc/self/ns/{name}");
    let own = rustix::fs::stat(own.as_str()).map_err(|errno| Error::system("stat", own, errno))?;
    let other = stat(namespace, name)?;
    Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
}

fn strings(what: &'static str, list: &[String]) -> Result<Vec<CString>> {
    list.iter()
        .map(|text| CString::new(text.as_str()).map_err(|_| crate::plan::Refusal::Nul(what).into()))
        .collect()
}

/// The paths where the program can be, then its own `argv`.
fn arguments(process: &Process) -> Result<sys::exec::StringArray> {
    let program = process.args.first().map_or("", String::as_str);
    let candidates = if program.contains('/') {
        vec![program.to_owned()]
    } else {
        let path = process
            .env
            .iter()
            .rev()
            .find_map(|variable| variable.strip_prefix("PATH="))
            .unwrap_or(DEFAULT_PATH);
        path.split(':')
            .take(MAX_PATH_ENTRIES)
            .map(|directory| match directory {
                "" => format!("./{program}"),
                directory => format!("{directory}/{program}"),
            })
            .collect()
    };
    let candidates = strings("argument", &candidates)?;
    sys::exec::StringArray::with_choices(candidates, strings("argument", &process.args)?)
        .ok_or_else(|| crate::plan::Refusal::Missing("process.args").into())
}

/// Lays out the strings of hooks that the child runs.
pub(crate) fn hooks(hooks: &[Hook]) -> Result<Vec<PreparedHook>> {
    hooks
        .iter()
        .map(|hook| {
            let arguments = if hook.args.is_empty() { std::slice::from_ref(&hook.path) } else { &hook.args };
            let path = strings("hook", std::slice::from_ref(&hook.path))?;
            let arguments = sys::exec::StringArray::with_choices(path, strings("hook", arguments)?)
                .ok_or(crate::plan::Refusal::Missing("hook path"))?;
            let environment = sys::exec::StringArray::new(strings("hook", &hook.env)?);
            Ok(PreparedHook { arguments, environment, timeout: hook.timeout })
        })
        .collect()
}
