//! `brig rm`.

use std::ffi::OsString;

use clap::Parser;

use crate::command;
use crate::command::chosen::Chosen;
use crate::error::Failure;
use crate::global::Global;

/// Remove containers
#[derive(Debug, Parser)]
#[command(override_usage = "brig rm [FLAGS] CONTAINER [CONTAINER...]\n       brig rm --all [FLAGS]")]
struct Rm {
    /// Kill a container that runs; one that is not there is no error
    #[arg(long, short = 'f')]
    force: bool,
    /// Seconds that one that runs is given to end by itself, -1 for ever; with --force
    #[arg(long, short = 't', value_name = "SECONDS", allow_negative_numbers = true, requires = "force")]
    time: Option<i32>,
    /// Also the volumes that nobody named and no other container has
    #[arg(long, short = 'v')]
    volumes: bool,
    #[command(flatten)]
    chosen: Chosen,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let mut flags: Rm = command::parse("brig rm", args)?;
    flags.chosen.forgiving = flags.force;
    flags.chosen.each(
        global,
        |_| true,
        |site, id| {
            if flags.time.is_some() {
                container::stop(site.containers, id, container::Stop { signal: None, timeout: flags.time })?;
            }
            match flags.volumes {
                true => site.containers.delete_with_volumes(id, flags.force),
                false => site.containers.delete(id, flags.force),
            }
        },
    )
}
