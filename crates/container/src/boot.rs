//! Which containers are started when the machine was.

use monitor::restart::Policy;
use oci::Moment;
use rustix::time::{ClockId, clock_gettime};

use crate::containers::Containers;
use crate::error::Result;
use crate::state::{State, Status};
use crate::value::name::ContainerId;

/// The containers that should run and do not, as docker's daemon decides when it starts.
///
/// To look at a container whose watcher died is to adopt it: one that ran when the machine went down is by its restart
/// policy on its way already when this returns, and not among them.
///
/// # Errors
/// [`crate::Error::System`] where the directory of containers cannot be read.
pub fn due(containers: &Containers<'_>) -> Result<Vec<ContainerId>> {
    let booted = booted();
    let mut due = Vec::new();
    for summary in containers.list()? {
        let Ok(policy) = summary.record.restart.policy() else { continue };
        if is_due(policy, &summary.state, booted) {
            due.push(summary.id);
        }
    }
    Ok(due)
}

fn is_due(policy: Policy, state: &State, booted: Moment) -> bool {
    match state.status {
        // One that nobody ever started waits for that.
        Status::Created | Status::Running | Status::Paused | Status::Restarting => return false,
        Status::Exited | Status::Dead => {}
    }
    // `always` forgets at boot that somebody stopped it; asked a second time it must not forget what he did since.
    let before_boot = Moment::parse(&state.finished).is_none_or(|finished| finished < booted);
    policy.starts_at_boot(state.stopped_by_user) && (!state.stopped_by_user || before_boot)
}

/// When the machine was started.
fn booted() -> Moment {
    let (now, up) = (clock_gettime(ClockId::Realtime), clock_gettime(ClockId::Boottime));
    Moment { seconds: now.tv_sec - up.tv_sec, nanoseconds: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_due() {
        let booted = Moment { seconds: 951_782_400, nanoseconds: 0 };
        let (before, since) = ("2000-02-28T23:59:59Z", "2000-02-29T00:00:01Z");
        for (policy, status, stopped_by_user, finished, expected) in [
            (Policy::Always, Status::Exited, false, before, true),
            (Policy::Always, Status::Exited, true, before, true),
            (Policy::Always, Status::Exited, true, since, false),
            (Policy::Always, Status::Exited, false, since, true),
            (Policy::UnlessStopped, Status::Exited, false, before, true),
            (Policy::UnlessStopped, Status::Exited, true, before, false),
            (Policy::No, Status::Exited, false, before, false),
            (Policy::OnFailure { maximum: 0 }, Status::Exited, false, before, false),
            (Policy::Always, Status::Running, false, before, false),
            (Policy::Always, Status::Restarting, false, before, false),
            (Policy::Always, Status::Created, false, "", false),
            (Policy::Always, Status::Dead, false, before, true),
        ] {
            let state = State {
                status,
                pid: 0,
                exit_code: 0,
                started: String::new(),
                finished: finished.to_owned(),
                oom_killed: false,
                error: String::new(),
                restart_count: 0,
                stopped_by_user,
                watched: false,
                left_over: false,
            };
            assert_eq!(is_due(policy, &state, booted), expected, "{policy:?} {status:?} {finished}");
        }
    }

    #[test]
    fn the_machine_was_started_before_now() {
        assert!(booted() <= Moment::now() && booted().seconds > 0);
    }
}
