//! Hooks that run in the runtime's own namespaces.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oci::runtime::{Hook, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::{Error, Result};

/// Most output of a failing hook that is shown in bytes.
const MAX_OUTPUT: usize = 4096;

/// Runs hooks in order; the first failure is the result.
pub(crate) fn run(kind: &'static str, hooks: &[Hook], state: &State) -> Result<()> {
    hooks.iter().try_for_each(|hook| run_one(kind, hook, state))
}

/// Runs all hooks whatever happens, and returns what failed: for the end of a container's life, where
/// runtime-spec asks for a warning.
pub(crate) fn run_all(kind: &'static str, hooks: &[Hook], state: &State) -> Vec<Error> {
    hooks.iter().filter_map(|hook| run_one(kind, hook, state).err()).collect()
}

fn run_one(kind: &'static str, hook: &Hook, state: &State) -> Result<()> {
    let failed = |reason: String| Error::Hook { kind, path: hook.path.clone(), reason };
    if !hook.path.starts_with('/') {
        return Err(failed("its path is not absolute".to_owned()));
    }
    let input = serde_json::to_vec(state).map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|variable| variable.split_once('=')));
    // A file, not a pipe: a hook may leave a process behind that would keep a pipe open.
    let output = rustix::fs::memfd_create(c"brig-hook", MemfdFlags::CLOEXEC)
        .map_err(|errno| failed(errno.to_string()))?;
    let said = rustix::io::fcntl_dupfd_cloexec(&output, 3).map_err(|errno| failed(errno.to_string()))?;
    // What the caller left open is for the payload at most, and that has its copies by now.
    sys::exec::close_on_exec_from(3).map_err(|errno| failed(errno.to_string()))?;
    // A group of its own, so that a shell's children end with it.
    command.process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::from(said));
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(&input) {
            // A hook need not read its state.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(failed(error.to_string()));
            }
            _ => {}
        }
    }
    if let Some(seconds) = hook.timeout
        && !ends_within(&child, seconds).map_err(|errno| failed(errno.to_string()))?
    {
        // It may end just now: then there is nothing to kill, and wait reaps it all the same.
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            rustix::process::kill_process_group(group, Signal::KILL).ok();
        }
        child.wait().map_err(|error| failed(error.to_string()))?;
        return Err(failed(format!("it took longer than {seconds} s and was killed")));
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let mut said = vec![0; MAX_OUTPUT];
    let length = rustix::io::pread(&output, &mut said, 0).unwrap_or_default();
    let said = String::from_utf8_lossy(&said[..length]);
    Err(failed(format!("{status}{}{}", if said.trim().is_empty() { "" } else { ": " }, said.trim())))
}

fn ends_within(child: &std::process::Child, seconds: i64) -> Result<bool, Errno> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let process = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let end = Instant::now() + Duration::from_secs(seconds.max(1).unsigned_abs());
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit)) {
            Err(Errno::INTR) => {}
            result => return result.map(|count| count > 0),
        }
    }
}
