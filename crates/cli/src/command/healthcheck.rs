//! `brig healthcheck run`.

use std::ffi::OsString;
use std::os::fd::AsFd;

use clap::Parser;
use container::health::{self, Act, Status};
use container::value::name::ContainerId;
use container::{Error, Site, Stop};

use crate::command::run::failure;
use crate::command::{self, sealed_for};
use crate::error::Failure;
use crate::global::Global;
use crate::note::Event;
use crate::{output, site};

/// The exit code of a container that does not work, podman's.
const UNHEALTHY: u8 = 1;

/// Check whether a container works, as its health check says, and keep the result
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig healthcheck run CONTAINER",
    after_help = "Ends with 0 where the check succeeded, with 1 where it did not, and with 125 where it could not be done.\n\nExample:\n  brig healthcheck run web && echo it works"
)]
struct Run {
    /// Of the container's monitor: print nothing, act as the container's settings say
    #[arg(long, hide = true)]
    scheduled: bool,
    /// Name, id or beginning of an id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Run = command::parse("brig healthcheck run", args)?;
    site::with(global, |site, _| {
        let id = site.containers.find(&flags.container).map_err(failure)?;
        sealed_for(site, &id)?;
        let before = status(site, &id);
        let checked = match health::check(site.containers, &id) {
            // It ended while it was checked.
            Err(Error::NotRunning { .. }) if flags.scheduled => return Ok(0),
            result => result.map_err(failure)?,
        };
        let after = checked.state.status;
        if before != Some(after) {
            Event::of(site.containers, &id).write(global, &[&format!("health_status: {}", after.name())]);
        }
        if flags.scheduled {
            let done = checked.verdict.act.map_or(Ok(()), |act| do_it(site, &id, act));
            let starting = if checked.verdict.is_starting { monitor::health::STARTING } else { 0 };
            return done.map(|()| starting).map_err(failure);
        }
        if checked.outcome.exit_code == 0 {
            return Ok(0);
        }
        // Podman's word, also where `retries` are not used up.
        output::print(&format!("{}\n", Status::Unhealthy.name()))?;
        Ok(UNHEALTHY)
    })
}

/// What the container's health was before; none where it was never checked.
fn status(site: &Site<'_>, id: &ContainerId) -> Option<Status> {
    let directory = site.containers.directory_of(id).ok()?;
    Some(health::HealthState::read(directory.as_fd()).ok()?.status)
}

/// What `--health-on-failure` asks for.
fn do_it(site: &Site<'_>, id: &ContainerId, act: Act) -> container::Result<()> {
    match act {
        Act::Kill => container::send(site.containers, id, rustix::process::Signal::KILL.as_raw()),
        Act::Stop => container::stop(site.containers, id, Stop::default()),
        Act::Restart => container::restart(site, id, Stop::default(), &|_| {}),
    }
}
