//! `brig wait`.

use std::ffi::OsString;

use clap::Parser;
use container::{Condition, LATEST};

use crate::command::run::failure;
use crate::command::{self, each_printing};
use crate::error::Failure;
use crate::global::Global;

/// Wait until containers end and print their exit codes
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig wait [FLAGS] CONTAINER [CONTAINER...]",
    after_help = "With a condition that is no end, -1 is printed.\n\nExample:\n  brig wait --condition healthy db && brig run -d --network container:db app"
)]
struct Wait {
    /// Until it is created, running, paused, exited, removed, healthy or unhealthy; of several, until it is one
    #[arg(long, value_name = "CONDITION")]
    condition: Vec<String>,
    /// Accepted for podman's sake: no interval is needed
    #[arg(long, short = 'i', value_name = "TIME", hide = true)]
    interval: Option<String>,
    /// The one that was made last
    #[arg(long, short = 'l', conflicts_with = "containers")]
    latest: bool,
    /// Names, ids or beginnings of ids
    #[arg(required_unless_present = "latest", value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let mut flags: Wait = command::parse("brig wait", args)?;
    if flags.latest {
        flags.containers.push(LATEST.to_owned());
    }
    let wanted =
        flags.condition.iter().map(|text| Condition::parse(text)).collect::<container::Result<Vec<_>>>();
    let wanted = wanted.map_err(failure)?;
    each_printing(global, &flags.containers, |site, id, _| {
        if wanted.is_empty() {
            let code = container::wait(site.containers, id)?.end(site.containers)?;
            return Ok(Some(code.to_string()));
        }
        let code = container::reach(site.containers, id, &wanted)?;
        Ok(Some(code.map_or_else(|| "-1".to_owned(), |code| code.to_string())))
    })
}
