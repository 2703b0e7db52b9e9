//! `brig volume ls`.

use std::collections::HashSet;
use std::ffi::OsString;

use clap::Parser;
use container::Containers;
use serde_json::json;

use super::failure;
use crate::command;
use crate::error::Failure;
use crate::format::{Filters, Listing};
use crate::global::Global;
use crate::site;

/// List volumes
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig volume ls [FLAGS]",
    after_help = "Examples:
  brig volume ls
  brig volume ls -q --filter dangling=true
  brig volume ls --format '{{.Name}} {{.Mountpoint}}'"
)]
struct Ls {
    /// Print names only
    #[arg(long, short = 'q')]
    quiet: bool,
    /// Only what matches: dangling, driver, label, name
    #[arg(long, short = 'f', value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// `table`, `table TEMPLATE`, `json` or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Leave out the heading
    #[arg(long, short = 'n')]
    noheading: bool,
}

const LISTING: Listing = Listing {
    fields: &[
        ("Availability", "AVAILABILITY"),
        ("Driver", "DRIVER"),
        ("Group", "GROUP"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Name", "VOLUME NAME"),
        ("Scope", "SCOPE"),
        ("Size", "SIZE"),
        ("Status", "STATUS"),
    ],
    table: "{{.Driver}}\t{{.Name}}",
    quiet: "{{.Name}}",
};
const FILTERS: &[&str] = &["dangling", "driver", "label", "label!", "name"];

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Ls = command::parse("brig volume ls", args)?;
    let mut show = LISTING.show(flags.format.as_deref(), flags.quiet)?;
    show.heading = !flags.noheading;
    let filters = Filters::parse(&flags.filter, FILTERS)?;
    let dangling = filters.boolean("dangling")?;
    let (store, _) = site::store(global)?;
    let volumes = container::volumes::open(&store).map_err(command::run::failure)?;
    let used: HashSet<String> = match dangling {
        Some(_) => {
            let containers = Containers::open(&store, &global.runroot()?).map_err(command::run::failure)?;
            container::volumes::used(&containers).map_err(command::run::failure)?
        }
        None => HashSet::new(),
    };
    let mut rows = Vec::new();
    for name in volumes.names().map_err(failure)? {
        let meta = match volumes.meta(&name) {
            Ok(meta) => meta,
            // Removed meanwhile.
            Err(error) if error.is_missing() => continue,
            Err(error) => return Err(failure(error)),
        };
        let is_shown = dangling.is_none_or(|wanted| wanted != used.contains(name.as_str()))
            && filters.any("driver", |driver| driver == "local")
            && filters.any("name", |part| name.as_str().contains(part))
            && filters.labels(|key| meta.labels.get(key).map(String::as_str));
        if !is_shown {
            continue;
        }
        let labels: Vec<String> = meta.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        rows.push(json!({
            "Availability": "N/A",
            "Driver": "local",
            "Group": "N/A",
            "Labels": labels.join(","),
            "Links": "N/A",
            "Mountpoint": volumes.mountpoint(&name),
            "Name": name.as_str(),
            "Scope": "local",
            "Size": "N/A",
            "Status": "N/A",
        }));
    }
    LISTING.print(&show, &rows)?;
    Ok(0)
}
