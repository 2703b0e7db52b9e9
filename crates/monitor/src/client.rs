//! Who is connected to a monitor.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::control::{self, streams};
use crate::log::Stream;

/// Most clients at once: more are turned away.
pub(crate) const MOST: usize = 64;

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    /// What it asked for, of [`streams`].
    wants: u8,
    /// Packets that it has no room for yet. Until it has, the container's output is left where it is.
    pending: VecDeque<(u8, Vec<u8>)>,
}

impl Client {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, wants: 0, pending: VecDeque::new() }
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(crate) fn attach(&mut self, wants: u8) {
        self.wants = wants;
    }

    /// Sends output; false when it is gone.
    pub(crate) fn output(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        let (kind, wanted) = match stream {
            Stream::Stdout => (control::STDOUT, streams::STDOUT),
            Stream::Stderr => (control::STDERR, streams::STDERR),
        };
        self.wants & wanted == 0 || bytes.chunks(control::BLOCK).all(|block| self.send(kind, block))
    }

    /// Sends a packet or keeps it; false when the client is gone.
    pub(crate) fn send(&mut self, kind: u8, data: &[u8]) -> bool {
        if !self.pending.is_empty() {
            // Of one turn of the loop only: no more is read while a client is behind.
            self.pending.push_back((kind, data.to_vec()));
            return true;
        }
        match control::put(&self.socket, kind, data) {
            Ok(()) => true,
            Err(Errno::AGAIN | Errno::NOBUFS) => {
                self.pending.push_back((kind, data.to_vec()));
                true
            }
            Err(_) => false,
        }
    }

    /// Sends what it had no room for; false when it is gone.
    pub(crate) fn catch_up(&mut self) -> bool {
        while let Some((kind, data)) = self.pending.front() {
            match control::put(&self.socket, *kind, data) {
                Ok(()) => drop(self.pending.pop_front()),
                Err(Errno::AGAIN | Errno::NOBUFS) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}
