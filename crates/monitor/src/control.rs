//! What a monitor and its clients say to each other: packets over a Unix socket, each with its kind as first byte.
//!
//! The socket lies in a directory of mode 0700 that belongs to the user, and has no abstract name (runc's and
//! containerd-shim's had: CVE-2020-15257).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen,
    recv, send, socket_with,
};

/// Name of the socket in a container's directory of streams.
pub const NAME: &str = "control";
/// Most bytes of data in one packet.
pub const BLOCK: usize = 16 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// From a client: it wants output. One byte of [`streams`] follows.
pub const ATTACH: u8 = b'a';
/// From a client: bytes for the standard input.
pub const INPUT: u8 = b'i';
/// From a client: the standard input ended.
pub const END_OF_INPUT: u8 = b'e';
/// From a client: rows and columns of its terminal, two bytes each, little endian.
pub const RESIZE: u8 = b'r';
/// From a client: a person ends the container. Answered by [`DONE`].
pub const STOPPING: u8 = b's';
/// From a client: the waits between checks were changed; see [`crate::health::SCHEDULE`].
pub const HEALTH: u8 = b'h';
/// To a client: bytes of the standard output.
pub const STDOUT: u8 = b'o';
/// To a client: bytes of the standard error.
pub const STDERR: u8 = b'O';
/// To a client: the container ended; one byte, the exit code, follows.
pub const ENDED: u8 = b'x';
/// To a client: done.
pub const DONE: u8 = b'k';

/// What [`ATTACH`] asks for, combined by `|`.
pub mod streams {
    /// The standard output.
    pub const STDOUT: u8 = 1;
    /// The standard error.
    pub const STDERR: u8 = 2;
    /// It will send input.
    pub const STDIN: u8 = 4;
}

fn address(directory: BorrowedFd<'_>) -> Result<SocketAddrUnix, Errno> {
    // By descriptor: the whole path may be longer than the 108 bytes that an address has.
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()).as_str())
}

fn new() -> Result<OwnedFd, Errno> {
    socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )
}

/// Makes the socket in a container's directory of streams, in place of a dead monitor's.
///
/// # Errors
/// What the system says.
pub fn serve(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    match rustix::fs::unlinkat(directory, NAME, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let socket = new()?;
    bind(&socket, &address(directory)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Connects to a monitor; `ECONNREFUSED` or `ENOENT` where there is none. The descriptor does not wait.
///
/// # Errors
/// What the system says.
pub fn open(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let socket = new()?;
    connect(&socket, &address(directory)?)?;
    Ok(socket)
}

/// Sends one packet; `EAGAIN` where the other side is behind.
///
/// # Errors
/// What the system says.
pub fn put(socket: impl AsFd, kind: u8, data: &[u8]) -> Result<(), Errno> {
    let mut packet = Vec::with_capacity(data.len() + 1);
    packet.push(kind);
    packet.extend_from_slice(data);
    send(socket, &packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).map(drop)
}

/// Receives one packet: its kind and its data; `None` when the other side is gone.
///
/// # Errors
/// `EAGAIN` where none is there.
pub fn get(socket: impl AsFd, buffer: &mut [u8]) -> Result<Option<(u8, usize)>, Errno> {
    let (length, _) = recv(socket, &mut *buffer, RecvFlags::DONTWAIT)?;
    if length == 0 {
        return Ok(None);
    }
    let kind = buffer[0];
    buffer.copy_within(1..length, 0);
    Ok(Some((kind, length - 1)))
}
