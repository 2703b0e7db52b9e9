//! `brig secret inspect`.

use std::ffi::OsString;

use clap::Parser;

use super::{describe, failure, open};
use crate::command;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::{format, output};

/// Print what may be known about secrets as JSON
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig secret inspect [FLAGS] SECRET [SECRET...]",
    after_help = "Example:
  brig secret inspect --format '{{.Spec.Name}} {{.UpdatedAt}}' password"
)]
struct Inspect {
    /// `json` or a Go template
    #[arg(long, short = 'f', value_name = "FORMAT")]
    format: Option<String>,
    /// Accepted for docker's sake: the output is for people anyway
    #[arg(long, hide = true)]
    pretty: bool,
    /// Names or ids
    #[arg(value_name = "SECRET", required = true)]
    names: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Inspect = command::parse("brig secret inspect", args)?;
    let secrets = open(global)?;
    let (mut code, mut found) = (0, Vec::new());
    for name in &flags.names {
        match secrets.find(name) {
            Ok(meta) => found.push(describe(&meta)),
            // As docker: the others are printed all the same.
            Err(error) => {
                global.log.failure(&failure(error));
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
