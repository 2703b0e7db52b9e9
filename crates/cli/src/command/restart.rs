//! `brig restart`.

use std::ffi::OsString;

use clap::Parser;

use crate::command::{self, each};
use crate::error::Failure;
use crate::global::Global;

/// Stop containers and start them again
#[derive(Debug, Parser)]
#[command(override_usage = "brig restart [FLAGS] CONTAINER [CONTAINER...]")]
struct Restart {
    /// Seconds until it is killed, -1 for never
    #[arg(
        long,
        short = 't',
        visible_alias = "timeout",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    time: Option<i32>,
    /// The signal that asks
    #[arg(long, short = 's', value_name = "SIGNAL")]
    signal: Option<String>,
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Restart = command::parse("brig restart", args)?;
    let signal = flags.signal.as_deref().map(command::signal).transpose()?;
    let how = container::Stop { signal, timeout: flags.time };
    each(global, &flags.containers, |site, id| {
        container::restart(site, id, how, &|text| global.log.warning(text))
    })
}
