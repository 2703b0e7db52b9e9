//! Removal that does not leak, and says what it could not remove.

use std::time::Duration;

use rustix::io::Errno;

use crate::cgroup::{Cgroup, Member, Planned};
use crate::directory::Directory;
use crate::path::ancestors;
use crate::{Error, Result};

/// Tries to remove one cgroup. The pauses double from 0.1 ms and stay at 50 ms: about 2.4 seconds in all,
/// for processes that are dying (one that dumps core, or sits in the file system's code, takes that long).
const TRIES: u32 = 56;
/// Most sweeps through the children that something living in them makes anew meanwhile.
const SWEEPS: u32 = 16;
/// Most child cgroups opened and removed in a sweep: a container with a delegated cgroup may make as many,
/// and as deep, as it likes.
const STEPS: usize = 1_000_000;

impl Cgroup {
    /// Removes the directories and all below them, and the ancestors that were made for them and are empty.
    /// Processes are not killed: see [`Cgroup::kill`]. A shared cgroup that is in use stays, without error.
    ///
    /// # Errors
    /// [`Error::Remains`] with every directory that stayed; the others are gone.
    pub fn remove(&self) -> Result<()> {
        let mut left = Vec::new();
        let mut tries = if self.shared { 1 } else { TRIES };
        for member in &self.members {
            match remove_member(member, tries) {
                Ok(()) => remove_ancestors(&member.root, &member.path, member.kept),
                Err(Errno::BUSY | Errno::NOTEMPTY) if self.shared => {}
                Err(errno) => {
                    left.push((member.shown(), errno));
                    // The same processes hold the others too: waiting once is enough.
                    tries = 1;
                }
            }
        }
        for planned in &self.planned {
            if let Err(errno) = remove_planned(planned) {
                left.push((format!("{}/{}", planned.mount, planned.path), errno));
            }
        }
        // systemd removes the directory itself when it notices that it is empty, and this is why.
        self.stop_unit()?;
        if left.is_empty() { Ok(()) } else { Err(Error::Remains { left }) }
    }
}

fn remove_member(member: &Member, tries: u32) -> Result<(), Errno> {
    let mut pause = Duration::from_micros(100);
    let mut attempt = 1;
    let mut sweeps = 0;
    loop {
        // Only ours: by that path there may be another one already.
        match member.root.identity_of(&member.path) {
            Ok(identity) if identity == member.identity => {}
            Ok(_) | Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
            Err(errno) => return Err(errno),
        }
        let result = member.root.remove(&member.path);
        match result {
            Ok(()) | Err(Errno::NOENT | Errno::NODEV) => return Ok(()),
            Err(Errno::BUSY | Errno::NOTEMPTY) => {}
            Err(errno) => return Err(errno),
        }
        if sweeps < SWEEPS && remove_children(&member.directory)? {
            sweeps += 1;
            continue;
        }
        if attempt >= tries {
            return result;
        }
        attempt += 1;
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Removes the child cgroups, deepest first, holding two descriptors however deep they are. Returns
/// whether any was removed.
fn remove_children(top: &Directory) -> Result<bool, Errno> {
    let mut removed = 0_usize;
    let mut steps = 0_usize;
    while let Some(first) = top.children(1)?.pop() {
        let before = removed;
        let mut parent = top.open("")?;
        let mut name = first;
        // Walk down the first child of each, until one has no children.
        loop {
            steps += 1;
            let child = match parent.open(&name) {
                Ok(child) => child,
                Err(Errno::NOENT | Errno::NODEV) => break,
                Err(errno) => return Err(errno),
            };
            match child.children(1)?.pop() {
                Some(next) => (parent, name) = (child, next),
                None => break,
            }
        }
        // And there remove the whole floor.
        for name in parent.children(STEPS)? {
            match parent.remove(&name) {
                Ok(()) | Err(Errno::NOENT | Errno::NODEV) => removed += 1,
                Err(Errno::BUSY | Errno::NOTEMPTY) => {}
                Err(errno) => return Err(errno),
            }
            steps += 1;
            if steps > STEPS {
                return Err(Errno::FBIG);
            }
        }
        if removed == before {
            break;
        }
    }
    Ok(removed > 0)
}

/// Removes what a killed creator may have made. Where somebody lives in it, it is not his: he did not get that far.
fn remove_planned(planned: &Planned) -> Result<(), Errno> {
    let root = match Directory::open_mount(&planned.mount, planned.version) {
        Ok(Some(root)) => root,
        Ok(None) | Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    match root.remove(&planned.path) {
        Ok(()) | Err(Errno::NOENT | Errno::NODEV) => remove_ancestors(&root, &planned.path, planned.kept),
        Err(Errno::BUSY | Errno::NOTEMPTY) => {}
        Err(errno) => return Err(errno),
    }
    Ok(())
}

/// Removes the ancestors beyond the first `kept`, which the creation made, unless another container lives there.
fn remove_ancestors(root: &Directory, path: &str, kept: usize) {
    let paths: Vec<&str> = ancestors(path).skip(kept).collect();
    for path in paths.into_iter().rev() {
        if root.remove(path).is_err() {
            return;
        }
    }
}
