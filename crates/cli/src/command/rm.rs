//! `brig rm`.

use std::ffi::OsString;

use clap::Parser;
use container::Containers;

use crate::command;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::{output, site};

/// Remove containers
#[derive(Debug, Parser)]
#[command(override_usage = "brig rm [FLAGS] CONTAINER [CONTAINER...]")]
struct Rm {
    /// Kill a container that runs
    #[arg(long, short = 'f')]
    force: bool,
    /// Accepted for docker's sake: a container has no anonymous volumes yet
    #[arg(long, short = 'v', hide = true)]
    volumes: bool,
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Rm = command::parse("brig rm", args)?;
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(command::run::failure)?;
    let mut code = 0;
    for name in &flags.containers {
        match containers.find(name).and_then(|id| containers.delete(&id, flags.force)) {
            Ok(()) => output::print(&format!("{name}\n"))?,
            // As docker: the others are removed all the same.
            Err(error) => {
                global.log.failure(&command::run::failure(error));
                code = FAILED;
            }
        }
    }
    Ok(code)
}
