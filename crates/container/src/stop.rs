//! Signals to a container, and its end by a person.

use std::os::fd::{AsFd, BorrowedFd};

use files::atomic::{self, Durability};
use monitor::control;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::record::STOP_TIMEOUT;
use crate::state::{PAUSED, State, Status};
use crate::value::name::ContainerId;
use crate::wait;

/// How long a killed container gets to end, in seconds.
const KILL_WAIT: i64 = 30;
/// File in a container's directory that says that a person ends it.
const STOPPING: &str = "stopping";
/// How long a monitor gets to answer, in seconds.
const ANSWER_WAIT: i64 = 5;

/// How a container is asked to end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stop {
    /// The signal; the container's own where there is none.
    pub signal: Option<i32>,
    /// Seconds until it is killed; -1 never; the container's own where there is none.
    pub timeout: Option<i32>,
}

fn load<'a>(containers: &'a Containers<'_>, id: &ContainerId) -> Result<runtime::Container<'a>> {
    match runtime::Container::load(containers.states(), id.as_str()) {
        Err(runtime::Error::NoContainer(_)) => Err(Error::NotRunning { id: id.short().to_owned() }),
        result => Ok(result?),
    }
}

/// Sends a signal to the first process, for a person: one that ends it ends it for good, whatever its restart policy.
///
/// # Errors
/// [`Error::NotRunning`], [`Error::Runtime`].
pub fn kill(containers: &Containers<'_>, id: &ContainerId, signal: i32) -> Result<()> {
    if !containers.state(id)?.status.is_running() {
        return Err(Error::NotRunning { id: id.short().to_owned() });
    }
    let stops = containers.record(id)?.is_some_and(|record| record.stop_signal == signal);
    if stops || signal == Signal::KILL.as_raw() {
        tell_monitor(containers, id)?;
    }
    send(containers, id, signal)
}

/// Sends a signal to the first process; what follows is left to the restart policy.
///
/// # Errors
/// As [`kill`].
pub fn send(containers: &Containers<'_>, id: &ContainerId, signal: i32) -> Result<()> {
    if !containers.state(id)?.status.is_running() {
        return Err(Error::NotRunning { id: id.short().to_owned() });
    }
    let container = load(containers, id)?;
    // Thaws a frozen one as well.
    if signal == Signal::KILL.as_raw() {
        return Ok(container.kill(Signal::KILL, false)?);
    }
    Ok(container.send_number(signal)?)
}

/// Asks a container to end, and kills it where it does not in time. One that does not run is fine.
///
/// # Errors
/// [`Error::Runtime`], [`Error::StillRunning`].
pub fn stop(containers: &Containers<'_>, id: &ContainerId, how: Stop) -> Result<()> {
    loop {
        let state = wait::settled(containers, id)?;
        if !state.status.is_running() && state.status != Status::Restarting {
            return Ok(());
        }
        tell_monitor(containers, id)?;
        if state.status.is_running() {
            ask_to_end(containers, id, how, &state)?;
        }
        // A start of its restart policy that was under way was told nothing, and shows itself in a moment.
        if wait::unwatched(containers, id, wait::MOMENT)? {
            return Ok(());
        }
    }
}

fn ask_to_end(containers: &Containers<'_>, id: &ContainerId, how: Stop, state: &State) -> Result<()> {
    let record = containers.record(id)?.unwrap_or_default();
    let own = i32::try_from(record.stop_timeout.unwrap_or(STOP_TIMEOUT)).unwrap_or(i32::MAX);
    let (signal, timeout) = (how.signal.unwrap_or(record.stop_signal), how.timeout.unwrap_or(own));
    let process =
        Pid::from_raw(state.pid).and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok());
    match send(containers, id, signal) {
        // It ended meanwhile.
        Err(Error::NotRunning { .. } | Error::Runtime(runtime::Error::WrongStatus { .. })) => return Ok(()),
        result => result?,
    }
    if state.status == Status::Paused {
        // Frozen, it cannot act upon the signal.
        unpause(containers, id).ok();
    }
    if process.as_ref().is_none_or(|process| ends_within(process, i64::from(timeout))) {
        return Ok(());
    }
    match send(containers, id, Signal::KILL.as_raw()) {
        // As above: the signal has ended it in the meantime.
        Ok(()) | Err(Error::NotRunning { .. } | Error::Runtime(runtime::Error::WrongStatus { .. })) => {}
        Err(error) => return Err(error),
    }
    if process.as_ref().is_none_or(|process| ends_within(process, KILL_WAIT)) {
        return Ok(());
    }
    Err(Error::StillRunning { id: id.short().to_owned() })
}

/// Kills a container at once, where it runs, and waits until nobody watches it.
pub(crate) fn end(containers: &Containers<'_>, id: &ContainerId) -> Result<()> {
    loop {
        tell_monitor(containers, id)?;
        match load(containers, id) {
            Ok(container) => match container.kill(Signal::KILL, false) {
                // It ended meanwhile, or is not more than begun: its watcher sees to that.
                Ok(()) | Err(runtime::Error::WrongStatus { .. }) => {}
                Err(error) => return Err(error.into()),
            },
            Err(Error::NotRunning { .. }) => {}
            Err(error) => return Err(error),
        }
        // As above.
        if wait::unwatched(containers, id, wait::MOMENT)? {
            return Ok(());
        }
    }
}

/// Whether a process ends in so many seconds; fewer than none wait for ever.
fn ends_within(process: &impl AsFd, seconds: i64) -> bool {
    let limit = Timespec { tv_sec: seconds.max(0), tv_nsec: 0 };
    let started = wait::milliseconds();
    loop {
        let mut waited = [PollFd::new(process, PollFlags::IN)];
        match poll(&mut waited, (seconds >= 0).then_some(&limit)) {
            Err(Errno::INTR) if seconds < 0 || wait::milliseconds() - started < seconds * 1000 => {}
            Ok(count) => return count > 0,
            Err(_) => return false,
        }
    }
}

/// Tells a container's monitor that a person ends it, so that it stays ended. A foreground command needs no telling.
///
/// It is told by a file first: between two programs of the monitor nobody hears.
fn tell_monitor(containers: &Containers<'_>, id: &ContainerId) -> Result<()> {
    let directory = match containers.directory_of(id) {
        // It went away at its end.
        Err(Error::NoContainer { .. }) => return Ok(()),
        result => result?,
    };
    // A full disk, or a container that goes away meanwhile, keeps nobody from ending it.
    drop(atomic::write(directory.as_fd(), STOPPING, b"", 0o600, Durability::Volatile));
    let Some(streams) = containers.streams_of(id)? else { return Ok(()) };
    let socket = match control::open(streams.as_fd()) {
        Ok(socket) => socket,
        // It was killed, or is in its last moment.
        Err(_) => return Ok(()),
    };
    if control::put(&socket, control::STOPPING, &[]).is_err() {
        return Ok(());
    }
    let limit = Timespec { tv_sec: ANSWER_WAIT, tv_nsec: 0 };
    // A monitor that does not answer, or ends, stops nobody from stopping the container.
    poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&limit)).ok();
    Ok(())
}

/// Whether a person ended a container whose monitor may not have heard of it.
pub(crate) fn is_stopping(container: BorrowedFd<'_>) -> bool {
    rustix::fs::statat(container, STOPPING, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// Forgets that: a person starts it.
pub(crate) fn forget_stopping(container: BorrowedFd<'_>) -> Result<()> {
    atomic::remove(container, STOPPING, Durability::Volatile)?;
    Ok(())
}

/// Freezes a container's processes.
///
/// # Errors
/// [`Error::NotRunning`], [`Error::Status`] for one that is paused, [`Error::Runtime`].
pub fn pause(containers: &Containers<'_>, id: &ContainerId) -> Result<()> {
    match containers.state(id)?.status {
        Status::Running => {}
        Status::Paused => return Err(Error::Status { id: id.short().to_owned(), status: "already paused" }),
        _ => return Err(Error::NotRunning { id: id.short().to_owned() }),
    }
    let container = load(containers, id)?;
    let streams = match containers.streams_of(id)? {
        Some(streams) => streams,
        None => containers.make_streams(id)?,
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(&streams, PAUSED, flags, Mode::from_raw_mode(0o600))
        .map_err(|source| Error::System { action: "mark as paused", path: id.as_str().into(), source })?;
    Ok(container.pause()?)
}

/// Lets a frozen container go on.
///
/// # Errors
/// [`Error::Status`] for one that is not paused, [`Error::Runtime`].
pub fn unpause(containers: &Containers<'_>, id: &ContainerId) -> Result<()> {
    if containers.state(id)?.status != Status::Paused {
        return Err(Error::Status { id: id.short().to_owned(), status: "not paused" });
    }
    load(containers, id)?.resume()?;
    if let Some(streams) = containers.streams_of(id)? {
        // Without it a look at the freezer costs a little more, no more than that.
        rustix::fs::unlinkat(&streams, PAUSED, rustix::fs::AtFlags::empty()).ok();
    }
    Ok(())
}
