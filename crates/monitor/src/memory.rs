//! Whether the kernel killed a process of the container for want of memory.
//!
//! systemd removes a scope's cgroup with its last process, and an open file of a removed cgroup says `ENODEV`. So the count
//! is read each time the kernel says that it changed, and first of all when the container ended. Where systemd was faster,
//! the count of the cgroup around it says it, which includes it and stays: did it grow since the own one was last seen
//! at zero?

use std::os::fd::{AsFd, OwnedFd};

use crate::Settings;

/// Most bytes of a file of counts: a dozen short lines.
const MAX: usize = 1024;
/// 128 and SIGKILL.
const KILLED: u8 = 137;

/// What is known of it.
#[derive(Debug, Default)]
pub(crate) struct Kills {
    /// The count around it when the own one was last seen at zero.
    around: Option<u64>,
    seen: bool,
    is_gone: bool,
}

impl Kills {
    /// With a first look.
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut kills = Self::default();
        kills.look(settings);
        kills
    }

    /// The file to wait for, as poll(2) tells its changes: until its cgroup is gone.
    pub(crate) fn file<'a>(&self, settings: &'a Settings) -> Option<&'a OwnedFd> {
        settings.memory.as_ref().filter(|_| !self.is_gone)
    }

    /// Reads the counts.
    pub(crate) fn look(&mut self, settings: &Settings) {
        let Some(own) = self.file(settings) else { return };
        // First: a kill between the two is in the own count.
        let around = settings.memory_around.as_ref().and_then(count);
        match count(own) {
            Some(0) => self.around = around,
            Some(_) => self.seen = true,
            None => self.is_gone = true,
        }
    }

    /// Whether there was one, for a container that ended with this code.
    pub(crate) fn were(&self, settings: &Settings, code: u8) -> bool {
        // A neighbour's kill is counted around it as well: it is asked only of an end that nobody else explains.
        let is_unexplained = self.is_gone && code == KILLED && !settings.life.stopped_by_user;
        let around = || settings.memory_around.as_ref().and_then(count);
        self.seen || (is_unexplained && around().zip(self.around).is_some_and(|(now, before)| now > before))
    }
}

/// `oom_kill` of a `memory.events`; none where its cgroup is gone.
fn count(file: impl AsFd) -> Option<u64> {
    let mut bytes = [0; MAX];
    let length = rustix::io::pread(file, &mut bytes, 0).ok()?;
    let text = std::str::from_utf8(&bytes[..length]).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read_from_its_line() {
        for (text, expected) in [
            ("low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 1\n", Some(2)),
            ("oom 3\noom_kill 0\n", Some(0)),
            ("oom_kill x\n", None),
            ("", None),
        ] {
            let file = rustix::fs::memfd_create(c"events", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
            files::write_all(&file, text.as_bytes()).unwrap();
            assert_eq!(count(&file), expected, "{text:?}");
        }
    }
}
