//! Devices of the caller's network namespace.

use std::os::fd::AsRawFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::clone::last_errno;

/// Brings up `lo`, which a new network namespace has, but down: `127.0.0.1` and `::1` are its addresses from then on.
///
/// Needs `CAP_NET_ADMIN` in the user namespace that owns the network namespace (netdevice(7)).
pub fn bring_up_loopback() -> Result<(), Errno> {
    // Any socket reaches the namespace's devices; one of this family is there without IP support, too.
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: `ifreq` is a plain C structure of integers and pointers, for which all zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *place = libc::c_char::from_ne_bytes([*byte]);
    }
    request.ifr_ifru.ifru_flags = FLAGS;
    // SAFETY: the request reads one `ifreq`, whose name ends in NUL and whose flags are set.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "both bits are among the sixteen of the field")]
const FLAGS: libc::c_short = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_new_namespace_answers_on_loopback() {
        // Root, because a process with threads cannot make a user namespace.
        testkit::needs!(root);
        // The namespace is that of the thread, and goes with it.
        let answers = std::thread::spawn(|| {
            crate::namespace::unshare(crate::clone::flags::NEWNET).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let before = TcpStream::connect(address).is_ok();
            bring_up_loopback().unwrap();
            (before, TcpStream::connect(address).is_ok())
        });
        assert_eq!(answers.join().unwrap(), (false, true));
    }
}
