//! Starting the program: with namespaces and a directory by descriptor, and nothing else of ours.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{Gid, Uid};
use sys::exec::StringArray;
use sys::fork::{Child, Exit};

use crate::error::{Error, Result};
use crate::provider;

/// Longest wait for the program to be ready, in seconds. It takes some 20 ms.
const PATIENCE: i64 = 10;
/// Most bytes of its messages that are read.
const MAX_SAID: u64 = 64 << 10;
/// Longest part of them that is told.
const MAX_TOLD: usize = 400;
/// Exit code of a child that could not execute the program.
const NOT_EXECUTED: u8 = 127;

/// What the program is given.
pub(crate) struct Start<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [String],
    /// Its working directory.
    pub(crate) directory: BorrowedFd<'a>,
    /// The container's network namespace: its standard input.
    pub(crate) network: BorrowedFd<'a>,
    /// The container's user namespace: its standard output, where there is one.
    pub(crate) user: Option<BorrowedFd<'a>>,
    /// Whether it is made root of that user namespace first: for a caller who may, and whose own id must not be the
    /// program's.
    pub(crate) become_root: bool,
    /// Whether it gets a node of the device of its own, in a mount namespace of its own: where the host's is root's alone.
    pub(crate) own_device: bool,
    /// One more descriptor that it keeps.
    pub(crate) keep: Option<BorrowedFd<'a>>,
}

/// A program that was started, and a file with what it said.
pub(crate) struct Started {
    pub(crate) child: Child,
    said: OwnedFd,
}

impl Start<'_> {
    pub(crate) fn start(&self) -> Result<Started> {
        // A file and not a pipe: it may say more than a pipe holds.
        let said = rustix::fs::memfd_create(c"brig-network", MemfdFlags::CLOEXEC)
            .map_err(Error::system("make", "a file for messages"))?;
        let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(Error::system("open", "/dev/null"))?;
        let text = |text: &str| {
            CString::new(text).map_err(|_| Error::system("execute", "a word with NUL")(Errno::INVAL))
        };
        let path = CString::new(self.program.as_os_str().as_bytes())
            .map_err(|_| Error::system("execute", "a path with NUL")(Errno::INVAL))?;
        let words: Result<Vec<CString>> =
            std::iter::once(Ok(path.clone())).chain(self.arguments.iter().map(|word| text(word))).collect();
        let (words, nothing) = (StringArray::new(words?), StringArray::new(Vec::new()));
        let output = self.user.unwrap_or_else(|| null.as_fd());
        let child = sys::fork::fork_closure(0, || {
            // An error is told by the exit code, and the program by its words.
            let _errno =
                self.become_it(output, said.as_fd()).map(|()| sys::exec::execve(&path, &words, &nothing));
            NOT_EXECUTED
        })
        .map_err(Error::system("start", "the program that connects the container"))?;
        Ok(Started { child, said })
    }

    /// In the child: everything before exec.
    fn become_it(&self, output: BorrowedFd<'_>, said: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
        // Neither the terminal's signals nor its end are the program's.
        rustix::process::setsid()?;
        sys::signal::reset_all()?;
        sys::process::set_umask(0o077);
        rustix::process::fchdir(self.directory)?;
        if self.own_device {
            make_device()?;
        }
        sys::exec::replace_stream(self.network, 0)?;
        sys::exec::replace_stream(output, 1)?;
        sys::exec::replace_stream(said, 2)?;
        sys::exec::close_on_exec_from(3)?;
        if let Some(kept) = self.keep {
            rustix::io::fcntl_setfd(kept, rustix::io::FdFlags::empty())?;
        }
        if let (true, Some(user)) = (self.become_root, self.user) {
            let is_root = rustix::process::geteuid().is_root();
            sys::namespace::join(user, sys::clone::flags::NEWUSER)?;
            // A plain user keeps his groups where his namespace has only one; root's must not go along.
            match sys::process::set_groups(&[]) {
                Err(Errno::PERM) if !is_root => {}
                result => result?,
            }
            let (uid, gid) = (Uid::ROOT, Gid::ROOT);
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
            rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        }
        Ok(())
    }
}

/// Puts a directory of its own over the one with the device. Only a caller with root's rights on the host can; what he
/// gives away is what every host with udev gives to all (the node does nothing without a right on a network namespace).
fn make_device() -> std::result::Result<(), Errno> {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    sys::namespace::unshare(sys::clone::flags::NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let (directory, number) = provider::DEVICE;
    mount(c"tmpfs", directory, c"tmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, Some(c"mode=0755"))?;
    let own = rustix::fs::openat(
        CWD,
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let device = rustix::fs::makedev(number.0, number.1);
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(&own, provider::NODE, FileType::CharacterDevice, mode, device)?;
    // Whatever the mask.
    rustix::fs::chmodat(&own, provider::NODE, mode, AtFlags::empty())
}

impl Started {
    /// Waits until the program went to the background, which it does when it is ready.
    pub(crate) fn wait_for_background(self, program: &Path) -> Result<()> {
        let Self { child, said } = self;
        wait_readable(child.pidfd()).map_err(|errno| told(program, &said, &errno.to_string()))?;
        match child.wait().map_err(Error::system("wait for", "the program that connects the container"))? {
            Exit::Code(0) => Ok(()),
            Exit::Code(NOT_EXECUTED) => Err(told(program, &said, "it could not be executed")),
            Exit::Code(code) => Err(told(program, &said, &format!("exit code {code}"))),
            Exit::Signal(signal) => Err(told(program, &said, &format!("signal {signal}"))),
        }
    }

    /// Waits until the program wrote to the pipe that it was given, and leaves it running: its process id.
    pub(crate) fn wait_for_word(self, program: &Path, pipe: &OwnedFd) -> Result<i32> {
        let Self { child, said } = self;
        let mut word = [0; 8];
        let ready = wait_readable(pipe.as_fd()).and_then(|()| rustix::io::read(pipe, &mut word));
        match ready {
            Ok(1..) => {
                let pid = child.pid().as_raw_nonzero().get();
                // It is ended by its process id later; dropped, it would be killed now.
                std::mem::forget(child);
                Ok(pid)
            }
            Ok(0) => Err(told(program, &said, "it ended")),
            Err(errno) => Err(told(program, &said, &errno.to_string())),
        }
    }
}

/// Waits until a descriptor is readable or closed.
pub(crate) fn wait_readable(descriptor: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
    let limit = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
    loop {
        let mut waited = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        match poll(&mut waited, Some(&limit)) {
            Ok(0) => return Err(Errno::TIMEDOUT),
            Ok(_) => return Ok(()),
            // Signals are the caller's affair; none interrupts us more than a few times.
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The program's own last words, or what is known without them.
fn told(program: &Path, said: &OwnedFd, otherwise: &str) -> Error {
    let said = rustix::fs::seek(said, rustix::fs::SeekFrom::Start(0))
        .ok()
        .and_then(|_| files::read_all(said, MAX_SAID).ok())
        .unwrap_or_default();
    Error::Program {
        program: program.to_owned(),
        said: last_words(&String::from_utf8_lossy(&said), otherwise),
    }
}

fn last_words(said: &str, otherwise: &str) -> String {
    // Without a system log, pasta complains of that after every line.
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.ends_with("bytes to syslog"))
        .collect();
    if lines.is_empty() {
        return otherwise.to_owned();
    }
    let told = lines[lines.len().saturating_sub(3)..].join("; ");
    told.escape_debug().take(MAX_TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_one_line() {
        for (said, expected) in [
            ("", "exit code 1"),
            ("Failed to send 5 bytes to syslog\n", "exit code 1"),
            ("a\nFailed to send 5 bytes to syslog\nb\n\nc\nd\n", "b; c; d"),
            ("\u{1b}[1mx\n", "\\u{1b}[1mx"),
        ] {
            assert_eq!(last_words(said, "exit code 1"), expected);
        }
    }
}
