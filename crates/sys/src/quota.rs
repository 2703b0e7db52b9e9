//! Project quotas: the project of a directory, and `quotactl_fd(2)` (Linux 5.14).

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::clone::last_errno;

/// `FS_IOC_FSGETXATTR` of `<linux/fs.h>`.
const GET_ATTRIBUTES: libc::c_ulong = 0x801c_581f;
/// `FS_IOC_FSSETXATTR`.
const SET_ATTRIBUTES: libc::c_ulong = 0x401c_5820;
/// `FS_XFLAG_PROJINHERIT`: what is made in the directory is of its project.
const INHERIT: u32 = 0x200;
/// `PRJQUOTA` of `<linux/quota.h>`.
const PROJECT: u32 = 2;
/// `Q_GETQUOTA`.
const GET: u32 = 0x80_0007;
/// `Q_SETQUOTA`.
const SET: u32 = 0x80_0008;
/// `Q_XGETQSTATV` of `<linux/dqblk_xfs.h>`: every file system answers it, not only xfs.
const STATE: u32 = 0x5808;
/// `FS_QSTATV_VERSION1`.
const STATE_VERSION: u64 = 1;
/// `FS_QUOTA_PDQ_ENFD`: project limits are enforced.
const ENFORCED: u16 = 1 << 5;
/// `QIF_BLIMITS`: the limits of space are set, the others stay.
const SPACE_LIMITS: u32 = 1;
/// Bytes in the unit of a limit (`QIF_DQBLKSIZE`).
const BLOCK: u64 = 1024;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Default)]
struct FileAttributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    copy_extent_size: u32,
    pad: [u8; 8],
}

/// `struct if_dqblk`.
#[repr(C)]
#[derive(Default)]
struct Record {
    hard: u64,
    soft: u64,
    space: u64,
    inodes_hard: u64,
    inodes_soft: u64,
    inodes: u64,
    time: u64,
    inodes_time: u64,
    valid: u32,
}

fn attributes(directory: BorrowedFd<'_>) -> Result<FileAttributes, Errno> {
    let mut attributes = FileAttributes::default();
    // SAFETY: the kernel writes a structure of this size (28 bytes, in the request's number).
    let result = unsafe {
        libc::ioctl(directory.as_raw_fd(), GET_ATTRIBUTES as _, std::ptr::from_mut(&mut attributes))
    };
    if result == 0 { Ok(attributes) } else { Err(last_errno()) }
}

/// The project of a directory whose new files are of it too; 0 is none.
pub fn project(directory: BorrowedFd<'_>) -> Result<u32, Errno> {
    let attributes = attributes(directory)?;
    Ok(if attributes.flags & INHERIT == 0 { 0 } else { attributes.project })
}

/// Puts an empty directory, and what will be made in it, into a project.
pub fn set_project(directory: BorrowedFd<'_>, project: u32) -> Result<(), Errno> {
    let mut attributes = attributes(directory)?;
    attributes.flags |= INHERIT;
    attributes.project = project;
    // SAFETY: the kernel reads a structure of this size (28 bytes, in the request's number).
    let result =
        unsafe { libc::ioctl(directory.as_raw_fd(), SET_ATTRIBUTES as _, std::ptr::from_ref(&attributes)) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// `quotactl_fd(2)` for projects.
///
/// # Safety
/// `T` is what the kernel reads or writes for this command, or longer.
unsafe fn control<T>(
    directory: BorrowedFd<'_>,
    command: u32,
    project: u32,
    data: &mut T,
) -> Result<(), Errno> {
    // SAFETY: the caller's promise; the reference is exclusive.
    let result = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            directory.as_raw_fd(),
            (command << 8) | PROJECT,
            project,
            std::ptr::from_mut(data),
        )
    };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Whether the file system of a directory keeps projects below their limits.
pub fn is_enforced(directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    // `struct fs_quota_statv` takes 160 bytes: its version, a pad, and 16 bits of flags come first.
    let mut state = [0_u64; 32];
    state[0] = STATE_VERSION.to_le();
    // SAFETY: longer than the structure.
    match unsafe { control(directory, STATE, 0, &mut state) } {
        Ok(()) => {
            let bytes = state[0].to_ne_bytes();
            Ok(u16::from_ne_bytes([bytes[2], bytes[3]]) & ENFORCED != 0)
        }
        Err(Errno::NOSYS | Errno::NOTSUP | Errno::SRCH) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// What is kept about a project; nothing where there is nothing.
fn record(directory: BorrowedFd<'_>, project: u32) -> Result<Record, Errno> {
    let mut record = Record::default();
    // SAFETY: the structure of this command.
    match unsafe { control(directory, GET, project, &mut record) } {
        Ok(()) => Ok(record),
        Err(Errno::NOENT) => Ok(Record::default()),
        Err(errno) => Err(errno),
    }
}

/// Whether nobody has a limit or files in a project.
pub fn is_free(directory: BorrowedFd<'_>, project: u32) -> Result<bool, Errno> {
    let record = record(directory, project)?;
    let limits = [record.hard, record.soft, record.inodes_hard, record.inodes_soft];
    Ok(limits.iter().all(|limit| *limit == 0) && record.space == 0 && record.inodes == 0)
}

/// The most bytes of a project; 0 is no limit.
pub fn limit(directory: BorrowedFd<'_>, project: u32) -> Result<u64, Errno> {
    Ok(record(directory, project)?.hard.saturating_mul(BLOCK))
}

/// Sets the most bytes of a project, in steps of 1024, rounded up; 0 is no limit.
pub fn set_limit(directory: BorrowedFd<'_>, project: u32, bytes: u64) -> Result<(), Errno> {
    let mut record = Record { hard: bytes.div_ceil(BLOCK), valid: SPACE_LIMITS, ..Record::default() };
    // SAFETY: the structure of this command.
    unsafe { control(directory, SET, project, &mut record) }
}
