//! `brig secret rm`.

use std::ffi::OsString;

use clap::Parser;

use super::{failure, open};
use crate::command;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::output;

/// Remove secrets
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig secret rm [FLAGS] SECRET [SECRET...]",
    after_help = "Example:
  brig secret rm password"
)]
struct Rm {
    /// All of them
    #[arg(long, short = 'a')]
    all: bool,
    /// Succeed where there is no such secret
    #[arg(long, short = 'i')]
    ignore: bool,
    /// Names or ids
    #[arg(value_name = "SECRET", required_unless_present = "all")]
    names: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Rm = command::parse("brig secret rm", args)?;
    let secrets = open(global)?;
    let mut names = flags.names;
    if flags.all {
        names.extend(secrets.list().map_err(failure)?.into_iter().map(|meta| meta.name));
    }
    let mut code = 0;
    for name in names {
        match secrets.remove(&name) {
            Ok(meta) => output::print(&format!("{}\n", meta.id))?,
            Err(error) if flags.ignore && error.is_missing() => {}
            // As docker: the others are removed all the same.
            Err(error) => {
                global.log.failure(&failure(error));
                code = FAILED;
            }
        }
    }
    Ok(code)
}
