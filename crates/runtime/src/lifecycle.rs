//! What is done with a container after its creation.

use std::os::fd::{AsFd, OwnedFd};

use cgroup::Strictness;
use files::atomic::{self, Durability};
use oci::runtime::{Resources, State, Status};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::{PidfdFlags, Signal};

use crate::message::{self, Message};
use crate::plan;
use crate::state::{self, DONE, GO, Saved, StateRoot};
use crate::{Error, Result, create, hooks, launch, verify};

/// How long `delete --force` waits for the end of a killed process, in milliseconds.
const KILL_WAIT: u64 = 10_000;

/// A container that exists.
#[derive(Debug)]
pub struct Container<'a> {
    root: &'a StateRoot,
    saved: Saved,
    directory: OwnedFd,
}

impl<'a> Container<'a> {
    /// Finds a container by its whole id.
    pub fn load(root: &'a StateRoot, id: &str) -> Result<Self> {
        let saved = root.load(id)?;
        let directory = root.directory_of(id)?;
        Ok(Self { root, saved, directory })
    }

    /// What is kept of it.
    pub fn saved(&self) -> &Saved {
        &self.saved
    }

    /// Where in its life it is.
    pub fn status(&self) -> Status {
        self.saved.status(&self.directory)
    }

    /// What `state` prints.
    pub fn state(&self) -> State {
        self.saved.to_oci(self.status())
    }

    fn wrong(&self, action: &'static str, status: Status) -> Error {
        Error::WrongStatus { action, id: self.saved.id.clone(), status: status_name(status) }
    }

    /// Lets a created container execute its payload, and tells how that went.
    pub fn start(&self) -> Result<()> {
        let is_created = || match self.status() {
            Status::Created => Ok(()),
            status => Err(self.wrong("start", status)),
        };
        is_created()?;
        let open = |name: &'static str, flags| {
            rustix::fs::openat(
                &self.directory,
                name,
                flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .map_err(|errno| Error::system("open", name, errno))
        };
        let go = match open(GO, OFlags::WRONLY | OFlags::NONBLOCK) {
            Ok(go) => go,
            // Another one started it, or it ended.
            Err(error) => return Err(is_created().err().unwrap_or(error)),
        };
        // Of two at once the second finds it started. Not the directory: its lock says that it is being set up.
        rustix::fs::flock(&go, FlockOperation::LockExclusive)
            .map_err(|errno| Error::system("lock", &self.saved.id, errno))?;
        is_created()?;
        let process = launch::open_process(state::pid(self.saved.pid)?)?;
        // Not blocking: the container's process holds the other end, or is gone.
        let done = open(DONE, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let flags = rustix::fs::fcntl_getfl(&done).map_err(|errno| Error::system("open", DONE, errno))?;
        rustix::fs::fcntl_setfl(&done, flags - OFlags::NONBLOCK)
            .map_err(|errno| Error::system("open", DONE, errno))?;
        rustix::io::write(&go, &[1]).map_err(|errno| Error::system("start", &self.saved.id, errno))?;
        for name in [GO, DONE] {
            atomic::remove(self.directory.as_fd(), name, Durability::Volatile).map_err(Error::Files)?;
        }
        drop(go);
        let answer =
            message::read(done.as_fd()).map_err(|errno| Error::system("hear from", &self.saved.id, errno))?;
        let facts = create::exec_facts();
        let program = self.saved.spec.process.as_ref().and_then(|process| process.args.first());
        if let Some(Message::Failed { step, operation, errno }) = answer {
            let plan = plan::build(&self.saved.spec, &facts)?;
            return Err(launch::step_error(
                &plan,
                step,
                operation,
                errno,
                program.map_or("", String::as_str),
            ));
        }
        let plan = plan::build(&self.saved.spec, &facts)?;
        let checked = verify::verify(&plan, &process).and_then(|()| create::poststart(&self.saved));
        if checked.is_err() {
            self.send(Signal::KILL)?;
        }
        checked
    }

    fn send(&self, signal: Signal) -> Result<()> {
        self.send_number(signal.as_raw())
    }

    /// Sends a signal by its number to the first process, also a real-time one.
    pub fn send_number(&self, signal: i32) -> Result<()> {
        let failed = |errno| Error::system("signal", &self.saved.id, errno);
        let process = match rustix::process::pidfd_open(state::pid(self.saved.pid)?, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Err(self.wrong("signal", Status::Stopped)),
            result => result.map_err(failed)?,
        };
        // The pidfd is of this process only if it is still the one that was started.
        if !self.saved.is_alive() {
            return Err(self.wrong("signal", Status::Stopped));
        }
        match sys::signal::send(process.as_fd(), signal) {
            // It ended since.
            Err(rustix::io::Errno::SRCH) => Err(self.wrong("signal", Status::Stopped)),
            result => result.map_err(failed),
        }
    }

    /// Sends a signal to the first process, or to all.
    pub fn kill(&self, signal: Signal, all: bool) -> Result<()> {
        if all {
            return match self.saved.open_cgroup()? {
                Some(cgroup) => Ok(cgroup.kill(signal)?),
                None => self.send(signal),
            };
        }
        match self.status() {
            // One that is being set up has a process, and may hang.
            status @ (Status::Stopped | Status::Creating) if !self.saved.is_alive() => {
                Err(self.wrong("kill", status))
            }
            status => {
                self.send(signal)?;
                // A frozen process takes no signal before it is thawed.
                if status == Status::Paused && signal == Signal::KILL {
                    match self.thaw() {
                        // It was thawed, and ended with its cgroup, since it was looked at.
                        Err(_) if !self.saved.is_alive() => {}
                        thawed => thawed?,
                    }
                }
                Ok(())
            }
        }
    }

    /// Removes what is left of a container: its cgroup, its state; then runs the poststop hooks.
    ///
    /// Returns what those hooks, which may fail, said.
    pub fn delete(self, force: bool) -> Result<Vec<String>> {
        let status = self.status();
        match status {
            Status::Stopped => {}
            // runc deletes a container that was never started without being forced.
            Status::Created => self.end()?,
            _ if force => self.end()?,
            status => return Err(self.wrong("delete", status)),
        }
        tear_down(self.root, &self.saved)
    }

    /// Kills and waits until the first process is gone.
    fn end(&self) -> Result<()> {
        if self.saved.pid == 0 {
            // Its creator was killed before there was a process, or with it.
            return Ok(());
        }
        let Ok(process) = rustix::process::pidfd_open(state::pid(self.saved.pid)?, PidfdFlags::empty())
        else {
            return Ok(());
        };
        if !self.saved.is_alive() {
            return Ok(());
        }
        rustix::process::pidfd_send_signal(&process, Signal::KILL)
            .map_err(|errno| Error::system("kill", &self.saved.id, errno))?;
        if let Some(cgroup) = self.saved.open_cgroup()? {
            // Also thaws; without a cgroup the end of pid 1 ends its namespace.
            drop(cgroup.kill(Signal::KILL));
            drop(cgroup.thaw());
        }
        let limit = rustix::event::Timespec { tv_sec: (KILL_WAIT / 1000).cast_signed(), tv_nsec: 0 };
        let mut waited = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut waited, Some(&limit)) {
            Ok(0) => Err(Error::system("wait for the end of", &self.saved.id, rustix::io::Errno::TIMEDOUT)),
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::system("wait for the end of", &self.saved.id, errno)),
        }
    }

    fn cgroup(&self, action: &'static str) -> Result<cgroup::Cgroup> {
        self.saved.open_cgroup()?.ok_or_else(|| self.wrong(action, Status::Stopped))
    }

    /// Freezes every process.
    pub fn pause(&self) -> Result<()> {
        match self.status() {
            Status::Running | Status::Created => Ok(self.cgroup("pause")?.freeze()?),
            status => Err(self.wrong("pause", status)),
        }
    }

    /// Lets frozen processes go on.
    pub fn resume(&self) -> Result<()> {
        match self.status() {
            Status::Paused => self.thaw(),
            status => Err(self.wrong("resume", status)),
        }
    }

    fn thaw(&self) -> Result<()> {
        Ok(self.cgroup("resume")?.thaw()?)
    }

    /// Changes limits.
    pub fn update(&mut self, resources: &Resources) -> Result<Vec<String>> {
        let status = self.status();
        if status == Status::Stopped {
            return Err(self.wrong("update", status));
        }
        let warnings = self.cgroup("update")?.apply(resources, Strictness::Requested)?;
        Ok(warnings.iter().map(ToString::to_string).collect())
    }

    /// Writes limits down as the container's own, whatever is in force.
    pub fn keep_resources(&mut self, resources: Resources) -> Result<()> {
        self.saved.spec.linux.get_or_insert_default().resources = Some(resources);
        self.saved.write(&self.directory)
    }

    /// The processes of the container, as the host sees them.
    pub fn pids(&self) -> Result<Vec<i32>> {
        Ok(self.cgroup("list the processes of")?.pids()?)
    }

    /// Its cgroup, for statistics and events.
    pub fn open_cgroup(&self) -> Result<cgroup::Cgroup> {
        self.cgroup("look at")
    }
}

/// The word for a status, as `state` and `list` print it.
pub fn status_name(status: Status) -> &'static str {
    match status {
        Status::Creating => "creating",
        Status::Created => "created",
        Status::Running => "running",
        Status::Paused => "paused",
        Status::Stopped => "stopped",
    }
}

/// Removes cgroup and state of a stopped container, runs its poststop hooks.
pub(crate) fn tear_down(root: &StateRoot, saved: &Saved) -> Result<Vec<String>> {
    if let Some(cgroup) = saved.open_cgroup()? {
        // Without a pid namespace of its own the container leaves processes behind.
        if !cgroup.is_empty().unwrap_or(true) {
            cgroup.kill(Signal::KILL)?;
        }
        cgroup.remove()?;
    }
    root.remove(&saved.id)?;
    let failures = match &saved.spec.hooks {
        Some(list) => hooks::run_all("poststop", &list.poststop, &saved.to_oci(Status::Stopped)),
        None => Vec::new(),
    };
    Ok(failures.iter().map(ToString::to_string).collect())
}
