//! A child process that does one piece of work and answers with bytes.
//!
//! Files of containers are touched by such children only: in the store owner's user namespace, or in the container's
//! own namespaces. A child dies with its parent and runs nothing but the closure; what it has to say of a failure comes
//! as one line, escaped, as names in it are the container's.

use std::os::fd::OwnedFd;

use idmap::{NamespaceRequest, in_user_namespace};
use rustix::fs::Mode;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;
use store::Ownership;
use sys::fork::{Child, Exit, fork_closure};

use crate::error::{Error, Result};

/// Most bytes of an answer: the changes of a container with a million files.
pub(crate) const MAX_ANSWER: usize = 256 << 20;

/// What a child's work gives: bytes, or why there are none.
pub(crate) type Answer = std::result::Result<Vec<u8>, String>;

/// A child that works beside us. Dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    answer: OwnedFd,
}

/// Starts work in a child, in the new namespaces that `new` names.
pub(crate) fn start(new: u64, work: impl FnOnce() -> Answer) -> Result<Helper> {
    let failed = |action| move |source| Error::System { action, path: "a helper process".into(), source };
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe to"))?;
    let parent = rustix::process::getpid();
    let mut ends = Some(read);
    let child = fork_closure(new, || {
        drop(ends.take());
        if die_with(parent).is_err() {
            return 126;
        }
        let (code, bytes) = outcome(work());
        match files::write_all(&write, &bytes) {
            Ok(()) => code,
            Err(_) => 126,
        }
    })
    .map_err(failed("start"))?;
    drop(write);
    let Some(answer) = ends else { return Err(Error::Helper { message: "it was lost".to_owned() }) };
    Ok(Helper { child, answer })
}

impl Helper {
    /// Waits for the end, and returns the answer.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        let bytes = files::read_all(&self.answer, MAX_ANSWER as u64)?;
        let exit = self.child.wait().map_err(|source| Error::System {
            action: "wait for",
            path: "a helper process".into(),
            source,
        })?;
        answered(exit, bytes)
    }
}

/// Works as who owns the store's files: in a user namespace with his ids, or as root. With `also_new` in further new
/// namespaces.
pub(crate) fn as_owner(
    ownership: &Ownership,
    also_new: u64,
    work: impl FnOnce() -> Answer,
) -> Result<Vec<u8>> {
    let Ownership::Mapped { uid, gid } = ownership else { return start(also_new, work)?.finish() };
    let request = NamespaceRequest { uid, gid, also_new, answer_limit: MAX_ANSWER };
    let done = in_user_namespace(&request, || {
        rustix::process::umask(Mode::empty());
        outcome(work())
    })?;
    answered(done.exit, done.answer)
}

/// Makes the calling child die with `parent`; after a change of ids again, because that clears it.
pub(crate) fn die_with(parent: rustix::process::Pid) -> rustix::io::Result<()> {
    // modes are what is copied says, whatever the caller's umask
    rustix::process::umask(Mode::empty());
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    match rustix::process::getppid() {
        Some(now) if now == parent => Ok(()),
        _ => Err(rustix::io::Errno::SRCH),
    }
}

fn outcome(answer: Answer) -> (u8, Vec<u8>) {
    match answer {
        Ok(bytes) => (0, bytes),
        Err(message) => (1, message.into_bytes()),
    }
}

fn answered(exit: Exit, bytes: Vec<u8>) -> Result<Vec<u8>> {
    match exit {
        Exit::Code(0) => Ok(bytes),
        Exit::Code(1) => Err(Error::Helper { message: printable(&String::from_utf8_lossy(&bytes)) }),
        exit => Err(Error::Helper { message: format!("a helper process ended with {exit:?}") }),
    }
}

fn printable(text: &str) -> String {
    let escape = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().take(4096).map(escape).collect()
}
