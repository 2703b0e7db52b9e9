//! `brig volume exists`.

use std::ffi::OsString;

use clap::Parser;

use super::{failure, name, open};
use crate::command;
use crate::error::{FAILED, Failure};
use crate::global::Global;

/// Exit with 0 where there is such a volume, else with 1
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig volume exists VOLUME",
    after_help = "Example:
  brig volume exists data || brig volume create data"
)]
struct Exists {
    /// Its name
    #[arg(value_name = "VOLUME")]
    name: String,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Exists = command::parse("brig volume exists", args)?;
    match open(global)?.meta(&name(&flags.name)?) {
        Ok(_) => Ok(0),
        Err(error) if error.is_missing() => Ok(FAILED),
        Err(error) => Err(failure(error)),
    }
}
