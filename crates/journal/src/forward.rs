//! Copies of records to where their owner cannot take them back: journald, syslog, the kernel's audit.
//!
//! Which of the first two is said by lines in the file `forward` of the journal: `journald`, `syslog` or `syslog:/PATH`. The audit record
//! is tried always, and goes where the caller has `CAP_AUDIT_WRITE` in the first user namespace.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use files::atomic::{self, Durability};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, netlink};

use crate::{Error, Journal, Record, Result};

/// The file that names them.
const NAME: &str = "forward";
/// Most bytes of it.
const MOST: u64 = 4096;
/// systemd.journal native protocol.
const JOURNALD: &str = "/run/systemd/journal/socket";
/// syslog(3).
const SYSLOG: &str = "/dev/log";
/// `AUDIT_VIRT_CONTROL` of linux/audit.h: what virtual machines' managers write, too (`ausearch -m VIRT_CONTROL`).
const AUDIT_VIRT_CONTROL: u16 = 2500;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// Most bytes of an audit message: the kernel cuts at `MAX_AUDIT_MESSAGE_LENGTH`, 8970.
const MOST_AUDIT: usize = 8000;

/// Where copies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// systemd's journal.
    Journald,
    /// A syslog socket, `/dev/log` unless another is named.
    Syslog(PathBuf),
}

impl Destination {
    /// Parses one line.
    ///
    /// # Errors
    /// [`Error::Destination`].
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim() {
            "journald" => Ok(Self::Journald),
            "syslog" => Ok(Self::Syslog(SYSLOG.into())),
            other => match other.strip_prefix("syslog:").filter(|path| path.starts_with('/')) {
                Some(path) => Ok(Self::Syslog(path.into())),
                None => Err(Error::Destination(other.chars().take(256).collect())),
            },
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Journald => "journald\n".to_owned(),
            Self::Syslog(path) => format!("syslog:{}\n", path.display()),
        }
    }
}

/// Where copies of this journal go.
///
/// # Errors
/// [`Error::Destination`] for a line that is none.
pub fn destinations(journal: &Journal) -> Result<Vec<Destination>> {
    let Some(bytes) = files::root::read_bounded(journal.directory(), NAME, MOST)? else {
        return Ok(Vec::new());
    };
    let text = String::from_utf8_lossy(&bytes);
    text.lines().filter(|line| !line.trim().is_empty()).map(Destination::parse).collect()
}

/// Sets where copies go; none ends it.
///
/// # Errors
/// Where the file cannot be written.
pub fn set(journal: &Journal, destinations: &[Destination]) -> Result<()> {
    if destinations.is_empty() {
        atomic::remove(journal.directory(), NAME, Durability::Durable)?;
        return Ok(());
    }
    let text: String = destinations.iter().map(Destination::line).collect();
    Ok(atomic::write(journal.directory(), NAME, text.as_bytes(), 0o600, Durability::Durable)?)
}

/// Sends a copy of a line that was appended; says what could not be sent.
#[must_use]
pub fn send(destinations: &[Destination], line: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for destination in destinations {
        let (path, message) = match destination {
            Destination::Journald => (Path::new(JOURNALD), journald(line)),
            // Facility authpriv, severity info.
            Destination::Syslog(path) => {
                (path.as_path(), format!("<86>brig[{}]: {line}", std::process::id()))
            }
        };
        let sent = UnixDatagram::unbound().and_then(|socket| {
            // A log daemon that stopped reading must not stop us.
            socket.set_nonblocking(true)?;
            socket.send_to(message.as_bytes(), path)
        });
        if let Err(error) = sent {
            faults.push(format!("the journal's copy to `{}`: {error}", path.display()));
        }
    }
    faults
}

/// A line of JSON has no end of line in it, so the plain form of the protocol will do.
fn journald(line: &str) -> String {
    format!("PRIORITY=6\nSYSLOG_IDENTIFIER=brig\nSYSLOG_FACILITY=10\nMESSAGE={line}\n")
}

/// Sends an audit record; whether the kernel took it. Without the right to, nothing happens.
#[must_use]
pub fn audit(record: &Record) -> bool {
    let text = audit_text(record);
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(netlink::AUDIT),
    );
    let Ok(socket) = socket else { return false };
    let message = netlink_message(&text);
    let kernel = SocketAddrNetlink::new(0, 0);
    if rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel).is_err() {
        return false;
    }
    // The kernel answers at once, and only where it refuses: an nlmsghdr, then an errno.
    let mut answer = [0; 64];
    let refused = rustix::net::recv(&socket, &mut answer, rustix::net::RecvFlags::DONTWAIT);
    refused.is_err()
}

fn netlink_message(text: &str) -> Vec<u8> {
    let length = u32::try_from(16 + text.len() + 1).expect("a few KiB");
    let mut message = Vec::with_capacity(16 + text.len() + 4);
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&AUDIT_VIRT_CONTROL.to_ne_bytes());
    message.extend_from_slice(&REQUEST.to_ne_bytes());
    message.extend_from_slice(&1_u32.to_ne_bytes());
    message.extend_from_slice(&0_u32.to_ne_bytes());
    message.extend_from_slice(text.as_bytes());
    message.push(0);
    while message.len() % 4 != 0 {
        message.push(0);
    }
    message
}

/// `name=value` as auditd parses it: a value that others chose is in hexadecimal when it has anything but plain letters.
fn audit_text(record: &Record) -> String {
    let mut text = format!("op={} reason=api", encoded(&record.command));
    for object in record.objects.iter().take(8) {
        text.push_str(&format!(" {}={}", encoded(&object.kind), encoded(&object.id)));
        if !object.name.is_empty() {
            text.push_str(&format!(" name={}", encoded(&object.name)));
        }
        if !object.digest.is_empty() {
            text.push_str(&format!(" image={}", encoded(&object.digest)));
        }
    }
    let is_success = record.code.is_none_or(|code| code == 0) && record.error.is_empty();
    text.push_str(&format!(" exe=\"brig\" res={}", if is_success { "success" } else { "failed" }));
    text.chars().take(MOST_AUDIT).collect()
}

fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/@".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    text.bytes().take(256).map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Object;

    #[test]
    fn destinations_are_kept_and_reached() {
        let directory = testkit::TempDir::new();
        let journal = Journal::open(directory.path()).unwrap();
        assert_eq!(destinations(&journal).unwrap(), []);
        let path = directory.join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let there = Destination::Syslog(path);
        set(&journal, std::slice::from_ref(&there)).unwrap();
        let kept = destinations(&journal).unwrap();
        assert_eq!(kept, [there]);
        assert_eq!(send(&kept, "{}"), [""; 0]);
        let mut bytes = [0; 100];
        let count = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], format!("<86>brig[{}]: {{}}", std::process::id()).as_bytes());
        drop(socket);
        assert_eq!(send(&kept, "{}").len(), 1, "a daemon that is gone is told");
        set(&journal, &[]).unwrap();
        assert_eq!(destinations(&journal).unwrap(), []);
    }

    #[test]
    fn what_is_no_destination() {
        for text in ["", "udp:1", "syslog:relative", "none"] {
            assert!(matches!(Destination::parse(text), Err(Error::Destination(_))), "{text}");
        }
    }

    #[test]
    fn audit_values_cannot_add_fields() {
        let object = Object {
            kind: "container".to_owned(),
            id: "ab".to_owned(),
            name: "a res=failed".to_owned(),
            ..Object::default()
        };
        let record =
            Record { command: "run".to_owned(), objects: vec![object], code: Some(0), ..Record::default() };
        assert_eq!(
            audit_text(&record),
            "op=run reason=api container=ab name=61207265733D6661696C6564 exe=\"brig\" res=success"
        );
        assert_eq!(netlink_message("x").len() % 4, 0);
    }
}
