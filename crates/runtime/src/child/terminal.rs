//! A terminal from the container's own devpts.

use std::os::fd::AsFd;

use rustix::fs::{OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::failure::{During, Failure, Operation, Outcome};
use super::{Child, Origin};
use crate::message::{self, Message};

/// `DEVPTS_SUPER_MAGIC` of `<linux/magic.h>`.
const DEVPTS_MAGIC: i64 = 0x1cd1;

impl Child<'_> {
    /// Makes a terminal, puts it at `/dev/console`, gives its master to the parent and takes it.
    ///
    /// The slave comes from the master's descriptor (`TIOCGPTPEER`), never from a path that an image could
    /// have replaced (CVE-2025-52565).
    pub(super) fn terminal(&mut self, size: Option<(u16, u16)>, owner: u32) -> Outcome {
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let master =
            self.open(c"dev/pts/ptmx", flags, ResolveFlags::NO_SYMLINKS).during(Operation::OpenTerminal)?;
        let magic = rustix::fs::fstatfs(&master).during(Operation::OpenTerminal)?.f_type;
        if magic != DEVPTS_MAGIC {
            return Err(Failure { operation: Operation::OpenTerminal, errno: Errno::NOTTY });
        }
        rustix::pty::unlockpt(&master).during(Operation::OpenTerminal)?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).during(Operation::OpenTerminal)?;
        if owner != 0 {
            // As login(1) does: its user opens it again by its name.
            rustix::fs::fchown(&slave, Some(Uid::from_raw(owner)), None).during(Operation::NodeOwner)?;
        }
        if let Some((rows, columns)) = size {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            rustix::termios::tcsetwinsize(&slave, size).during(Operation::OpenTerminal)?;
        }
        if self.origin == Origin::New {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_EMPTY_PATH;
            let node = rustix::mount::open_tree(&slave, c"", flags).during(Operation::CloneTree)?;
            let console = self.make_file(&self.prepared.console)?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
            rustix::mount::move_mount(&node, c"", &console, c"", flags).during(Operation::Attach)?;
        }
        message::send(self.socket, Message::Terminal, &[master.as_fd()]).during(Operation::SendTerminal)?;
        drop(master);
        for stream in 0..=2 {
            sys::exec::replace_stream(slave.as_fd(), stream).during(Operation::TakeTerminal)?;
        }
        rustix::process::ioctl_tiocsctty(&slave).during(Operation::TakeTerminal)
    }
}
