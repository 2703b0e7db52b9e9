//! `brig secret ls`.

use std::ffi::OsString;

use clap::Parser;
use serde_json::json;

use super::{failure, open};
use crate::command;
use crate::error::Failure;
use crate::format::{self, Filters, Listing, ago, parse_time};
use crate::global::Global;

/// List secrets
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig secret ls [FLAGS]",
    after_help = "Examples:
  brig secret ls
  brig secret ls -q --filter name=pass"
)]
struct Ls {
    /// Print ids only
    #[arg(long, short = 'q')]
    quiet: bool,
    /// Only what matches: id, label, name
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
        ("CreatedAt", "CREATED"),
        ("Driver", "DRIVER"),
        ("ID", "ID"),
        ("Labels", "LABELS"),
        ("Name", "NAME"),
        ("UpdatedAt", "UPDATED"),
    ],
    table: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.CreatedAt}}\t{{.UpdatedAt}}",
    quiet: "{{.ID}}",
};
const FILTERS: &[&str] = &["id", "label", "label!", "name"];

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Ls = command::parse("brig secret ls", args)?;
    let mut show = LISTING.show(flags.format.as_deref(), flags.quiet)?;
    show.heading = !flags.noheading;
    let filters = Filters::parse(&flags.filter, FILTERS)?;
    let now = format::now();
    let since =
        |text: &str| parse_time(text).map_or_else(|| "N/A".to_owned(), |time| ago(now.saturating_sub(time)));
    let mut rows = Vec::new();
    for meta in open(global)?.list().map_err(failure)? {
        let is_shown = filters.any("id", |id| meta.id.starts_with(id))
            && filters.any("name", |part| meta.name.contains(part))
            && filters.labels(|key| meta.labels.get(key).map(String::as_str));
        if !is_shown {
            continue;
        }
        let labels: Vec<String> = meta.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        rows.push(json!({
            "CreatedAt": since(&meta.created_at),
            "Driver": "file",
            "ID": meta.id,
            "Labels": labels.join(","),
            "Name": meta.name,
            "UpdatedAt": since(&meta.updated_at),
        }));
    }
    LISTING.print(&show, &rows)?;
    Ok(0)
}
