//! Being connected to a container that a monitor watches: its output here, what is typed there.
//!
//! The caller's descriptors stay the caller's: bytes go through the monitor's socket. If that is killed, the next look at the
//! container makes a new one, and this client connects again.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use monitor::control::{self, streams};
use runtime::DetachKeys;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::Signal;
use rustix::termios::{OptionalActions, Termios};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::stop;
use crate::value::keys;
use crate::value::name::ContainerId;
use crate::wait;

/// How a client is attached.
#[derive(Clone, Debug)]
pub struct Attach {
    /// Whether the standard input is handed on.
    pub stdin: bool,
    /// Whether the standard output is shown.
    pub stdout: bool,
    /// Whether the standard error is shown.
    pub stderr: bool,
    /// Whether the container has a terminal.
    pub terminal: bool,
    /// Whether signals are passed on; otherwise they end the client.
    pub forward_signals: bool,
    /// Keys that leave the container running, `--detach-keys`.
    pub keys: Vec<u8>,
}

impl Attach {
    /// Attached to everything, with docker's keys.
    ///
    /// # Errors
    /// [`Error::Value`] for bad keys.
    pub fn new(stdin: bool, terminal: bool, detach_keys: Option<&str>) -> Result<Self> {
        let keys = keys::parse(detach_keys.unwrap_or(keys::DEFAULT))?;
        Ok(Self { stdin, stdout: true, stderr: true, terminal, forward_signals: true, keys })
    }
}

/// How being attached ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// The container ended with this exit code.
    Ended(u8),
    /// The keys were typed: it runs on.
    Detached,
    /// A signal that is not passed on.
    Signalled(i32),
}

/// A connection to a monitor, with what is to be said first already said.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
}

fn failed(source: Errno) -> Error {
    Error::System { action: "talk to", path: "the container's monitor".into(), source }
}

impl Connection {
    /// A connection for a container that is started next: the monitor's end is for `start`.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn pair(how: &Attach) -> Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(failed)?;
        Ok((Self::introduced(ours, how)?, theirs))
    }

    /// Connects to the monitor of a container.
    ///
    /// # Errors
    /// [`Error::NotRunning`]; [`Error::Foreground`] where a command watches it.
    pub fn open(containers: &Containers<'_>, id: &ContainerId, how: &Attach) -> Result<Self> {
        if !containers.state(id)?.status.is_running() {
            return Err(Error::NotRunning { id: id.short().to_owned() });
        }
        let foreground = || Error::Foreground { id: id.short().to_owned() };
        let directory = containers.streams_of(id)?.ok_or_else(foreground)?;
        match control::open(directory.as_fd()) {
            Ok(socket) => Self::introduced(socket, how),
            Err(Errno::NOENT) => Err(foreground()),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn introduced(socket: OwnedFd, how: &Attach) -> Result<Self> {
        let mut wants = 0;
        for (is_wanted, stream) in
            [(how.stdout, streams::STDOUT), (how.stderr, streams::STDERR), (how.stdin, streams::STDIN)]
        {
            if is_wanted {
                wants |= stream;
            }
        }
        control::put(&socket, control::ATTACH, &[wants]).map_err(failed)?;
        let connection = Self { socket };
        if how.terminal {
            connection.tell_size();
        }
        Ok(connection)
    }

    /// Gives the container's terminal the size of the caller's, where there is one.
    fn tell_size(&self) {
        for stream in [rustix::stdio::stdin(), rustix::stdio::stdout()] {
            if let Ok(size) = rustix::termios::tcgetwinsize(stream) {
                let [rows, high_rows] = size.ws_row.to_le_bytes();
                let [columns, high_columns] = size.ws_col.to_le_bytes();
                // A monitor that is gone is noticed by who reads next.
                control::put(&self.socket, control::RESIZE, &[rows, high_rows, columns, high_columns]).ok();
                return;
            }
        }
    }
}

/// Copies in both directions until the container ends or the person leaves.
///
/// # Errors
/// [`Error::System`]; the container runs on.
pub fn attach(
    containers: &Containers<'_>,
    id: &ContainerId,
    connection: Connection,
    how: &Attach,
) -> Result<Attached> {
    let waiting = wait::wait(containers, id)?;
    let signals = sys::signal::block_all_into_descriptor().map_err(failed)?;
    let _raw = if how.terminal && how.stdin { Raw::take()? } else { None };
    let mut client = Client {
        containers,
        id,
        how,
        connection,
        reading: how.stdin,
        matcher: DetachKeys::new(if how.terminal { how.keys.clone() } else { Vec::new() }),
        pending: Vec::new(),
    };
    let attached = loop {
        if let Some(attached) = client.turn(&signals)? {
            break attached;
        }
    };
    let code = match attached {
        Attached::Ended(code) => code,
        other => return Ok(other),
    };
    // Taken down by then; not where its policy starts it again.
    let restarts =
        containers.record(id)?.is_some_and(|record| !matches!(record.restart.name.as_str(), "" | "no"));
    if !restarts {
        waiting.end(containers).ok();
    }
    Ok(Attached::Ended(code))
}

struct Client<'a> {
    containers: &'a Containers<'a>,
    id: &'a ContainerId,
    how: &'a Attach,
    connection: Connection,
    reading: bool,
    matcher: DetachKeys,
    /// What the monitor has no room for yet: packets, by kind.
    pending: Vec<(u8, Vec<u8>)>,
}

impl Client<'_> {
    fn turn(&mut self, signals: &OwnedFd) -> Result<Option<Attached>> {
        let stdin = rustix::stdio::stdin();
        let [readable, signalled, typed] = {
            let mut events = PollFlags::IN;
            events.set(PollFlags::OUT, !self.pending.is_empty());
            let mut waited =
                vec![PollFd::new(&self.connection.socket, events), PollFd::new(signals, PollFlags::IN)];
            if self.reading && self.pending.is_empty() {
                waited.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
            }
            match poll(&mut waited, None) {
                Err(Errno::INTR) => return Ok(None),
                result => result.map_err(failed)?,
            };
            [0, 1, 2].map(|at| waited.get(at).is_some_and(|waited| !waited.revents().is_empty()))
        };
        if signalled && let Some(signal) = self.signals(signals)? {
            return Ok(Some(Attached::Signalled(signal)));
        }
        if typed && self.read(stdin)? {
            return Ok(Some(Attached::Detached));
        }
        self.send()?;
        if readable { self.show() } else { Ok(None) }
    }

    /// Passes signals on; the one that ends this client.
    fn signals(&self, signals: &OwnedFd) -> Result<Option<i32>> {
        const WINCH: i32 = 28;
        /// Children's, the relay's own, and job control of our own terminal.
        const OWN: [i32; 7] = [17, 13, 23, 21, 22, 20, 18];
        while let Some(received) = sys::signal::receive(signals.as_fd()).map_err(failed)? {
            match received.number {
                WINCH if self.how.terminal => self.connection.tell_size(),
                WINCH => {}
                number if OWN.contains(&number) => {}
                number if self.how.forward_signals => {
                    // One that has just ended needs none.
                    stop::kill(self.containers, self.id, number).ok();
                }
                number => return Ok(Some(number)),
            }
        }
        Ok(None)
    }

    /// Takes what was typed; true when the keys were.
    fn read(&mut self, stdin: BorrowedFd<'_>) -> Result<bool> {
        let mut block = [0; control::BLOCK];
        match rustix::io::read(stdin, &mut block) {
            Ok(0) | Err(Errno::IO) => {
                self.reading = false;
                self.pending.push((control::END_OF_INPUT, Vec::new()));
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
            Ok(count) => {
                let mut bytes = Vec::with_capacity(count);
                let done = self.matcher.take(&block[..count], &mut bytes);
                if done {
                    return Ok(true);
                }
                self.pending
                    .extend(bytes.chunks(control::BLOCK).map(|block| (control::INPUT, block.to_vec())));
            }
        }
        Ok(false)
    }

    fn send(&mut self) -> Result<()> {
        while let Some((kind, data)) = self.pending.first() {
            match control::put(&self.connection.socket, *kind, data) {
                Ok(()) => drop(self.pending.remove(0)),
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(()),
                // It is gone, which the next read says.
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => {
                    self.pending.clear();
                    return Ok(());
                }
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    /// Shows what came.
    fn show(&mut self) -> Result<Option<Attached>> {
        let mut block = vec![0; control::BLOCK + 1];
        loop {
            let (kind, length) = match control::get(&self.connection.socket, &mut block) {
                Ok(Some(packet)) => packet,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
                Ok(None) | Err(Errno::CONNRESET) => return self.connect_again(),
                Err(errno) => return Err(failed(errno)),
            };
            let data = &block[..length];
            match kind {
                control::STDOUT | control::STDERR => {
                    let is_error = kind == control::STDERR;
                    let stream = if is_error { rustix::stdio::stderr() } else { rustix::stdio::stdout() };
                    if !write(stream, data)? {
                        return Ok(Some(Attached::Signalled(Signal::PIPE.as_raw())));
                    }
                }
                control::ENDED => return Ok(Some(Attached::Ended(data.first().copied().unwrap_or(0)))),
                _ => {}
            }
        }
    }

    /// The monitor was killed, or ended before it could say so.
    fn connect_again(&mut self) -> Result<Option<Attached>> {
        match Connection::open(self.containers, self.id, self.how) {
            Ok(connection) => {
                self.connection = connection;
                Ok(None)
            }
            Err(Error::NotRunning { .. }) => {
                Ok(Some(Attached::Ended(self.containers.state(self.id)?.exit_code)))
            }
            Err(Error::NoContainer { .. }) => Ok(Some(Attached::Ended(crate::state::UNKNOWN))),
            Err(error) => Err(error),
        }
    }
}

/// Writes output where it belongs; false where its reader left, which ends the client as any program of a pipeline, and not
/// the container. A terminal that is gone is no reason to end.
fn write(stream: BorrowedFd<'_>, bytes: &[u8]) -> Result<bool> {
    match files::write_all(stream, bytes) {
        Err(files::Error::System { errno: Errno::PIPE | Errno::CONNRESET, .. }) => Ok(false),
        Err(files::Error::System { errno: Errno::IO, .. }) => Ok(true),
        result => Ok(result.map(|()| true)?),
    }
}

/// The caller's terminal in raw mode: what is typed goes to the container's, which echoes it.
struct Raw {
    saved: Termios,
}

impl Raw {
    /// `None` where the standard input is no terminal.
    fn take() -> Result<Option<Self>> {
        let stdin = rustix::stdio::stdin();
        if !rustix::termios::isatty(stdin) {
            return Ok(None);
        }
        let saved = rustix::termios::tcgetattr(stdin).map_err(failed)?;
        let mut raw = saved.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Some(Self { saved }))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing put back.
        rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.saved).ok();
    }
}
