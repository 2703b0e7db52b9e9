//! `brig info`.

use std::ffi::OsString;

use clap::Parser;
use serde_json::json;

use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::{output, site};

/// Print where things are kept and what this machine is
#[derive(Debug, Parser)]
struct Info {
    /// `json` for a machine
    #[arg(long, short = 'f', value_name = "FORMAT")]
    format: Option<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Info = command::parse("brig info", args)?;
    let store = site::tidy_store(global)?;
    let runroot = global.runroot()?;
    let containers = container::Containers::open(&store, &runroot).map_err(command::run::failure)?;
    let ids = containers.ids().map_err(command::run::failure)?;
    let running = ids.iter().filter(|id| containers.is_alive(id).unwrap_or(false)).count();
    let images = store.images().map_err(site::of_store)?.len();
    let kernel = rustix::system::uname();
    let kernel = kernel.release().to_string_lossy().into_owned();
    let rootless = !rustix::process::geteuid().is_root();
    match flags.format.as_deref() {
        None => output::print(&format!(
            "brig {}\nroot       {}\nrun        {}\nrootless   {rootless}\nkernel     {kernel}\nimages     {images}\ncontainers {} ({running} running)\n",
            env!("CARGO_PKG_VERSION"),
            store.path().display(),
            runroot.display(),
            ids.len(),
        ))?,
        Some("json" | "{{json .}}") => output::print_json(&json!({
            "ServerVersion": env!("CARGO_PKG_VERSION"),
            "DockerRootDir": store.path(),
            "RunRoot": runroot,
            "Rootless": rootless,
            "KernelVersion": kernel,
            "Images": images,
            "Containers": ids.len(),
            "ContainersRunning": running,
            "OSType": std::env::consts::OS,
            "Architecture": std::env::consts::ARCH,
        }))?,
        Some(other) => return Err(Failure::user(format!("format `{other}` is not known: use json"))),
    }
    Ok(0)
}
