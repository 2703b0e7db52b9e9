//! One check: a process in the container, what it says, how it ends.

use std::os::fd::{AsFd, OwnedFd};

use oci::Moment;
use oci::runtime::Process;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

use super::{MAX_OUTPUT, Outcome, output};
use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::value::name::ContainerId;
use crate::wait::milliseconds;

/// How long what a check said is still read after it ended: a child of its may hold the pipe, in milliseconds.
const LAST_WORDS: i64 = 100;

/// Runs one check in a container that runs. It gets the container's own restrictions, environment and user, no input,
/// and is killed after `timeout` nanoseconds.
///
/// A check that cannot be started has failed, as one that ends badly.
pub(super) fn run(
    containers: &Containers<'_>,
    id: &ContainerId,
    words: Vec<String>,
    timeout: i64,
) -> Result<Outcome> {
    let container = runtime::Container::load(containers.states(), id.as_str())?;
    let start = Moment::now();
    let outcome = |exit_code: i32, output: String| Outcome {
        start: start.to_string(),
        end: Moment::now().to_string(),
        exit_code,
        output,
    };
    let process = Process {
        args: words,
        terminal: false,
        ..container.saved().spec.process.clone().unwrap_or_default()
    };
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|source| system("make", "a pipe", source))?;
    let process = match start_process(containers, &container, id, process, theirs) {
        Ok(process) => process,
        Err(Error::Runtime(error)) => {
            let code = i32::from(error.exit_code());
            return Ok(outcome(code, output(files::chain(&error).as_bytes())));
        }
        Err(error) => return Err(error),
    };
    let limit = (timeout / 1_000_000).max(1);
    let (said, ended) = listen(&ours, &process, limit);
    if !ended {
        // It may have ended by now.
        pidfd_send_signal(&process, Signal::KILL).ok();
    }
    let status = loop {
        match waitid(WaitId::PidFd(process.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            other => break other.map_err(|source| system("wait for", "the check", source))?,
        }
    };
    if !ended {
        let seconds = std::time::Duration::from_nanos(u64::try_from(timeout).unwrap_or(0));
        return Ok(outcome(-1, format!("Health check exceeded timeout ({seconds:?})")));
    }
    let code = status.and_then(|status| {
        status.exit_status().or_else(|| status.terminating_signal().map(|number| 128 + number))
    });
    Ok(outcome(code.unwrap_or(1), output(&said)))
}

/// Starts it as our child, with `streams` as its standard output and error.
fn start_process(
    containers: &Containers<'_>,
    container: &runtime::Container<'_>,
    id: &ContainerId,
    process: Process,
    streams: OwnedFd,
) -> Result<OwnedFd> {
    let name = format!("check-{}", std::process::id());
    let directory = containers.runroot().join(crate::containers::STREAMS).join(id.as_str());
    let request = runtime::ExecRequest {
        process,
        detach: true,
        interactive: false,
        quiet: false,
        detach_keys: None,
        console_socket: None,
        pid_file: Some(directory.join(&name)),
        preserve_descriptors: 0,
        ignore_paused: false,
    };
    let mut report = runtime::Report::default();
    let started = with_streams(&streams, || runtime::exec(container, &request, &mut report))
        .map_err(|source| system("set", "the check's streams", source))?;
    drop(streams);
    let directory = files::open_directory(&directory)?;
    let text = files::root::read_bounded(directory.as_fd(), &name, 64)?.unwrap_or_default();
    files::atomic::remove(directory.as_fd(), &name, files::atomic::Durability::Volatile)?;
    started?;
    let pid = std::str::from_utf8(&text).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
    // Our child, which nobody else reaps: its number is not another one's.
    pid.ok_or(Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
        .map_err(|source| system("open", "the check", source))
}

/// Calls `start` with other standard streams, which the process that it starts inherits.
fn with_streams<T>(streams: &OwnedFd, start: impl FnOnce() -> T) -> std::result::Result<T, Errno> {
    use rustix::stdio::{dup2_stderr, dup2_stdout, stderr, stdout};
    let (out, error) =
        (rustix::io::fcntl_dupfd_cloexec(stdout(), 3)?, rustix::io::fcntl_dupfd_cloexec(stderr(), 3)?);
    dup2_stdout(streams)?;
    dup2_stderr(streams)?;
    let started = start();
    dup2_stdout(&out)?;
    dup2_stderr(&error)?;
    Ok(started)
}

/// What a process says until it ends, and whether it did within so many milliseconds.
fn listen(from: &OwnedFd, process: &OwnedFd, limit: i64) -> (Vec<u8>, bool) {
    let mut said = Vec::new();
    let mut end = milliseconds().saturating_add(limit);
    let (mut ended, mut open) = (false, true);
    while open || !ended {
        let left = (end - milliseconds()).max(0);
        if left == 0 {
            break;
        }
        let limit = Timespec { tv_sec: left / 1000, tv_nsec: left % 1000 * 1_000_000 };
        // Once it ended it is always readable, and is not asked any more.
        let mut waited = [
            PollFd::new(if ended { from } else { process }, PollFlags::IN),
            PollFd::new(if open { from } else { process }, PollFlags::IN),
        ];
        match poll(&mut waited, Some(&limit)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Err(_) => break,
            Ok(_) => {}
        }
        let [process_ready, readable] = [0, 1].map(|at| !waited[at].revents().is_empty());
        if open && readable {
            let mut buffer = [0; 4096];
            match rustix::io::read(from, &mut buffer) {
                Ok(0) | Err(_) => open = false,
                // The rest is read, so that it does not wait for us, and forgotten.
                Ok(length) if said.len() <= MAX_OUTPUT => said.extend_from_slice(&buffer[..length]),
                Ok(_) => {}
            }
        }
        if !ended && process_ready {
            ended = true;
            end = end.min(milliseconds() + LAST_WORDS);
        }
    }
    (said, ended)
}

fn system(action: &'static str, object: &'static str, source: Errno) -> Error {
    Error::System { action, path: object.into(), source }
}
