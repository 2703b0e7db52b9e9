//! Handing the master of a terminal to whoever listens on `--console-socket`.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};

use crate::{Error, Result};

/// What runc sends as data beside the descriptor.
const NAME: &[u8] = b"/dev/ptmx";

/// Connects and sends the master.
pub(crate) fn send(path: &Path, master: &OwnedFd) -> Result<()> {
    send_descriptor(path, NAME, master)
}

/// Connects to a Unix stream socket and sends one message with one descriptor.
pub(crate) fn send_descriptor(path: &Path, data: &[u8], descriptor: &OwnedFd) -> Result<()> {
    let failed = |action| move |errno| Error::system(action, path.display().to_string(), errno);
    let address = SocketAddrUnix::new(path).map_err(failed("connect to"))?;
    let socket =
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(failed("connect to"))?;
    rustix::net::connect(&socket, &address).map_err(failed("connect to"))?;
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    rustix::net::sendmsg(&socket, &[IoSlice::new(data)], &mut ancillary, SendFlags::NOSIGNAL)
        .map(drop)
        .map_err(failed("send to"))
}
