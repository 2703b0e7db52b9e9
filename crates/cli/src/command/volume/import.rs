//! `brig volume import`.

use std::ffi::OsString;
use std::fs::File;
use std::io;

use clap::Parser;

use super::{failure, name, open};
use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::progress::{self, Progress};

/// Put the files of a tar archive into a volume
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig volume import VOLUME [FILE|-]",
    after_help = "Examples:
  brig volume create data && brig volume import data data.tar
  gzip -dc data.tar.gz | brig volume import data -"
)]
struct Import {
    /// Its name
    #[arg(value_name = "VOLUME")]
    name: String,
    /// The archive (plain, gzip or zstd), or `-` for standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: OsString,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Import = command::parse("brig volume import", args)?;
    command::warn_of_confinement(global);
    let progress = Progress::start(global, false, &format!("volume import {}", flags.name));
    let volumes = open(global)?;
    let held = volumes.hold(&name(&flags.name)?).map_err(failure)?;
    if flags.file == "-" {
        progress.begin("unpacking", None);
        held.import(&volumes, progress.metered(io::stdin().lock())).map_err(failure)?;
    } else {
        let file = File::open(&flags.file)
            .map_err(|error| Failure::user(format!("open `{}`: {error}", flags.file.display())))?;
        progress.begin("unpacking", progress::size(&file));
        held.import(&volumes, progress.metered(file)).map_err(failure)?;
    }
    Ok(0)
}
