//! The parent's side of a start: clone, maps, cgroup, limits, late mounts, go.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cgroup::Cgroup;
use oci::runtime::{NamespaceKind, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::mount::OpenTreeFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Rlimit, Signal, WaitOptions};
use sys::clone::{Cloned, clone3};
use sys::mount::{Attributes, Reach, set_attributes};

use crate::child::{self, Failure, Operation, Origin};
use crate::create::Connect;
use crate::message::{self, Message};
use crate::opened::Prepared;
use crate::overlay::Overlay;
use crate::plan::Plan;
use crate::prepare::{LateMount, Ready};
use crate::{Error, Result, lsm};

/// A container's process between clone and exec. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Launched {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub socket: OwnedFd,
    armed: bool,
    /// It was made by a process that joined, and has from that what cannot be set later.
    joined: bool,
}

/// What the process said before it went on.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Master of the terminal.
    pub terminal: Option<OwnedFd>,
    /// Notify descriptor of the filter.
    pub listener: Option<OwnedFd>,
    /// It waits for `start`; otherwise it executed the payload.
    pub waiting: bool,
}

impl Launched {
    /// Lets the process live on when this is dropped.
    pub(crate) fn release(mut self) -> (Pid, OwnedFd) {
        self.armed = false;
        let pidfd = rustix::io::fcntl_dupfd_cloexec(&self.pidfd, 3);
        (self.pid, pidfd.unwrap_or_else(|_| reopen(self.pid)))
    }
}

fn reopen(pid: Pid) -> OwnedFd {
    rustix::process::pidfd_open(pid, PidfdFlags::empty()).expect("a child that was not reaped has a pidfd")
}

impl Drop for Launched {
    fn drop(&mut self) {
        if self.armed {
            // It may have died by itself, which is what is wanted.
            rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL).ok();
            rustix::process::waitpid(Some(self.pid), WaitOptions::empty()).ok();
        }
    }
}

/// Clones the container's process; it waits for [`go`].
pub(crate) fn clone(
    plan: &Plan,
    ready: &mut Ready,
    cgroup: Option<&Cgroup>,
    origin: Origin,
) -> Result<Launched> {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|errno| Error::system("make", "a socket pair", errno))?;
    let flags = plan.namespaces.clone_flags();
    let mut into = None;
    if let Some(cgroup) = cgroup {
        into = cgroup.v2_dir();
        let mut files = cgroup.join_files()?;
        files.append(&mut ready.prepared.cgroup_files);
        ready.prepared.cgroup_files = files;
    }
    let new_user = plan.namespaces.creates(NamespaceKind::User);
    let failed = |errno| match errno {
        Errno::PERM | Errno::ACCESS | Errno::NOSPC | Errno::USERS if new_user => {
            idmap::Error::refused_namespace(errno).into()
        }
        errno => Error::system("clone", "the container's process", errno),
    };
    if ready.prepared.joins.is_empty() {
        return match clone3(flags, into).map_err(failed)? {
            Cloned::Child => {
                drop(ours);
                child::run(plan, &mut ready.prepared, theirs.as_fd(), origin)
            }
            Cloned::Parent { pid, pidfd } => {
                let pid = Pid::from_raw(pid).ok_or_else(|| failed(Errno::CHILD))?;
                Ok(Launched { pid, pidfd, socket: ours, armed: true, joined: false })
            }
        };
    }
    // Joining is done in a process of its own, so that this one stays where it is; it makes the container's
    // process as this one's child.
    // Whoever joins a scope of the user's systemd from a login session may not enter it: systemd moves them then.
    let (staged, outside) = match clone3(0, into) {
        Err(Errno::ACCESS | Errno::PERM) if cgroup.is_some_and(Cgroup::is_scope) => (clone3(0, None), true),
        staged => (staged, false),
    };
    match staged.map_err(failed)? {
        Cloned::Child => {
            drop(ours);
            stage(plan, &mut ready.prepared, theirs.as_fd(), flags, origin)
        }
        Cloned::Parent { pid, pidfd } => {
            drop(theirs);
            let stage = Pid::from_raw(pid).ok_or_else(|| failed(Errno::CHILD))?;
            let answer = answer_of(pidfd.as_fd(), ours.as_fd());
            rustix::process::waitpid(Some(stage), WaitOptions::empty()).ok();
            match answer.map_err(|errno| Error::system("hear from", "the joining process", errno))? {
                Some(Message::Stage(pid)) => {
                    let pid = Pid::from_raw(pid).ok_or_else(|| failed(Errno::CHILD))?;
                    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
                    let launched = Launched { pid, pidfd, socket: ours, armed: true, joined: true };
                    if let Some(cgroup) = cgroup.filter(|_| outside) {
                        attach(cgroup, &launched)?;
                    }
                    Ok(launched)
                }
                Some(Message::Failed { operation, errno, .. }) => Err(Error::Step {
                    step: "join the namespaces".to_owned(),
                    failure: Failure::received(operation, errno),
                }),
                _ => Err(Error::Died("while it joined the namespaces".to_owned())),
            }
        }
    }
}

/// What the joining process says; none where it ends without a word. What it made meanwhile holds the other end too, and
/// would wait for us as we for it: it ends when ours is closed.
fn answer_of(stage: BorrowedFd<'_>, socket: BorrowedFd<'_>) -> rustix::io::Result<Option<Message>> {
    let mut sources = [PollFd::new(&socket, PollFlags::IN), PollFd::new(&stage, PollFlags::IN)];
    retry_on_intr(|| poll(&mut sources, None))?;
    // What it said before its end was there before it.
    match retry_on_intr(|| poll(&mut sources[..1], Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))? {
        0 => Ok(None),
        _ => message::receive(socket, drop),
    }
}

/// Has a process that waits for [`go`] moved into its cgroup, and makes sure that it is there: it does not run without the
/// container's limits.
fn attach(cgroup: &Cgroup, launched: &Launched) -> Result<()> {
    let pid = launched.pid.as_raw_nonzero().get();
    cgroup.attach(pid)?;
    let shown = crate::facts::read_small(&format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mut own = shown.lines().filter_map(|line| line.strip_prefix("0::"));
    let is_there = own.any(|own| own != "/" && cgroup.paths().any(|(_, path)| path.ends_with(own)));
    if is_there { Ok(()) } else { Err(Error::system("join", "the container's cgroup", Errno::ACCESS)) }
}

/// Joins what is to be origin, then makes the container's process as a sibling. Never returns.
fn stage(plan: &Plan, prepared: &mut Prepared, socket: BorrowedFd<'_>, flags: u64, origin: Origin) -> ! {
    // Now, and inherited: once nobody may trace us these files are root's, also for ourselves.
    let scored = match plan.oom_score_adj {
        Some(score) => open_process(rustix::process::getpid())
            .and_then(|process| set_oom_score(process.as_fd(), score))
            .map_err(|_| Failure { operation: Operation::WriteKernelFile, errno: Errno::ACCESS }),
        None => Ok(()),
    };
    let cloned = scored.and_then(|()| join_and_clone(prepared, flags));
    match cloned {
        Ok(Cloned::Child) => child::run(plan, prepared, socket, origin),
        Ok(Cloned::Parent { pid, .. }) => {
            prepared.pauses.at("staged", b"");
            message::send(socket, Message::Stage(pid), &[]).ok();
        }
        Err(failure) => {
            let message = Message::Failed {
                step: 0,
                operation: failure.operation.number(),
                errno: failure.errno.raw_os_error(),
            };
            message::send(socket, message, &[]).ok();
        }
    }
    sys::exec::exit_now(0)
}

fn join_and_clone(prepared: &Prepared, flags: u64) -> Result<Cloned, Failure> {
    sys::guard::forbid();
    // Before anybody inside can look at us.
    child::hide_from_ptrace()?;
    for (namespace, kind) in &prepared.joins {
        sys::namespace::join(namespace.as_fd(), *kind)
            .map_err(|errno| Failure { operation: Operation::Join, errno })?;
    }
    clone3(flags | sys::clone::flags::PARENT, None)
        .map_err(|errno| Failure { operation: Operation::Clone, errno })
}

/// Gives the process its maps, network, limits and late mounts, and lets it go on.
pub(crate) fn go(
    plan: &Plan,
    launched: &Launched,
    late: Vec<LateMount>,
    connect: Option<Connect<'_>>,
) -> Result<()> {
    let process = open_process(launched.pid)?;
    if plan.namespaces.creates(NamespaceKind::User) {
        let uid = idmap::Map::new(plan.uid_map.clone())?;
        let gid = idmap::Map::new(plan.gid_map.clone())?;
        let how = idmap::How::choose(&uid, &gid)?;
        idmap::write_maps(process.as_fd(), launched.pid, &uid, &gid, &how)?;
    }
    if let Some(Connect(connect)) = connect {
        // Its namespaces are there, and nothing of the container's has run.
        connect(process.as_fd()).map_err(Error::Connect)?;
    }
    raise_limits(plan, launched.pid)?;
    if let (Some(score), false) = (plan.oom_score_adj, launched.joined) {
        set_oom_score(process.as_fd(), score)?;
    }
    let owner = (host_root(&plan.uid_map), host_root(&plan.gid_map));
    let mounts = finish_late(late, process.as_fd(), owner)?;
    let descriptors: Vec<BorrowedFd<'_>> = mounts.iter().map(AsFd::as_fd).collect();
    message::send(launched.socket.as_fd(), Message::Go, &descriptors)
        .map_err(|errno| died_or(launched, "start", errno))
}

pub(crate) fn open_process(pid: Pid) -> Result<OwnedFd> {
    let path = format!("/proc/{}", pid.as_raw_nonzero());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path.as_str(), flags, Mode::empty()).map_err(|errno| Error::system("open", path, errno))
}

fn died_or(launched: &Launched, action: &'static str, errno: Errno) -> Error {
    match errno {
        Errno::PIPE | Errno::CONNRESET => Error::Died(how_it_died(launched)),
        errno => Error::system(action, "the container's process", errno),
    }
}

fn how_it_died(launched: &Launched) -> String {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    match waitid(WaitId::PidFd(launched.pidfd.as_fd()), options) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (_, Some(signal)) => format!("signal {signal}"),
            _ => "unknown reason".to_owned(),
        },
        _ => "unknown reason".to_owned(),
    }
}

/// Raises hard limits, which takes a right that the process loses with its user namespace. It sets the limits
/// themselves when it is set up, since a small one would be in its own way before.
fn raise_limits(plan: &Plan, pid: Pid) -> Result<()> {
    let value = |limit: u64| (limit != u64::MAX).then_some(limit);
    for limit in &plan.limits {
        // The process was just cloned: it has ours.
        let own = rustix::process::getrlimit(limit.resource);
        if own.maximum.is_none_or(|own| limit.hard <= own) {
            continue;
        }
        let wanted = Rlimit { current: own.current, maximum: value(limit.hard) };
        rustix::process::prlimit(Some(pid), limit.resource, wanted)
            .map_err(|errno| Error::system("set the limit", format!("{:?}", limit.resource), errno))?;
    }
    Ok(())
}

/// Lowering the score below one's own takes CAP_SYS_RESOURCE: then the caller's is kept, as runc does for
/// rootless containers, since a higher score is no weakening of the container.
fn set_oom_score(process: BorrowedFd<'_>, score: i32) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let failed = |errno| Error::system("write", "oom_score_adj", errno);
    let file = rustix::fs::openat(process, "oom_score_adj", flags, Mode::empty()).map_err(failed)?;
    match rustix::io::write(&file, score.to_string().as_bytes()) {
        Ok(_) | Err(Errno::ACCESS | Errno::PERM) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

/// Maps the ids of the late mounts to those of the namespace that now has its maps.
fn finish_late(late: Vec<LateMount>, process: BorrowedFd<'_>, owner: (u32, u32)) -> Result<Vec<OwnedFd>> {
    if late.is_empty() {
        return Ok(Vec::new());
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::openat(process, "ns/user", flags, Mode::empty())
        .map_err(|errno| Error::system("open", "the user namespace", errno))?;
    late.into_iter()
        .map(|mount| match mount {
            LateMount::Tree { mount, recursive } => {
                map_ids(&mount, namespace.as_fd(), if recursive { Reach::Tree } else { Reach::One })?;
                Ok(mount)
            }
            LateMount::Overlay { lower, upper, id_mapped, ephemeral, label } => {
                let kind = OverlayKind { ephemeral, owner, label: label.as_deref(), maps_lower: id_mapped };
                overlay(&lower, upper.as_ref(), &kind, namespace.as_fd())
            }
        })
        .collect()
}

fn map_ids(mount: &OwnedFd, namespace: BorrowedFd<'_>, reach: Reach) -> Result<()> {
    let attributes = Attributes::new(0, 0).with_id_map(namespace);
    set_attributes(mount.as_fd(), c"", reach, &attributes)
        .map_err(|errno| Error::system("map the ids of", "a mount", errno))
}

/// How the root overlay is mounted.
struct OverlayKind<'a> {
    ephemeral: bool,
    owner: (u32, u32),
    label: Option<&'a CStr>,
    /// Whether the lower layers have the container's ids on disk; a directory of the host need not.
    maps_lower: bool,
}

/// An overlay of id-mapped layers (Linux 5.19): the files on disk keep the image's ids, and each container
/// sees them as its own, without a chown pass.
///
/// It is created by the owner, the container's root: ids that the layers do not map could not make a file in them.
fn overlay(
    lower: &[OwnedFd],
    writable: Option<&OwnedFd>,
    kind: &OverlayKind<'_>,
    namespace: BorrowedFd<'_>,
) -> Result<OwnedFd> {
    let failed = |action| move |errno| Error::system(action, "the root overlay", errno);
    let clone = |directory: &OwnedFd| {
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        rustix::mount::open_tree(directory, c"", flags).map_err(failed("clone a layer of"))
    };
    let mapped = |directory: &OwnedFd| {
        let mount = clone(directory)?;
        map_ids(&mount, namespace, Reach::One).map_err(|error| match error {
            Error::System { errno: Errno::INVAL, .. } => Error::IdMappedLayers(Errno::INVAL),
            error => error,
        })?;
        Ok::<_, Error>(mount)
    };
    // The clones are attached nowhere: they must stay open until the overlay has its own.
    let layers = lower
        .iter()
        .map(|layer| if kind.maps_lower { mapped(layer) } else { clone(layer) })
        .collect::<Result<Vec<_>>>()?;
    let writable = writable.map(mapped).transpose()?;
    // Upper and work directory have to be in one mount.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |mount, name| rustix::fs::openat(mount, name, flags, Mode::empty()).map_err(failed("open"));
    let upper = match &writable {
        Some(mount) => Some((open(mount, "upper")?, open(mount, "work")?)),
        None => None,
    };
    Overlay {
        lower: layers.iter().map(AsFd::as_fd),
        upper: upper.as_ref().map(|(upper, work)| (upper.as_fd(), work.as_fd())),
        user_attributes: false,
        ephemeral: kind.ephemeral,
        owner: Some(kind.owner),
        label: kind.label,
    }
    .of_detached(layers.iter().chain(&writable).map(AsFd::as_fd))
}

/// The host's ids of a container's root.
pub(crate) fn root_of(spec: &Spec) -> (u32, u32) {
    spec.linux
        .as_ref()
        .map_or((0, 0), |linux| (host_root(&linux.uid_mappings), host_root(&linux.gid_mappings)))
}

/// The host's id of the container's root, or of the lowest id that it has.
fn host_root(map: &[oci::runtime::IdMapping]) -> u32 {
    map.iter().min_by_key(|range| range.container_id).map_or(0, |range| range.host_id)
}

/// Listens until the process waits for `start`, executed the payload, or failed.
pub(crate) fn listen(
    plan: &Plan,
    launched: &Launched,
    program: &str,
    mut runtime_hooks: impl FnMut() -> Result<()>,
) -> Result<Answers> {
    let mut answers = Answers::default();
    loop {
        let mut received = None;
        let message = message::receive(launched.socket.as_fd(), |descriptor| received = Some(descriptor))
            .map_err(|errno| died_or(launched, "hear from", errno))?;
        match message {
            // The socket is closed by exec, or by death.
            None => return Ok(answers),
            Some(Message::Ready) => {
                answers.waiting = true;
                return Ok(answers);
            }
            Some(Message::Terminal) => answers.terminal = received,
            Some(Message::Listener) => answers.listener = received,
            Some(Message::RuntimeHooks) => {
                runtime_hooks()?;
                message::send(launched.socket.as_fd(), Message::Go, &[])
                    .map_err(|errno| died_or(launched, "go on with", errno))?;
            }
            Some(Message::Failed { step, operation, errno }) => {
                return Err(step_error(plan, step, operation, errno, program));
            }
            Some(Message::Go | Message::Stage(_) | Message::Mounted) => {
                return Err(Error::system("understand", "the container's process", Errno::PROTO));
            }
        }
    }
}

/// The error that a failed step becomes.
pub(crate) fn step_error(plan: &Plan, step: u16, operation: u8, errno: i32, program: &str) -> Error {
    let failure = Failure::received(operation, errno);
    if failure.operation == Operation::FindProgram {
        return Error::Program { program: program.to_owned(), errno: failure.errno };
    }
    let in_force = failure.operation == Operation::Execute;
    if (in_force || failure.operation == Operation::KnowLabel)
        && let Some(error) = lsm::refused(plan, usize::from(step), failure.errno)
    {
        return error;
    }
    let step = plan.steps.get(usize::from(step)).map_or_else(|| "start".to_owned(), ToString::to_string);
    Error::Step { step, failure }
}
