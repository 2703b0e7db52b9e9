//! The processes of a container, as `/proc` shows them from outside.
//!
//! Nothing of the container is executed for it (CVE-2021-20188, CVE-2022-1227), nothing is joined, and every file is
//! bounded: what a process calls itself is its own choice.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};

use crate::error::{Error, Result};
use crate::exec::Running;

/// Most bytes of one file of a process that are read.
const MAX_FILE: u64 = 64 << 10;
/// Most bytes of a process's words that are shown.
const MAX_WORDS: u64 = 4096;
/// Most processes that are listed: above what a default container may have.
const MOST: usize = 65_536;

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its id on the host.
    pub host_pid: i32,
    /// Its parent's id on the host.
    pub host_parent: i32,
    /// Its id in the container.
    pub pid: i32,
    /// Its process group in the container.
    pub group: i32,
    /// Its name, at most 15 bytes of its own choice.
    pub name: String,
    /// Its words, joined by blanks; empty for one that has none (a zombie).
    pub words: String,
    /// `R`, `S`, `D`, `Z` and so on, proc(5).
    pub state: char,
    /// Device number of its controlling terminal, 0 where it has none.
    pub terminal: u32,
    /// Processor time in clock ticks, user and system.
    pub ticks: u64,
    /// When it started, in clock ticks after boot.
    pub start: u64,
    /// Nice value.
    pub nice: i32,
    /// Virtual memory in bytes.
    pub virtual_bytes: u64,
    /// Resident memory in KiB.
    pub resident: u64,
    /// Real and effective user id on the host.
    pub users: (u32, u32),
    /// Real and effective group id on the host.
    pub groups: (u32, u32),
    /// Supplementary groups on the host.
    pub supplementary: Vec<u32>,
    /// Inheritable, permitted, effective, bounding, ambient.
    pub capabilities: [u64; 5],
    /// Filter mode: 0 none, 1 strict, 2 a filter.
    pub seccomp: u8,
    /// Label of the security module; empty where there is none.
    pub label: String,
}

impl Running<'_> {
    /// Its processes in the order of their ids. One that ends meanwhile is left out.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Runtime`].
    pub fn processes(&self) -> Result<Vec<ProcessInfo>> {
        let mut pids = match self.cgroup()? {
            Some(cgroup) => cgroup.pids().map_err(runtime::Error::from)?,
            None => self.pids_without_cgroup()?,
        };
        pids.sort_unstable();
        pids.dedup();
        pids.truncate(MOST);
        Ok(pids.into_iter().filter_map(read).collect())
    }

    /// Descendants of the first process, and whoever is in its pid namespace.
    fn pids_without_cgroup(&self) -> Result<Vec<i32>> {
        let failed = |source| Error::System { action: "list", path: "/proc".into(), source };
        let first = self.pid();
        let proc = files::open_directory("/proc")?;
        let namespace = |pid: i32| {
            rustix::fs::statat(&proc, format!("{pid}/ns/pid"), AtFlags::empty()).ok().map(|stat| stat.st_ino)
        };
        let own = namespace(rustix::process::getpid().as_raw_nonzero().get());
        // One that shares ours says nothing.
        let wanted = namespace(first).filter(|inode| Some(*inode) != own);
        let mut parents: Vec<(i32, i32)> = Vec::new();
        for entry in Dir::read_from(&proc).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            if let Some(process) = open(pid).and_then(|process| small(process.as_fd(), "stat"))
                && let Some((_, fields)) = stat(&process)
            {
                parents.push((pid, number(&fields, 1)));
            }
        }
        // Numbers are used again while we read: a circle of parents must not hold us.
        let mut found = vec![first];
        let mut seen = std::collections::BTreeSet::from([first]);
        let mut at = 0;
        while let Some(parent) = found.get(at).copied() {
            let children = parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid);
            found.extend(children.filter(|pid| seen.insert(*pid)));
            at += 1;
        }
        if wanted.is_some() {
            found.extend(parents.iter().map(|(pid, _)| *pid).filter(|pid| namespace(*pid) == wanted));
        }
        Ok(found)
    }
}

fn open(pid: i32) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, format!("/proc/{pid}"), flags, Mode::empty()).ok()
}

fn bytes(process: BorrowedFd<'_>, name: &str, limit: u64) -> Option<Vec<u8>> {
    let file = rustix::fs::openat(process, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = vec![0; usize::try_from(limit).ok()?];
    let mut length = 0;
    while length < bytes.len() {
        match rustix::io::read(&file, &mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    bytes.truncate(length);
    Some(bytes)
}

fn small(process: BorrowedFd<'_>, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&bytes(process, name, MAX_FILE)?).into_owned())
}

fn read(pid: i32) -> Option<ProcessInfo> {
    // All of one process: the directory is its own, also when the number becomes another's.
    let process = open(pid)?;
    let words = bytes(process.as_fd(), "cmdline", MAX_WORDS).unwrap_or_default();
    let label = small(process.as_fd(), "attr/current").unwrap_or_default();
    parse(
        pid,
        &small(process.as_fd(), "stat")?,
        &small(process.as_fd(), "status")?,
        &words,
        label.trim_end_matches(['\0', '\n']),
    )
}

/// The name in a `stat`, and the fields after it: a name holds blanks and parentheses as its owner likes.
fn stat(text: &str) -> Option<(&str, Vec<&str>)> {
    let (before, after) = text.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    Some((name, after.split_ascii_whitespace().collect()))
}

fn number<T: std::str::FromStr + Default>(fields: &[&str], at: usize) -> T {
    fields.get(at).and_then(|field| field.parse().ok()).unwrap_or_default()
}

fn parse(pid: i32, stat_text: &str, status: &str, words: &[u8], label: &str) -> Option<ProcessInfo> {
    let (name, fields) = stat(stat_text)?;
    let line = |key: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map_or("", str::trim)
    };
    let list = |key: &str| -> Vec<u32> {
        line(key).split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let last = |key: &str| {
        line(key).split_ascii_whitespace().last().and_then(|word| word.parse().ok()).unwrap_or_default()
    };
    let pair = |ids: &[u32]| (ids.first().copied().unwrap_or(0), ids.get(1).copied().unwrap_or(0));
    let set = |key: &str| u64::from_str_radix(line(key), 16).unwrap_or_default();
    let words = words.strip_suffix(b"\0").unwrap_or(words);
    let words = words.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    Some(ProcessInfo {
        host_pid: pid,
        host_parent: number(&fields, 1),
        pid: last("NSpid"),
        group: last("NSpgid"),
        name: name.to_owned(),
        words,
        state: fields.first()?.chars().next()?,
        terminal: number::<i64>(&fields, 4).try_into().unwrap_or_default(),
        ticks: number::<u64>(&fields, 11).saturating_add(number(&fields, 12)),
        nice: number(&fields, 16),
        start: number(&fields, 19),
        virtual_bytes: number(&fields, 20),
        resident: line("VmRSS")
            .split_ascii_whitespace()
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or(0),
        users: pair(&list("Uid")),
        groups: pair(&list("Gid")),
        supplementary: list("Groups"),
        capabilities: [set("CapInh"), set("CapPrm"), set("CapEff"), set("CapBnd"), set("CapAmb")],
        seccomp: number(&[line("Seccomp")], 0),
        label: label.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nUid:\t165536\t165537\t0\t0\nGid:\t7\t8\t9\t9\nGroups:\t7 100 \nNSpid:\t900\t12\n\
        NSpgid:\t900\t1\nVmRSS:\t  1234 kB\nCapInh:\t0000000000000000\nCapPrm:\t00000000000001fb\nCapEff:\t00000000000001fb\n\
        CapBnd:\t00000000000001fb\nCapAmb:\t0000000000000000\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn a_name_of_the_processs_own_choice_moves_no_field() {
        for name in ["sleep", "a) R 1", "(x", "\u{1b}[31m", ""] {
            let stat = format!(
                "900 ({name}) S 800 900 900 34816 900 4194304 1 0 0 0 150 50 0 0 20 -5 1 0 12345 8192000 300 1"
            );
            let process = parse(900, &stat, STATUS, b"sleep\x0010\0", "brig (enforce)").unwrap();
            assert_eq!(process.name, name);
            assert_eq!((process.host_parent, process.pid, process.group, process.state), (800, 12, 1, 'S'));
            assert_eq!((process.ticks, process.start, process.nice), (200, 12345, -5));
            assert_eq!((process.terminal, process.virtual_bytes, process.resident), (34816, 8_192_000, 1234));
            assert_eq!((process.users, process.groups), ((165_536, 165_537), (7, 8)));
            assert_eq!((process.supplementary.as_slice(), process.seccomp), (&[7, 100][..], 2));
            assert_eq!((process.capabilities[2], process.words.as_str()), (0x1fb, "sleep 10"));
        }
    }

    #[test]
    fn what_is_no_process_is_none() {
        for text in ["", "1", "1 (x", "1 (x) ", ") ("] {
            assert_eq!(parse(1, text, "", b"", ""), None, "{text}");
        }
    }

    #[test]
    fn this_process_is_read() {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let process = read(own).unwrap();
        assert_eq!(process.host_pid, own);
        assert!(process.start > 0 && !process.words.is_empty());
    }
}
