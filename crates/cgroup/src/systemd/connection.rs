//! A connection to a bus: blocking, each wait bounded by a deadline, closed on exec.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send,
    socket_with,
};

use super::message::{Kind, Message, PREFIX_BYTES};
use super::wire::Malformed;

/// The bus itself.
pub(super) const BUS: &str = "org.freedesktop.DBus";
/// How long an operation may take: systemd's own default for calls is 25 seconds.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long the bus may take to greet.
const GREETING: Duration = Duration::from_secs(5);
/// Longest line of the login, in bytes: an answer is `OK` and a number, or a list of some mechanisms.
const LINE_BYTES: usize = 512;
/// Most signals kept while an answer is awaited: more jobs than systemd ends in that time.
const SIGNALS: usize = 4096;
/// Longest signal taken, in bytes: the end of a job is told in a tenth of it. Anybody on a bus may send us
/// longer ones, to fill our memory.
const SIGNAL_BYTES: usize = 4096;

/// Why a bus was of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{action}: {errno}")]
    Kernel { action: &'static str, errno: Errno },
    #[error("no answer in time")]
    Timeout,
    #[error("it hung up")]
    HungUp,
    #[error("it refused the login: `{0}`")]
    Login(String),
    #[error("a message makes no sense: {0}")]
    Malformed(#[from] Malformed),
    #[error("it refused the greeting: {0}")]
    Hello(String),
    #[error("more than {SIGNALS} signals while an answer was awaited")]
    Flood,
}

/// A connection that is logged in.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    deadline: Instant,
    serial: u32,
    /// Those that came since the last call began, before its answer.
    signals: VecDeque<Message>,
}

impl Connection {
    /// Connects and logs in.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Self::open_within(path, GREETING, PATIENCE)
    }

    fn open_within(path: &Path, greeting: Duration, patience: Duration) -> Result<Self, Failure> {
        let kernel = |action| move |errno| Failure::Kernel { action, errno };
        let address = SocketAddrUnix::new(path).map_err(kernel("connect"))?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(kernel("make a socket"))?;
        let deadline = Instant::now() + greeting;
        let mut connection = Self { socket, deadline, serial: 0, signals: VecDeque::new() };
        // A bus that accepts nobody has a full queue: the limit for sending holds for connecting too.
        connection.arm(Timeout::Send)?;
        connect(&connection.socket, &address).map_err(|errno| match errno {
            Errno::AGAIN => Failure::Timeout,
            errno => Failure::Kernel { action: "connect", errno },
        })?;
        connection.login()?;
        let hello = connection.call(Message::call(BUS, "/org/freedesktop/DBus", BUS, "Hello"))?;
        if hello.kind == Kind::Error {
            return Err(Failure::Hello(shown(&hello.error)));
        }
        connection.deadline = Instant::now() + patience;
        Ok(connection)
    }

    /// Logs in as whom the bus knows us for (D-Bus specification, "Authentication Protocol", `EXTERNAL`
    /// without an identity): the user id that we see is not the bus's when we are in a user namespace, as
    /// below a rootless engine.
    fn login(&mut self) -> Result<(), Failure> {
        self.transmit(b"\0AUTH EXTERNAL\r\n")?;
        let mut answer = self.line()?;
        if answer.trim_end() == "DATA" {
            self.transmit(b"DATA\r\n")?;
            answer = self.line()?;
        }
        // Nothing may follow the line: the bus has not been told to begin.
        if !answer.starts_with("OK ") || answer.contains('\n') {
            return Err(Failure::Login(shown(&answer)));
        }
        self.transmit(b"BEGIN\r\n")
    }

    /// Reads one line of the login. A bus says one thing at a time there.
    fn line(&mut self) -> Result<String, Failure> {
        let mut line = [0; LINE_BYTES];
        let mut length = 0;
        while length < LINE_BYTES {
            length += self.receive(&mut line[length..])?;
            if let Some(line) = line[..length].strip_suffix(b"\r\n") {
                return Ok(String::from_utf8_lossy(line).into_owned());
            }
        }
        Err(Failure::Login("an endless line".to_owned()))
    }

    /// Calls a method and returns its answer, which may be an error's.
    pub(super) fn call(&mut self, message: Message) -> Result<Message, Failure> {
        self.signals.clear();
        let serial = self.send(message)?;
        loop {
            let (message, size) = self.receive_message()?;
            match message.kind {
                Kind::Return | Kind::Error if message.reply == Some(serial) => return Ok(message),
                Kind::Signal if size > SIGNAL_BYTES => {}
                Kind::Signal if self.signals.len() == SIGNALS => return Err(Failure::Flood),
                Kind::Signal => self.signals.push_back(message),
                _ => {}
            }
        }
    }

    /// Waits for a signal.
    pub(super) fn signal(&mut self) -> Result<Message, Failure> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(signal);
        }
        loop {
            let (message, _) = self.receive_message()?;
            if message.kind == Kind::Signal {
                return Ok(message);
            }
        }
    }

    /// Sends a message and returns its number.
    pub(super) fn send(&mut self, mut message: Message) -> Result<u32, Failure> {
        self.serial = self.serial.wrapping_add(1).max(1);
        message.serial = self.serial;
        self.transmit(&message.encode()?)?;
        Ok(self.serial)
    }

    /// Waits for any message and returns how long it was, too.
    pub(super) fn receive_message(&mut self) -> Result<(Message, usize), Failure> {
        let mut prefix = [0; PREFIX_BYTES];
        self.receive_all(&mut prefix)?;
        let mut bytes = vec![0; Message::size(&prefix)?];
        bytes[..PREFIX_BYTES].copy_from_slice(&prefix);
        self.receive_all(&mut bytes[PREFIX_BYTES..])?;
        Ok((Message::decode(&bytes)?, bytes.len()))
    }

    fn receive_all(&mut self, mut buffer: &mut [u8]) -> Result<(), Failure> {
        while !buffer.is_empty() {
            let count = self.receive(buffer)?;
            buffer = &mut buffer[count..];
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            self.arm(Timeout::Recv)?;
            match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Err(Failure::HungUp),
                Ok((_, count)) => return Ok(count),
                // The time is looked at again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(Failure::Kernel { action: "receive", errno }),
            }
        }
    }

    fn transmit(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            self.arm(Timeout::Send)?;
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(Failure::HungUp),
                Err(errno) => return Err(Failure::Kernel { action: "send", errno }),
            }
        }
        Ok(())
    }

    /// Gives the next wait what is left of the time.
    fn arm(&self, direction: Timeout) -> Result<(), Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // The kernel takes zero for no limit.
            return Err(Failure::Timeout);
        }
        set_socket_timeout(&self.socket, direction, Some(left))
            .map_err(|errno| Failure::Kernel { action: "set a time limit", errno })
    }
}

/// Makes a bus's text fit for an error message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(128).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;

    /// What a client makes of a bus that says this, once it was spoken to, and hangs up.
    fn against(said: &'static [u8]) -> Failure {
        let directory = testkit::TempDir::new();
        let listener = UnixListener::bind(directory.join("bus")).unwrap();
        let bus = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut heard = [0; 64];
            assert_ne!(stream.read(&mut heard).unwrap(), 0);
            stream.write_all(said).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            while stream.read(&mut heard).is_ok_and(|count| count != 0) {}
        });
        let failure = Connection::open(&directory.join("bus")).unwrap_err();
        bus.join().unwrap();
        failure
    }

    #[test]
    fn hostile_buses() {
        for (said, expected) in [
            (&b""[..], "it hung up"),
            (b"OK", "it hung up"),
            (b"REJECTED EXTERNAL\r\n", "it refused the login: `REJECTED EXTERNAL`"),
            (b"OK 1\r\nl\x02\0\x01\r\n", "it refused the login: `OK 1\\r\\nl\\u{2}\\u{0}\\u{1}`"),
            (&[b'x'; 600], "it refused the login: `an endless line`"),
            (b"OK 1\r\n", "it hung up"),
        ] {
            assert_eq!(against(said).to_string(), expected);
        }
    }

    #[test]
    fn signals_wait_for_the_answer_unless_they_are_long() {
        let directory = testkit::TempDir::new();
        let listener = UnixListener::bind(directory.join("bus")).unwrap();
        let bus = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut heard = Vec::new();
            for (end, answer) in
                [(&b"EXTERNAL\r\n"[..], &b"DATA\r\n"[..]), (b"DATA\r\n", b"OK 1\r\n"), (b"BEGIN\r\n", b"")]
            {
                while !heard.ends_with(end) {
                    heard.push(0);
                    stream.read_exact(heard.last_mut().map(std::slice::from_mut).unwrap()).unwrap();
                }
                stream.write_all(answer).unwrap();
            }
            let mut said = Vec::new();
            for (kind, member) in [
                (Kind::Signal, "x".repeat(SIGNAL_BYTES)),
                (Kind::Signal, "Short".to_owned()),
                (Kind::Other(9), "Later".to_owned()),
                (Kind::Return, String::new()),
                (Kind::Signal, "After".to_owned()),
            ] {
                let message = Message { member, serial: 1, reply: Some(1), ..Message::new(kind) };
                said.extend(message.encode().unwrap());
            }
            stream.write_all(&said).unwrap();
            while stream.read(&mut [0; 64]).is_ok_and(|count| count != 0) {}
        });
        let mut connection = Connection::open(&directory.join("bus")).unwrap();
        let flags = rustix::io::fcntl_getfd(&connection.socket).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(connection.signal().unwrap().member, "Short");
        assert_eq!(connection.signal().unwrap().member, "After");
        drop(connection);
        bus.join().unwrap();
    }

    #[test]
    fn a_bus_that_says_nothing_is_left() {
        let directory = testkit::TempDir::new();
        let path = directory.join("bus");
        let _listener = UnixListener::bind(&path).unwrap();
        let failure = Connection::open_within(&path, Duration::from_millis(50), PATIENCE).unwrap_err();
        assert!(matches!(failure, Failure::Timeout), "{failure}");
    }

    #[test]
    fn a_bus_that_accepts_nobody_is_left() {
        let directory = testkit::TempDir::new();
        let path = directory.join("bus");
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let _queued = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let failure = Connection::open_within(&path, Duration::from_millis(50), PATIENCE).unwrap_err();
        assert!(matches!(failure, Failure::Timeout), "{failure}");
    }
}
