//! Signal masks, dispositions and `signalfd(2)`.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::clone::last_errno;

/// The highest signal number on Linux.
pub const LAST: i32 = 64;

/// Every signal but those that a fault raises: these must still kill the process rather than loop.
fn all_but_faults() -> libc::sigset_t {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set before the others change and return it.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT] {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        all.assume_init()
    }
}

/// Blocks every signal for the calling thread. Does not allocate.
pub fn block_all() -> Result<(), Errno> {
    let all = all_but_faults();
    // SAFETY: the set is initialised and only read.
    match unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

/// Blocks every signal for the calling thread and returns a descriptor that reads them.
pub fn block_all_into_descriptor() -> Result<OwnedFd, Errno> {
    block_all()?;
    let all = all_but_faults();
    // SAFETY: the set is initialised and only read; on success the descriptor is new and nobody else's.
    unsafe {
        match libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(last_errno()),
            descriptor => Ok(OwnedFd::from_raw_fd(descriptor)),
        }
    }
}

/// Sends a signal by its number, also a real-time one, to the process of a pidfd.
pub fn send(process: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    let information = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes integers, and no structure: the kernel fills one in as kill(2) does.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), number, information, 0) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// One signal read from a descriptor of [`block_all_into_descriptor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Signal number.
    pub number: i32,
    /// Sender, or 0 where there is none.
    pub sender: u32,
    /// `si_code`: `SI_USER` is 0, kernel-made ones (a terminal's `^C`) are greater.
    pub code: i32,
}

/// Reads the next pending signal; `None` when there is none.
pub fn receive(descriptor: BorrowedFd<'_>) -> Result<Option<Received>, Errno> {
    let mut information = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    let size = size_of::<libc::signalfd_siginfo>();
    // SAFETY: the buffer is as long as the length says; all bit patterns are valid for the structure.
    let count = unsafe { libc::read(descriptor.as_raw_fd(), information.as_mut_ptr().cast(), size) };
    if count == -1 {
        let errno = last_errno();
        return if errno == Errno::AGAIN { Ok(None) } else { Err(errno) };
    }
    if usize::try_from(count) != Ok(size) {
        return Err(Errno::IO);
    }
    // SAFETY: zeroed above and filled by the kernel.
    let information = unsafe { information.assume_init() };
    Ok(Some(Received {
        number: information.ssi_signo.cast_signed(),
        sender: information.ssi_pid,
        code: information.ssi_code,
    }))
}

/// Waits for one of the blocked signals and returns its number, without allocating.
pub fn wait_any() -> Result<i32, Errno> {
    let all = all_but_faults();
    let mut number = 0;
    // SAFETY: the set is initialised and only read; sigwait writes the number.
    let errno = unsafe { libc::sigwait(&raw const all, &raw mut number) };
    if errno == 0 { Ok(number) } else { Err(Errno::from_raw_os_error(errno)) }
}

/// Gives every signal its default disposition and unblocks all: what a program expects at its start.
///
/// Rust's runtime ignores `SIGPIPE`, and a caller may have left others ignored: both survive exec.
pub fn reset_all() -> Result<(), Errno> {
    // SAFETY: SIG_DFL is a valid disposition; an answer of EINVAL for SIGKILL, SIGSTOP and the two signals
    // that libc keeps for itself is expected and changes nothing.
    unsafe {
        for number in 1..=LAST {
            libc::signal(number, libc::SIG_DFL);
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        if libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) != 0 {
            return Err(last_errno());
        }
    }
    Ok(())
}
