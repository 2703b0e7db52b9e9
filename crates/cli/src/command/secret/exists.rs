//! `brig secret exists`.

use std::ffi::OsString;

use clap::Parser;

use super::{failure, open};
use crate::command;
use crate::error::{FAILED, Failure};
use crate::global::Global;

/// Exit with 0 where there is such a secret, else with 1
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig secret exists SECRET",
    after_help = "Example:
  brig secret exists password || brig secret create password -"
)]
struct Exists {
    /// Its name or id
    #[arg(value_name = "SECRET")]
    name: String,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Exists = command::parse("brig secret exists", args)?;
    match open(global)?.find(&flags.name) {
        Ok(_) => Ok(0),
        Err(error) if error.is_missing() => Ok(FAILED),
        Err(error) => Err(failure(error)),
    }
}
