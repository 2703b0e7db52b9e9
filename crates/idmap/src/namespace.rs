use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Signal, Uid};
use sys::clone::flags;
use sys::fork::{Exit, fork_closure};

use crate::{Error, How, Map, write_maps};

/// What [`in_user_namespace`] makes for the closure.
#[derive(Debug)]
pub struct NamespaceRequest<'a> {
    /// Map of user ids; where it maps id 0, the closure runs as user 0.
    pub uid: &'a Map,
    /// Map of group ids; where it maps id 0, the closure runs as group 0 without supplementary groups.
    pub gid: &'a Map,
    /// `CLONE_NEW*` flags beside `CLONE_NEWUSER`, such as [`sys::clone::flags::NEWNS`].
    pub also_new: u64,
    /// Most bytes of the closure's answer; a longer one is [`Error::AnswerTooLong`].
    pub answer_limit: usize,
}

/// What came back from a closure in a user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the child ended; [`Exit::Code`] is the closure's own code.
    pub exit: Exit,
    /// The closure's answer; incomplete where the exit is a signal.
    pub answer: Vec<u8>,
}

/// Exit code of a child that could not set itself up; its answer is then ours, not the closure's.
const SETUP_FAILED: u8 = 126;

/// Runs a closure as a child in a new user namespace, with maps that the caller writes.
///
/// The closure gives an exit code (not 126) and an answer in bytes. The child holds copies of all open
/// descriptors, is killed when the caller dies, and ends without running the caller's destructors. It is
/// the store's way to touch files that belong to a user's subordinate ids.
///
/// # Errors
/// [`Error::Threads`] where the caller is not single-threaded, [`Error::Namespace`] for a failed step,
/// the errors of [`write_maps`] and [`How::choose`], [`Error::AnswerTooLong`].
pub fn in_user_namespace(
    request: &NamespaceRequest<'_>,
    closure: impl FnOnce() -> (u8, Vec<u8>),
) -> Result<Outcome, Error> {
    let how = How::choose(request.uid, request.gid)?;
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::Namespace { step: "pipe", errno });
    let (go_read, go_write) = pipe()?;
    let (answer_read, answer_write) = pipe()?;
    let parent = rustix::process::getpid();
    let become_group = request.gid.to_host(0).is_some();
    let become_user = request.uid.to_host(0).is_some();
    // A map of one id by a plain user comes with setgroups denied.
    let drop_groups = how != How::SingleId;

    let mut ends = Some((answer_read, go_write));
    let child = fork_closure(flags::NEWUSER | request.also_new, || {
        // Without the parent's ends here, its death shows as end of file.
        drop(ends.take());
        let ready = wait_for_go(&go_read)
            .and_then(|()| enter(become_user, become_group, drop_groups))
            .and_then(|()| die_with(parent));
        let (code, bytes) = match ready {
            Ok(()) => closure(),
            Err((step, errno)) => (SETUP_FAILED, format!("{step}\0{}", errno.raw_os_error()).into_bytes()),
        };
        // Fails only where the parent is gone or has read enough: nobody is left to tell.
        write_all(answer_write.as_fd(), &bytes).ok();
        code
    })
    .map_err(|errno| match errno {
        Errno::DEADLK => Error::Threads,
        errno => Error::refused_namespace(errno),
    })?;
    drop(answer_write);
    drop(go_read);
    let Some((answer_read, go_write)) = ends else {
        return Err(Error::Namespace { step: "pipe", errno: Errno::BADF });
    };

    // From here on an early return drops `child`, which kills and reaps it.
    let directory = rustix::fs::open(
        format!("/proc/{}", child.pid().as_raw_nonzero()),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| Error::Namespace { step: "open /proc/<child>", errno })?;
    write_maps(directory.as_fd(), child.pid(), request.uid, request.gid, &how)?;
    write_all(go_write.as_fd(), b"g").map_err(|errno| Error::Namespace { step: "start", errno })?;
    drop(go_write);
    let answer = read_bounded(&answer_read, request.answer_limit)?;
    let exit = child.wait().map_err(|errno| Error::Namespace { step: "wait", errno })?;
    if exit == Exit::Code(SETUP_FAILED) {
        return Err(setup_error(&answer));
    }
    Ok(Outcome { exit, answer })
}

type Step = (&'static str, Errno);

/// The steps that can fail in the child, by name, so that a name can come back through the pipe.
const STEPS: [&str; 5] = ["read", "setgroups", "setgid", "setuid", "prctl"];

fn wait_for_go(go: &OwnedFd) -> Result<(), Step> {
    let mut byte = [0];
    loop {
        match rustix::io::read(go, &mut byte) {
            Ok(1) => return Ok(()),
            Ok(_) => return Err(("read", Errno::PIPE)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(("read", errno)),
        }
    }
}

/// Becomes id 0 of the namespace: groups first, because setuid(2) may cost the right to change them.
fn enter(user: bool, group: bool, groups: bool) -> Result<(), Step> {
    if groups && group {
        rustix::thread::set_thread_groups(&[]).map_err(|errno| ("setgroups", errno))?;
    }
    if group {
        let id = Gid::ROOT;
        rustix::thread::set_thread_res_gid(id, id, id).map_err(|errno| ("setgid", errno))?;
    }
    if user {
        let id = Uid::ROOT;
        rustix::thread::set_thread_res_uid(id, id, id).map_err(|errno| ("setuid", errno))?;
    }
    Ok(())
}

/// After the ids have changed, because that clears the setting.
fn die_with(parent: rustix::process::Pid) -> Result<(), Step> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|errno| ("prctl", errno))?;
    // In a new pid namespace the parent has no number: its pipe tells of its end instead.
    match rustix::process::getppid() {
        Some(now) if now != parent => Err(("prctl", Errno::SRCH)),
        _ => Ok(()),
    }
}

fn setup_error(answer: &[u8]) -> Error {
    let text = String::from_utf8_lossy(answer);
    let (name, number) = text.split_once('\0').unwrap_or(("", ""));
    let step = STEPS.iter().find(|step| **step == name).copied().unwrap_or("set up");
    let errno = number.parse().map_or(Errno::IO, Errno::from_raw_os_error);
    if matches!(errno, Errno::PERM | Errno::ACCESS)
        && let Some((reason, mend)) = crate::doctor::powerless()
    {
        return Error::NoUserNamespace { errno, reason, mend };
    }
    Error::Namespace { step, errno }
}

fn write_all(target: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(target, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn read_bounded(source: &OwnedFd, limit: usize) -> Result<Vec<u8>, Error> {
    let mut answer = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        match rustix::io::read(source, &mut chunk) {
            Ok(0) => return Ok(answer),
            Ok(count) if answer.len() + count > limit => return Err(Error::AnswerTooLong { limit }),
            Ok(count) => answer.extend_from_slice(&chunk[..count]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::Namespace { step: "read", errno }),
        }
    }
}
