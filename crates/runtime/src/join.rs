//! `exec`: a further process in a running container, with no more than the container itself has.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use oci::runtime::{Process, Status};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::PidfdFlags;
use rustix::time::Timespec;

use crate::child::{self, Operation, Origin};
use crate::create::{self, Report};
use crate::foreground::{self, Ended, Exit};
use crate::keys::DetachKeys;
use crate::launch::{self, Answers, Launched};
use crate::lifecycle::{Container, status_name};
use crate::prepare::{self, Given, Ready};
use crate::relay::{self, Relay, Stream};
use crate::state::{self, Saved};
use crate::verify::{self, NAMESPACE_FILES};
use crate::weaken::{self, Defence};
use crate::{Error, Result, console, home, listener, lsm, plan, subgroup, terminal};

/// How long the end of a container is waited for that lets nobody join any more.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// The same of one whose first thread has ended; it may run on without it.
const LEADER_ENDS_WITHIN: Duration = Duration::from_secs(1);

/// What process to start.
#[derive(Debug)]
pub struct ExecRequest {
    /// The process.
    pub process: Process,
    /// Return once it runs, instead of waiting for its end.
    pub detach: bool,
    /// Whether the standard input is relayed to a terminal.
    pub interactive: bool,
    /// Whether a process that is not waited for gets `/dev/null` in place of the caller's standard streams, and keeps
    /// a terminal that nobody else holds.
    pub quiet: bool,
    /// Keys that leave a process with a terminal running.
    pub detach_keys: Option<DetachKeys>,
    /// Unix socket that gets the master of the terminal.
    pub console_socket: Option<PathBuf>,
    /// File that gets the pid.
    pub pid_file: Option<PathBuf>,
    /// Number of descriptors from 3 on that the process keeps.
    pub preserve_descriptors: u32,
    /// Join a paused container too.
    pub ignore_paused: bool,
}

/// Starts a process in a container.
pub fn exec(container: &Container<'_>, request: &ExecRequest, report: &mut Report) -> Result<Exit> {
    exec_in(container, request, &[], report)
}

/// Starts a process in cgroups below the container's: `sub`, or `cpu,pids:sub` for the hierarchies of these.
pub fn exec_in(
    container: &Container<'_>,
    request: &ExecRequest,
    subgroups: &[String],
    report: &mut Report,
) -> Result<Exit> {
    let saved = container.saved();
    match container.status() {
        Status::Running | Status::Created => {}
        Status::Paused if request.ignore_paused => {}
        status => {
            return Err(Error::WrongStatus {
                action: "exec in",
                id: saved.id.clone(),
                status: status_name(status),
            });
        }
    }
    if request.process.terminal && request.detach && !request.quiet && request.console_socket.is_none() {
        return Err(Error::Terminal("a detached terminal needs `--console-socket` to be handed over"));
    }
    let signals = if request.detach { None } else { Some(foreground::hold_signals()?) };
    let (streams, mut relay) = if request.process.terminal {
        (Vec::new(), None)
    } else if request.detach {
        (if request.quiet { relay::nothing()? } else { Vec::new() }, None)
    } else {
        let (mut streams, relay) = Relay::by_pipes(request.interactive)?;
        relay::give(&streams, launch::root_of(&saved.spec))?;
        if !request.interactive {
            // Never the caller's own.
            streams.extend(relay::nothing()?.into_iter().filter(|(_, number)| *number == 0));
        }
        (streams, relay)
    };
    let Joined { ready, launched, mut answers } =
        join(saved, request, subgroups, streams, report).map_err(|error| or_ended(saved, error))?;
    if let Some(found) = &answers.listener {
        listener::hand_over(&saved.spec, &container.state(), found)?;
    }
    if let (Some(socket), Some(master)) = (&request.console_socket, &answers.terminal) {
        console::send(socket, master)?;
    }
    if let Some(path) = &request.pid_file {
        create::write_pid_file(path, launched.pid)?;
    }
    let Some(signals) = signals else {
        if let Some(master) = answers.terminal.filter(|_| request.quiet && request.console_socket.is_none()) {
            terminal::keep(&master)?;
        }
        launched.release();
        return Ok(Exit(0));
    };
    // Their ends of the pipes are the process's alone: it may be the last that writes.
    drop(ready);
    if let Some(master) = answers.terminal.take().filter(|_| request.console_socket.is_none()) {
        relay = Some(Relay::for_master(master, request.interactive)?.leaving_by(request.detach_keys.clone()));
    }
    // After an error the process is ended: nobody watches it.
    let ended =
        foreground::wait_or_leave(launched.pidfd.as_fd(), signals.as_fd(), relay, &mut report.warnings)?;
    let exit = match ended {
        Ended::Exited(exit) => exit,
        Ended::Left(master) => {
            terminal::keep(&master)?;
            // As docker: whoever leaves does not fail.
            Exit(0)
        }
    };
    launched.release();
    Ok(exit)
}

/// A process in a container that executed its program.
struct Joined {
    ready: Ready,
    launched: Launched,
    answers: Answers,
}

/// Starts the process, up to its program.
fn join(
    saved: &Saved,
    request: &ExecRequest,
    subgroups: &[String],
    streams: Vec<Stream>,
    report: &mut Report,
) -> Result<Joined> {
    let seccomp = saved.spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    // With a session keyring of its own, too: the caller's is the host's.
    let mut facts = create::exec_facts();
    facts.relayed = !streams.is_empty();
    let mut process = request.process.clone();
    lsm::inherit(&mut process, &saved.spec)?;
    let plan = plan::build_exec(&process, &facts, seccomp)?;
    report.warnings.extend(plan.warnings.iter().cloned());
    // What is odd about the filter was said by `create`. Engines hand our standard error on as the payload's.
    let filter = create::filter_of(&saved.spec, None, &mut Report::default())?;
    let home = home::missing(&request.process, &create::root_path(&saved.spec, &saved.bundle));
    let label = plan::mount_label(&saved.spec, &facts)?;
    let given = Given { preserved: request.preserve_descriptors, home, label, streams, ..Given::default() };
    let mut ready = prepare::prepare(&plan, &facts.root, &process, filter, given)?;
    ready.prepared.joins = namespaces_of(saved)?;
    if !saved.is_alive() {
        return Err(ended(saved));
    }
    let cgroup = saved.open_cgroup()?;
    if let Some(cgroup) = &cgroup {
        ready.prepared.cgroup_files = subgroup::join_files(cgroup, subgroups)?;
    } else if subgroups.iter().any(|path| !path.is_empty() && path != "/") {
        return Err(Error::system("join", "a cgroup of a container that has none", Errno::NOENT));
    }
    if let Some(affinity) = &request.process.exec_cpu_affinity {
        // The process inherits it; this one only waits from here on.
        let initial =
            plan::attributes::processors("initial", &affinity.initial).map_err(plan::Refusal::from)?;
        if !initial.is_empty() {
            rustix::thread::sched_setaffinity(None, &child::processor_set(&initial))
                .map_err(|errno| Error::system("set", "the initial CPU affinity", errno))?;
        }
    }
    let launched = launch::clone(&plan, &mut ready, cgroup.as_ref(), Origin::Joined)?;
    launch::go(&plan, &launched, Vec::new(), None)?;
    let program = request.process.args.first().map_or("", String::as_str);
    let answers = launch::listen(&plan, &launched, program, || Ok(()))?;
    verify::verify_label(&plan, &launch::open_process(launched.pid)?)?;
    Ok(Joined { ready, launched, answers })
}

/// What the error of joining a container is: one that ends meanwhile cannot be joined, and says so in many ways.
fn or_ended(saved: &Saved, error: Error) -> Error {
    // Where the first process of a pid namespace ends, no other begins (ENOMEM, pid_namespaces(7)), and those that began
    // are killed, before it can be seen from outside that it ended.
    let limit = match &error {
        Error::WrongStatus { .. } => return error,
        Error::NoLeader { .. } => LEADER_ENDS_WITHIN,
        Error::Step { failure, .. } if failure.operation == Operation::Clone => ENDS_WITHIN,
        Error::Died(_) => ENDS_WITHIN,
        _ => Duration::ZERO,
    };
    if ends_within(saved, limit) { ended(saved) } else { error }
}

/// Whether the container's first process ends in that time.
fn ends_within(saved: &Saved, limit: Duration) -> bool {
    let Ok(process) = state::pid(saved.pid).and_then(|pid| {
        let opened = rustix::process::pidfd_open(pid, PidfdFlags::empty());
        opened.map_err(|errno| Error::system("open", "the container's process", errno))
    }) else {
        return true;
    };
    if !saved.is_alive() {
        return true;
    }
    let limit = Timespec { tv_sec: i64::try_from(limit.as_secs()).unwrap_or(0), tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)), Ok(1..))
}

fn ended(saved: &Saved) -> Error {
    Error::WrongStatus { action: "exec in", id: saved.id.clone(), status: "stopped" }
}

/// The namespaces of a container's first process that are not our own, the user namespace first.
fn namespaces_of(saved: &Saved) -> Result<Vec<(OwnedFd, u64)>> {
    let process = launch::open_process(state::pid(saved.pid)?)?;
    let mut namespaces = Vec::with_capacity(NAMESPACE_FILES.len());
    for (kind, name) in NAMESPACE_FILES {
        let path = format!("ns/{name}");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&process, path.as_str(), flags, Mode::empty()) {
            Ok(file) => file,
            // A thread that ended gave its namespaces back, and its process may run on, or be seen to have ended later only:
            // whoever took that for a kernel without that kind would stay in the host's.
            Err(Errno::NOENT) if has_kind(name) && !weaken::is_off(Defence::Namespaces) => {
                return Err(Error::NoLeader { id: saved.id.clone() });
            }
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(Error::system("open", path, errno)),
        };
        if !prepare::is_own(&file, name)? {
            namespaces.push((file, plan::namespace_flag(kind)));
        }
    }
    Ok(namespaces)
}

/// Whether the kernel has namespaces of that kind.
fn has_kind(name: &str) -> bool {
    rustix::fs::stat(format!("/proc/self/ns/{name}")).is_ok()
}
