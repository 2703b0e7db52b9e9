//! Scheduling, memory policy, execution domain and keyring of the calling process.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;

use crate::clone::last_errno;

/// Size of the first version of `struct sched_attr` in bytes.
const SCHED_ATTR_SIZE_VER0: u32 = 48;
const _: () = assert!(size_of::<SchedulerAttributes>() == SCHED_ATTR_SIZE_VER0 as usize);

/// `struct sched_attr` of `<linux/sched/types.h>`, first version.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulerAttributes {
    pub(crate) size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// -20 to 19.
    pub nice: i32,
    /// 1 to 99 for real-time policies.
    pub priority: u32,
    /// Nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// `struct pidfd_info` of `<linux/pidfd.h>`, first version.
#[repr(C)]
#[derive(Default)]
struct ProcessInformation {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// Size of the first version of `struct pidfd_info` in bytes.
const PIDFD_INFO_SIZE_VER0: usize = 64;
const _: () = assert!(size_of::<ProcessInformation>() == PIDFD_INFO_SIZE_VER0);

/// How a process ended that is not the caller's child, as wait(2) has it: `PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`
/// (Linux 6.15; `ENOTTY` or `None` before). `None` also until its parent has waited for it.
pub fn exit_status(process: BorrowedFd<'_>) -> Result<Option<i32>, Errno> {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    // _IOWR(0xFF, 11, struct pidfd_info).
    const PIDFD_GET_INFO: u64 = (3 << 30) | ((PIDFD_INFO_SIZE_VER0 as u64) << 16) | (0xff << 8) | 11;
    let mut information = ProcessInformation { mask: PIDFD_INFO_EXIT, ..ProcessInformation::default() };
    // SAFETY: the structure has the size that the request says, and outlives the call; any content is valid for it.
    check(i64::from(unsafe { libc::ioctl(process.as_raw_fd(), PIDFD_GET_INFO, &raw mut information) }))?;
    Ok((information.mask & PIDFD_INFO_EXIT != 0).then_some(information.exit_code))
}

/// A child that ended, and what it and those it waited for used, wait4(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its id; 0 when none has ended yet.
    pub pid: i32,
    /// How it ended, as wait(2) has it.
    pub status: i32,
    /// Time of processors.
    pub cpu: Duration,
    /// The largest resident set of any of them in KiB.
    pub peak: u64,
}

/// Waits for child `pid` (-1: any); with `polls` only looks.
pub fn wait_with_usage(pid: i32, polls: bool) -> Result<Ended, Errno> {
    let mut status = 0;
    // SAFETY: rusage is a plain structure of integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the types that wait4 fills.
    let ended =
        unsafe { libc::wait4(pid, &raw mut status, if polls { libc::WNOHANG } else { 0 }, &raw mut usage) };
    if ended < 0 {
        return Err(last_errno());
    }
    let time = |value: libc::timeval| {
        Duration::from_micros(u64::try_from(value.tv_sec * 1_000_000 + value.tv_usec).unwrap_or(0))
    };
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    Ok(Ended { pid: ended, status, cpu, peak: u64::try_from(usage.ru_maxrss).unwrap_or(0) })
}

/// Sets the scheduling of process `pid` (0: the caller), sched_setattr(2).
pub fn set_scheduler(pid: i32, mut attributes: SchedulerAttributes) -> Result<(), Errno> {
    attributes.size = SCHED_ATTR_SIZE_VER0;
    // SAFETY: the structure says its own size and is only read.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attributes, 0u32) })
}

/// Sets the I/O priority of process `pid` (0: the caller): class 1 to 3 and level 0 to 7, ioprio_set(2).
pub fn set_io_priority(pid: i32, class: u8, level: u8) -> Result<(), Errno> {
    const WHO_PROCESS: i32 = 1;
    let priority = (i32::from(class) << 13) | i32::from(level);
    // SAFETY: three integers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, pid, priority) })
}

/// Sets the caller's NUMA policy: mode with flags, and a mask of nodes, set_mempolicy(2).
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> Result<(), Errno> {
    let bits = nodes.len() * 64;
    // The kernel reads one bit less than it is told (get_nodes in mm/mempolicy.c).
    let (pointer, length) = if bits == 0 { (std::ptr::null(), 0) } else { (nodes.as_ptr(), bits + 1) };
    // SAFETY: the kernel reads `length - 1` bits from the slice.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, length) })
}

/// Sets the execution domain, personality(2).
pub fn set_personality(domain: u64) -> Result<(), Errno> {
    // SAFETY: one integer; returns the former domain or -1.
    match unsafe { libc::syscall(libc::SYS_personality, domain) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

/// Gives the caller a new, empty session keyring, keyctl(2) `KEYCTL_JOIN_SESSION_KEYRING`.
pub fn new_session_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    match unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) } {
        -1 => Err(last_errno()),
        _ => Ok(()),
    }
}

/// Sets the ids that the calling thread makes and opens files with, setfsuid(2) and setfsgid(2).
///
/// Away from 0 the kernel takes the file system capabilities out of the effective set. The calls report no
/// error; this one asks for the ids afterwards and answers `EPERM` where they did not change.
pub fn set_file_ids(uid: u32, gid: u32) -> Result<(), Errno> {
    /// Changes nothing, as no id is -1.
    const ASK: u32 = u32::MAX;
    let call = |number, id: u32| {
        // SAFETY: both calls take one id and return the former one.
        unsafe { libc::syscall(number, id) }
    };
    call(libc::SYS_setfsgid, gid);
    call(libc::SYS_setfsuid, uid);
    let now = (call(libc::SYS_setfsuid, ASK), call(libc::SYS_setfsgid, ASK));
    if now == (i64::from(uid), i64::from(gid)) { Ok(()) } else { Err(Errno::PERM) }
}

/// Sets the supplementary groups of the calling thread, setgroups(2). Does not allocate.
pub fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: gid_t is a u32; the kernel reads as many as the length says.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })
}

/// Sets the caller's file mode creation mask; returns the former one.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: umask cannot fail.
    unsafe { libc::umask(mask) }
}

fn check(result: i64) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_ids_use_all_bits() {
        testkit::needs!(root);
        for id in [1, 1 << 31, u32::MAX - 1] {
            // The ids of this thread only; the last line gives its own back.
            assert_eq!(set_file_ids(id, id), Ok(()), "{id}");
        }
        assert_eq!(set_file_ids(0, 0), Ok(()));
    }
}
