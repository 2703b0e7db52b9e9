//! What a machine looks like before a test and whether the test left anything behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::tempdir;

/// A killed process takes a moment to end; after this long it counts as left behind.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);
/// In the name of every directory, cgroup and process of ours.
const MARK: &str = "brig";

/// Mounts, cgroups, processes and files of ours at one moment.
///
/// Processes are found by descent: [`Hygiene::capture`] makes the caller a subreaper, so whatever a test's
/// commands leave running becomes a child of this process. Others' mounts and cgroups on a shared
/// machine do not count: only names with `brig` in them do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hygiene {
    facts: BTreeSet<String>,
}

impl Hygiene {
    /// Looks at the machine, and adopts what this process's children leave behind from now on.
    ///
    /// # Panics
    /// When `/proc` cannot be read.
    #[must_use]
    pub fn capture() -> Self {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .expect("PR_SET_CHILD_SUBREAPER");
        Self { facts: facts() }
    }

    /// What is there now and was not then, one line each.
    ///
    /// # Panics
    /// When `/proc` cannot be read.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let started = Instant::now();
        loop {
            let left: Vec<String> = facts().difference(&self.facts).cloned().collect();
            if left.is_empty() || started.elapsed() > SETTLES_WITHIN {
                return left;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for adopted processes that ended, as an init does: the first process of a process namespace cannot end
    /// before somebody has waited for those that were put into it. `except` is waited for by its own parent.
    pub fn reap_orphans(except: u32) {
        let ended = children(std::process::id()).into_iter().filter(|pid| *pid != except && has_ended(*pid));
        for pid in ended.filter_map(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
            if rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG).is_err() {
                // Whoever else waits for it was faster.
                continue;
            }
        }
    }

    /// Fails the test when anything of ours is left.
    ///
    /// # Panics
    /// When something is left.
    pub fn assert_same(&self) {
        let left = self.left_behind();
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }
}

fn facts() -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    facts.extend(mounts.lines().filter(|line| line.contains(MARK)).map(|line| format!("mount {line}")));
    for point in cgroup_mounts(&mounts) {
        directories(&point, 6, &mut |path| {
            if path.to_string_lossy().contains(MARK) {
                facts.insert(format!("cgroup {}", path.display()));
            }
        });
    }
    for directory in ["/run", "/var/run/netns", "/run/netns", "/dev/shm", "/tmp", "/var/tmp"] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(MARK) && !is_in_use(&name) {
                facts.insert(format!("file {}", path.display()));
            }
        }
    }
    let running = descendants(std::process::id()).into_iter().filter(|pid| !has_ended(*pid));
    facts.extend(running.map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("process {pid} {}", String::from_utf8_lossy(&line).replace('\0', " "))
    }));
    facts
}

/// Whether this is the fixture of a test running beside this one: it goes with its owner.
fn is_in_use(name: &str) -> bool {
    let owner = name.strip_prefix(tempdir::NAMED).and_then(|rest| rest.split('-').next());
    owner.and_then(|owner| owner.parse().ok()).is_some_and(|owner| !has_ended(owner))
}

fn cgroup_mounts(mountinfo: &str) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        right.starts_with("cgroup").then(|| left.split(' ').nth(4).map(PathBuf::from))?
    });
    points.collect()
}

fn directories(path: &Path, depth: usize, visit: &mut impl FnMut(&Path)) {
    if depth == 0 {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            visit(&entry.path());
            directories(&entry.path(), depth - 1, visit);
        }
    }
}

/// An ended process that nobody has waited for yet is not left behind: it goes with its parent.
fn has_ended(pid: u32) -> bool {
    status(pid).is_none_or(|status| status.contains("\nState:\tZ"))
}

fn status(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/status")).ok()
}

fn children(parent: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn descendants(parent: u32) -> Vec<u32> {
    let mut found = children(parent);
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children(pid));
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_directory_is_left_behind_once_its_owner_has_ended() {
        let gone = Command::new("true").spawn().unwrap();
        let pid = gone.id();
        drop(gone.wait_with_output().unwrap());
        assert!(is_in_use(&format!("{}{}-0", tempdir::NAMED, std::process::id())));
        assert!(!is_in_use(&format!("{}{pid}-0", tempdir::NAMED)));
    }

    #[test]
    fn an_orphan_is_seen() {
        let before = Hygiene::capture();
        let output =
            Command::new("sh").args(["-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"]).output().unwrap();
        let pid: i32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let left = facts();
        let seen = format!("process {pid} ");
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        assert!(left.iter().any(|line| line.starts_with(&seen)), "{left:?}");
        before.assert_same();
    }
}
