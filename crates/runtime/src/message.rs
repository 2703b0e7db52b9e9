//! What parent and child say to each other over a `SOCK_SEQPACKET` pair.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Most descriptors in one message; the kernel's `SCM_MAX_FD` is 253.
pub const MAX_DESCRIPTORS: usize = 64;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// To the child: maps, cgroup and limits are in place; go on. Carries the late mounts.
    Go,
    /// To the parent, from a stage that joined namespaces: the pid of the process it made.
    Stage(i32),
    /// To the parent, from a process that mounts layers: this is the overlay.
    Mounted,
    /// To the parent: run the hooks of the runtime namespace, then say `Go`.
    RuntimeHooks,
    /// To the parent: this is the master of the terminal.
    Terminal,
    /// To the parent: this is the notify descriptor of the filter.
    Listener,
    /// To the parent: everything is in place.
    Ready,
    /// To the parent: this step failed.
    Failed {
        /// Index of the step in the plan.
        step: u16,
        /// What was tried.
        operation: u8,
        /// The kernel's answer.
        errno: i32,
    },
}

const SIZE: usize = 8;

impl Message {
    fn encode(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let (kind, operation, step, number) = match self {
            Self::Go => (1, 0, 0, 0),
            Self::Stage(pid) => (2, 0, 0, pid),
            Self::RuntimeHooks => (3, 0, 0, 0),
            Self::Terminal => (4, 0, 0, 0),
            Self::Listener => (5, 0, 0, 0),
            Self::Ready => (6, 0, 0, 0),
            Self::Failed { step, operation, errno } => (7, operation, step, errno),
            Self::Mounted => (8, 0, 0, 0),
        };
        bytes[0] = kind;
        bytes[1] = operation;
        bytes[2..4].copy_from_slice(&step.to_ne_bytes());
        bytes[4..8].copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    fn decode(bytes: [u8; SIZE]) -> Option<Self> {
        let step = u16::from_ne_bytes([bytes[2], bytes[3]]);
        let number = i32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        Some(match bytes[0] {
            1 => Self::Go,
            2 => Self::Stage(number),
            3 => Self::RuntimeHooks,
            4 => Self::Terminal,
            5 => Self::Listener,
            6 => Self::Ready,
            7 => Self::Failed { step, operation: bytes[1], errno: number },
            8 => Self::Mounted,
            _ => return None,
        })
    }
}

/// Sends a message with descriptors, without allocating.
pub fn send(socket: BorrowedFd<'_>, message: Message, descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let bytes = message.encode();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::TOOBIG);
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Writes a message to a fifo, where there is no socket.
pub fn write(fifo: BorrowedFd<'_>, message: Message) -> Result<(), Errno> {
    rustix::io::write(fifo, &message.encode()).map(drop)
}

/// Reads a message from a fifo; `None` at its end.
pub fn read(fifo: BorrowedFd<'_>) -> Result<Option<Message>, Errno> {
    let mut bytes = [0; SIZE];
    loop {
        match rustix::io::read(fifo, &mut bytes) {
            Err(Errno::INTR) => {}
            Ok(0) => return Ok(None),
            Ok(SIZE) => return Message::decode(bytes).map(Some).ok_or(Errno::PROTO),
            Ok(_) => return Err(Errno::PROTO),
            Err(errno) => return Err(errno),
        }
    }
}

/// Receives a message; `None` when the other side is gone. Descriptors go to `take`, without allocating.
pub fn receive(socket: BorrowedFd<'_>, mut take: impl FnMut(OwnedFd)) -> Result<Option<Message>, Errno> {
    let mut bytes = [0; SIZE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(
            socket.as_fd(),
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(Errno::INTR) => {}
            result => break result?,
        }
    };
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            descriptors.for_each(&mut take);
        }
    }
    match received.bytes {
        0 => Ok(None),
        SIZE => Message::decode(bytes).map(Some).ok_or(Errno::PROTO),
        _ => Err(Errno::PROTO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        let all = [
            Message::Go,
            Message::Stage(12345),
            Message::Mounted,
            Message::RuntimeHooks,
            Message::Terminal,
            Message::Listener,
            Message::Ready,
            Message::Failed { step: 300, operation: 7, errno: 13 },
        ];
        for message in all {
            assert_eq!(Message::decode(message.encode()), Some(message));
        }
        assert_eq!(Message::decode([9; SIZE]), None);
    }
}
