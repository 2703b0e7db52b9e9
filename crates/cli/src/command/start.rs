//! `brig start`.

use std::ffi::OsString;

use clap::Parser;

use crate::command::{self, each};
use crate::error::Failure;
use crate::global::Global;

/// Start containers that are created or ended
#[derive(Debug, Parser)]
#[command(override_usage = "brig start [FLAGS] CONTAINER [CONTAINER...]")]
struct Start {
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Start = command::parse("brig start", args)?;
    each(global, &flags.containers, |site, id| {
        match container::start(site, id, None, &|text| global.log.warning(text)) {
            // As docker: what was asked for is so.
            Err(container::Error::Running { .. }) => Ok(()),
            result => result,
        }
    })
}
