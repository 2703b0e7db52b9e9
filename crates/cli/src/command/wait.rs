//! `brig wait`.

use std::ffi::OsString;

use clap::Parser;

use crate::command::{self, each_printing};
use crate::error::Failure;
use crate::global::Global;

/// Wait until containers end and print their exit codes
#[derive(Debug, Parser)]
#[command(override_usage = "brig wait [FLAGS] CONTAINER [CONTAINER...]")]
struct Wait {
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Wait = command::parse("brig wait", args)?;
    each_printing(global, &flags.containers, |site, id, _| {
        let code = container::wait(site.containers, id)?.end(site.containers)?;
        Ok(Some(code.to_string()))
    })
}
