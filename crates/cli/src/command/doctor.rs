//! `brig doctor`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use probe::prerequisite::{Host, Status, examine, render_text, to_json};

use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::output;

/// Show what this host has of what containers need, and the command that mends what is missing
#[derive(Debug, Parser)]
struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Exit code where something that containers need does not work at all.
const UNAVAILABLE: u8 = 1;

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Doctor = command::parse("brig doctor", args)?;
    let host = Host {
        uid: rustix::process::geteuid().as_raw(),
        store: global.root()?,
        run: global.runroot()?,
        runtime: runtime_directory(),
    };
    let findings = examine(&host);
    if flags.json {
        output::print_json(&to_json(&findings))?;
    } else {
        let mut text = Vec::new();
        render_text(&findings, &mut text)
            .map_err(|error| Failure::environment(format!("write the table: {error}")))?;
        output::print(&String::from_utf8_lossy(&text))?;
    }
    let broken = findings.iter().any(|finding| finding.status == Status::Unavailable);
    Ok(if broken { UNAVAILABLE } else { 0 })
}

#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn runtime_directory() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
}
