//! The end of a detached container: what its monitor does after the loop.

use std::os::fd::{AsFd, OwnedFd};

use idmap::Span;
use idmap::allocate;
use monitor::Life;

use crate::containers::Reserved;
use crate::error::Result;
use crate::lsm::selinux;
use crate::run::{Site, claims};
use crate::value::name::ContainerId;
use runtime::lsm::selinux::is_on;

/// Takes a container down whose process ended, by the lock of its monitor. What could not be done comes back as text.
///
/// # Errors
/// Where the container is gone or another one watches it.
pub fn finish(site: &Site<'_>, id: &ContainerId, lock: OwnedFd, code: u8) -> Result<Vec<String>> {
    let reserved = site.containers.watch_on(id, lock)?;
    finish_watched(site, reserved, code)
}

pub(crate) fn finish_watched(site: &Site<'_>, reserved: Reserved, code: u8) -> Result<Vec<String>> {
    let id = reserved.id.clone();
    let mut warnings = Vec::new();
    let mut note = |result: Result<()>| {
        if let Err(error) = result {
            warnings.push(crate::start::chain(&error));
        }
    };
    let mut life = Life::read(reserved.directory.as_fd()).unwrap_or_default();
    match runtime::Container::load(site.containers.states(), id.as_str()) {
        Ok(container) => {
            let saved = container.saved();
            life.oom_killed |= saved.open_cgroup().ok().flatten().is_some_and(|cgroup| {
                cgroup.stats().is_ok_and(|stats| stats.memory.is_some_and(|memory| memory.oom_kills > 0))
            });
            let mappings = saved.spec.linux.as_ref().map_or(&[][..], |linux| &linux.uid_mappings);
            let span = mappings.first().map(|range| Span { start: range.host_id, count: range.size });
            note(container.delete(true).map(drop).map_err(Into::into));
            if let Some(span) = span.filter(|_| rustix::process::geteuid().is_root()) {
                let released =
                    |directory: OwnedFd| Ok(allocate::release(directory.as_fd(), span, id.as_str())?);
                note(claims(site).and_then(released));
            }
        }
        Err(runtime::Error::NoContainer(_)) => {}
        Err(error) => note(Err(error.into())),
    }
    if is_on() {
        let released = |directory| selinux::release_all(&directory, id.as_str());
        note(site.containers.runtime_directory("mcs").and_then(released));
    }
    reserved.tell_exit_code(code);
    let remove = site.containers.record(&id)?.is_none_or(|record| record.remove);
    if remove {
        note(site.containers.remove(reserved));
    } else {
        life.pid = 0;
        note(life.write(reserved.directory.as_fd()).map_err(Into::into));
        note(site.containers.clear_runtime(&id));
        note(site.containers.leave(reserved));
    }
    Ok(warnings)
}
