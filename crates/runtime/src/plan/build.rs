//! From a spec to a [`Plan`].

use std::ffi::CString;

use oci::runtime::{Hooks, Linux, NamespaceKind, Process, Seccomp, Spec};
use sys::mount::{Attributes, attribute};

use super::attributes;
use super::mount::{self, Context};
use super::step::{Identity, Mount, MountSource, RootSource, Secrets, Slot, Step};
use super::sysctl;
use super::{Facts, InnerPath, Namespaces, Plan, Refusal, RootKind, Source, capability, device};
use crate::lsm::{Label, Module};

/// Most arguments or environment entries of a process; the kernel's own limit is on bytes (`ARG_MAX`).
const MAX_STRINGS: usize = 65_536;
/// Most masked and read-only paths, devices, sysctls: a bundle with more is hostile.
const MAX_ENTRIES: usize = 4096;
/// Most bytes of a host or domain name: `__NEW_UTS_LEN` of uname(2).
const MAX_UTS_NAME: usize = 64;

const MS_UNBINDABLE: u64 = 1 << 17;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;

/// Makes the plan of `spec`.
pub fn build(spec: &Spec, facts: &Facts) -> Result<Plan, Refusal> {
    crate::weaken::prepare();
    check_version(&spec.oci_version)?;
    if spec.vm.is_some() {
        return Err(Refusal::Unsupported("vm"));
    }
    let root = spec.root.as_ref().ok_or(Refusal::Missing("root"))?;
    let process = spec.process.as_ref().ok_or(Refusal::Missing("process"))?;
    let no_linux = Linux::default();
    let linux = spec.linux.as_ref().unwrap_or(&no_linux);
    check_counts(spec, linux)?;
    if let Some(hooks) = &spec.hooks {
        check_hooks(hooks)?;
    }
    let namespaces = Namespaces::new(&linux.namespaces)?;
    check_support(linux, &namespaces)?;
    let mut plan = Plan {
        uid_map: linux.uid_mappings.clone(),
        gid_map: linux.gid_mappings.clone(),
        sources: Vec::new(),
        null: None,
        steps: Vec::with_capacity(64),
        limits: attributes::limits(process)?,
        oom_score_adj: process.oom_score_adj,
        warnings: Vec::new(),
        namespaces,
    };
    start(&mut plan, linux, process, facts)?;
    attach_root(&mut plan, facts, root, linux.rootfs_propagation.as_deref());
    // Without new privileges neither can give any, but the kernel still refuses to execute a file with a capability
    // that the bounding set lacks: `ping` of an image whose maker could set it. From a nosuid mount it runs as it is.
    // A directory that a bundle names is left as its owner mounted it.
    if process.no_new_privileges && facts.root != RootKind::Directory {
        plan.steps.push(Step::NosuidRoot);
    }
    fill_root(&mut plan, spec, linux, process, facts)?;
    enter(&mut plan, spec, linux, root, facts)?;
    finish(&mut plan, spec, linux, process, facts)?;
    Ok(plan)
}

fn check_version(version: &str) -> Result<(), Refusal> {
    let mut parts = version.splitn(3, '.');
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok());
    match (number(parts.next()), number(parts.next()), parts.next()) {
        (Some(1), Some(_), Some(patch)) if is_patch(patch) => Ok(()),
        _ => Err(Refusal::Version(version.to_owned())),
    }
}

/// The rest of a semantic version: a number, then perhaps a pre-release or build suffix.
fn is_patch(text: &str) -> bool {
    let suffix = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    suffix.len() < text.len()
        && (suffix.is_empty() || suffix.starts_with(['-', '+']))
        && suffix.bytes().all(plain)
}

fn check_counts(spec: &Spec, linux: &Linux) -> Result<(), Refusal> {
    let check = |what, count, limit| {
        if count > limit { Err(Refusal::TooMany { what, count, limit }) } else { Ok(()) }
    };
    check("mounts", spec.mounts.len(), mount::MAX_MOUNTS)?;
    check("masked paths", linux.masked_paths.len(), MAX_ENTRIES)?;
    check("read-only paths", linux.readonly_paths.len(), MAX_ENTRIES)?;
    check("devices", linux.devices.len(), MAX_ENTRIES)?;
    check("sysctls", linux.sysctl.len(), MAX_ENTRIES)?;
    if let Some(process) = &spec.process {
        check("arguments", process.args.len(), MAX_STRINGS)?;
        check("environment entries", process.env.len(), MAX_STRINGS)?;
        check("supplementary groups", process.user.additional_gids.len(), MAX_STRINGS)?;
    }
    Ok(())
}

/// The path must be absolute and the timeout above zero: runtime-spec `config.md`, "POSIX-platform Hooks".
fn check_hooks(hooks: &Hooks) -> Result<(), Refusal> {
    let lists = [
        &hooks.prestart,
        &hooks.create_runtime,
        &hooks.create_container,
        &hooks.start_container,
        &hooks.poststart,
        &hooks.poststop,
    ];
    let count = lists.iter().map(|list| list.len()).sum();
    if count > MAX_ENTRIES {
        return Err(Refusal::TooMany { what: "hooks", count, limit: MAX_ENTRIES });
    }
    for hook in lists.into_iter().flatten() {
        if !hook.path.starts_with('/') {
            return Err(Refusal::RelativePath { what: "hook", path: hook.path.clone() });
        }
        // One that no program can have is refused here, and not told by the stub in a line as long.
        InnerPath::new(&hook.path).map_err(|error| Refusal::path("hook", &hook.path, error))?;
        if let Some(timeout) = hook.timeout.filter(|timeout| *timeout <= 0) {
            return Err(Refusal::HookTimeout { path: hook.path.clone(), timeout });
        }
    }
    Ok(())
}

fn check_support(linux: &Linux, namespaces: &Namespaces) -> Result<(), Refusal> {
    if linux.intel_rdt.is_some() {
        return Err(Refusal::Unsupported("linux.intelRdt"));
    }
    if !linux.net_devices.is_empty() {
        return Err(Refusal::Unsupported("linux.netDevices"));
    }
    if !namespaces.owns(NamespaceKind::Mount) {
        return Err(Refusal::NeedsNamespace { field: "root", kind: NamespaceKind::Mount });
    }
    if !linux.time_offsets.is_empty() && !namespaces.creates(NamespaceKind::Time) {
        return Err(Refusal::NeedsNamespace { field: "linux.timeOffsets", kind: NamespaceKind::Time });
    }
    let mapped = !linux.uid_mappings.is_empty() && !linux.gid_mappings.is_empty();
    let any = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    let joined = namespaces.owns(NamespaceKind::User) && !namespaces.creates(NamespaceKind::User);
    if any && !namespaces.owns(NamespaceKind::User) {
        return Err(Refusal::IdMaps);
    }
    // Podman gives the maps of a user namespace that it made itself, too: they are not written then.
    if namespaces.creates(NamespaceKind::User) != mapped && !(joined && (mapped || !any)) {
        return Err(Refusal::IdMaps);
    }
    Ok(())
}

/// What the process does first, in its new namespaces.
fn start(plan: &mut Plan, linux: &Linux, process: &Process, facts: &Facts) -> Result<(), Refusal> {
    // One that is joined, too, where its maps are known: the caller's own id has none in it.
    let mapped = !linux.uid_mappings.is_empty() && plan.namespaces.owns(NamespaceKind::User);
    if plan.namespaces.creates(NamespaceKind::User) || mapped {
        let lowest = |map: &[oci::runtime::IdMapping]| {
            map.iter().map(|range| range.container_id).min().unwrap_or_default()
        };
        plan.steps
            .push(Step::BecomeRoot { uid: lowest(&linux.uid_mappings), gid: lowest(&linux.gid_mappings) });
    }
    plan.steps.push(Step::NewSession);
    if facts.no_input {
        plan.steps.push(Step::NoInput);
    }
    if plan.namespaces.creates(NamespaceKind::Cgroup) {
        plan.steps.push(Step::NewCgroupNamespace);
    }
    if plan.namespaces.creates(NamespaceKind::Time) {
        let mut lines = String::new();
        for (clock, offset) in &linux.time_offsets {
            if clock != "monotonic" && clock != "boottime" {
                return Err(Refusal::Clock(clock.clone()));
            }
            lines.push_str(&format!("{clock} {} {}\n", offset.secs, offset.nanosecs));
        }
        let offsets = CString::new(lines).map_err(|_| Refusal::Nul("clock"))?;
        plan.steps.push(Step::NewTimeNamespace { offsets });
    }
    if plan.namespaces.creates(NamespaceKind::Network) {
        plan.steps.push(Step::Loopback);
    }
    keyring(plan, process, facts)?;
    let propagation = match linux.rootfs_propagation.as_deref() {
        None | Some("" | "slave" | "rslave") => MS_SLAVE,
        Some("private" | "rprivate") => MS_PRIVATE,
        // The root mount is changed at the end; until then the host must not see what we do.
        Some("shared" | "rshared" | "unbindable" | "runbindable") => MS_SLAVE,
        Some(other) => return Err(Refusal::Propagation(other.to_owned())),
    };
    plan.steps.push(Step::Propagation(propagation));
    Ok(())
}

fn attach_root(plan: &mut Plan, facts: &Facts, root: &oci::runtime::Root, propagation: Option<&str>) {
    let mut next = |source| {
        plan.sources.push(source);
        Slot(plan.sources.len() - 1)
    };
    let source = match facts.root {
        RootKind::Directory => {
            let path = if root.path.starts_with('/') {
                root.path.clone()
            } else {
                format!("{}/{}", facts.bundle.trim_end_matches('/'), root.path)
            };
            RootSource::Tree(next(Source::Root(path)))
        }
        RootKind::Overlay { lower, writable, late } => {
            let layers: Vec<Slot> = (0..lower).map(|index| next(Source::Given(index))).collect();
            let upper = writable.then(|| (next(Source::Given(lower)), next(Source::Given(lower + 1))));
            if late { RootSource::Late } else { RootSource::Overlay { lower: layers, upper } }
        }
    };
    // Without being asked for, what the host mounts there later stays outside.
    let propagation = match propagation {
        Some("slave" | "rslave" | "shared" | "rshared") => MS_SLAVE,
        _ => MS_PRIVATE,
    };
    plan.steps.push(Step::AttachRoot(source, propagation));
}

/// Where secrets are, as docker and podman have it.
const SECRETS: &str = "/run/secrets";

/// Mounts, devices, links, terminal: all that needs the host's mounts to be there still.
fn fill_root(
    plan: &mut Plan,
    spec: &Spec,
    linux: &Linux,
    process: &Process,
    facts: &Facts,
) -> Result<(), Refusal> {
    let label = mount::label(spec, facts)?;
    let context = Context { facts, namespaces: &plan.namespaces, label: label.as_ref() };
    for entry in &spec.mounts {
        mount::plan(entry, &context, &mut plan.sources, &mut plan.steps)?;
    }
    if !facts.secrets.is_empty() {
        let directory =
            InnerPath::new(SECRETS).map_err(|error| Refusal::path("mount destination", SECRETS, error))?;
        let mut parameters = mount::secret_parameters()?;
        parameters.extend(label.clone());
        let files = facts.secrets.clone();
        plan.steps.push(Step::Secrets(Box::new(Secrets { directory, parameters, files })));
    }
    // A bundle that binds the host's /dev wants just that.
    let host_dev = spec.mounts.iter().any(|mount| {
        mount.is_bind() && InnerPath::new(&mount.destination).is_ok_and(|path| path.to_text() == "/dev")
    });
    if !host_dev {
        let make = facts.can_make_nodes && !plan.namespaces.owns(NamespaceKind::User);
        device::plan(&linux.devices, make, &mut plan.sources, &mut plan.steps)?;
    }
    if process.terminal {
        plan.steps.push(terminal(process));
    }
    if !process.cwd.starts_with('/') {
        return Err(Refusal::RelativePath { what: "process.cwd", path: process.cwd.clone() });
    }
    let cwd =
        InnerPath::new(&process.cwd).map_err(|error| Refusal::path("process.cwd", &process.cwd, error))?;
    if cwd.relative().is_some() {
        plan.steps.push(Step::Directory(cwd));
    }
    if let Some(hooks) = &spec.hooks {
        if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
            plan.steps.push(Step::RuntimeHooks);
        }
        if !hooks.create_container.is_empty() {
            plan.steps.push(Step::ContainerHooks);
        }
    }
    Ok(())
}

fn terminal(process: &Process) -> Step {
    let clamp = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
    Step::Terminal {
        size: process.console_size.map(|size| (clamp(size.height), clamp(size.width))),
        owner: process.user.uid,
    }
}

/// Leaves a read-only tmpfs writable until all that goes into it is there: mount points, devices, copies.
fn seal_tmpfs(plan: &mut Plan) {
    let mut seals: Vec<Box<Mount>> = Vec::new();
    for step in &mut plan.steps {
        let Step::Mount(mount) = step else { continue };
        let MountSource::Filesystem { kind, .. } = &mount.source else { continue };
        let readonly = (mount.attributes.set | mount.recursive.set) & attribute::RDONLY != 0;
        if !readonly || kind.as_c_str() != c"tmpfs" {
            continue;
        }
        mount.attributes.set &= !attribute::RDONLY;
        mount.recursive.set &= !attribute::RDONLY;
        let mut seal = mount.clone();
        seal.source = MountSource::Existing;
        seal.attributes = Attributes::new(attribute::RDONLY, 0);
        seal.recursive = Attributes::default();
        seal.propagation = Vec::new();
        seal.copy_up = false;
        // What is mounted over another hides it: its seal would reach the wrong one.
        seals.retain(|other| other.destination != seal.destination);
        seals.push(seal);
    }
    plan.steps.extend(seals.into_iter().map(Step::Mount));
}

/// The change of root and what is done inside.
fn enter(
    plan: &mut Plan,
    spec: &Spec,
    linux: &Linux,
    root: &oci::runtime::Root,
    facts: &Facts,
) -> Result<(), Refusal> {
    let needs = |plan: &Plan, field, kind| {
        if plan.owns(kind) { Ok(()) } else { Err(Refusal::NeedsNamespace { field, kind }) }
    };
    let string = |what, text: &str| CString::new(text).map_err(|_| Refusal::Nul(what));
    // The kernel would refuse it after the clone, with no word of why.
    let name = |field, what, text: &str| match text.len() {
        count if count > MAX_UTS_NAME => Err(Refusal::TooMany { what, count, limit: MAX_UTS_NAME }),
        _ => string(field, text),
    };
    if let Some(text) = spec.hostname.as_deref().filter(|text| !text.is_empty()) {
        needs(plan, "hostname", NamespaceKind::Uts)?;
        plan.steps.push(Step::Hostname(name("hostname", "bytes of `hostname`", text)?));
    }
    if let Some(text) = spec.domainname.as_deref().filter(|text| !text.is_empty()) {
        needs(plan, "domainname", NamespaceKind::Uts)?;
        plan.steps.push(Step::Domainname(name("domainname", "bytes of `domainname`", text)?));
    }
    for (name, value) in &linux.sysctl {
        let (path, value) = sysctl::check(name, value, |kind| plan.owns(kind))?;
        plan.steps.push(Step::Sysctl { path, value });
    }
    seal_tmpfs(plan);
    for path in &linux.readonly_paths {
        let path = InnerPath::new(path).map_err(|error| Refusal::path("read-only", path, error))?;
        plan.steps.push(Step::Readonly(path));
    }
    for path in &linux.masked_paths {
        let path = InnerPath::new(path).map_err(|error| Refusal::path("masked", path, error))?;
        plan.steps.push(Step::Mask(path));
    }
    if !linux.masked_paths.is_empty() {
        plan.null = Some(Slot(plan.sources.len()));
        plan.sources.push(Source::Device { path: "/dev/null".to_owned(), kind: 0o020_000, number: (1, 3) });
    }
    if root.readonly {
        plan.steps.push(Step::ReadonlyRoot);
    }
    plan.steps.push(if facts.no_pivot { Step::MoveRoot } else { Step::Pivot });
    match linux.rootfs_propagation.as_deref() {
        Some("shared" | "rshared") => plan.steps.push(Step::RootPropagation(MS_SHARED)),
        Some("unbindable" | "runbindable") => plan.steps.push(Step::RootPropagation(MS_UNBINDABLE)),
        _ => {}
    }
    Ok(())
}

/// From being set up to the payload.
fn finish(
    plan: &mut Plan,
    spec: &Spec,
    linux: &Linux,
    process: &Process,
    facts: &Facts,
) -> Result<(), Refusal> {
    process_attributes(plan, process, linux)?;
    tail(
        plan,
        process,
        facts,
        linux.seccomp.as_ref(),
        spec.hooks.as_ref().is_some_and(|hooks| !hooks.start_container.is_empty()),
    )
}

fn process_attributes(plan: &mut Plan, process: &Process, linux: &Linux) -> Result<(), Refusal> {
    if let Some(scheduler) = &process.scheduler {
        plan.steps.push(Step::Scheduler(attributes::scheduler(scheduler)?));
    }
    if let Some(priority) = &process.io_priority {
        let (class, level) = attributes::io_priority(priority)?;
        plan.steps.push(Step::IoPriority(class, level));
    }
    if let Some(policy) = &linux.memory_policy {
        let (mode, nodes) = attributes::memory_policy(policy)?;
        plan.steps.push(Step::MemoryPolicy(mode, nodes));
    }
    if let Some(personality) = &linux.personality {
        plan.steps.push(Step::Personality(attributes::personality(personality)?));
    }
    Ok(())
}

/// Labels, identity, filter, exec: the same for the first process and for one that joins.
fn tail(
    plan: &mut Plan,
    process: &Process,
    facts: &Facts,
    filter: Option<&Seccomp>,
    start_hooks: bool,
) -> Result<(), Refusal> {
    if process.args.is_empty() {
        return Err(Refusal::Missing("process.args"));
    }
    let cwd = CString::new(process.cwd.as_str()).map_err(|_| Refusal::Nul("process.cwd"))?;
    // First, since a relative program or a relative directory of `PATH` counts from there.
    plan.steps.push(Step::WorkingDirectory(cwd));
    plan.steps.push(Step::FindProgram);
    // A listener is handed over while the creating command still lives, so its filter goes in before the
    // wait for `start`, and with it all that must precede it.
    let notify = filter.is_some_and(|profile| {
        profile.default_action == NOTIFY || profile.syscalls.iter().any(|rule| rule.action == NOTIFY)
    });
    if !notify {
        plan.steps.push(Step::Ready);
    }
    // Before a filter that may refuse the calls that do it.
    plan.steps.push(Step::Tidy);
    labels(plan, process, facts)?;
    if !plan.limits.is_empty() {
        plan.steps.push(Step::Limits);
    }
    // Without no_new_privs a filter takes CAP_SYS_ADMIN, which the next steps give up.
    if filter.is_some() && !process.no_new_privileges {
        plan.steps.push(Step::Filter);
    }
    let identity = identity(process, plan)?;
    plan.steps.push(Step::Identity(Box::new(identity)));
    if process.no_new_privileges {
        plan.steps.push(Step::NoNewPrivileges);
    }
    if start_hooks {
        plan.steps.push(Step::StartHooks);
    }
    // Nobody reads the pipes before the payload runs: hooks that write much would wait for ever.
    if facts.relayed {
        plan.steps.push(Step::Streams);
    }
    if filter.is_some() && process.no_new_privileges {
        plan.steps.push(Step::Filter);
    }
    if notify {
        plan.steps.push(Step::Ready);
    }
    if facts.init {
        plan.steps.push(Step::Init);
    }
    plan.steps.push(Step::Execute);
    Ok(())
}

const NOTIFY: &str = "SCMP_ACT_NOTIFY";

fn labels(plan: &mut Plan, process: &Process, facts: &Facts) -> Result<(), Refusal> {
    let asked = [
        (Module::AppArmor, &process.apparmor_profile, facts.apparmor, "an AppArmor profile"),
        (Module::Selinux, &process.selinux_label, facts.selinux, "an SELinux label"),
    ];
    for (module, label, is_on, what) in asked {
        let Some(label) = label.as_deref().filter(|label| !label.is_empty()) else { continue };
        if !is_on {
            return Err(Refusal::NoSecurityModule(what));
        }
        let label = Label::of_next(module, label).ok_or(Refusal::Nul("label"))?;
        plan.steps.push(Step::Label(Box::new(label)));
    }
    Ok(())
}

/// A session keyring of its own, that the container's label may use: the kernel gives a key the label of its maker.
fn keyring(plan: &mut Plan, process: &Process, facts: &Facts) -> Result<(), Refusal> {
    if facts.keep_keyring {
        return Ok(());
    }
    let label = process.selinux_label.as_deref().filter(|label| !label.is_empty() && facts.selinux);
    if let Some(label) = label {
        plan.steps.push(Step::Label(Box::new(Label::of_keys(label).ok_or(Refusal::Nul("label"))?)));
    }
    plan.steps.push(Step::NewKeyring);
    Ok(())
}

fn identity(process: &Process, plan: &mut Plan) -> Result<Identity, Refusal> {
    let user = &process.user;
    let mapped = |map: &[oci::runtime::IdMapping], id: u32| {
        map.is_empty()
            || map.iter().any(|range| id >= range.container_id && id - range.container_id < range.size)
    };
    if plan.namespaces.creates(NamespaceKind::User) {
        if !mapped(&plan.uid_map, user.uid) {
            return Err(Refusal::UnmappedId { what: "user id", id: user.uid });
        }
        for gid in std::iter::once(&user.gid).chain(&user.additional_gids) {
            if !mapped(&plan.gid_map, *gid) {
                return Err(Refusal::UnmappedId { what: "group id", id: *gid });
            }
        }
    }
    // Without the field the process has none, as with runc.
    let (capabilities, unknown) = capability::sets(&process.capabilities.clone().unwrap_or_default());
    plan.warnings.extend(unknown.iter().map(|name| format!("unknown capability `{name}` is ignored")));
    Ok(Identity {
        uid: user.uid,
        gid: user.gid,
        groups: user.additional_gids.clone(),
        umask: user.umask.unwrap_or(0o022) & 0o777,
        capabilities,
    })
}

/// The plan of a process that joins a running container: only its last part.
pub fn build_exec(process: &Process, facts: &Facts, filter: Option<&Seccomp>) -> Result<Plan, Refusal> {
    let mut plan = Plan {
        namespaces: Namespaces::default(),
        uid_map: Vec::new(),
        gid_map: Vec::new(),
        sources: Vec::new(),
        null: None,
        steps: vec![Step::NewSession],
        limits: attributes::limits(process)?,
        oom_score_adj: process.oom_score_adj,
        warnings: Vec::new(),
    };
    if !process.cwd.starts_with('/') {
        return Err(Refusal::RelativePath { what: "process.cwd", path: process.cwd.clone() });
    }
    keyring(&mut plan, process, facts)?;
    if process.terminal {
        plan.steps.push(terminal(process));
    }
    process_attributes(&mut plan, process, &Linux::default())?;
    if let Some(affinity) = &process.exec_cpu_affinity {
        attributes::processors("initial", &affinity.initial)?;
        let mask = attributes::processors("final", &affinity.last)?;
        if !mask.is_empty() {
            plan.steps.push(Step::Affinity(mask));
        }
    }
    tail(&mut plan, process, facts, filter, false)?;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(namespaces: &str, no_new_privileges: bool, root: RootKind) -> Vec<Step> {
        let spec = format!(
            r#"{{"ociVersion": "1.2.0", "root": {{"path": "rootfs"}}, "linux": {{"namespaces": {namespaces}}},
                 "process": {{"cwd": "/", "args": ["true"], "noNewPrivileges": {no_new_privileges},
                              "user": {{"uid": 0, "gid": 0}}}}}}"#
        );
        let facts = Facts { root, ..Facts::default() };
        build(&serde_json::from_str(&spec).unwrap(), &facts).unwrap().steps
    }

    #[test]
    fn a_new_network_has_its_loopback_up() {
        for (namespaces, expected) in [
            (r#"[{"type": "mount"}, {"type": "network"}]"#, true),
            (r#"[{"type": "mount"}, {"type": "network", "path": "/run/netns/made"}]"#, false),
            (r#"[{"type": "mount"}]"#, false),
        ] {
            let steps = steps(namespaces, true, RootKind::Directory);
            assert_eq!(steps.contains(&Step::Loopback), expected, "{namespaces}");
        }
    }

    #[test]
    fn layers_without_new_privileges_are_nosuid() {
        let layers = RootKind::Overlay { lower: 1, writable: true, late: true };
        for (no_new_privileges, root, expected) in
            [(true, layers.clone(), true), (false, layers, false), (true, RootKind::Directory, false)]
        {
            let steps = steps(r#"[{"type": "mount"}]"#, no_new_privileges, root.clone());
            assert_eq!(steps.contains(&Step::NosuidRoot), expected, "{no_new_privileges} {root:?}");
        }
    }
}
