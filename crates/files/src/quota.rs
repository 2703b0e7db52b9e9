//! A directory that takes no more than so many bytes, by a project quota of its file system.
//!
//! The directory itself says which project it is, and the kernel which projects have limits or files: there is
//! no list of ours that a killed process could leave wrong. Whoever removes the directory calls [`release`] first.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

/// The first of our projects: high enough that people who number theirs by hand are not near.
const FIRST: u32 = 0x4000_0000;
/// How many are ours, a power of two.
const COUNT: u32 = 0x4000_0000;
const OURS: std::ops::Range<u32> = FIRST..FIRST + COUNT;
/// How many are tried until one is free.
const TRIES: usize = 64;

/// Why a directory cannot be limited.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Only root of the host sets limits.
    #[error("limits of size are set by root of the host only")]
    NotRoot,
    /// The file system keeps no project quotas.
    #[error("the store's file system ({0}) has no project quotas in force")]
    Off(&'static str),
    /// A directory that had a limit has none in force.
    #[error("its limit of size is not in force: {0}")]
    Lost(&'static str),
    /// The kernel refused.
    #[error("{0} the project quota")]
    System(&'static str, #[source] Errno),
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotRoot => "leave the size out, or run brig as root",
            Self::Off("ext4") => {
                "leave the size out, or unmount it, `tune2fs -O project,quota DEVICE`, and mount it with `-o prjquota`"
            }
            Self::Off("xfs") => "leave the size out, or mount it with `-o pquota`",
            Self::Off(_) => {
                "leave the size out, or keep the store on ext4 or xfs that has them: `--root DIR`"
            }
            Self::Lost(_) => {
                "mount the store's file system with its project quotas again, or make it anew and copy its files"
            }
            Self::System(..) => "leave the size out",
        }
    }

    fn system(operation: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| match errno {
            Errno::PERM | Errno::ACCESS => Self::NotRoot,
            errno => Self::System(operation, errno),
        }
    }
}

/// Whether directories of this one's file system can be limited.
///
/// # Errors
/// Why not.
pub fn available(directory: BorrowedFd<'_>) -> Result<(), Error> {
    if sys::quota::is_enforced(directory).map_err(Error::system("look for"))? {
        return Ok(());
    }
    let found = rustix::fs::fstatfs(directory).map_err(Error::system("look for"))?;
    Err(Error::Off(match found.f_type {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlay",
        _ => "neither ext4 nor xfs",
    }))
}

/// Keeps an empty directory, and all that will be in it, below a number of bytes, in steps of 1024.
///
/// Whoever owns the directory and is in the host's user namespace may give it to another project: let it be one that no
/// container sees, above or beside those that it does. Two commands that choose the same of 2^30 numbers in the moment
/// between the look and the choice would share a limit.
///
/// # Errors
/// [`Error`].
pub fn limit(directory: impl AsFd, bytes: u64) -> Result<(), Error> {
    let directory = directory.as_fd();
    available(directory)?;
    for _ in 0..TRIES {
        let mut random = [0_u8; 4];
        // Four bytes come in one piece.
        rustix::rand::getrandom(&mut random, GetRandomFlags::empty()).map_err(Error::system("number"))?;
        let project = FIRST + u32::from_ne_bytes(random) % COUNT;
        if !sys::quota::is_free(directory, project).map_err(Error::system("look for"))? {
            continue;
        }
        // The directory first: it says what is to be released, whenever we are killed.
        sys::quota::set_project(directory, project).map_err(Error::system("give the directory"))?;
        return sys::quota::set_limit(directory, project, bytes).map_err(Error::system("set"));
    }
    Err(Error::System("number", Errno::AGAIN))
}

/// Puts another empty directory below the limit of one.
///
/// # Errors
/// [`Error`].
pub fn share(limited: impl AsFd, directory: impl AsFd) -> Result<(), Error> {
    let project = sys::quota::project(limited.as_fd()).map_err(Error::system("look for"))?;
    sys::quota::set_project(directory.as_fd(), project).map_err(Error::system("give the directory"))
}

/// Whether the limit that was given to a directory holds: its file system may have been mounted without quotas since, or
/// its files restored from a copy.
///
/// # Errors
/// [`Error::Lost`], [`Error::System`].
pub fn check(directory: impl AsFd) -> Result<(), Error> {
    let directory = directory.as_fd();
    if !sys::quota::is_enforced(directory).map_err(Error::system("look for"))? {
        return Err(Error::Lost("its file system is mounted without project quotas"));
    }
    let project = sys::quota::project(directory).map_err(Error::system("look for"))?;
    if !OURS.contains(&project)
        || sys::quota::limit(directory, project).map_err(Error::system("look for"))? == 0
    {
        return Err(Error::Lost("its directory belongs to no project that has one"));
    }
    Ok(())
}

/// Takes a limit of ours from a directory that is about to be removed, so that its project has none when it is gone.
///
/// # Errors
/// [`Error`].
pub fn release(directory: impl AsFd) -> Result<(), Error> {
    let directory = directory.as_fd();
    match sys::quota::project(directory) {
        Ok(project) if OURS.contains(&project) => {
            match sys::quota::set_limit(directory, project, 0) {
                // Mounted without quotas since.
                Ok(()) | Err(Errno::SRCH | Errno::NOSYS) => Ok(()),
                Err(errno) => Err(Error::system("release")(errno)),
            }
        }
        // No project of ours, or a file system without any.
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_quotas_says_so() {
        let proc = crate::open_directory("/proc").unwrap();
        let error = limit(&proc, 1 << 20).unwrap_err();
        assert!(matches!(error, Error::Off("neither ext4 nor xfs")), "{error:?}");
        assert!(error.hint().contains("--root"));
        assert!(matches!(check(&proc).unwrap_err(), Error::Lost(_)));
        release(&proc).unwrap();
    }
}
