//! Who typed a command, as the kernel says.

use std::fs::File;
use std::io::Read;

use serde::{Deserialize, Serialize};

/// Most bytes that are read of a file of `/proc`, and of a parent's first word.
const MOST: u64 = 4096;
/// Most characters that are kept of a text that others chose.
const KEPT: usize = 256;
/// What `/proc/self/loginuid` and `sessionid` hold where nobody logged in.
const UNSET: u32 = u32::MAX;

/// Who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Caller {
    /// The audit login id: who logged in, over `su` and `sudo`. None where no login is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auid: Option<u32>,
    /// The audit session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<u32>,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Process id.
    pub pid: u32,
    /// The controlling terminal, such as `pts/3`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub terminal: String,
    /// The other end of an SSH connection, as `SSH_CONNECTION` has it: the caller could have changed it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub peer: String,
    /// The parent's command name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// The parent's first word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent_program: String,
    /// The cgroup.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cgroup: String,
}

impl Caller {
    /// Who runs this process; `peer` is the value of `SSH_CONNECTION`. What cannot be read stays empty.
    #[must_use]
    pub fn of_this_process(peer: Option<&str>) -> Self {
        let parent = rustix::process::getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
        let (mut name, mut program) = (String::new(), String::new());
        if parent > 0 {
            name = bounded(read(&format!("/proc/{parent}/comm")).trim_end());
            let words = read(&format!("/proc/{parent}/cmdline"));
            program = bounded(words.split('\0').next().unwrap_or_default());
        }
        Self {
            auid: id("/proc/self/loginuid"),
            session: id("/proc/self/sessionid"),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            pid: std::process::id(),
            terminal: terminal(&read("/proc/self/stat")),
            peer: bounded(peer.unwrap_or_default()),
            parent: name,
            parent_program: program,
            cgroup: cgroup(&read("/proc/self/cgroup")),
        }
    }
}

fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    // A file that is not there, or a process that is gone, has nothing to say.
    match File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(KEPT).collect()
}

fn id(path: &str) -> Option<u32> {
    read(path).trim().parse().ok().filter(|id| *id != UNSET)
}

/// The terminal of proc_pid_stat(5)'s seventh field: 136 to 143 are the majors of pseudo terminals, 4 of consoles.
fn terminal(stat: &str) -> String {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let Some(device) = after_name.split_ascii_whitespace().nth(4).and_then(|word| word.parse::<u32>().ok())
    else {
        return String::new();
    };
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 => format!("tty{minor}"),
        0 => String::new(),
        _ => format!("{major}:{minor}"),
    }
}

/// The path in the v2 hierarchy, or where there is only v1 in its first.
fn cgroup(text: &str) -> String {
    let path = |line: &str| line.splitn(3, ':').nth(2).map(bounded);
    let unified = text.lines().find(|line| line.starts_with("0::")).and_then(path);
    let unified = unified.filter(|path| path != "/");
    unified.or_else(|| text.lines().next().and_then(path)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals() {
        for (device, expected) in
            [(0, ""), (34_816, "pts/0"), (34_819, "pts/3"), (34_816 + 256, "pts/256"), (1025, "tty1")]
        {
            let stat = format!("7 (a) b) S 1 7 7 {device} 7 0");
            assert_eq!(terminal(&stat), expected, "{device}");
        }
        assert_eq!(terminal(""), "");
    }

    #[test]
    fn cgroups() {
        for (text, expected) in [
            ("0::/user.slice/a\n", "/user.slice/a"),
            ("5:pids:/b\n0::/\n", "/b"),
            ("0::/\n", "/"),
            ("", ""),
            ("junk", ""),
        ] {
            assert_eq!(cgroup(text), expected, "{text}");
        }
    }

    #[test]
    fn this_process_is_somebody() {
        let caller = Caller::of_this_process(Some("192.0.2.1 5 192.0.2.2 22"));
        assert_eq!(caller.pid, std::process::id());
        assert_eq!(caller.uid, rustix::process::getuid().as_raw());
        assert!(!caller.parent.is_empty() && caller.peer.starts_with("192.0.2.1"), "{caller:?}");
    }
}
