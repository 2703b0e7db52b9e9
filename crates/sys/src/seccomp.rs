//! `seccomp(2)`: install a filter, receive its notify descriptor.
//!
//! Nothing here allocates, so that [`install`] may run between clone and exec.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// One classic BPF instruction, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Operation: class, size or operator, and source bits.
    pub code: u16,
    /// Instructions to skip when a conditional jump's test holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// Operand: an offset, a constant, or an unconditional jump's distance.
    pub k: u32,
}

/// Longest program the kernel takes (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// Apply to all threads of the process (Linux 3.17).
pub const FLAG_TSYNC: u32 = 1;
/// Log every answer but `ALLOW` (Linux 4.14).
pub const FLAG_LOG: u32 = 1 << 1;
/// Leave the speculative store bypass mitigation off (Linux 4.17).
pub const FLAG_SPEC_ALLOW: u32 = 1 << 2;
/// Return a notify descriptor (Linux 5.0).
pub const FLAG_NEW_LISTENER: u32 = 1 << 3;
/// Report a failed TSYNC as `ESRCH`, which makes it combinable with a listener (Linux 5.7).
pub const FLAG_TSYNC_ESRCH: u32 = 1 << 4;
/// A caller whose notification was received waits killably (Linux 5.19).
pub const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// `SECCOMP_RET_KILL_PROCESS`: the whole process dies of SIGSYS (Linux 4.14).
pub const RET_KILL_PROCESS: u32 = 0x8000_0000;
/// `SECCOMP_RET_KILL_THREAD`: the calling thread dies of SIGSYS.
pub const RET_KILL_THREAD: u32 = 0;
/// `SECCOMP_RET_TRAP`: the caller gets a SIGSYS it may handle.
pub const RET_TRAP: u32 = 0x0003_0000;
/// `SECCOMP_RET_ERRNO`: the call fails with the errno in the low 16 bits.
pub const RET_ERRNO: u32 = 0x0005_0000;
/// `SECCOMP_RET_USER_NOTIF`: the listener decides (Linux 5.0).
pub const RET_USER_NOTIF: u32 = 0x7fc0_0000;
/// `SECCOMP_RET_TRACE`: the tracer decides; ENOSYS without one.
pub const RET_TRACE: u32 = 0x7ff0_0000;
/// `SECCOMP_RET_LOG`: the call runs and is logged (Linux 4.14).
pub const RET_LOG: u32 = 0x7ffc_0000;
/// `SECCOMP_RET_ALLOW`: the call runs.
pub const RET_ALLOW: u32 = 0x7fff_0000;
/// The part of an answer that names the action; the rest is its data.
pub const RET_ACTION_FULL: u32 = 0xffff_0000;

const SET_MODE_FILTER: libc::c_uint = 1;
const GET_ACTION_AVAIL: libc::c_uint = 2;
const GET_NOTIF_SIZES: libc::c_uint = 3;

/// The kernel's `struct sock_fprog`.
#[repr(C)]
struct Program {
    len: libc::c_ushort,
    filter: *const Instruction,
}

/// Sizes of the notify structures of the running kernel, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifySizes {
    /// `struct seccomp_notif`.
    pub notification: u16,
    /// `struct seccomp_notif_resp`.
    pub response: u16,
    /// `struct seccomp_data`.
    pub data: u16,
}

/// What the running kernel's seccomp can do, as bit masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `FLAG_*` bits that the kernel takes.
    pub flags: u32,
    /// Whether `RET_KILL_PROCESS`, `RET_LOG` and `RET_USER_NOTIF` are known.
    pub kill_process: bool,
    /// See `kill_process`.
    pub log: bool,
    /// See `kill_process`.
    pub notify: bool,
}

/// Installs `program` as the calling thread's newest filter.
///
/// Needs `no_new_privs` or CAP_SYS_ADMIN in the user namespace (`EACCES` otherwise); a bad program
/// or flag is `EINVAL`, one longer than [`MAX_INSTRUCTIONS`] too. With [`FLAG_NEW_LISTENER`] the
/// notify descriptor comes back, close-on-exec.
pub fn install(program: &[Instruction], flags: u32) -> Result<Option<OwnedFd>, Errno> {
    if program.is_empty() || program.len() > MAX_INSTRUCTIONS {
        return Err(Errno::INVAL);
    }
    let Ok(len) = libc::c_ushort::try_from(program.len()) else {
        return Err(Errno::INVAL);
    };
    let fprog = Program { len, filter: program.as_ptr() };
    // SAFETY: the kernel reads `len` instructions behind `filter`, which the slice guarantees, and
    // keeps no pointer into our memory; `Instruction` has the layout of `struct sock_filter`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            libc::c_ulong::from(flags),
            std::ptr::from_ref(&fprog),
        )
    };
    if result < 0 {
        return Err(last_errno());
    }
    if flags & FLAG_NEW_LISTENER != 0 {
        let Ok(fd) = RawFd::try_from(result) else {
            return Err(Errno::BADF);
        };
        // SAFETY: with NEW_LISTENER a non-negative result is a new descriptor nobody else owns.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }));
    }
    // With TSYNC and without TSYNC_ESRCH a positive result is the thread that could not follow.
    if result > 0 { Err(Errno::SRCH) } else { Ok(None) }
}

/// Tells whether the kernel knows an answer (`RET_*`), Linux 4.14.
#[must_use]
pub fn action_available(action: u32) -> bool {
    // SAFETY: the kernel reads one u32 behind the pointer.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, GET_ACTION_AVAIL, 0, std::ptr::from_ref(&action)) };
    result == 0
}

/// Reads the sizes of the notify structures (Linux 5.0).
pub fn notify_sizes() -> Result<NotifySizes, Errno> {
    let mut sizes = NotifySizes::default();
    // SAFETY: the kernel writes three u16 behind the pointer, the layout of `NotifySizes`.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, GET_NOTIF_SIZES, 0, std::ptr::from_mut(&mut sizes)) };
    if result < 0 { Err(last_errno()) } else { Ok(sizes) }
}

/// Asks the kernel which flags and answers it knows; installs nothing.
#[must_use]
pub fn probe_features() -> Features {
    let mut flags = 0;
    for flag in [FLAG_TSYNC, FLAG_LOG, FLAG_SPEC_ALLOW, FLAG_NEW_LISTENER, FLAG_TSYNC_ESRCH] {
        if flag_known(flag) {
            flags |= flag;
        }
    }
    // Alone it is refused: it says how a listener behaves.
    if flag_known(FLAG_WAIT_KILLABLE_RECV | FLAG_NEW_LISTENER) {
        flags |= FLAG_WAIT_KILLABLE_RECV;
    }
    Features {
        flags,
        kill_process: action_available(RET_KILL_PROCESS),
        log: action_available(RET_LOG),
        notify: action_available(RET_USER_NOTIF),
    }
}

/// The kernel looks at the flags before the program: a null program is `EFAULT` if they are known.
fn flag_known(flags: u32) -> bool {
    // SAFETY: the null pointer is refused by the kernel, which is the answer wanted.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            libc::c_ulong::from(flags),
            std::ptr::null::<Program>(),
        )
    };
    result < 0 && last_errno() == Errno::FAULT
}

fn last_errno() -> Errno {
    // SAFETY: errno is a thread-local that is always there.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruction_is_a_sock_filter() {
        assert_eq!(size_of::<Instruction>(), size_of::<libc::sock_filter>());
        assert_eq!(std::mem::offset_of!(Instruction, k), 4);
    }

    #[test]
    fn bad_lengths_are_refused_before_the_kernel() {
        assert_eq!(install(&[], 0).unwrap_err(), Errno::INVAL);
        let long = vec![Instruction { code: 6, jt: 0, jf: 0, k: RET_ALLOW }; MAX_INSTRUCTIONS + 1];
        assert_eq!(install(&long, 0).unwrap_err(), Errno::INVAL);
    }

    #[test]
    fn probing_installs_nothing_and_knows_the_floor() {
        let features = probe_features();
        let floor = FLAG_TSYNC | FLAG_LOG | FLAG_SPEC_ALLOW | FLAG_NEW_LISTENER | FLAG_TSYNC_ESRCH;
        assert_eq!(features.flags & floor, floor);
        assert!(features.kill_process && features.log && features.notify);
        assert!(!action_available(0x1234_0000));
        assert!(notify_sizes().is_ok_and(|sizes| sizes.data == 64));
    }
}
