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
    /// Kill a container that runs
    #[arg(long, short = 'f')]
    force: bool,
    /// Also the volumes that nobody named and no other container has
    #[arg(long, short = 'v')]
    volumes: bool,
    #[command(flatten)]
    chosen: Chosen,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Rm = command::parse("brig rm", args)?;
    flags.chosen.each(
        global,
        |_| true,
        |site, id| match flags.volumes {
            true => site.containers.delete_with_volumes(id, flags.force),
            false => site.containers.delete(id, flags.force),
        },
    )
}
