//! `brig pause`.

use std::ffi::OsString;

use clap::Parser;

use crate::command::{self, each};
use crate::error::Failure;
use crate::global::Global;

/// Freeze the processes of containers
#[derive(Debug, Parser)]
#[command(override_usage = "brig pause CONTAINER [CONTAINER...]")]
struct Pause {
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Pause = command::parse("brig pause", args)?;
    each(global, &flags.containers, |site, id| container::pause(site.containers, id))
}
