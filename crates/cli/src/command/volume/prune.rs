//! `brig volume prune`.

use std::ffi::OsString;
use std::io::{self, BufRead};

use clap::Parser;
use container::Containers;

use super::failure;
use crate::command;
use crate::error::Failure;
use crate::format::{Filters, size};
use crate::global::Global;
use crate::{output, site};

/// Remove volumes that no container has
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig volume prune [FLAGS]",
    after_help = "Examples:
  brig volume prune
  brig volume prune --all --force --filter label!=keep"
)]
struct Prune {
    /// Also those that have a name
    #[arg(long, short = 'a')]
    all: bool,
    /// Do not ask
    #[arg(long, short = 'f')]
    force: bool,
    /// Only what matches: all, label
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
}

const FILTERS: &[&str] = &["all", "label", "label!"];

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Prune = command::parse("brig volume prune", args)?;
    let filters = Filters::parse(&flags.filter, FILTERS)?;
    let all = flags.all || filters.boolean("all")?.unwrap_or(false);
    if !flags.force && !agreed(all)? {
        return Ok(0);
    }
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(command::run::failure)?;
    let volumes = container::volumes::open(&store).map_err(command::run::failure)?;
    let used = container::volumes::used(&containers).map_err(command::run::failure)?;
    volumes.sweep().map_err(failure)?;
    let (mut removed, mut bytes) = (Vec::new(), 0);
    for name in volumes.names().map_err(failure)? {
        let Ok(meta) = volumes.meta(&name) else { continue };
        let is_meant = (all || meta.anonymous)
            && !used.contains(name.as_str())
            && filters.labels(|key| meta.labels.get(key).map(String::as_str));
        if !is_meant {
            continue;
        }
        let size = volumes.size(&name).unwrap_or(0);
        match volumes.remove(&name, |name| container::volumes::users(&containers, name)) {
            Ok(()) => {
                removed.push(name.to_string());
                bytes += size;
            }
            // Somebody was faster.
            Err(container::Error::Volume(volume::Error::InUse { .. } | volume::Error::Missing(_))) => {}
            Err(error) => global.log.failure(&command::run::failure(error)),
        }
    }
    let mut text = String::new();
    if !removed.is_empty() {
        text.push_str(&format!("Deleted Volumes:\n{}\n\n", removed.join("\n")));
    }
    text.push_str(&format!("Total reclaimed space: {}\n", size(bytes)));
    output::print(&text)?;
    Ok(0)
}

fn agreed(all: bool) -> Result<bool, Failure> {
    let which = if all { "all local volumes" } else { "anonymous local volumes" };
    output::print(&format!(
        "WARNING! This will remove {which} not used by at least one container.\nAre you sure you want to continue? [y/N] "
    ))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Failure::environment)?;
    Ok(matches!(answer.trim(), "y" | "Y"))
}
