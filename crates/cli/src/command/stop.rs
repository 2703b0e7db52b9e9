//! `brig stop`.

use std::ffi::OsString;

use clap::Parser;

use crate::command;
use crate::command::chosen::{self, Chosen};
use crate::error::Failure;
use crate::global::Global;

/// Stop containers: ask them to end, and kill them where they do not
#[derive(Debug, Parser)]
#[command(override_usage = "brig stop [FLAGS] CONTAINER [CONTAINER...]\n       brig stop --all [FLAGS]")]
struct Stop {
    #[command(flatten)]
    end: End,
}

/// How containers are ended, and which.
#[derive(Debug, clap::Args)]
pub(super) struct End {
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
    #[command(flatten)]
    pub(super) chosen: Chosen,
}

impl End {
    pub(super) fn how(&self) -> Result<container::Stop, Failure> {
        let signal = self.signal.as_deref().map(command::signal).transpose()?;
        Ok(container::Stop { signal, timeout: self.time })
    }
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let Stop { end } = command::parse("brig stop", args)?;
    let how = end.how()?;
    end.chosen.each(global, chosen::lives, |site, id| container::stop(site.containers, id, how))
}
