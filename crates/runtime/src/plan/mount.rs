//! Mounts of the spec to mount steps.

use std::ffi::{CStr, CString};

use oci::runtime::{Mount, NamespaceKind, Spec};
use sys::mount::{Attributes, attribute};

use super::option::{Options, Parameter};
use super::step::{Mount as MountStep, MountSource, Slot, Step};
use super::{CgroupView, Facts, IdMap, InnerPath, Namespaces, Refusal, RootKind, Source};
use crate::overlay::MAX_LAYERS;

/// Most mounts a bundle may carry (CVE-2021-43784 was a length that overflowed on far more).
pub(crate) const MAX_MOUNTS: usize = 4096;

/// What may be mounted upon below `/proc`: single files that lxcfs and its like replace. Everything else
/// there could stand in for a file that the engine writes (CVE-2019-16884, CVE-2025-52881).
const ALLOWED_IN_PROC: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
    "/proc/net/dev",
];

/// File systems that only the kernel fills; a symbolic link on the way to them is an attack.
const KERNEL_FILE_SYSTEMS: [&str; 8] =
    ["proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "devtmpfs", "securityfs"];

/// File systems that take an SELinux label for all their files also where a user namespace owns them; the kernel
/// refuses others there (`selinux_set_mnt_opts`), and labels those of the kernel by itself.
const LABELLED_FILE_SYSTEMS: [&str; 4] = ["tmpfs", "ramfs", "devpts", "overlay"];

pub(super) struct Context<'a> {
    pub facts: &'a Facts,
    pub namespaces: &'a Namespaces,
    pub label: Option<&'a Parameter>,
}

/// The label of `linux.mountLabel` as a mount option; none where SELinux is off.
pub(crate) fn label(spec: &Spec, facts: &Facts) -> Result<Option<Parameter>, Refusal> {
    let label = spec.linux.as_ref().and_then(|linux| linux.mount_label.as_deref());
    match label.filter(|label| !label.is_empty() && facts.selinux) {
        Some(label) => Ok(Some(parameter("context", Some(label), "/")?)),
        None => Ok(None),
    }
}

/// Parameters of the file system of secrets.
pub(super) fn secret_parameters() -> Result<Vec<Parameter>, Refusal> {
    Ok(vec![parameter("mode", Some("755"), "/run/secrets")?])
}

/// Adds the steps of one mount.
pub(super) fn plan(
    mount: &Mount,
    context: &Context<'_>,
    sources: &mut Vec<Source>,
    steps: &mut Vec<Step>,
) -> Result<(), Refusal> {
    let destination = InnerPath::new(&mount.destination)
        .map_err(|error| Refusal::path("mount destination", &mount.destination, error))?;
    let options = Options::parse(&mount.options)
        .map_err(|error| Refusal::MountOption { destination: mount.destination.clone(), error })?;
    let bind = options.bind.or((mount.kind.as_deref() == Some("bind")).then_some(false));
    let kind = mount.kind.as_deref().unwrap_or(if bind.is_some() { "bind" } else { "none" });
    guard_proc(&destination, kind, bind.is_some())?;

    let mut step = MountStep {
        no_symlinks: bind.is_none()
            && (KERNEL_FILE_SYSTEMS.contains(&kind) || (kind == "tmpfs" && destination.is_within("/dev"))),
        destination,
        source: MountSource::Existing,
        attributes: options.attributes,
        recursive: options.recursive,
        propagation: options.propagation.clone(),
        copy_up: options.copy_up,
    };
    if options.copy_up && kind != "tmpfs" {
        return Err(Refusal::CopyUp(mount.destination.clone()));
    }
    if let Some(recursive) = bind {
        if !options.remount {
            let source = mount.source.as_deref().unwrap_or_default();
            step.source = MountSource::Tree {
                slot: open_bind(mount, source, recursive, &options, context, sources)?,
                recursive,
            };
            // What the host mounts or unmounts there later is the container's business only on request.
            if step.propagation.is_empty() {
                step.propagation.push((MS_PRIVATE, recursive));
            }
        }
        steps.push(Step::Mount(Box::new(step)));
        return Ok(());
    }
    if options.remount {
        steps.push(Step::Mount(Box::new(step)));
        return Ok(());
    }
    if kind == "overlay"
        && let Some(layers) = Layers::of(&options.parameters, &context.facts.root)
    {
        step.source = layers.plan(options.id_map.is_some(), mount, context, sources)?;
        if step.propagation.is_empty() {
            step.propagation.push((MS_PRIVATE, false));
        }
        steps.push(Step::Mount(Box::new(step)));
        return Ok(());
    }
    if options.id_map.is_some() || !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        return Err(Refusal::IdMapNeedsBind(mount.destination.clone()));
    }
    if kind == "cgroup" || kind == "cgroup2" {
        return plan_cgroups(step, context, sources, steps);
    }
    let mut parameters = options.parameters;
    let is_labelled = parameters.iter().any(|parameter| parameter.key.as_c_str() == c"context");
    if let Some(label) = context.label.filter(|_| LABELLED_FILE_SYSTEMS.contains(&kind) && !is_labelled) {
        parameters.push(label.clone());
    }
    step.source = if kind == "proc" {
        MountSource::Proc { parameters }
    } else {
        let source = mount.source.as_deref().unwrap_or(kind);
        MountSource::Filesystem { kind: string(kind)?, source: Some(string(source)?), parameters }
    };
    steps.push(Step::Mount(Box::new(step)));
    Ok(())
}

const MS_PRIVATE: u64 = 1 << 18;

/// An overlay over directories of the host, which is mounted by descriptors. Any other overlay is the kernel's to read.
struct Layers<'a> {
    lower: Vec<&'a str>,
    /// `upper` and `work`.
    upper: Option<(&'a str, &'a str)>,
}

impl<'a> Layers<'a> {
    fn of(parameters: &'a [Parameter], root: &RootKind) -> Option<Self> {
        let value = |key: &CStr| {
            let found = parameters.iter().find(|parameter| parameter.key.as_c_str() == key)?;
            let path = found.value.as_ref()?.to_str().ok()?;
            (!path.contains('\\')).then_some(path)
        };
        let is_path = |path: &&str| path.starts_with('/') && !path.contains(':');
        let lower: Vec<&str> = value(c"lowerdir")?.split(':').collect();
        if lower.len() > MAX_LAYERS || !lower.iter().all(is_path) {
            return None;
        }
        let upper = match parameters.len() {
            3 => Some((value(c"upperdir").filter(is_path)?, value(c"workdir").filter(is_path)?)),
            // Those of a bundle may have attributes of overlays that only the kernel's own way honours.
            1 if matches!(root, RootKind::Overlay { .. }) => None,
            _ => return None,
        };
        Some(Self { lower, upper })
    }

    fn plan(
        &self,
        id_mapped: bool,
        mount: &Mount,
        context: &Context<'_>,
        sources: &mut Vec<Source>,
    ) -> Result<MountSource, Refusal> {
        let mut next = |source| {
            sources.push(source);
            Slot(sources.len() - 1)
        };
        let parent = |(upper, work): (&'a str, &'a str)| {
            upper.strip_suffix("/upper").filter(|parent| work == format!("{parent}/work"))
        };
        let writable = self.upper.map(parent);
        // The container's root may not reach directories of the host's.
        if matches!(context.facts.root, RootKind::Overlay { late: true, .. }) && writable != Some(None) {
            let lower = self.lower.iter().map(|path| (*path).to_owned()).collect();
            let writable = writable.flatten().map(str::to_owned);
            return Ok(MountSource::Tree {
                slot: next(Source::Layers { lower, writable, id_mapped }),
                recursive: false,
            });
        }
        if id_mapped {
            return Err(Refusal::IdMapNeedsBind(mount.destination.clone()));
        }
        let mut directory = |path: &str| next(Source::Directory(path.to_owned()));
        Ok(MountSource::Overlay {
            lower: self.lower.iter().map(|path| directory(path)).collect(),
            upper: self.upper.map(|(upper, work)| (directory(upper), directory(work))),
        })
    }
}

fn guard_proc(destination: &InnerPath, kind: &str, bind: bool) -> Result<(), Refusal> {
    let text = destination.to_text();
    if text == "/" {
        return Err(Refusal::MountOnRoot);
    }
    if !destination.is_within("/proc") || ALLOWED_IN_PROC.contains(&text.as_str()) {
        return Ok(());
    }
    // A host's procfs may be bound at /proc where the container shares the host's pids; the child checks
    // that it is a procfs.
    if text == "/proc" && (kind == "proc" || bind) {
        return Ok(());
    }
    Err(Refusal::MountInProc(text))
}

fn open_bind(
    mount: &Mount,
    source: &str,
    recursive: bool,
    options: &Options,
    context: &Context<'_>,
    sources: &mut Vec<Source>,
) -> Result<Slot, Refusal> {
    if source.is_empty() {
        return Err(Refusal::NoSource(mount.destination.clone()));
    }
    if source.contains('\0') {
        return Err(Refusal::Nul("mount source"));
    }
    if mount.uid_mappings.is_empty() != mount.gid_mappings.is_empty() {
        return Err(Refusal::HalfIdMap(mount.destination.clone()));
    }
    let id_map = match (options.id_map, mount.uid_mappings.is_empty()) {
        (None, true) => None,
        (asked, container) => {
            if container && !context.namespaces.owns(NamespaceKind::User) {
                return Err(Refusal::IdMapWithoutUser(mount.destination.clone()));
            }
            Some(IdMap {
                uid: mount.uid_mappings.clone(),
                gid: mount.gid_mappings.clone(),
                recursive: asked == Some(true),
            })
        }
    };
    let path = if source.starts_with('/') {
        source.to_owned()
    } else {
        format!("{}/{source}", context.facts.bundle.trim_end_matches('/'))
    };
    sources.push(Source::Bind { path, recursive, id_map });
    Ok(Slot(sources.len() - 1))
}

/// The container's cgroups: cgroup v2 itself, or a tmpfs with one v1 hierarchy in each directory.
fn plan_cgroups(
    step: MountStep,
    context: &Context<'_>,
    sources: &mut Vec<Source>,
    steps: &mut Vec<Step>,
) -> Result<(), Refusal> {
    let views = &context.facts.cgroups;
    let own_namespace = context.namespaces.owns(NamespaceKind::Cgroup);
    let pure_v2 = views.len() == 1 && views[0].name.is_empty();
    let base = step.destination.to_text();
    if !pure_v2 {
        let mut holder = step.clone();
        holder.source = MountSource::Filesystem {
            kind: string("tmpfs")?,
            source: Some(string("tmpfs")?),
            parameters: vec![parameter("mode", Some("755"), &base)?],
        };
        // Its directories still have to be made: it becomes read-only at the end.
        holder.attributes.set &= !attribute::RDONLY;
        steps.push(Step::Mount(Box::new(holder)));
    }
    for view in views {
        let path = if view.name.is_empty() { base.clone() } else { format!("{base}/{}", view.name) };
        let mut part = step.clone();
        part.destination =
            InnerPath::new(&path).map_err(|error| Refusal::path("mount destination", &path, error))?;
        part.source = cgroup_source(view, own_namespace, &base, sources)?;
        // The host's hierarchy, where systemd shares every mount: what is mounted over it in here is not for the host.
        if matches!(part.source, MountSource::Tree { .. }) && part.propagation.is_empty() {
            part.propagation.push((MS_PRIVATE, true));
        }
        steps.push(Step::Mount(Box::new(part)));
    }
    if !pure_v2 && step.attributes.set & attribute::RDONLY != 0 {
        let mut seal = step;
        seal.source = MountSource::Existing;
        seal.attributes = Attributes::new(attribute::RDONLY, 0);
        seal.propagation = Vec::new();
        steps.push(Step::Mount(Box::new(seal)));
    }
    Ok(())
}

fn cgroup_source(
    view: &CgroupView,
    own_namespace: bool,
    destination: &str,
    sources: &mut Vec<Source>,
) -> Result<MountSource, Refusal> {
    if !own_namespace {
        sources.push(Source::Bind { path: view.host_path.clone(), recursive: false, id_map: None });
        return Ok(MountSource::Tree { slot: Slot(sources.len() - 1), recursive: false });
    }
    let parameters = view
        .options
        .iter()
        .map(|option| match option.split_once('=') {
            Some((key, value)) => parameter(key, Some(value), destination),
            None => parameter(option, None, destination),
        })
        .collect::<Result<_, _>>()?;
    Ok(MountSource::Filesystem { kind: string(&view.kind)?, source: Some(string("cgroup")?), parameters })
}

fn string(text: &str) -> Result<CString, Refusal> {
    CString::new(text).map_err(|_| Refusal::Nul("mount"))
}

fn parameter(key: &str, value: Option<&str>, destination: &str) -> Result<Parameter, Refusal> {
    Parameter::new(key, value)
        .map_err(|error| Refusal::MountOption { destination: destination.to_owned(), error })
}
