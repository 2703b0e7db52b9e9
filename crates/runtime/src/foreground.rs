//! Waiting in the foreground: signals forwarded, the window size followed, standard streams relayed.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};

use crate::relay::Relay;
use crate::{Error, Result};

/// How a container's process ended, as a shell would say it: the exit code, or 128 and the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

/// In place of success when output was lost: that of an engine's own failure.
const OUTPUT_LOST: Exit = Exit(125);

/// Blocks every signal of the caller from now on, so that none is lost between clone and wait.
pub(crate) fn hold_signals() -> Result<OwnedFd> {
    sys::signal::block_all_into_descriptor().map_err(|errno| Error::system("hold", "signals", errno))
}

/// How a wait came to its end.
pub(crate) enum Ended {
    /// The process ended.
    Exited(Exit),
    /// The caller typed the keys that leave it running: the master of its terminal.
    Left(OwnedFd),
}

/// Waits for the end of the process, or until the caller leaves it.
///
/// # Errors
/// As [`wait`].
pub(crate) fn wait_or_leave(
    pidfd: BorrowedFd<'_>,
    signals: BorrowedFd<'_>,
    mut relay: Option<Relay>,
    warnings: &mut Vec<String>,
) -> Result<Ended> {
    while !turn(pidfd, signals, relay.as_mut())? {
        if let Some(relay) = relay.as_mut().filter(|relay| relay.is_left())
            && let Some(master) = relay.take_master()
        {
            return Ok(Ended::Left(master));
        }
    }
    finish(pidfd, relay, warnings).map(Ended::Exited)
}

/// Waits for the end of the process, and meanwhile relays where there is a relay. Output that could not be handed on is
/// no reason to leave the process alone: it is told by a warning, and by an exit code where that would be 0.
///
/// # Errors
/// The process may run still: it is the caller's to end.
pub(crate) fn wait(
    pidfd: BorrowedFd<'_>,
    signals: BorrowedFd<'_>,
    mut relay: Option<Relay>,
    warnings: &mut Vec<String>,
) -> Result<Exit> {
    while !turn(pidfd, signals, relay.as_mut())? {}
    finish(pidfd, relay, warnings)
}

/// Hands on what an ended process wrote last, and reaps it.
fn finish(pidfd: BorrowedFd<'_>, mut relay: Option<Relay>, warnings: &mut Vec<String>) -> Result<Exit> {
    let mut lost = None;
    if let Some(relay) = &mut relay {
        relay.drain()?;
        lost = relay.lost();
    }
    let exit = reap(pidfd)?;
    Ok(match lost {
        Some(error) => {
            warnings.push(format!("output of the container is lost: {error}"));
            if exit.0 == 0 { OUTPUT_LOST } else { exit }
        }
        None => exit,
    })
}

/// Waits for something to happen and acts upon it; true when the process ended.
fn turn(pidfd: BorrowedFd<'_>, signals: BorrowedFd<'_>, mut relay: Option<&mut Relay>) -> Result<bool> {
    let (ended, signalled) = {
        let mut waited = vec![PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        if let Some(relay) = &relay {
            relay.wait_for(&mut waited);
        }
        match poll(&mut waited, None) {
            Err(Errno::INTR) => return Ok(false),
            result => result.map_err(|errno| Error::system("wait for", "the container", errno))?,
        };
        (!waited[0].revents().is_empty(), !waited[1].revents().is_empty())
    };
    if signalled {
        forward(pidfd, signals, relay.as_deref())?;
    }
    if let Some(relay) = &mut relay {
        relay.carry()?;
    }
    Ok(ended)
}

fn forward(pidfd: BorrowedFd<'_>, signals: BorrowedFd<'_>, relay: Option<&Relay>) -> Result<()> {
    let failed = |errno| Error::system("read", "signals", errno);
    while let Some(received) = sys::signal::receive(signals).map_err(failed)? {
        match Signal::from_named_raw(received.number) {
            // SIGPIPE is that of our own relay whose reader left, which it is told by an error too.
            Some(Signal::CHILD | Signal::PIPE | Signal::URG) => {}
            Some(Signal::WINCH) => {
                if let Some(relay) = relay {
                    relay.follow_size();
                }
            }
            // Job control of our own terminal is ours.
            Some(Signal::TTIN | Signal::TTOU | Signal::TSTP | Signal::CONT) => {}
            Some(signal) => match rustix::process::pidfd_send_signal(pidfd, signal) {
                // Out of reach of a plain user is a program that became another user.
                Ok(()) | Err(Errno::SRCH | Errno::PERM) => {}
                Err(errno) => return Err(Error::system("forward a signal to", "the container", errno)),
            },
            None => {}
        }
    }
    Ok(())
}

/// Takes the exit status of an ended child.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> Result<Exit> {
    let failed = |errno| Error::system("wait for", "the container", errno);
    loop {
        match waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
            Ok(status) => {
                let status = status.ok_or_else(|| failed(Errno::CHILD))?;
                let code =
                    status.exit_status().or_else(|| status.terminating_signal().map(|number| 128 + number));
                return Ok(Exit(u8::try_from(code.unwrap_or(1) & 0xff).unwrap_or(1)));
            }
        }
    }
}
