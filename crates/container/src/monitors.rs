//! Which processes watch a container.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::value::name::ContainerId;

/// Most bytes of a process's words that are looked at.
const MAX_WORDS: u64 = 4096;

/// The ids of the processes that hold a container's lock as its monitor, in their order; none for one that nobody watches, or
/// that a command in the foreground does. A person may kill them: see `docs/disk-layout.md`.
///
/// # Errors
/// [`Error::System`] when `/proc` cannot be read.
pub(crate) fn monitors(containers: &Containers<'_>, id: &ContainerId) -> Result<Vec<i32>> {
    let failed = |source| Error::System { action: "list", path: "/proc".into(), source };
    let Some(lock) = containers.open_lock(id)? else { return Ok(Vec::new()) };
    let lock = rustix::fs::fstat(lock).map_err(failed)?;
    let proc = files::open_directory("/proc")?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&proc).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process that ends meanwhile, or is not ours, is no monitor of ours.
        let open = |name: &str, more| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | more;
            rustix::fs::openat(&proc, format!("{pid}/{name}"), flags, Mode::empty())
        };
        let words =
            open("cmdline", OFlags::empty()).ok().and_then(|file| files::read_all(&file, MAX_WORDS).ok());
        if words.is_none_or(|words| words.split(|byte| *byte == 0).nth(1) != Some(b"monitor")) {
            continue;
        }
        let Some(descriptors) = open("fd", OFlags::DIRECTORY).ok() else { continue };
        let Ok(entries) = Dir::read_from(&descriptors) else { continue };
        let holds = |name: &std::ffi::CStr| {
            rustix::fs::statat(descriptors.as_fd(), name, AtFlags::empty())
                .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (lock.st_dev, lock.st_ino))
        };
        if entries.flatten().any(|entry| holds(entry.file_name())) {
            found.push(pid);
        }
    }
    found.sort_unstable();
    Ok(found)
}
