//! `brig volume inspect`.

use std::ffi::OsString;

use clap::Parser;

use super::{describe, failure, name, open};
use crate::command;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::{format, output};

/// Print everything about volumes as JSON
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig volume inspect [FLAGS] VOLUME [VOLUME...]",
    after_help = "Examples:
  brig volume inspect data
  brig volume inspect --format '{{.Mountpoint}}' data"
)]
struct Inspect {
    /// `json` or a Go template
    #[arg(long, short = 'f', value_name = "FORMAT")]
    format: Option<String>,
    /// Their names
    #[arg(value_name = "VOLUME", required_unless_present = "all")]
    names: Vec<String>,
    /// All volumes
    #[arg(long, short = 'a', conflicts_with = "names")]
    all: bool,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let mut flags: Inspect = command::parse("brig volume inspect", args)?;
    let volumes = open(global)?;
    if flags.all {
        flags.names = volumes.names().map_err(failure)?.iter().map(ToString::to_string).collect();
    }
    let (mut code, mut found) = (0, Vec::new());
    for text in &flags.names {
        let described = name(text).and_then(|name| {
            let meta = volumes.meta(&name).map_err(failure)?;
            Ok(describe(&volumes, &name, &meta))
        });
        match described {
            Ok(value) => found.push(value),
            // As docker: the others are printed all the same.
            Err(error) => {
                global.log.failure(&error);
                code = FAILED;
            }
        }
    }
    match &flags.format {
        Some(format) => format::print_values(format, &found)?,
        None => output::print_json(&found)?,
    }
    Ok(code)
}
