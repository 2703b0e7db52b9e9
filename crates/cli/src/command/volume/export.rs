//! `brig volume export`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal};

use clap::Parser;

use super::{failure, name, open};
use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::progress::Progress;

/// Write the files of a volume as a tar archive
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig volume export [FLAGS] VOLUME",
    after_help = "Examples:
  brig volume export -o data.tar data
  brig volume export data | gzip > data.tar.gz"
)]
struct Export {
    /// Write to a file instead of standard output
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<OsString>,
    /// Its name
    #[arg(value_name = "VOLUME")]
    name: String,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Export = command::parse("brig volume export", args)?;
    if flags.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::user("an archive is not for a terminal").hint("name a file with `-o FILE`"));
    }
    command::warn_of_confinement(global);
    let progress = Progress::start(global, false, &format!("volume export {}", flags.name));
    let volumes = open(global)?;
    let held = volumes.hold(&name(&flags.name)?).map_err(failure)?;
    progress.begin("writing", None);
    match flags.output.filter(|path| path != "-") {
        Some(path) => {
            let file = File::create(&path)
                .map_err(|error| Failure::user(format!("make `{}`: {error}", path.display())))?;
            held.export(&volumes, progress.metered(file)).map_err(failure)?;
        }
        None => held.export(&volumes, progress.metered(io::stdout().lock())).map_err(failure)?,
    }
    Ok(0)
}
