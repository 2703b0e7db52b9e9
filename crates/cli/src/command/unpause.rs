//! `brig unpause`.

use std::ffi::OsString;

use clap::Parser;
use container::LifeStatus as Status;

use crate::command;
use crate::command::chosen::Chosen;
use crate::error::Failure;
use crate::global::Global;

/// Let frozen containers go on
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig unpause [FLAGS] CONTAINER [CONTAINER...]\n       brig unpause --all [FLAGS]"
)]
struct Unpause {
    #[command(flatten)]
    chosen: Chosen,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Unpause = command::parse("brig unpause", args)?;
    flags.chosen.each(
        global,
        |status| status == Status::Paused,
        |site, id| container::unpause(site.containers, id),
    )
}
