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
    // Podman's word for it.
    let word = |word: OsString| if word == "--running" { "--filter=status=running".into() } else { word };
    let Restart { end } = command::parse("brig restart", args.into_iter().map(word).collect())?;
    let how = end.how()?;
    end.chosen.each(
        global,
        |_| true,
        |site, id| container::restart(site, id, how, &|text| global.log.warning(text)),
    )
}
