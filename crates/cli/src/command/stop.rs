//! `brig stop`.

use std::ffi::OsString;

use clap::Parser;

use crate::command::{self, each};
use crate::error::Failure;
use crate::global::Global;

/// Stop containers: ask them to end, and kill them where they do not
#[derive(Debug, Parser)]
#[command(override_usage = "brig stop [FLAGS] CONTAINER [CONTAINER...]")]
struct Stop {
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
    let flags: Stop = command::parse("brig stop", args)?;
    let signal = flags.signal.as_deref().map(command::signal).transpose()?;
    let how = container::Stop { signal, timeout: flags.time };
    each(global, &flags.containers, |site, id| container::stop(site.containers, id, how))
}
