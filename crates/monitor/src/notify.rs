//! What the service manager that started a container is told: datagrams of sd_notify(3).
//!
//! A container's own messages are not passed on as they are: it could name another main process, ask for more time
//! without an end, or leave descriptors in the manager's store. One says that it is ready, and that is said in
//! words of ours.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recv, sendto,
    socket_with,
};

use crate::Settings;

/// What says that a service is up.
pub const READY: &str = "READY=1";
/// Name of the container's socket in its directory.
pub const NAME: &str = "notify.sock";
/// Longest message of a container that is read.
const MAX: usize = 4096;
/// Most messages in one turn of the loop.
const MOST: usize = 16;
/// Longest address: `sun_path` of unix(7) with its end.
const MAX_ADDRESS: usize = 107;

fn socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

/// Whether this is an address as `NOTIFY_SOCKET` has it: an absolute path, or an abstract name after `@`.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.len() > 1
        && text.len() <= MAX_ADDRESS
        && text.starts_with(['/', '@'])
        && !text.contains(char::is_control)
}

/// Sends a message to the manager; never waits.
///
/// # Errors
/// `EINVAL` for what is no address; what the system says.
pub fn send(target: &str, message: &str) -> Result<(), Errno> {
    if !is_address(target) {
        return Err(Errno::INVAL);
    }
    let address = match target.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None => SocketAddrUnix::new(target)?,
    };
    sendto(socket()?, message.as_bytes(), SendFlags::NOSIGNAL, &address).map(drop)
}

/// Makes a container's socket in this directory, in place of an earlier one.
///
/// # Errors
/// What the system says.
pub fn listen(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    match rustix::fs::unlinkat(directory, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let socket = socket()?;
    // By descriptor, as in `control`.
    let path = format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd());
    bind(&socket, &SocketAddrUnix::new(path.as_str())?)?;
    // Whoever the payload runs as; nobody else reaches the directory.
    rustix::fs::chmodat(directory, NAME, Mode::from_raw_mode(0o666), AtFlags::empty())?;
    Ok(socket)
}

/// Takes what the container said, and tells the manager when it says the first time that it is ready.
///
/// Descriptors that come with a message are closed by the kernel, as nobody asks for them.
pub(crate) fn forward(settings: &Settings, told: &mut bool) {
    let Some(from) = &settings.notify else { return };
    let mut bytes = [0; MAX];
    for _ in 0..MOST {
        match recv(from.as_fd(), &mut bytes[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
            // One that is longer than what is read says nothing.
            Ok((length, whole)) if whole <= MAX => {
                if !*told && is_ready(&bytes[..length]) {
                    *told = send(&settings.notify_to, READY).is_ok();
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Whether a message has the line that says so.
fn is_ready(message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line == READY.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_itself_says_ready() {
        for (message, expected) in [
            ("READY=1", true),
            ("STATUS=up\nREADY=1\nMAINPID=1\n", true),
            ("READY=0", false),
            ("XREADY=1", false),
            ("STATUS=READY=1", false),
            ("READY=1 \n", false),
            ("", false),
        ] {
            assert_eq!(is_ready(message.as_bytes()), expected, "{message:?}");
        }
    }

    #[test]
    fn addresses() {
        let long = format!("/{}", "a".repeat(MAX_ADDRESS));
        for (text, expected) in [
            ("/run/systemd/notify", true),
            ("@name", true),
            ("", false),
            ("/", false),
            ("@", false),
            ("relative", false),
            ("vsock:2:1", false),
            ("/a\nlock 3", false),
            (long.as_str(), false),
        ] {
            assert_eq!(is_address(text), expected, "{text:?}");
        }
    }
}
