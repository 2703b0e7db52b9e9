//! The end of a detached container: what its monitor does after the loop.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use idmap::Span;
use idmap::allocate;
use monitor::restart;
use monitor::{Life, Settings, control};
use oci::Moment;
use runtime::lsm::selinux::is_on;

use crate::containers::{Containers, Reserved};
use crate::error::{Error, Result};
use crate::lsm::selinux;
use crate::record::Record;
use crate::start::{become_loop, monitor_failed};
use crate::stop;
use crate::value::name::ContainerId;

/// Takes a container down whose process ended, by the lock of its monitor: afterwards it is exited or gone, or this process
/// is the loop that starts it again in a moment.
///
/// `pause` is how long the last such moment was, in milliseconds. What could not be done comes back as text.
///
/// # Errors
/// Where the container is gone or another one watches it.
pub fn finish(
    containers: &Containers<'_>,
    id: &ContainerId,
    lock: OwnedFd,
    code: u8,
    pause: u32,
) -> Result<Vec<String>> {
    finish_watched(containers, containers.watch_on(id, lock)?, code, pause)
}

pub(crate) fn finish_watched(
    containers: &Containers<'_>,
    reserved: Reserved,
    code: u8,
    pause: u32,
) -> Result<Vec<String>> {
    let id = reserved.id.clone();
    let mut warnings = Vec::new();
    let mut note = |result: Result<()>| {
        if let Err(error) = result {
            warnings.push(files::chain(&error));
        }
    };
    let mut life = Life::read(reserved.directory.as_fd()).unwrap_or_default();
    note(take_down(containers, &id, &mut life));
    note(containers.remove_overlays(&id));
    life.stopped_by_user |= stop::is_stopping(reserved.directory.as_fd());
    let record = containers.record(&id)?;
    let wait = record.as_ref().and_then(|record| wait_for_restart(record, &life, code, pause));
    life.pid = 0;
    if let Some(wait) = wait {
        life.status = monitor::Status::Restarting;
        life.restart_count += 1;
        note(life.write(reserved.directory.as_fd()).map_err(Into::into));
        return Err(rest(containers, reserved, life, wait));
    }
    reserved.tell_exit_code(code);
    if record.is_none_or(|record| record.remove) {
        note(containers.remove(reserved));
    } else {
        life.status = monitor::Status::Exited;
        note(life.write(reserved.directory.as_fd()).map_err(Into::into));
        note(containers.clear_runtime(&id));
        note(containers.leave(reserved));
    }
    Ok(warnings)
}

/// Removes what the container held of the machine: cgroup, state, ids, categories.
fn take_down(containers: &Containers<'_>, id: &ContainerId, life: &mut Life) -> Result<()> {
    let mut done = containers.disconnect(id);
    match runtime::Container::load(containers.states(), id.as_str()) {
        Ok(container) => {
            let saved = container.saved();
            life.oom_killed |= saved.open_cgroup().ok().flatten().is_some_and(|cgroup| {
                cgroup.stats().is_ok_and(|stats| stats.memory.is_some_and(|memory| memory.oom_kills > 0))
            });
            done = containers.delete_process(id, container);
        }
        Err(runtime::Error::NoContainer(_)) => {}
        Err(error) => done = Err(error.into()),
    }
    if is_on() {
        let released = |directory| selinux::release_all(&directory, id.as_str());
        done = done.and(containers.runtime_directory("mcs").and_then(released));
    }
    done
}

impl Containers<'_> {
    /// Removes what the runtime has of a container, and gives its ids back.
    pub(crate) fn delete_process(&self, id: &ContainerId, container: runtime::Container<'_>) -> Result<()> {
        let linux = container.saved().spec.linux.as_ref();
        let mappings = linux.map_or(&[][..], |linux| &linux.uid_mappings);
        let span = mappings.first().map(|range| Span { start: range.host_id, count: range.size });
        let deleted = container.delete(true).map(drop).map_err(Error::from);
        let Some(span) = span.filter(|_| rustix::process::geteuid().is_root()) else { return deleted };
        let released = self
            .runtime_directory("ids")
            .and_then(|directory| Ok(allocate::release(directory.as_fd(), span, id.as_str())?));
        deleted.and(released)
    }
}

/// How long to wait until the container's restart policy starts it again, if it does.
fn wait_for_restart(record: &Record, life: &Life, code: u8, pause: u32) -> Option<Duration> {
    let policy = record.restart.policy().ok()?;
    let ran_for = Moment::parse(&life.started).map_or(Duration::ZERO, |started| {
        let seconds = Moment::now().seconds.saturating_sub(started.seconds);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    });
    let end = restart::End {
        code: i32::from(code),
        stopped: life.stopped_by_user,
        ran_for,
        restarts: life.restart_count,
        waited: Duration::from_millis(u64::from(pause)),
    };
    restart::wait(policy, &end)
}

/// Becomes the loop that waits until the next start; returns only on failure.
fn rest(containers: &Containers<'_>, reserved: Reserved, life: Life, wait: Duration) -> crate::Error {
    let settings = (|| {
        let streams = containers.make_streams(&reserved.id)?;
        let listener = control::serve(streams.as_fd()).map_err(monitor_failed)?;
        let settings = Settings {
            id: reserved.id.to_string(),
            root: containers.root().to_owned(),
            runroot: containers.runroot().to_owned(),
            life,
            start_time: 0,
            pause: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
            stdin_once: false,
            timeout: None,
            health: None,
            log: monitor::log::Settings::default(),
            lock: reserved.alive.into_fd(),
            process: None,
            directory: reserved.directory,
            streams,
            listener,
            stdout: None,
            stderr: None,
            stdin: None,
            master: None,
            memory: None,
            memory_around: None,
            notify: None,
            notify_to: String::new(),
            client: None,
        };
        settings.hand_over().map(|file| (file, settings)).map_err(monitor_failed)
    })();
    match settings {
        // The settings hold the descriptors.
        Ok((file, _settings)) => monitor_failed(become_loop(&file)),
        Err(error) => error,
    }
}
