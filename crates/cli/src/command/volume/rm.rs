//! `brig volume rm`.

use std::ffi::OsString;

use clap::Parser;
use container::Containers;

use super::name;
use crate::command;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::{output, site};

/// Remove volumes
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig volume rm [FLAGS] VOLUME [VOLUME...]",
    after_help = "Examples:
  brig volume rm data
  brig volume rm $(brig volume ls -q --filter dangling=true)"
)]
struct Rm {
    /// Succeed where there is no such volume
    #[arg(long, short = 'f')]
    force: bool,
    /// All that no container has
    #[arg(long, short = 'a')]
    all: bool,
    /// Their names
    #[arg(value_name = "VOLUME", required_unless_present = "all")]
    names: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Rm = command::parse("brig volume rm", args)?;
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(command::run::failure)?;
    let volumes = container::volumes::open(&store).map_err(command::run::failure)?;
    let mut names = Vec::new();
    let mut code = 0;
    for text in &flags.names {
        match name(text) {
            Ok(name) => names.push(name),
            Err(error) => {
                global.log.failure(&error);
                code = FAILED;
            }
        }
    }
    if flags.all {
        let used = container::volumes::used(&containers).map_err(command::run::failure)?;
        let all = volumes.names().map_err(super::failure)?;
        names.extend(all.into_iter().filter(|name| !used.contains(name.as_str())));
    }
    for name in names {
        match volumes.remove(&name, |name| container::volumes::users(&containers, name)) {
            Ok(()) => {
                global.note.object("volume", name.as_str(), name.as_str(), &["destroy"]);
                output::print(&format!("{name}\n"))?;
            }
            Err(container::Error::Volume(error)) if flags.force && error.is_missing() => {}
            // As docker: the others are removed all the same.
            Err(error) => {
                global.log.failure(&command::run::failure(error));
                code = FAILED;
            }
        }
    }
    Ok(code)
}
