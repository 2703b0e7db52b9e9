//! `brig kill`.

use std::ffi::OsString;

use clap::Parser;

use crate::command::{self, each};
use crate::error::Failure;
use crate::global::Global;

/// Send a signal to containers
#[derive(Debug, Parser)]
#[command(override_usage = "brig kill [FLAGS] CONTAINER [CONTAINER...]")]
struct Kill {
    /// The signal
    #[arg(long, short = 's', value_name = "SIGNAL", default_value = "KILL")]
    signal: String,
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Kill = command::parse("brig kill", args)?;
    let signal = command::signal(&flags.signal)?;
    each(global, &flags.containers, |site, id| container::kill(site.containers, id, signal))
}
