//! Waiting until a container is as somebody wants it.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::health::{self, HealthState};
use crate::state::{State, Status};
use crate::value::name::ContainerId;

/// How often a container is looked at where nothing was noticed, in seconds: a freezer makes no notice, nor does an end
/// that nobody wrote down.
const LOOK: i64 = 1;

/// How a container may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Made, and not started yet.
    Created,
    /// Its process lives.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It is ended and not started again.
    Exited,
    /// It is not there any more.
    Removed,
    /// Its checks say that it works.
    Healthy,
    /// Its checks say that it does not.
    Unhealthy,
}

impl Condition {
    /// Podman's words, and those of docker's interface.
    ///
    /// # Errors
    /// [`Error::Value`].
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "configured" | "created" | "initialized" => Self::Created,
            "running" => Self::Running,
            "paused" => Self::Paused,
            "stopped" | "exited" | "stopping" | "not-running" | "next-exit" => Self::Exited,
            "removing" | "removed" => Self::Removed,
            "healthy" => Self::Healthy,
            "unhealthy" => Self::Unhealthy,
            other => {
                let reason = "use created, running, paused, exited, removed, healthy or unhealthy";
                return Err(Error::value("--condition", other.escape_debug().to_string(), reason));
            }
        })
    }

    fn is_met(self, state: &State, health: Option<health::Status>) -> bool {
        let status = state.status;
        match self {
            Self::Created => status == Status::Created,
            Self::Running => status == Status::Running,
            Self::Paused => status == Status::Paused,
            Self::Exited => matches!(status, Status::Exited | Status::Dead),
            Self::Removed => false,
            Self::Healthy => status.is_running() && health == Some(health::Status::Healthy),
            Self::Unhealthy => status.is_running() && health == Some(health::Status::Unhealthy),
        }
    }
}

/// Waits until a container meets one of some conditions; its exit code where that is its end.
///
/// # Errors
/// [`Error::NoContainer`] where it goes away and that was not waited for; [`Error::NoHealthcheck`] where it has no check
/// that could say so; [`Error::NotRunning`] where it ended, and only a running one could be so.
pub fn reach(containers: &Containers<'_>, id: &ContainerId, wanted: &[Condition]) -> Result<Option<u8>> {
    let of_health = |condition: &Condition| matches!(condition, Condition::Healthy | Condition::Unhealthy);
    let no_container = || Error::NoContainer { name: id.short().to_owned() };
    let record = containers.record(id)?.ok_or_else(no_container)?;
    if wanted.iter().all(of_health) && record.health.is_none() {
        return Err(Error::NoHealthcheck { id: id.short().to_owned() });
    }
    let directory = containers.directory_of(id)?;
    let fail = |source| Error::System { action: "watch", path: id.as_str().into(), source };
    let notifier = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(fail)?;
    let watched = WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::DELETE_SELF;
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&directory));
    inotify::add_watch(&notifier, &path, watched).map_err(fail)?;
    loop {
        let state = match containers.state(id) {
            Err(Error::NoContainer { .. }) if wanted.contains(&Condition::Removed) => return Ok(None),
            result => result?,
        };
        let health = HealthState::read(directory.as_fd())?.status;
        let health = record.health.is_some().then_some(health);
        if let Some(met) = wanted.iter().find(|condition| condition.is_met(&state, health)) {
            return Ok((*met == Condition::Exited).then_some(state.exit_code));
        }
        if Condition::Exited.is_met(&state, None) && wanted.iter().all(of_health) {
            return Err(Error::NotRunning { id: id.short().to_owned() });
        }
        let mut ready = [PollFd::new(&notifier, PollFlags::IN)];
        match poll(&mut ready, Some(&Timespec { tv_sec: LOOK, tv_nsec: 0 })) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(fail(errno)),
        }
        let mut notices = [0; 4096];
        while rustix::io::read(&notifier, &mut notices).is_ok_and(|length| length > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_have_names() {
        for (text, expected) in [
            ("healthy", Some(Condition::Healthy)),
            ("stopped", Some(Condition::Exited)),
            ("next-exit", Some(Condition::Exited)),
            ("removing", Some(Condition::Removed)),
            ("", None),
            ("Healthy", None),
        ] {
            assert_eq!(Condition::parse(text).ok(), expected, "{text}");
        }
    }
}
