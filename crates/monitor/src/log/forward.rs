//! Messages for another log: systemd's journal by its native protocol, or a syslog by RFC 5424.
//!
//! One datagram a message, never waited for: a receiver that is full says so, and the caller decides.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};

use super::line::{Message, push};
use super::settings::{Address, Forward};
use oci::Moment;

use super::Stream;

/// Where systemd's journal listens (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const JOURNAL: &str = "/run/systemd/journal/socket";
/// `PRIORITY` and severity: "informational" and "error", as docker has them.
const INFORMATION: u8 = 6;
const ERROR: u8 = 3;

/// A receiver and the socket to it, made again when the receiver was.
#[derive(Debug)]
pub(crate) struct Receiver {
    forward: Forward,
    socket: Option<OwnedFd>,
}

impl Receiver {
    pub(crate) fn new(forward: Forward) -> Option<Self> {
        (forward != Forward::None).then_some(Self { forward, socket: None })
    }

    /// Sends one message; `packet` is emptied and used.
    ///
    /// `EAGAIN` and `ENOBUFS` say that the receiver is full.
    pub(crate) fn send(
        &mut self,
        stream: Stream,
        message: &Message<'_>,
        time: Moment,
        packet: &mut Vec<u8>,
    ) -> Result<(), Errno> {
        packet.clear();
        match &self.forward {
            Forward::None => return Ok(()),
            Forward::Journald { fields } => journal(packet, stream, message, fields),
            Forward::Syslog { .. } if message.text.is_empty() => return Ok(()),
            Forward::Syslog { facility, micro, tag, host, .. } => {
                let words = Words { facility: *facility, micro: *micro, tag, host };
                syslog(packet, stream, message, time, &words);
            }
        }
        // A receiver that was started again has a new socket under the old name: the second try finds it.
        for attempt in 0..2 {
            let socket = match &self.socket {
                Some(socket) => socket,
                None => self.socket.insert(open(&self.forward)?),
            };
            match send(socket, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(errno @ (Errno::AGAIN | Errno::NOBUFS)) => return Err(errno),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    self.socket = None;
                    if attempt == 1 {
                        return Err(errno);
                    }
                }
            }
        }
        Err(Errno::INTR)
    }
}

fn open(forward: &Forward) -> Result<OwnedFd, Errno> {
    let address = match forward {
        Forward::Syslog { address, .. } => address,
        Forward::Journald { .. } | Forward::None => &Address::Unix(JOURNAL.to_owned()),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    match address {
        Address::Unix(path) => {
            let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
            connect(&socket, &SocketAddrUnix::new(path.as_str())?)?;
            Ok(socket)
        }
        Address::Udp(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
            connect(&socket, address)?;
            Ok(socket)
        }
    }
}

/// Whether somebody listens where messages are to go, asked before a container starts.
///
/// # Errors
/// What connect(2) says.
pub fn check(forward: &Forward) -> Result<(), Errno> {
    if *forward == Forward::None { Ok(()) } else { open(forward).map(drop) }
}

fn severity(stream: Stream) -> u8 {
    if stream == Stream::Stdout { INFORMATION } else { ERROR }
}

fn journal(packet: &mut Vec<u8>, stream: Stream, message: &Message<'_>, fields: &[(String, String)]) {
    // With a length in front a value may hold any byte.
    packet.extend_from_slice(b"MESSAGE\n");
    packet.extend_from_slice(&(message.text.len() as u64).to_le_bytes());
    packet.extend_from_slice(message.text);
    packet.extend_from_slice(b"\nPRIORITY=");
    push(packet, severity(stream));
    packet.push(b'\n');
    for (name, value) in fields {
        packet.extend_from_slice(name.as_bytes());
        packet.push(b'=');
        packet.extend_from_slice(value.as_bytes());
        packet.push(b'\n');
    }
    if !message.ends {
        packet.extend_from_slice(b"CONTAINER_PARTIAL_MESSAGE=true\n");
    }
}

struct Words<'a> {
    facility: u8,
    micro: bool,
    tag: &'a str,
    host: &'a str,
}

fn syslog(packet: &mut Vec<u8>, stream: Stream, message: &Message<'_>, time: Moment, words: &Words<'_>) {
    packet.push(b'<');
    push(packet, u32::from(words.facility) * 8 + u32::from(severity(stream)));
    packet.extend_from_slice(b">1 ");
    // At most six digits of a second are allowed; without `micro` there are none.
    let digits = if words.micro { time.nanoseconds / 1000 * 1000 } else { 0 };
    push(packet, Moment { nanoseconds: digits, ..time });
    push(packet, format_args!(" {} {} {} {} - ", words.host, words.tag, std::process::id(), words.tag));
    packet.extend_from_slice(message.text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_takes_any_bytes() {
        let fields = [("CONTAINER_NAME".to_owned(), "web".to_owned())];
        let mut packet = Vec::new();
        journal(&mut packet, Stream::Stderr, &Message { text: b"a\xff", ends: false }, &fields);
        let expected = b"MESSAGE\n\x02\0\0\0\0\0\0\0a\xff\nPRIORITY=3\nCONTAINER_NAME=web\nCONTAINER_PARTIAL_MESSAGE=true\n";
        assert_eq!(packet, expected);
    }

    #[test]
    fn a_syslog_line_has_all_fields() {
        let mut packet = Vec::new();
        let time = Moment { seconds: 951_782_400, nanoseconds: 123_456_789 };
        let words = Words { facility: 3, micro: true, tag: "web", host: "here" };
        syslog(&mut packet, Stream::Stdout, &Message { text: b"hello", ends: true }, time, &words);
        let pid = std::process::id();
        let expected = format!("<30>1 2000-02-29T00:00:00.123456Z here web {pid} web - hello");
        assert_eq!(String::from_utf8(packet).unwrap(), expected);
    }

    #[test]
    fn a_receiver_may_come_go_and_be_full() {
        let base = testkit::TempDir::new();
        let path = base.path().join("log");
        let forward = Forward::Syslog {
            address: Address::Unix(path.to_str().unwrap().to_owned()),
            facility: 3,
            micro: false,
            tag: "t".into(),
            host: "h".into(),
        };
        let mut receiver = Receiver::new(forward.clone()).unwrap();
        let mut packet = Vec::new();
        let message = Message { text: b"one", ends: true };
        let mut try_one =
            |packet: &mut Vec<u8>| receiver.send(Stream::Stdout, &message, Moment::default(), packet);
        assert_eq!(try_one(&mut packet), Err(Errno::NOENT));
        assert_eq!(check(&forward), Err(Errno::NOENT));
        for _ in 0..2 {
            let listener = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
            try_one(&mut packet).unwrap();
            let mut got = [0; 100];
            let length = listener.recv(&mut got).unwrap();
            assert!(String::from_utf8_lossy(&got[..length]).ends_with(" t - one"));
            let full = (0..100_000).find_map(|_| try_one(&mut packet).err());
            assert_eq!(full, Some(Errno::AGAIN));
            drop(listener);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
