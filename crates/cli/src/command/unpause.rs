//! `brig unpause`.

use std::ffi::OsString;

use clap::Parser;

use crate::command::{self, each};
use crate::error::Failure;
use crate::global::Global;

/// Let frozen containers go on
#[derive(Debug, Parser)]
#[command(override_usage = "brig unpause CONTAINER [CONTAINER...]")]
struct Unpause {
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Unpause = command::parse("brig unpause", args)?;
    each(global, &flags.containers, |site, id| container::unpause(site.containers, id))
}
