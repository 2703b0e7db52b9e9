//! `brig pause`.

use std::ffi::OsString;

use clap::Parser;
use container::LifeStatus as Status;

use crate::command;
use crate::command::chosen::Chosen;
use crate::error::Failure;
use crate::global::Global;

/// Freeze the processes of containers
#[derive(Debug, Parser)]
#[command(override_usage = "brig pause [FLAGS] CONTAINER [CONTAINER...]\n       brig pause --all [FLAGS]")]
struct Pause {
    #[command(flatten)]
    chosen: Chosen,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Pause = command::parse("brig pause", args)?;
    flags.chosen.each(
        global,
        |status| status == Status::Running,
        |site, id| container::pause(site.containers, id),
    )
}
