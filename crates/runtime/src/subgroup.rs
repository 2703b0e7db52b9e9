//! `exec --cgroup`: a process joins a cgroup below the container's.

use std::os::fd::OwnedFd;

use cgroup::{Cgroup, Controller};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// Opens the files that the process writes itself into, for paths like `sub` or `cpu,pids:sub`.
pub(crate) fn join_files(cgroup: &Cgroup, wanted: &[String]) -> Result<Vec<OwnedFd>> {
    let mut files = Vec::new();
    for wanted in wanted {
        let refused = |errno| Error::system("join the cgroup", wanted.escape_default().to_string(), errno);
        let (names, path) = match wanted.split_once(':') {
            Some((names, path)) => (Some(names), path),
            None => (None, wanted.as_str()),
        };
        let path = path.trim_start_matches('/');
        if path.is_empty() {
            continue;
        }
        let mut controllers = Vec::new();
        for name in names.iter().flat_map(|names| names.split(',')) {
            controllers.push(Controller::from_name(name).ok_or_else(|| refused(Errno::NODEV))?);
        }
        let mut joined = 0;
        for (has, directory) in cgroup.paths() {
            if names.is_some() && !controllers.iter().any(|controller| has.contains(*controller)) {
                continue;
            }
            files.push(open(&directory, path).map_err(refused)?);
            joined += 1;
        }
        if joined == 0 {
            return Err(refused(Errno::NOENT));
        }
    }
    Ok(files)
}

/// The path is below the directory, whatever it says; `tasks` is the file of v1, `cgroup.procs` that of v2.
fn open(directory: &str, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let sub = rustix::fs::openat2(&directory, path, flags, Mode::empty(), resolve)?;
    let open = |name: &str| {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&sub, name, flags, Mode::empty())
    };
    match open("tasks") {
        Err(Errno::NOENT) => open("cgroup.procs"),
        result => result,
    }
}
