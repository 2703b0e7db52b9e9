//! Taking over a container whose watcher was killed.
//!
//! The lock is free and the process lives: whoever looks next makes a new monitor. Nothing was lost meanwhile: what the
//! container wrote waits in its fifos, which it holds open itself. Of one whose process ended as well nobody can say
//! how; it is taken down, and its restart policy decides.

use std::os::fd::{AsFd, OwnedFd};

use monitor::{Life, Settings, control};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags};

use crate::containers::{Containers, Reserved};
use crate::end::finish_watched;
use crate::error::{Error, Result};
use crate::start::{become_loop, kill_counts, leave_the_session, log_settings, monitor_failed};
use crate::state::UNKNOWN;
use crate::value::name::ContainerId;

impl Containers<'_> {
    /// Gives a container that nobody watches a new monitor, or takes it down if it ended. Returns when that is done.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`]; who has threads cannot adopt.
    pub(crate) fn adopt(&self, id: &ContainerId) -> Result<()> {
        let reserved = match self.watch(id) {
            // Another command was faster, or it is gone.
            Err(Error::Running { .. } | Error::NoContainer { .. }) => return Ok(()),
            result => result?,
        };
        let (done, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(monitor_failed)?;
        match sys::clone::fork().map_err(monitor_failed)? {
            0 => {
                drop(done);
                let result = self.watch_again(reserved);
                drop(ours);
                sys::exec::exit_now(i32::from(result.is_err()))
            }
            pid => {
                drop((ours, reserved));
                // Closed when it is the loop, or has ended.
                files::read_all(&done, 1)?;
                // One that took the container down has ended; a monitor goes on without us.
                if let Some(pid) = Pid::from_raw(pid) {
                    rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG).ok();
                }
                Ok(())
            }
        }
    }

    /// In the new process: becomes the monitor, or takes the container down.
    fn watch_again(&self, reserved: Reserved) -> Result<()> {
        leave_the_session()?;
        let container = match runtime::Container::load(self.states(), reserved.id.as_str()) {
            // Also one that is being set up: its process finishes that alone.
            Ok(container) if container.saved().is_alive() => container,
            Ok(_) | Err(runtime::Error::NoContainer(_)) => {
                let mut life = Life::read(reserved.directory.as_fd()).unwrap_or_default();
                let code = if life.status == monitor::Status::Running { UNKNOWN } else { life.exit_code };
                (life.exit_code, life.finished) = (code, monitor::now());
                life.write(reserved.directory.as_fd())?;
                return finish_watched(self, reserved, code, 0).map(drop);
            }
            Err(error) => return Err(error.into()),
        };
        let saved = container.saved();
        let pid = Pid::from_raw(saved.pid).ok_or_else(|| monitor_failed(Errno::SRCH))?;
        let process = rustix::process::pidfd_open(pid, PidfdFlags::empty()).map_err(monitor_failed)?;
        if !saved.is_alive() {
            // Between the two looks. The next command takes it down.
            return Err(monitor_failed(Errno::SRCH));
        }
        let before = Life::read(reserved.directory.as_fd());
        let life = Life {
            status: monitor::Status::Running,
            pid: saved.pid,
            ..before.unwrap_or_else(|| Life { started: saved.created.clone(), ..Life::default() })
        };
        life.write(reserved.directory.as_fd())?;
        let streams = match self.streams_of(&reserved.id)? {
            Some(streams) => streams,
            // It was run in the foreground.
            None => self.make_streams(&reserved.id)?,
        };
        let record = self.record(&reserved.id)?.unwrap_or_default();
        let (memory, memory_around) = kill_counts(self, &reserved.id);
        let settings = Settings {
            id: reserved.id.to_string(),
            root: self.root().to_owned(),
            runroot: self.runroot().to_owned(),
            life,
            start_time: saved.start_time,
            pause: 0,
            stdin_once: false,
            timeout: record.timeout,
            health: record.health.as_ref().map(crate::health::schedule),
            log: log_settings(&record),
            lock: reserved.alive.into_fd(),
            process: Some(process),
            directory: reserved.directory,
            listener: control::serve(streams.as_fd()).map_err(monitor_failed)?,
            stdout: open(&streams, "stdout", OFlags::RDWR)?,
            stderr: open(&streams, "stderr", OFlags::RDWR)?,
            stdin: open(&streams, "stdin", OFlags::WRONLY)?,
            master: None,
            memory,
            memory_around,
            notify: None,
            notify_to: String::new(),
            client: None,
            streams,
        };
        let file = settings.hand_over().map_err(monitor_failed)?;
        Err(monitor_failed(become_loop(&file)))
    }
}

/// A fifo of the container's; none where it has none, or, of its input, where nobody inside reads any more.
fn open(streams: &OwnedFd, name: &str, flags: OFlags) -> Result<Option<OwnedFd>> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(streams, name, flags, Mode::empty()) {
        Ok(fifo) => Ok(Some(fifo)),
        Err(Errno::NOENT | Errno::NXIO) => Ok(None),
        Err(errno) => Err(monitor_failed(errno)),
    }
}
