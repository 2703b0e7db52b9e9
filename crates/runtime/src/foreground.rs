//! Waiting in the foreground: signals forwarded, the window size followed, a terminal relayed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use rustix::termios::{OptionalActions, Termios};

use crate::{Error, Result};

/// Bytes that one turn of the relay carries in one direction.
const BLOCK: usize = 32 * 1024;

/// How a container's process ended, as a shell would say it: the exit code, or 128 and the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

/// Blocks every signal of the caller from now on, so that none is lost between clone and wait.
pub(crate) fn hold_signals() -> Result<OwnedFd> {
    sys::signal::block_all_into_descriptor().map_err(|errno| Error::system("hold", "signals", errno))
}

/// Waits for the end of the process. With `master` relays between it and the standard streams.
pub(crate) fn wait(
    pidfd: BorrowedFd<'_>,
    signals: BorrowedFd<'_>,
    master: Option<OwnedFd>,
    interactive: bool,
) -> Result<Exit> {
    let mut relay = master.map(|master| Relay::new(master, interactive)).transpose()?;
    loop {
        let done = turn(pidfd, signals, relay.as_mut())?;
        if done {
            break;
        }
    }
    if let Some(relay) = &mut relay {
        relay.drain()?;
    }
    reap(pidfd)
}

/// Waits for something to happen and acts upon it; true when the process ended.
fn turn(pidfd: BorrowedFd<'_>, signals: BorrowedFd<'_>, relay: Option<&mut Relay>) -> Result<bool> {
    let (ended, signalled, master, input) = {
        let mut waited = vec![PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        // Only what is wanted is waited for: a hang-up is reported unasked, again and again.
        let (from_master, from_input) = relay.as_deref().map_or((None, None), Relay::wanted);
        let mut add = |descriptor, flags: Option<PollFlags>| {
            flags.map(|flags| {
                waited.push(PollFd::from_borrowed_fd(descriptor, flags));
                waited.len() - 1
            })
        };
        let master = relay.as_deref().and_then(|relay| add(relay.master.as_fd(), from_master));
        let input = add(rustix::stdio::stdin(), from_input);
        match poll(&mut waited, None) {
            Err(Errno::INTR) => return Ok(false),
            result => result.map_err(|errno| Error::system("wait for", "the container", errno))?,
        };
        let ready = |index: Option<usize>| index.is_some_and(|index| !waited[index].revents().is_empty());
        (ready(Some(0)), ready(Some(1)), ready(master), ready(input))
    };
    if signalled {
        forward(pidfd, signals, relay.as_deref())?;
    }
    if let Some(relay) = relay {
        relay.carry(master, input)?;
    }
    Ok(ended)
}

fn forward(pidfd: BorrowedFd<'_>, signals: BorrowedFd<'_>, relay: Option<&Relay>) -> Result<()> {
    let failed = |errno| Error::system("read", "signals", errno);
    while let Some(received) = sys::signal::receive(signals).map_err(failed)? {
        match Signal::from_named_raw(received.number) {
            Some(Signal::CHILD) => {}
            Some(Signal::WINCH) => {
                if let Some(relay) = relay {
                    relay.follow_size();
                }
            }
            // Job control of our own terminal is ours.
            Some(Signal::TTIN | Signal::TTOU | Signal::TSTP | Signal::CONT) => {}
            Some(signal) => match rustix::process::pidfd_send_signal(pidfd, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
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

/// Copies between the caller's standard streams and the master of the container's terminal.
struct Relay {
    master: OwnedFd,
    /// The caller's terminal as it was, to be put back.
    saved: Option<Termios>,
    /// Whether the standard input is read still.
    reading: bool,
    open: bool,
    /// Input that the master did not take yet.
    pending: Vec<u8>,
}

impl Relay {
    fn new(master: OwnedFd, interactive: bool) -> Result<Self> {
        let stdin = rustix::stdio::stdin();
        let mut saved = None;
        if interactive && rustix::termios::isatty(stdin) {
            let state = rustix::termios::tcgetattr(stdin)
                .map_err(|errno| Error::system("read", "the terminal", errno))?;
            let mut raw = state.clone();
            raw.make_raw();
            rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw)
                .map_err(|errno| Error::system("set", "the terminal", errno))?;
            saved = Some(state);
        }
        let failed = |errno| Error::system("set", "the container's terminal", errno);
        let flags = rustix::fs::fcntl_getfl(&master).map_err(failed)?;
        rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK).map_err(failed)?;
        let relay = Self { master, saved, reading: interactive, open: true, pending: Vec::new() };
        relay.follow_size();
        Ok(relay)
    }

    /// Gives the container's terminal the size of the caller's, where that is a terminal.
    fn follow_size(&self) {
        for stream in [rustix::stdio::stdin(), rustix::stdio::stdout()] {
            if let Ok(size) = rustix::termios::tcgetwinsize(stream) {
                // A terminal that closed meanwhile has no size to follow.
                rustix::termios::tcsetwinsize(&self.master, size).ok();
                return;
            }
        }
    }

    /// What to wait for on the master and on the standard input.
    fn wanted(&self) -> (Option<PollFlags>, Option<PollFlags>) {
        let mut master = PollFlags::empty();
        if self.open {
            master |= PollFlags::IN;
        }
        if !self.pending.is_empty() {
            master |= PollFlags::OUT;
        }
        // Nothing is read that cannot be handed on yet.
        let input = self.reading && self.pending.is_empty();
        ((!master.is_empty()).then_some(master), input.then_some(PollFlags::IN))
    }

    fn carry(&mut self, master: bool, input: bool) -> Result<()> {
        if self.open && master {
            self.output()?;
        }
        if input {
            self.input()?;
        }
        if !self.pending.is_empty() {
            self.flush()?;
        }
        Ok(())
    }

    /// One block from the container to the standard output; false when there is none.
    fn output(&mut self) -> Result<bool> {
        let mut block = [0; BLOCK];
        match rustix::io::read(&self.master, &mut block) {
            // The last slave is closed (EIO), or will not come back.
            Ok(0) | Err(Errno::IO) => {
                self.open = false;
                Ok(false)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(Error::system("read", "the container's terminal", errno)),
            Ok(count) => match files::write_all(rustix::stdio::stdout(), &block[..count]) {
                Ok(()) => Ok(true),
                // The reader left: go on without one, the container must not notice.
                Err(files::Error::System { errno: Errno::PIPE | Errno::IO, .. }) => Ok(true),
                Err(error) => Err(Error::Files(error)),
            },
        }
    }

    fn input(&mut self) -> Result<()> {
        let mut block = [0; BLOCK];
        match rustix::io::read(rustix::stdio::stdin(), &mut block) {
            Ok(0) => {
                self.reading = false;
                // The end of a file is the terminal's end-of-file character.
                self.pending.push(END_OF_FILE);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::IO) => self.reading = false,
            Err(errno) => return Err(Error::system("read", "the standard input", errno)),
            Ok(count) => self.pending.extend_from_slice(&block[..count]),
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        match rustix::io::write(&self.master, &self.pending) {
            Ok(count) => drop(self.pending.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::IO) => {
                self.pending.clear();
                self.reading = false;
            }
            Err(errno) => return Err(Error::system("write", "the container's terminal", errno)),
        }
        Ok(())
    }

    /// What the container wrote before it ended.
    fn drain(&mut self) -> Result<()> {
        while self.open && self.output()? {}
        Ok(())
    }
}

/// `^D`.
const END_OF_FILE: u8 = 4;

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // A terminal that is gone needs nothing put back.
            rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, saved).ok();
        }
    }
}
