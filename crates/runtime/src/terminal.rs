//! Keeping a terminal open whose caller left: without a master its processes would be hung up.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use sys::clone::{Cloned, clone3};

use crate::{Error, Result, relay};

/// Makes a process that reads the terminal until the last program in it is gone, and throws away what it reads.
///
/// It holds nothing else of the caller's: neither his standard streams nor any other descriptor.
pub(crate) fn keep(master: &OwnedFd) -> Result<()> {
    let nothing = relay::nothing()?;
    match clone3(0, None).map_err(|errno| Error::system("clone", "the keeper of a terminal", errno))? {
        Cloned::Parent { .. } => Ok(()),
        Cloned::Child => {
            // A session of its own: the caller's terminal does not hang it up.
            rustix::process::setsid().ok();
            for (null, number) in &nothing {
                sys::exec::replace_stream(null.as_fd(), *number).ok();
            }
            // In the place of its standard input: everything from 3 on is closed.
            sys::exec::replace_stream(master.as_fd(), 0).ok();
            sys::exec::close_all_from(3);
            let mut block = [0; 4096];
            loop {
                match rustix::io::read(rustix::stdio::stdin(), &mut block) {
                    Ok(1..) | Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => {
                        let stdin = rustix::stdio::stdin();
                        let mut waited =
                            [rustix::event::PollFd::from_borrowed_fd(stdin, rustix::event::PollFlags::IN)];
                        rustix::event::poll(&mut waited, None).ok();
                    }
                    // The last slave is closed.
                    Ok(_) | Err(_) => sys::exec::exit_now(0),
                }
            }
        }
    }
}
