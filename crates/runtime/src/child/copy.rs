//! `tmpcopyup`: copy a directory of the root into a new tmpfs, without allocating.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawDir, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::failure::{During, Failure, Operation, Outcome};

/// Deepest tree that is copied: the image chose it, our stack pays for it.
const MAX_DEPTH: u32 = 64;
/// Longest link target that is copied in bytes, the kernel's `PATH_MAX`.
const MAX_LINK: usize = 4096;
const ENTRIES: usize = 4096;
const BLOCK: usize = 16 * 1024;

/// Copies what is in the directory `from` (an `O_PATH` descriptor) to the root of the mount `to`.
pub(super) fn copy_up(from: &OwnedFd, to: &OwnedFd) -> Outcome {
    let source = open(from, c".", OFlags::RDONLY | OFlags::DIRECTORY)?;
    let target = open(to, c".", OFlags::RDONLY | OFlags::DIRECTORY)?;
    copy_directory(&source, &target, 0)?;
    let stat = rustix::fs::fstat(&source).during(Operation::CopyUp)?;
    copy_attributes(&target, &stat)
}

fn open(directory: &OwnedFd, name: &CStr, flags: OFlags) -> Outcome<OwnedFd> {
    rustix::fs::openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .during(Operation::CopyUp)
}

fn copy_directory(source: &OwnedFd, target: &OwnedFd, depth: u32) -> Outcome {
    if depth == MAX_DEPTH {
        return Err(Failure { operation: Operation::CopyUp, errno: Errno::LOOP });
    }
    let mut space = [MaybeUninit::uninit(); ENTRIES];
    let mut entries = RawDir::new(source, &mut space);
    while let Some(entry) = entries.next() {
        let entry = entry.during(Operation::CopyUp)?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = rustix::fs::statat(source, name, AtFlags::SYMLINK_NOFOLLOW).during(Operation::CopyUp)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                rustix::fs::mkdirat(target, name, Mode::from_raw_mode(0o700)).during(Operation::CopyUp)?;
                let inner_source = open(source, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
                let inner_target = open(target, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
                copy_directory(&inner_source, &inner_target, depth + 1)?;
                copy_attributes(&inner_target, &stat)?;
            }
            FileType::RegularFile => copy_file(source, target, name, &stat)?,
            FileType::Symlink => copy_link(source, target, name, &stat)?,
            // Sockets, fifos and devices of an image mean nothing in a fresh tmpfs.
            _ => {}
        }
    }
    Ok(())
}

fn copy_file(source: &OwnedFd, target: &OwnedFd, name: &CStr, stat: &Stat) -> Outcome {
    let from = open(source, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(target, name, flags, Mode::from_raw_mode(0o600)).during(Operation::CopyUp)?;
    let mut block = [0; BLOCK];
    loop {
        let count = rustix::io::read(&from, &mut block).during(Operation::CopyUp)?;
        if count == 0 {
            break;
        }
        let mut rest = &block[..count];
        while !rest.is_empty() {
            let written = rustix::io::write(&to, rest).during(Operation::CopyUp)?;
            rest = &rest[written..];
        }
    }
    copy_attributes(&to, stat)
}

fn copy_link(source: &OwnedFd, target: &OwnedFd, name: &CStr, stat: &Stat) -> Outcome {
    let mut space = [MaybeUninit::uninit(); MAX_LINK];
    let (link, _) = rustix::fs::readlinkat_raw(source, name, &mut space).during(Operation::CopyUp)?;
    let mut text = [0; MAX_LINK + 1];
    text[..link.len()].copy_from_slice(link);
    let link = CStr::from_bytes_until_nul(&text)
        .map_err(|_| Failure { operation: Operation::CopyUp, errno: Errno::NAMETOOLONG })?;
    rustix::fs::symlinkat(link, target, name).during(Operation::CopyUp)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(target, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .during(Operation::CopyUp)
}

fn copy_attributes(file: &OwnedFd, stat: &Stat) -> Outcome {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(file, Some(uid), Some(gid)).during(Operation::CopyUp)?;
    // After the owner, since a change of owner takes set-id bits away.
    rustix::fs::fchmod(file, Mode::from_raw_mode(stat.st_mode & 0o7777)).during(Operation::CopyUp)?;
    let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    rustix::fs::futimens(file, &times).during(Operation::CopyUp)
}
