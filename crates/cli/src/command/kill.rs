//! `brig kill`.

use std::ffi::OsString;

use clap::Parser;

use crate::command;
use crate::command::chosen::{self, Chosen};
use crate::error::Failure;
use crate::global::Global;

/// Send a signal to containers
#[derive(Debug, Parser)]
#[command(override_usage = "brig kill [FLAGS] CONTAINER [CONTAINER...]\n       brig kill --all [FLAGS]")]
struct Kill {
    /// The signal
    #[arg(long, short = 's', value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    #[command(flatten)]
    chosen: Chosen,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Kill = command::parse("brig kill", args)?;
    let signal = command::signal(&flags.signal)?;
    flags.chosen.each(global, chosen::lives, |site, id| container::kill(site.containers, id, signal))
}
