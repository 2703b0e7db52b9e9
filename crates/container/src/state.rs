//! What a container does now: what its watcher wrote down, checked against the lock, the process and the freezer.

use std::os::fd::{AsFd, BorrowedFd};

use monitor::Life;
use rustix::fs::AtFlags;

use crate::containers::{Containers, record_in};
use crate::error::{Error, Result};
use crate::record::Record;
use crate::value::name::ContainerId;

/// File in the directory of streams that says: look at the freezer.
pub(crate) const PAUSED: &str = "paused";
/// The exit code of a container whose end nobody saw.
pub(crate) const UNKNOWN: u8 = 255;

/// What a container does, by docker's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Made, and not started yet.
    Created,
    /// Its first process lives.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It ended, and is started again in a moment.
    Restarting,
    /// It ended.
    Exited,
    /// It ended, and could not be taken down in full.
    Dead,
}

impl Status {
    /// Docker's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether its first process lives.
    #[must_use]
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A container's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What it does.
    pub status: Status,
    /// Its first process as the host sees it; 0 where none lives.
    pub pid: i32,
    /// Its exit code, or 128 and the signal that ended it; 255 where nobody saw its end.
    pub exit_code: u8,
    /// When it was started last, RFC 3339; empty if never.
    pub started: String,
    /// When it ended last, RFC 3339; empty if never.
    pub finished: String,
    /// Whether the kernel killed a process of it for want of memory.
    pub oom_killed: bool,
    /// Why it could not be started.
    pub error: String,
    /// How often its policy started it again.
    pub restart_count: u32,
    /// Whether a person ended it.
    pub stopped_by_user: bool,
    /// Whether it ended while nobody watched it, and was not taken down.
    pub(crate) left_over: bool,
    /// Whether somebody watches it. One that runs unwatched gets a monitor by the next command that looks.
    pub watched: bool,
}

/// A container as lists show it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Its id.
    pub id: ContainerId,
    /// What is kept of it.
    pub record: Record,
    /// What it does.
    pub state: State,
}

impl State {
    /// What its watcher wrote down.
    fn of(life: Life, watched: bool) -> Self {
        Self {
            status: match life.status {
                monitor::Status::Created => Status::Created,
                monitor::Status::Running => Status::Running,
                monitor::Status::Restarting => Status::Restarting,
                monitor::Status::Exited => Status::Exited,
                monitor::Status::Dead => Status::Dead,
            },
            pid: life.pid,
            exit_code: life.exit_code,
            started: life.started,
            finished: life.finished,
            oom_killed: life.oom_killed,
            error: life.error,
            restart_count: life.restart_count,
            stopped_by_user: life.stopped_by_user,
            watched,
            left_over: false,
        }
    }
}

/// The state of a container that neither a watcher nor the runtime knows, where that is what was written of it.
fn at_rest(directory: BorrowedFd<'_>) -> Option<State> {
    let state = State::of(Life::read(directory)?, false);
    matches!(state.status, Status::Created | Status::Exited).then_some(state)
}

impl Containers<'_> {
    /// All containers, in no order. One that is half made, goes away meanwhile, or whose record is damaged is left out.
    ///
    /// # Errors
    /// [`Error::System`] where the directory of containers cannot be read.
    pub fn list(&self) -> Result<Vec<Summary>> {
        // Looked at before any of the containers: of one that starts meanwhile the life says more than `created`.
        let active = self.active()?;
        let summary = |id: ContainerId| {
            let directory = self.directory_of(&id).ok()?;
            let record = record_in(&directory, &id).ok()??;
            let at_rest = if active.contains(id.as_str()) { None } else { at_rest(directory.as_fd()) };
            let state = match at_rest {
                Some(state) => state,
                None => self.state_in(directory.as_fd(), &id).ok()?,
            };
            Some(Summary { id, record, state })
        };
        Ok(self.ids()?.into_iter().filter_map(summary).collect())
    }

    /// What a container does now.
    ///
    /// # Errors
    /// [`Error::NoContainer`], [`Error::System`], [`Error::Files`].
    pub fn state(&self, id: &ContainerId) -> Result<State> {
        self.state_in(self.directory_of(id)?.as_fd(), id)
    }

    fn state_in(&self, directory: BorrowedFd<'_>, id: &ContainerId) -> Result<State> {
        let state = self.look(directory, id)?;
        let is_left_alone = !state.watched && (state.status.is_running() || state.left_over);
        // Without a monitor it goes on all the same: what cannot be adopted now is by the next command.
        if is_left_alone && self.adopt(id).is_ok() {
            // With `--rm` its directory may be another one by now, or none.
            return self.look(self.directory_of(id)?.as_fd(), id);
        }
        Ok(state)
    }

    fn look(&self, directory: BorrowedFd<'_>, id: &ContainerId) -> Result<State> {
        let watched = self.is_watched(id)?;
        let life = Life::read(directory);
        let known = life.is_some();
        let mut state = State::of(life.unwrap_or_default(), watched);
        // A foreground `run --rm` writes nothing down, and a monitor that was killed wrote nothing more.
        let written_by_its_watcher = known && watched && state.status != Status::Created;
        if !written_by_its_watcher && (watched || state.status != Status::Exited) {
            self.ask_the_process(id, &mut state)?;
        }
        if state.status == Status::Running && self.is_paused(id)? {
            state.status = Status::Paused;
        }
        Ok(state)
    }

    /// What the runtime's record and the process itself say.
    fn ask_the_process(&self, id: &ContainerId, state: &mut State) -> Result<()> {
        let alive = match runtime::Container::load(self.states(), id.as_str()) {
            Ok(container) => {
                let saved = container.saved();
                let alive = saved.is_alive();
                if alive {
                    state.pid = saved.pid;
                    state.started.clone_from(&saved.created);
                }
                alive
            }
            Err(runtime::Error::NoContainer(_)) => false,
            Err(error) => return Err(error.into()),
        };
        if alive {
            state.status = Status::Running;
        } else if !state.watched && matches!(state.status, Status::Running | Status::Restarting) {
            // Its watcher died, and then it did.
            if state.status == Status::Running {
                state.exit_code = UNKNOWN;
            }
            state.status = Status::Exited;
            state.left_over = true;
        }
        if !alive {
            state.pid = 0;
        }
        Ok(())
    }

    /// Whether a container is frozen. The mark only says that it is worth to ask the freezer.
    fn is_paused(&self, id: &ContainerId) -> Result<bool> {
        let Some(streams) = self.streams_of(id)? else { return Ok(false) };
        if rustix::fs::statat(&streams, PAUSED, AtFlags::SYMLINK_NOFOLLOW).is_err() {
            return Ok(false);
        }
        match runtime::Container::load(self.states(), id.as_str()) {
            Ok(container) => Ok(container.status() == oci::runtime::Status::Paused),
            Err(runtime::Error::NoContainer(_)) => Ok(false),
            Err(error) => Err(Error::from(error)),
        }
    }
}
