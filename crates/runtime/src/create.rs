//! Making a container: `create`, which leaves it waiting for `start`, and `run` in the foreground.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use cgroup::{Cgroup, Controllers, Driver, Hierarchies, Layout, Strictness};
use files::atomic::{self, Durability};
use oci::runtime::{Hook, Resources, Spec, Status};
use rustix::fs::{FileType, MemfdFlags, Mode, OFlags};
use rustix::process::Pid;

use crate::child::Origin;
use crate::foreground::{self, Exit};
use crate::launch::{self, Answers, Launched};
use crate::opened::{Filter, StartGate};
use crate::plan::{self, Facts, Plan, RootKind};
use crate::prepare::{self, Given, Layers, Ready};
use crate::relay::{self, Relay, Stream};
use crate::secrets::Secrets;
use crate::state::{self, DONE, GO, Saved, StateRoot};
use crate::{Error, Result, allow, console, facts, home, hooks, legacy, listener, lsm, verify};

/// How the container's cgroup is made.
#[derive(Clone, Debug)]
pub struct CgroupOptions {
    /// Who makes it.
    pub driver: Driver,
    /// Whether the caller is not the machine's root.
    pub rootless: bool,
    /// Whether all v1 hierarchies are joined.
    pub hierarchies: Hierarchies,
    /// Controllers wanted for statistics.
    pub controllers: Controllers,
    /// Socket of the bus of systemd, for its driver.
    pub bus: Option<PathBuf>,
}

impl CgroupOptions {
    /// For the caller as he is: scopes of the systemd with that bus, or directories of our own.
    pub fn for_caller(bus: Option<PathBuf>) -> Self {
        Self {
            driver: if bus.is_some() { Driver::Systemd } else { Driver::Filesystem },
            rootless: !rustix::process::geteuid().is_root(),
            hierarchies: Hierarchies::Needed,
            controllers: Controllers::NONE,
            bus,
        }
    }
}

/// What container to make.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its spec.
    pub spec: Spec,
    /// Absolute path of its bundle.
    pub bundle: &'a str,
    /// Where its state is kept.
    pub root: &'a StateRoot,
    /// Its root file system as layers, in place of the spec's directory.
    pub layers: Option<Layers>,
    /// Sources of bind mounts whose paths the caller looked at before: they must still lead to the same files.
    pub checked_sources: Vec<CheckedSource>,
    /// Mounts attached nowhere that stand for sources of bind mounts, by their paths.
    pub mounts: Vec<(String, OwnedFd)>,
    /// Its cgroup.
    pub cgroup: CgroupOptions,
    /// Limits that were not asked for: where they cannot be applied there is a warning only.
    pub default_resources: Option<&'a Resources>,
    /// Make an error of that warning.
    pub require_defaults: bool,
    /// Gets the warnings before the payload runs; without it they are in the report.
    pub announce: Option<Announce<'a>>,
    /// Connects the container's network, before anything runs in it.
    pub connect: Option<Connect<'a>>,
    /// Where compiled filters are kept.
    pub filter_cache: Option<BorrowedFd<'a>>,
    /// Unix socket that gets the master of the terminal.
    pub console_socket: Option<PathBuf>,
    /// File that gets the pid.
    pub pid_file: Option<PathBuf>,
    /// Number of descriptors from 3 on that the payload keeps.
    pub preserve_descriptors: u32,
    /// Chroot instead of pivot_root.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub keep_keyring: bool,
    /// Put a reaping pid 1 of ours in front of the payload.
    pub init: bool,
    /// Whether the standard input is relayed to a terminal.
    pub interactive: bool,
    /// What the container gets that is never written to a disk.
    pub secrets: Secrets,
}

/// What a path of the host led to when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedSource {
    /// The path, as the spec's mount has it.
    pub path: String,
    /// Its device number, as `stat(2)` has it.
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
}

/// What an engine does to a network namespace: it gets the directory of the container's process in `/proc`, whose namespaces
/// are there and have their maps, while nothing of the container's runs. Its error ends the start.
pub struct Connect<'a>(pub &'a mut dyn FnMut(BorrowedFd<'_>) -> Connected);

/// What an engine answers that connected a network namespace: its own error, which this crate cannot know.
pub type Connected = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

impl std::fmt::Debug for Connect<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Connect")
    }
}

/// Who is told a warning as soon as it is known.
#[derive(Clone, Copy)]
pub struct Announce<'a>(pub &'a dyn Fn(&str));

impl std::fmt::Debug for Announce<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Announce")
    }
}

/// What was made, beside the container.
#[derive(Debug, Default)]
pub struct Report {
    /// What could not be done and was not asked for, and what is odd.
    pub warnings: Vec<String>,
}

/// A container that was cloned: what is undone if a later step fails.
struct Made {
    plan: Plan,
    saved: Saved,
    cgroup: Option<Cgroup>,
    launched: Launched,
    answers: Answers,
}

/// Makes the plan of a request without making anything else, for `--dry-run`.
pub fn plan_of(spec: &Spec, bundle: &str, layers: Option<(usize, bool)>, init: bool) -> Result<Plan> {
    let mut facts = facts::read(bundle, Vec::new(), true);
    facts.root = match layers {
        Some((lower, writable)) => RootKind::Overlay { lower, writable, late: maps_layers(spec) },
        None => RootKind::Directory,
    };
    facts.init = init;
    Ok(plan::build(spec, &facts)?)
}

/// Makes the container and leaves it waiting for `start`.
pub fn create(request: Request<'_>, report: &mut Report) -> Result<()> {
    let (id, root) = (request.id.to_owned(), request.root);
    let (console_socket, pid_file) = (request.console_socket.clone(), request.pid_file.clone());
    let made = make(request, Purpose::Create, Vec::new(), report)?;
    finish_start(&made, console_socket.as_deref(), pid_file.as_deref())
        .inspect_err(|_| undo(root, &id, made.cgroup.as_ref(), Some(&made.saved)))?;
    made.launched.release();
    Ok(())
}

/// A container that was started. The caller is its parent: he waits for it.
#[derive(Debug)]
pub struct Started {
    /// Its first process.
    pub pid: i32,
    /// When that process started, in clock ticks after boot.
    pub start_time: u64,
    /// The process's pidfd.
    pub process: OwnedFd,
    /// Master of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

/// Makes the container and starts it, with these descriptors as its standard streams (a terminal takes none).
///
/// # Errors
/// Nothing is left behind then.
pub fn start(request: Request<'_>, streams: Vec<Stream>, report: &mut Report) -> Result<Started> {
    let (id, root, pid_file) = (request.id.to_owned(), request.root, request.pid_file.clone());
    let mut made = make(request, Purpose::Run, streams, report)?;
    let process = launch::open_process(made.launched.pid)?;
    let checked = verify::verify(&made.plan, &process)
        .and_then(|()| finish_start(&made, None, pid_file.as_deref()))
        .and_then(|()| poststart(&made.saved));
    if let Err(error) = checked {
        drop(made.launched);
        undo(root, &id, made.cgroup.as_ref(), Some(&made.saved));
        return Err(error);
    }
    let terminal = made.answers.terminal.take();
    let (pid, process) = made.launched.release();
    let pid = pid.as_raw_nonzero().get();
    Ok(Started { pid, start_time: made.saved.start_time, process, terminal })
}

/// Makes the container, starts it and waits for its end in the foreground.
pub fn run(request: Request<'_>, detach: bool, keep: bool, report: &mut Report) -> Result<Exit> {
    let (id, root, interactive) = (request.id.to_owned(), request.root, request.interactive);
    let (console_socket, pid_file) = (request.console_socket.clone(), request.pid_file.clone());
    let signals = if detach { None } else { Some(foreground::hold_signals()?) };
    let terminal = request.spec.process.as_ref().is_some_and(|process| process.terminal);
    let (streams, relay) =
        if detach || terminal { (Vec::new(), None) } else { Relay::by_pipes(interactive)? };
    let mut made = make(request, Purpose::Run, streams, report)?;
    let process = launch::open_process(made.launched.pid)?;
    let checked = verify::verify(&made.plan, &process)
        .and_then(|()| finish_start(&made, console_socket.as_deref(), pid_file.as_deref()))
        .and_then(|()| poststart(&made.saved));
    if let Err(error) = checked {
        drop(made.launched);
        undo(root, &id, made.cgroup.as_ref(), Some(&made.saved));
        return Err(error);
    }
    let Some(signals) = signals else {
        made.launched.release();
        return Ok(Exit(0));
    };
    let terminal = made.answers.terminal.take().filter(|_| console_socket.is_none());
    let relayed = terminal.map(|master| Relay::for_master(master, interactive)).transpose();
    let waited = relayed.and_then(|terminal| {
        let (process, relay) = (made.launched.pidfd.as_fd(), terminal.or(relay));
        foreground::wait(process, signals.as_fd(), relay, &mut report.warnings)
    });
    let exit = match waited {
        Ok(exit) => exit,
        Err(error) => {
            // Nobody would watch it, while its ids and its files are given to others.
            drop(made.launched);
            undo(root, &id, made.cgroup.as_ref(), Some(&made.saved));
            return Err(error);
        }
    };
    made.launched.release();
    if !keep {
        report.warnings.extend(crate::lifecycle::tear_down(root, &made.saved)?);
    }
    Ok(exit)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Create,
    Run,
}

fn make(request: Request<'_>, mode: Purpose, streams: Vec<Stream>, report: &mut Report) -> Result<Made> {
    check_terminal(&request, mode)?;
    let directory = request.root.reserve(request.id)?;
    let (root, id) = (request.root, request.id);
    let (mut cgroup, mut begun) = (None, None);
    make_in(request, mode, streams, &directory, &mut cgroup, &mut begun, report)
        .inspect_err(|_| undo(root, id, cgroup.as_ref(), begun.as_ref()))
}

/// Removes what a failed creation leaves. What cannot be removed stays for `delete`. Where there was a process
/// already its poststop hooks run: runtime-spec `runtime.md`, "Lifecycle", steps 12 and 13.
fn undo(root: &StateRoot, id: &str, cgroup: Option<&Cgroup>, begun: Option<&Saved>) {
    if let Some(cgroup) = cgroup {
        // The reason of the failure matters more than that of the cleaning, which `delete` does again.
        drop(cgroup.kill(rustix::process::Signal::KILL));
        drop(cgroup.remove());
    }
    drop(root.remove(id));
    if let Some(saved) = begun
        && let Some(list) = &saved.spec.hooks
    {
        // As above: there is one failure to tell, the first.
        drop(hooks::run_all("poststop", &list.poststop, &saved.to_oci(Status::Stopped)));
    }
}

fn check_terminal(request: &Request<'_>, mode: Purpose) -> Result<()> {
    let terminal = request.spec.process.as_ref().is_some_and(|process| process.terminal);
    match (terminal, request.console_socket.is_some(), mode) {
        (true, false, Purpose::Create) => {
            Err(Error::Terminal("a terminal needs `--console-socket` to be handed over"))
        }
        (false, true, _) => {
            Err(Error::Terminal("`--console-socket` is given, but the process has no terminal"))
        }
        _ => Ok(()),
    }
}

fn make_in(
    mut request: Request<'_>,
    mode: Purpose,
    streams: Vec<Stream>,
    directory: &OwnedFd,
    made_cgroup: &mut Option<Cgroup>,
    begun: &mut Option<Saved>,
    report: &mut Report,
) -> Result<Made> {
    lsm::settle(&mut request.spec)?;
    let spec = &request.spec;
    let process = spec.process.as_ref().ok_or(plan::Refusal::Missing("process"))?;
    let layout = Layout::detect()?;
    // systemd makes no empty scope: its cgroup comes with the process.
    let by_systemd = request.cgroup.driver == Driver::Systemd;
    let mut saved = Saved {
        id: request.id.to_owned(),
        pid: 0,
        start_time: 0,
        bundle: request.bundle.to_owned(),
        created: state::now(),
        owner: rustix::process::geteuid().as_raw(),
        cgroup: None,
        spec: spec.clone(),
    };
    let views = if by_systemd {
        vec![facts::systemd_view(&layout)?]
    } else {
        // For whoever cleans up if this process is killed: first what will be there, then what is.
        let begin = |planned| {
            saved.cgroup = Some(planned);
            saved.write(directory)
        };
        let cgroup = made_cgroup.insert(make_cgroup(&layout, &request, None, begin, report)?);
        saved.cgroup = Some(cgroup.to_saved());
        saved.write(directory)?;
        let views = facts::cgroup_views(&layout, cgroup);
        // `brig run` has layers, and shows nothing of the host's instead.
        let bundle = request.layers.is_none();
        if views.is_empty() && bundle { facts::caller_views(&layout) } else { views }
    };
    let mut facts = facts::read(request.bundle, views, true);
    facts.no_pivot = request.no_pivot;
    facts.keep_keyring = request.keep_keyring;
    facts.init = request.init;
    facts.no_input = !request.interactive && !process.terminal;
    facts.relayed = !streams.is_empty();
    facts.root = match &request.layers {
        Some(layers) => RootKind::Overlay {
            lower: layers.lower.len(),
            writable: layers.writable.is_some(),
            late: maps_layers(spec),
        },
        None => RootKind::Directory,
    };
    facts.secrets = request.secrets.plan()?;
    let plan = plan::build(spec, &facts)?;
    report.warnings.extend(plan.warnings.iter().cloned());
    let filter = filter_of(spec, request.filter_cache, report)?;
    let start = if mode == Purpose::Create { Some(make_gate(directory)?) } else { None };
    // An engine that hands layers over knows its image's accounts.
    let home = match &request.layers {
        Some(_) => None,
        None => home::missing(process, &root_path(spec, request.bundle)),
    };
    let preserved = request.preserve_descriptors;
    let checked_sources = std::mem::take(&mut request.checked_sources);
    let mounts = std::mem::take(&mut request.mounts);
    let label = plan::mount_label(spec, &facts)?;
    relay::give(&streams, launch::root_of(spec))?;
    let layers = request.layers.take();
    let secrets = std::mem::take(&mut request.secrets);
    let given = Given { layers, start, preserved, home, label, checked_sources, mounts, streams, secrets };
    let spec = &request.spec;
    let mut ready = prepare::prepare(&plan, &facts.root, process, filter, given)?;
    prepare_hooks(spec, &mut ready)?;
    if let Some(Announce(tell)) = request.announce {
        report.warnings.drain(..).for_each(|warning| tell(&warning));
    }
    let launched = launch::clone(&plan, &mut ready, made_cgroup.as_ref(), Origin::New)?;
    saved.pid = launched.pid.as_raw_nonzero().get();
    saved.start_time = state::start_time(saved.pid).unwrap_or_default();
    if by_systemd {
        *made_cgroup = Some(make_cgroup(&layout, &request, Some(saved.pid), |_| Ok(()), report)?);
    }
    saved.cgroup = made_cgroup.as_ref().map(Cgroup::to_saved);
    saved.write(directory)?;
    *begun = Some(saved.clone());
    write_states(&ready, &saved)?;
    // Descriptors that the child has as well: while this process held the write end open, `start` would
    // wait for ever.
    ready.prepared.start = None;
    launch::go(&plan, &launched, ready.late, request.connect.take())?;
    let program = process.args.first().map_or("", String::as_str);
    let answers = launch::listen(&plan, &launched, program, || runtime_hooks(spec, &saved))?;
    // Its own copy is closed already, or a moment after what told us.
    state::finish_set_up(directory, request.id)?;
    if let Some(found) = &answers.listener {
        listener::hand_over(spec, &saved.to_oci(Status::Creating), found)?;
    }
    let cgroup = made_cgroup.as_ref().map(|cgroup| Cgroup::from_saved(&cgroup.to_saved())).transpose()?;
    Ok(Made { plan, saved, cgroup, launched, answers })
}

/// The root directory of a bundle on the host.
pub(crate) fn root_path(spec: &Spec, bundle: &str) -> PathBuf {
    Path::new(bundle).join(spec.root.as_ref().map_or("", |root| root.path.as_str()))
}

/// Whether layers are id-mapped by this process: it may, and the container has ids of its own.
fn maps_layers(spec: &Spec) -> bool {
    let maps = spec.linux.as_ref().is_some_and(|linux| !linux.uid_mappings.is_empty());
    maps && rustix::process::geteuid().is_root()
}

fn make_cgroup(
    layout: &Layout,
    request: &Request<'_>,
    leader: Option<i32>,
    begin: impl FnOnce(cgroup::Saved) -> Result<()>,
    report: &mut Report,
) -> Result<Cgroup> {
    let linux = request.spec.linux.as_ref();
    let path = linux.and_then(|linux| linux.cgroups_path.as_deref()).filter(|path| !path.is_empty());
    let none = Resources::default();
    let defaults = request.default_resources.unwrap_or(&none);
    let bus = request.cgroup.bus.as_deref().zip(leader);
    let wanted = cgroup::Request {
        id: request.id,
        path,
        driver: request.cgroup.driver,
        rootless: request.cgroup.rootless,
        shared: false,
        hierarchies: request.cgroup.hierarchies,
        controllers: request.cgroup.controllers.union(Controllers::needed(defaults)),
        systemd: bus.map(|(socket, leader)| cgroup::SystemdBus { socket, leader }),
    };
    let mut asked = allow::with_device_policy(&request.spec);
    legacy::drop_unlimited_pids(&request.spec, &mut asked);
    let prepared = cgroup::Prepared::new(layout, wanted, &asked)?;
    begin(prepared.to_saved())?;
    files::pause::at("cgroup.planned");
    let (cgroup, warnings) = match prepared.make(&asked) {
        // An engine takes systemd where it finds it; nobody insisted on it. What was asked for is refused below.
        Err(error @ cgroup::Error::Systemd { .. }) if request.default_resources.is_some() => {
            report.warnings.push(format!("{error}: the container has no limits"));
            Cgroup::create(layout, &cgroup::Request { driver: Driver::None, ..wanted }, &asked)?
        }
        result => result?,
    };
    files::pause::at("cgroup.made");
    report.warnings.extend(warnings.iter().map(ToString::to_string));
    let mut defaults = defaults;
    if cgroup.driver() == Driver::None && !request.require_defaults {
        // The warning that there is no cgroup says it for all that nobody asked for.
        asked.devices = Vec::new();
        defaults = &none;
    }
    let strictness = if request.require_defaults { Strictness::Requested } else { Strictness::Default };
    let applied = cgroup
        .apply(defaults, strictness)
        .and_then(|first| Ok((first, cgroup.apply(&asked, Strictness::Requested)?)));
    let (first, second) = match applied {
        Ok(warnings) => warnings,
        Err(error) => {
            // The limit that failed is what matters; an empty directory that stays is found by `delete`. A scope has its
            // first process already, which as the first of its namespace does not hear systemd's request to end.
            if cgroup.is_scope() {
                drop(cgroup.kill(rustix::process::Signal::KILL));
            }
            drop(cgroup.remove());
            return Err(error.into());
        }
    };
    report.warnings.extend(first.iter().chain(&second).map(ToString::to_string));
    Ok(cgroup)
}

/// The compiled filter of a spec.
pub(crate) fn filter_of(
    spec: &Spec,
    cache: Option<BorrowedFd<'_>>,
    report: &mut Report,
) -> Result<Option<Filter>> {
    let Some(profile) = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) else { return Ok(None) };
    let native = seccomp::Arch::native().ok_or(plan::Refusal::Unsupported("seccomp on this architecture"))?;
    let compiled = seccomp::load(profile, native, cache)?;
    report.warnings.extend(compiled.warnings.iter().map(ToString::to_string));
    let instructions = compiled.program.instructions().to_vec();
    Ok(Some(Filter { instructions, flags: compiled.program.flags() }))
}

/// Makes the fifos of a container that waits for `start`.
fn make_gate(directory: &OwnedFd) -> Result<StartGate> {
    let open = |name: &'static str, flags| {
        rustix::fs::openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::system("open", name, errno))
    };
    for name in [GO, DONE] {
        rustix::fs::mknodat(directory, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .map_err(|errno| Error::system("make", name, errno))?;
    }
    // Open for both, the read end never sees an end of file before `start` came.
    let go = open(GO, OFlags::RDWR)?;
    // A fifo opens for writing only while somebody reads: this reader is gone when `create` ends.
    let reader = open(DONE, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let done = open(DONE, OFlags::WRONLY | OFlags::NONBLOCK)?;
    drop(reader);
    let directory = rustix::io::fcntl_dupfd_cloexec(directory, 3)
        .map_err(|errno| Error::system("copy", "the descriptor of the state directory", errno))?;
    Ok(StartGate { go, done, directory })
}

/// Lays out the hooks that the child runs.
fn prepare_hooks(spec: &Spec, ready: &mut Ready) -> Result<()> {
    let Some(hooks) = &spec.hooks else { return Ok(()) };
    ready.prepared.container_hooks = prepare::hooks(&hooks.create_container)?;
    ready.prepared.start_hooks = prepare::hooks(&hooks.start_container)?;
    let file = |hooks: &[Hook]| {
        (!hooks.is_empty())
            .then(|| rustix::fs::memfd_create(c"brig-state", MemfdFlags::CLOEXEC))
            .transpose()
            .map_err(|errno| Error::system("make", "a memory file", errno))
    };
    ready.prepared.create_state = file(&hooks.create_container)?;
    ready.prepared.start_state = file(&hooks.start_container)?;
    Ok(())
}

/// Fills the states for the hooks that the child runs: they see the pid as the container does.
fn write_states(ready: &Ready, saved: &Saved) -> Result<()> {
    let states =
        [(&ready.prepared.create_state, Status::Creating), (&ready.prepared.start_state, Status::Created)];
    for (file, status) in states {
        let Some(file) = file else { continue };
        let mut state = saved.to_oci(status);
        state.pid = Some(inner_pid(saved.pid));
        let bytes =
            serde_json::to_vec(&state).map_err(|source| Error::State { id: saved.id.clone(), source })?;
        files::write_all(file, &bytes).map_err(Error::Files)?;
    }
    Ok(())
}

/// A process's number in its own pid namespace, the last of `NSpid` in proc(5).
fn inner_pid(pid: i32) -> i32 {
    let status = facts::read_small(&format!("/proc/{pid}/status"));
    let inner = status.as_deref().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        line.split_ascii_whitespace().last()?.parse().ok()
    });
    inner.unwrap_or(pid)
}

fn runtime_hooks(spec: &Spec, saved: &Saved) -> Result<()> {
    let Some(list) = &spec.hooks else { return Ok(()) };
    let state = saved.to_oci(Status::Creating);
    hooks::run("prestart", &list.prestart, &state)?;
    hooks::run("createRuntime", &list.create_runtime, &state)
}

/// Hooks after the payload was executed: the first failure ends the container, as runc does.
pub(crate) fn poststart(saved: &Saved) -> Result<()> {
    match &saved.spec.hooks {
        Some(list) => hooks::run("poststart", &list.poststart, &saved.to_oci(Status::Running)),
        None => Ok(()),
    }
}

fn finish_start(made: &Made, console_socket: Option<&Path>, pid_file: Option<&Path>) -> Result<()> {
    if let (Some(socket), Some(master)) = (console_socket, &made.answers.terminal) {
        console::send(socket, master)?;
    }
    if let Some(path) = pid_file {
        write_pid_file(path, made.launched.pid)?;
    }
    Ok(())
}

/// Writes the pid for whoever waits for the file: whole or not at all.
pub(crate) fn write_pid_file(path: &Path, pid: Pid) -> Result<()> {
    let name = path.file_name().ok_or(Error::Terminal("`--pid-file` names no file"))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = files::open_directory(parent).map_err(Error::Files)?;
    let text = pid.as_raw_nonzero().to_string();
    atomic::write(directory.as_fd(), name, text.as_bytes(), 0o644, Durability::Volatile).map_err(Error::Files)
}

/// The facts of a plan for a process that joins: nothing of the bundle.
pub(crate) fn exec_facts() -> Facts {
    facts::read("/", Vec::new(), false)
}
