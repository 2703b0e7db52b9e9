//! `brig version`.

use std::ffi::OsString;

use clap::Parser;
use serde::Serialize;

use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::output;

/// Print the version
#[derive(Debug, Parser)]
struct Version {
    /// `json` for a machine
    #[arg(long, short = 'f')]
    format: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    version: &'static str,
    oci_version: &'static str,
    os: &'static str,
    arch: &'static str,
}

pub(crate) fn run(_global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Version = command::parse("brig version", args)?;
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        oci_version: oci::runtime::SPEC_VERSION,
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
    };
    match flags.format.as_deref() {
        Some("json" | "{{json .}}") => output::print_json(&report)?,
        Some(other) => return Err(Failure::user(format!("format `{other}` is not known: use json"))),
        None => output::print(&format!(
            "brig {}\nruntime-spec {}\n{}/{}\n",
            report.version, report.oci_version, report.os, report.arch
        ))?,
    }
    Ok(0)
}
