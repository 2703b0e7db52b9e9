//! The processes of a cgroup: join, list, freeze, thaw, signal.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cgroup::{Cgroup, Member};
use crate::directory::{Directory, read_more};
use crate::layout::Version;
use crate::{Controller, Error, Result};

/// Most processes read from one cgroup: the kernel's own highest `pid_max`.
const PIDS: usize = 1 << 22;
/// Most child cgroups that a container may make us visit.
const CHILDREN: usize = 100_000;
/// Most rounds of reading and killing: each catches what the last one's victims had forked.
const ROUNDS: usize = 64;
/// Pause between two rounds, in which the killed can leave.
const ROUND: Duration = Duration::from_millis(10);
/// Most pidfds held at once, well below the usual limit of 1024 descriptors.
const BATCH: usize = 128;
/// How long a freeze may take. Processes in uninterruptible sleep can hold it up for ever.
const FREEZE: Duration = Duration::from_secs(5);

impl Cgroup {
    /// Moves a process, with all its threads, into the cgroup in every hierarchy.
    ///
    /// Slow: the kernel waits for a grace period first, about 8 ms on an idle machine. A start that has to
    /// be fast clones into [`Cgroup::v2_dir`] and joins v1 through [`Cgroup::join_files`] (40 us).
    ///
    /// # Errors
    /// [`Error::Join`] naming the directory that refused.
    pub fn add(&self, pid: i32) -> Result<()> {
        self.members.iter().try_for_each(|member| join(member, pid))
    }

    /// Moves a process into the v1 hierarchies only: after `CLONE_INTO_CGROUP` with [`Cgroup::v2_dir`].
    ///
    /// # Errors
    /// [`Error::Join`] naming the directory that refused.
    pub fn add_v1(&self, pid: i32) -> Result<()> {
        self.members
            .iter()
            .filter(|member| member.version == Version::V1)
            .try_for_each(|member| join(member, pid))
    }

    /// Opens the v1 `tasks` files for a single-threaded child that joins by itself, writing `0` to each.
    ///
    /// The kernel checks the rights of the opener, not of the writer (Linux 5.16), and lets a thread move
    /// itself without stopping every fork and exec of the machine, which [`Cgroup::add`] has to wait for.
    ///
    /// # Errors
    /// [`Error::Join`] (of process 0) naming the directory that refused.
    pub fn join_files(&self) -> Result<Vec<OwnedFd>> {
        let open = |member: &Member| {
            let failed = |errno| Error::Join { pid: 0, path: member.shown(), errno };
            member.directory.file("tasks", OFlags::WRONLY).map_err(failed)
        };
        self.members.iter().filter(|member| member.version == Version::V1).map(open).collect()
    }

    /// Returns the processes of the cgroup and of its children. Those outside this process's pid
    /// namespace are left out.
    ///
    /// # Errors
    /// [`Error::NoCgroup`], [`Error::Operation`].
    pub fn pids(&self) -> Result<Vec<i32>> {
        let member = self.main("list")?;
        pids_below(&member.directory).map_err(|errno| failed("list", member, errno))
    }

    /// Tells whether no process is left in the cgroup.
    ///
    /// # Errors
    /// As [`Cgroup::pids`].
    pub fn is_empty(&self) -> Result<bool> {
        self.pids().map(|pids| pids.is_empty())
    }

    /// Stops every process, and waits until they are.
    ///
    /// # Errors
    /// [`Error::NoCgroup`]; [`Error::Operation`] with `ETIMEDOUT` when it takes more than five seconds: the
    /// cgroup is thawed again then.
    pub fn freeze(&self) -> Result<()> {
        let member = self.freezer("freeze")?;
        let result = match member.version {
            Version::V2 => freeze_v2(&member.directory),
            Version::V1 => freeze_v1(&member.directory),
        };
        result.map_err(|errno| {
            // What was stopped must not stay so after a failure; the failure itself is what is reported.
            drop(self.thaw());
            failed("freeze", member, errno)
        })
    }

    /// Lets the processes go on.
    ///
    /// # Errors
    /// [`Error::NoCgroup`], [`Error::Operation`].
    pub fn thaw(&self) -> Result<()> {
        let member = self.freezer("thaw")?;
        let (file, value) = match member.version {
            Version::V2 => ("cgroup.freeze", "0"),
            Version::V1 => ("freezer.state", "THAWED"),
        };
        member.directory.write(file, value).map_err(|errno| failed("thaw", member, errno))
    }

    /// Tells whether the cgroup is frozen, or being so.
    ///
    /// # Errors
    /// [`Error::NoCgroup`], [`Error::Operation`].
    pub fn is_frozen(&self) -> Result<bool> {
        let member = self.freezer("look at the freezer of")?;
        let (file, thawed) = match member.version {
            Version::V2 => ("cgroup.freeze", "0"),
            Version::V1 => ("freezer.state", "THAWED"),
        };
        let state = member.directory.read(file);
        Ok(state.map_err(|errno| failed("look at the freezer of", member, errno))?.trim() != thawed)
    }

    /// Sends `signal` to every process of the cgroup and of its children. `SIGKILL` reaches all, also those
    /// that are being forked; any other signal reaches each that exists now. Frozen processes are thawed by
    /// `SIGKILL` only.
    ///
    /// # Errors
    /// [`Error::NoCgroup`], [`Error::Operation`]; with `EBUSY` when processes still appear after 64 rounds.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        let member = self.main("kill")?;
        if signal != Signal::KILL {
            return signal_below(&member.directory, signal)
                .map(drop)
                .map_err(|errno| failed("signal", member, errno));
        }
        if member.version == Version::V2 {
            match member.directory.write("cgroup.kill", "1") {
                Ok(()) => return Ok(()),
                // Before Linux 5.14, and in threaded cgroups.
                Err(Errno::NOENT | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(failed("kill", member, errno)),
            }
        }
        let mut freezable = true;
        for _ in 0..ROUNDS {
            // A frozen cgroup cannot fork; one that cannot be frozen is killed round by round, and not
            // tried again: a process in uninterruptible sleep costs the whole time limit each time.
            let frozen = freezable && self.freeze().is_ok();
            freezable = frozen;
            let sent = signal_below(&member.directory, signal);
            if frozen {
                self.thaw()?;
            }
            if sent.map_err(|errno| failed("kill", member, errno))? == 0 {
                return Ok(());
            }
            // Frozen in one go, all were reached; a second look would only find the dying.
            if frozen {
                return Ok(());
            }
            std::thread::sleep(ROUND);
        }
        Err(failed("kill", member, Errno::BUSY))
    }

    fn main(&self, operation: &'static str) -> Result<&Member> {
        self.main_member().ok_or(Error::NoCgroup { operation })
    }

    fn freezer(&self, operation: &'static str) -> Result<&Member> {
        let v1 = || self.members.iter().find(|member| member.controllers.contains(Controller::Freezer));
        self.v2_member().or_else(v1).ok_or(Error::NoCgroup { operation })
    }
}

fn failed(operation: &'static str, member: &Member, errno: Errno) -> Error {
    Error::Operation { operation, path: member.shown(), errno }
}

fn join(member: &Member, pid: i32) -> Result<()> {
    let mut digits = [0_u8; 12];
    let text = decimal(pid, &mut digits);
    member.directory.write("cgroup.procs", text).map_err(|errno| Error::Join {
        pid,
        path: member.shown(),
        errno,
    })
}

/// Formats without allocating.
fn decimal(pid: i32, digits: &mut [u8; 12]) -> &str {
    use std::io::Write;
    let mut rest = &mut digits[..];
    // Eleven characters at most, into twelve bytes.
    drop(write!(rest, "{pid}"));
    let used = 12 - rest.len();
    std::str::from_utf8(&digits[..used]).unwrap_or("")
}

/// Tells whether the cgroup or a child of it has a process, of whichever pid namespace.
pub(crate) fn occupied(directory: &Directory) -> Result<bool, Errno> {
    let mut found = false;
    visit(directory, &mut |child| {
        if !found {
            found = procs(child)?.0 > 0;
        }
        Ok(())
    })?;
    Ok(found)
}

fn pids_below(directory: &Directory) -> Result<Vec<i32>, Errno> {
    let mut pids = Vec::new();
    visit(directory, &mut |child| {
        pids.append(&mut procs(child)?.1);
        Ok(())
    })?;
    Ok(pids)
}

/// Returns how many processes the cgroup itself has, and those that this pid namespace can name.
fn procs(directory: &Directory) -> Result<(usize, Vec<i32>), Errno> {
    let fd = match directory.file("cgroup.procs", OFlags::RDONLY) {
        // A cgroup that vanished has none.
        Err(Errno::NOENT | Errno::NODEV) => return Ok((0, Vec::new())),
        other => other?,
    };
    let mut content = Vec::new();
    loop {
        match read_more(&fd, &mut content) {
            Ok(true) if content.len() <= PIDS * 8 => {}
            Ok(true) => return Err(Errno::FBIG),
            // Threaded cgroups list their processes in the domain above.
            Ok(false) | Err(Errno::NODEV | Errno::OPNOTSUPP) => break,
            Err(errno) => return Err(errno),
        }
    }
    let mut count = 0;
    let mut pids = Vec::new();
    for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        count += 1;
        let pid = std::str::from_utf8(line).ok().and_then(|line| line.parse::<i32>().ok());
        pids.extend(pid.filter(|pid| *pid > 0));
    }
    Ok((count, pids))
}

/// Calls `each` for the cgroup and every cgroup below it.
fn visit(directory: &Directory, each: &mut dyn FnMut(&Directory) -> Result<(), Errno>) -> Result<(), Errno> {
    each(directory)?;
    let mut waiting = directory.children(CHILDREN)?;
    let mut visited = 0;
    while let Some(path) = waiting.pop() {
        visited += 1;
        if visited > CHILDREN {
            return Err(Errno::FBIG);
        }
        let child = match directory.open(&path) {
            Ok(child) => child,
            Err(Errno::NOENT | Errno::NODEV) => continue,
            Err(errno) => return Err(errno),
        };
        each(&child)?;
        waiting.extend(child.children(CHILDREN)?.into_iter().map(|name| format!("{path}/{name}")));
    }
    Ok(())
}

/// Signals every process once; returns how many there were.
fn signal_below(directory: &Directory, signal: Signal) -> Result<usize, Errno> {
    let mut reached = 0;
    visit(directory, &mut |child| {
        reached += signal_in(child, signal)?;
        Ok(())
    })?;
    Ok(reached)
}

fn signal_in(directory: &Directory, signal: Signal) -> Result<usize, Errno> {
    let (_, pids) = procs(directory)?;
    for batch in pids.chunks(BATCH) {
        let mut open = Vec::with_capacity(batch.len());
        for pid in batch {
            match Pid::from_raw(*pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
                Some(Ok(fd)) => open.push((*pid, fd)),
                None | Some(Err(Errno::SRCH | Errno::INVAL)) => {}
                Some(Err(errno)) => return Err(errno),
            }
        }
        // A pid may have been reused between the list and its pidfd: only those still listed are ours, and
        // for a pid reused after that the pidfd is of the dead.
        let (_, mut still) = procs(directory)?;
        still.sort_unstable();
        for (pid, fd) in open {
            if still.binary_search(&pid).is_ok() {
                match pidfd_send_signal(fd, signal) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
    }
    Ok(pids.len())
}

fn freeze_v2(directory: &Directory) -> Result<(), Errno> {
    directory.write("cgroup.freeze", "1")?;
    let events = directory.file("cgroup.events", OFlags::RDONLY)?;
    let deadline = Instant::now() + FREEZE;
    loop {
        let mut content = [0_u8; 256];
        let read = rustix::io::pread(&events, &mut content, 0)?;
        let text = std::str::from_utf8(&content[..read]).unwrap_or("");
        if text.lines().any(|line| line == "frozen 1") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Errno::TIMEDOUT);
        }
        // kernfs tells of a change by POLLPRI, once it was read.
        let timeout = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        match poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// v1 has no event for this, and a process that forks at the wrong moment leaves the cgroup `FREEZING`
/// until it is thawed and frozen again.
fn freeze_v1(directory: &Directory) -> Result<(), Errno> {
    let deadline = Instant::now() + FREEZE;
    let mut pause = Duration::from_micros(20);
    directory.write("freezer.state", "FROZEN")?;
    for round in 1_u32.. {
        if directory.read("freezer.state")?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
        if round.is_multiple_of(32) {
            directory.write("freezer.state", "THAWED")?;
        }
        directory.write("freezer.state", "FROZEN")?;
    }
    Err(Errno::TIMEDOUT)
}
