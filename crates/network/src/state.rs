//! What is kept of a container's network while it runs, in a directory of the run directory.
//!
//! ```text
//! <id>/state.json        ours
//! <id>/program/ns        link to the program's standard input, the network namespace: when it goes, pasta ends
//! <id>/program/user      link to its standard output, the user namespace
//! <id>/program/pid       written by the program, read once
//! ```

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use files::atomic::{self, Durability};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::port::Published;

/// File of the state.
const STATE: &str = "state.json";
/// The program's directory.
const PROGRAM: &str = "program";
/// Link to the network namespace.
pub(crate) const NAMESPACE: &str = "ns";
/// Link to the user namespace.
pub(crate) const USER_NAMESPACE: &str = "user";
/// File with the program's process id.
pub(crate) const PID: &str = "pid";
/// Most bytes of a state: 4096 ports.
const MAX_STATE: u64 = 1 << 20;
/// Most bytes of a process's `stat`.
const MAX_STAT: u64 = 4096;
/// How long the program has to end by itself, in milliseconds.
const END_WAIT: i64 = 2000;

/// Which program connects a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// Passt's.
    Pasta,
    /// `slirp4netns`.
    Slirp4netns,
}

/// What is known of a container's network while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The program.
    pub driver: Driver,
    /// Its process.
    pub pid: i32,
    /// When that process started, in clock ticks after boot: with the number it names one process for ever.
    pub start_time: u64,
    /// The container's addresses.
    pub addresses: Vec<IpAddr>,
    /// Its gateway.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// What is published.
    pub ports: Vec<Published>,
}

/// The directories of one container's network.
#[derive(Debug)]
pub(crate) struct Directories {
    pub(crate) own: OwnedFd,
    pub(crate) program: OwnedFd,
}

impl Directories {
    /// Makes them; `owner` gets the program's.
    pub(crate) fn make(parent: BorrowedFd<'_>, id: &str, owner: Option<(u32, u32)>) -> Result<Self> {
        let failed = |action| Error::system(action, "the directory of the container's network");
        let own = make_directory(parent, id).map_err(failed("make"))?;
        let program = make_directory(own.as_fd(), PROGRAM).map_err(failed("make"))?;
        for (name, stream) in [(NAMESPACE, 0), (USER_NAMESPACE, 1)] {
            // Relative to whoever opens it: the program that has the namespaces as its standard streams.
            let target = format!("/proc/self/fd/{stream}");
            rustix::fs::symlinkat(target.as_str(), &program, name).map_err(failed("fill"))?;
        }
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(&program, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(failed("give away"))?;
        }
        Ok(Self { own, program })
    }

    /// The process id that the program wrote. It is the program's word: checked against who runs it.
    pub(crate) fn pid(&self) -> Result<i32> {
        let bytes = files::root::read_bounded(&self.program, PID, 32)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let pid = text.trim().parse().ok().filter(|pid| *pid > 1);
        pid.ok_or_else(|| Error::system("read", "the process id of the program")(Errno::INVAL))
    }

    pub(crate) fn write(&self, state: &State) -> Result<()> {
        let bytes = serde_json::to_vec(state).expect("numbers and addresses");
        atomic::write(self.own.as_fd(), STATE, &bytes, 0o600, Durability::Volatile)?;
        Ok(())
    }
}

fn make_directory(parent: BorrowedFd<'_>, name: &str) -> std::result::Result<OwnedFd, Errno> {
    rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// The state of a container's network, where a program connects it; `parent` holds the directories of all.
///
/// # Errors
/// [`Error::Files`]; a state that is no state is none.
pub fn read(parent: BorrowedFd<'_>, id: &str) -> Result<Option<State>> {
    let bytes = files::root::read_bounded(parent, format!("{id}/{STATE}"), MAX_STATE)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Ends the program that connects a container, waits for its end and removes its directory. Nothing to do is no error.
///
/// # Errors
/// [`Error::Files`], [`Error::System`].
pub fn disconnect(parent: BorrowedFd<'_>, id: &str) -> Result<()> {
    let state = read(parent, id)?;
    let process = state.as_ref().and_then(open);
    // Pasta ends when this name goes, also where its process is not known.
    match rustix::fs::unlinkat(parent, format!("{id}/{PROGRAM}/{NAMESPACE}"), AtFlags::empty()) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::NOTDIR) if state.is_none() => {}
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(Error::system("remove", "the link to the namespace")(errno)),
    }
    if let Some(process) = process {
        let at_once = state.is_some_and(|state| state.driver != Driver::Pasta);
        end(&process, at_once).map_err(Error::system("end", "the program that connects the container"))?;
    }
    files::remove_tree(parent, id)?;
    Ok(())
}

/// The program's process, if it is still that one.
fn open(state: &State) -> Option<OwnedFd> {
    let process = pidfd_open(Pid::from_raw(state.pid)?, PidfdFlags::empty()).ok()?;
    // After the descriptor: the number cannot have changed its owner in between.
    (start_time(state.pid) == Some(state.start_time)).then_some(process)
}

fn end(process: &OwnedFd, at_once: bool) -> std::result::Result<(), Errno> {
    if !at_once && ended_within(process, END_WAIT)? {
        return Ok(());
    }
    match pidfd_send_signal(process, Signal::KILL) {
        Ok(()) | Err(Errno::SRCH) => ended_within(process, END_WAIT).map(drop),
        Err(errno) => Err(errno),
    }
}

fn ended_within(process: &OwnedFd, milliseconds: i64) -> std::result::Result<bool, Errno> {
    let limit = Timespec { tv_sec: milliseconds / 1000, tv_nsec: (milliseconds % 1000) * 1_000_000 };
    loop {
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(count) => return Ok(count > 0),
        }
    }
}

/// When a process started, in clock ticks after boot: field 22 of its `stat`, proc(5).
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, format!("/proc/{pid}/stat"), flags, Mode::empty()).ok()?;
    let bytes = files::read_all(file, MAX_STAT).ok()?;
    // Its name stands in parentheses and may hold anything, parentheses too.
    let text = String::from_utf8_lossy(&bytes);
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_another_process_now_lives_on() {
        let directory = testkit::TempDir::new();
        let parent = files::open_directory(directory.path()).unwrap();
        let made = Directories::make(parent.as_fd(), "abc", None).unwrap();
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut state = State {
            driver: Driver::Slirp4netns,
            pid,
            start_time: start_time(pid).unwrap() + 1,
            addresses: vec!["10.0.0.1".parse().unwrap()],
            gateway: None,
            ports: Vec::new(),
        };
        made.write(&state).unwrap();
        assert_eq!(read(parent.as_fd(), "abc").unwrap(), Some(state.clone()));
        disconnect(parent.as_fd(), "abc").unwrap();
        assert!(child.try_wait().unwrap().is_none());
        assert!(!directory.join("abc").exists());
        // The right one is ended.
        let made = Directories::make(parent.as_fd(), "abc", None).unwrap();
        state.start_time -= 1;
        made.write(&state).unwrap();
        disconnect(parent.as_fd(), "abc").unwrap();
        assert!(!child.wait().unwrap().success());
        // Nothing to do.
        disconnect(parent.as_fd(), "abc").unwrap();
        assert_eq!(read(parent.as_fd(), "abc").unwrap(), None);
    }

    #[test]
    fn what_the_program_writes_is_not_believed() {
        let directory = testkit::TempDir::new();
        let parent = files::open_directory(directory.path()).unwrap();
        let made = Directories::make(parent.as_fd(), "abc", None).unwrap();
        for text in ["", "x", "1", "-5", "99999999999999999999", "0"] {
            std::fs::write(directory.join("abc/program/pid"), text).unwrap();
            assert!(made.pid().is_err(), "{text:?}");
        }
        std::fs::write(directory.join("abc/program/pid"), "77\n").unwrap();
        assert_eq!(made.pid().unwrap(), 77);
        // A state that is none.
        std::fs::write(directory.join("abc/state.json"), "{").unwrap();
        assert_eq!(read(parent.as_fd(), "abc").unwrap(), None);
        disconnect(parent.as_fd(), "abc").unwrap();
    }
}
