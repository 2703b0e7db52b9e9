//! When a container's health is checked. The check itself is a program that is started: `brig healthcheck run`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use files::atomic::{self, Durability};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// File in a container's directory with the waits that were changed since its start; empty where nothing is checked now.
pub const SCHEDULE: &str = "health.schedule";
/// Most bytes of it.
const MAX: u64 = 64;

/// Exit code of a check after which the next comes after [`Schedule::eager`].
pub const STARTING: u8 = 2;

/// The waits in milliseconds, from the end of one check, or from the container's start, to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// While the container starts.
    pub eager: i64,
    /// After that.
    pub usual: i64,
}

impl Schedule {
    /// As the value of a setting.
    #[must_use]
    pub fn to_text(self) -> String {
        format!("{} {}", self.eager, self.usual)
    }

    /// Reads [`Self::to_text`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (eager, usual) = text.split_once(' ')?;
        let wait = |text: &str| text.parse().ok().filter(|wait| *wait > 0);
        Some(Self { eager: wait(eager)?, usual: wait(usual)? })
    }

    /// Keeps what is true from now on for the monitor of a container that runs.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(schedule: Option<Self>, container: BorrowedFd<'_>) -> files::Result<()> {
        let text = schedule.map(Self::to_text).unwrap_or_default();
        atomic::write(container, SCHEDULE, text.as_bytes(), 0o600, Durability::Volatile)
    }

    /// What was kept since the container's start, or else what the start said.
    #[must_use]
    pub fn now(container: BorrowedFd<'_>, at_start: Option<Self>) -> Option<Self> {
        match files::read_own(container, SCHEDULE, MAX) {
            Ok(Some(bytes)) => std::str::from_utf8(&bytes).ok().and_then(Self::parse),
            // What cannot be read changes nothing.
            Ok(None) | Err(_) => at_start,
        }
    }
}

/// The checks of one container: at most one runs at a time.
#[derive(Debug)]
pub struct Checks {
    schedule: Schedule,
    due: i64,
    running: Option<(Child, OwnedFd)>,
}

impl Checks {
    /// The first is due some time after `now`, in milliseconds of any clock.
    #[must_use]
    pub fn new(schedule: Schedule, now: i64) -> Self {
        Self { schedule, due: now.saturating_add(schedule.eager), running: None }
    }

    /// Other waits from now on, or no more checks: one that runs goes on to its end.
    pub fn change(&mut self, schedule: Option<Schedule>, now: i64) {
        match schedule {
            Some(schedule) => {
                (self.schedule, self.due) = (schedule, now.saturating_add(schedule.eager));
            }
            None => {
                (self.schedule, self.due) = (Schedule { eager: i64::MAX, usual: i64::MAX }, i64::MAX);
            }
        }
    }

    /// When the next is due; none while one runs.
    #[must_use]
    pub fn due(&self) -> Option<i64> {
        (self.running.is_none() && self.due < i64::MAX).then_some(self.due)
    }

    /// Readable when the one that runs has ended.
    #[must_use]
    pub fn process(&self) -> Option<BorrowedFd<'_>> {
        self.running.as_ref().map(|(_, process)| process.as_fd())
    }

    /// Does what is to be done now: starts a check that is due, takes the end of one that ended.
    pub fn turn(&mut self, now: i64, root: &Path, runroot: &Path, id: &str) {
        if let Some((child, _)) = &mut self.running {
            let code = match child.try_wait() {
                Ok(None) => return,
                Ok(Some(status)) => status.code(),
                // Somebody else took its status: it has ended.
                Err(_) => None,
            };
            self.running = None;
            let is_starting = code == Some(i32::from(STARTING));
            let wait = if is_starting { self.schedule.eager } else { self.schedule.usual };
            self.due = now.saturating_add(wait);
        }
        if now >= self.due {
            self.due = now.saturating_add(self.schedule.usual);
            // No process to be had: the machine is in need, and the next one comes.
            self.running = start(root, runroot, id).ok();
        }
    }
}

fn start(root: &Path, runroot: &Path, id: &str) -> io::Result<(Child, OwnedFd)> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("brig").arg("--root").arg(root).arg("--runroot").arg(runroot);
    command.args(["healthcheck", "run", "--scheduled", id]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let opened = pid.ok_or(rustix::io::Errno::SRCH).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    match opened {
        Ok(process) => Ok((child, process)),
        Err(errno) => {
            child.kill()?;
            child.wait()?;
            Err(errno.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_as_it_was_written() {
        let schedule = Schedule { eager: 5, usual: 30_000 };
        assert_eq!(Schedule::parse(&schedule.to_text()), Some(schedule));
        for text in ["", "1", "1 ", "0 1", "1 -1", "1 2 3"] {
            assert_eq!(Schedule::parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_check_at_a_time() {
        let mut checks = Checks::new(Schedule { eager: 5, usual: 30 }, 100);
        let turn = |checks: &mut Checks, now| checks.turn(now, "/nowhere".as_ref(), "/nowhere".as_ref(), "0");
        turn(&mut checks, 104);
        assert_eq!((checks.due(), checks.process().is_none()), (Some(105), true));
        // This test program, which knows no such words and ends.
        turn(&mut checks, 105);
        assert!(checks.due().is_none());
        let (child, _) = checks.running.as_mut().unwrap();
        child.wait().unwrap();
        turn(&mut checks, 110);
        assert_eq!(checks.due(), Some(140));
        checks.change(Some(Schedule { eager: 1, usual: 2 }), 120);
        assert_eq!(checks.due(), Some(121));
        // One that runs is taken at its end, whatever comes after it.
        turn(&mut checks, 121);
        checks.change(None, 122);
        assert!(checks.due().is_none() && checks.process().is_some());
        checks.running.as_mut().unwrap().0.wait().unwrap();
        turn(&mut checks, 123);
        assert!(checks.due().is_none() && checks.process().is_none());
    }
}
