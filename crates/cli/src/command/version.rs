//! `brig version`.

use std::ffi::OsString;

use clap::Parser;
use serde_json::json;

use crate::command;
use crate::error::Failure;
use crate::format::print_one;
use crate::global::Global;
use crate::output;

/// Print the version
#[derive(Debug, Parser)]
struct Version {
    /// `json` or a Go template
    #[arg(long, short = 'f')]
    format: Option<String>,
}

pub(crate) fn run(_global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Version = command::parse("brig version", args)?;
    let (version, specification) = (env!("CARGO_PKG_VERSION"), oci::runtime::SPEC_VERSION);
    let (os, architecture) = (std::env::consts::OS, oci::image::Platform::host().architecture);
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let Some(format) = flags.format.as_deref() else {
        output::print(&format!("brig {version}\nruntime-spec {specification}\n{os}/{architecture}\n"))?;
        return Ok(0);
    };
    // There is no server: scripts that ask for its version get the program's.
    let side = json!({
        "Version": version,
        "ApiVersion": "",
        "Os": os,
        "Arch": architecture,
        "KernelVersion": kernel,
    });
    let value = json!({
        "Version": version,
        "OciVersion": specification,
        "Os": os,
        "Arch": architecture,
        "Client": side,
        "Server": side,
    });
    match format {
        "json" => output::print_json(&value)?,
        format => print_one(format, &value)?,
    }
    Ok(0)
}
