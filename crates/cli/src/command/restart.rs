//! `brig restart`.

use std::ffi::OsString;

use clap::Parser;

use crate::command;
use crate::command::stop::End;
use crate::error::Failure;
use crate::global::Global;

/// Stop containers and start them again
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig restart [FLAGS] CONTAINER [CONTAINER...]\n       brig restart --all [FLAGS]"
)]
struct Restart {
    #[command(flatten)]
    end: End,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let Restart { end } = command::parse("brig restart", args)?;
    let how = end.how()?;
    end.chosen.each(
        global,
        |_| true,
        |site, id| container::restart(site, id, how, &|text| global.log.warning(text)),
    )
}
