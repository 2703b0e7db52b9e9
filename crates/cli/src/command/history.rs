//! `brig history`.

use std::ffi::OsString;

use clap::Parser;
use serde_json::{Value, json};

use crate::command;
use crate::error::Failure;
use crate::format::{Listing, ago, ellipsis, now, parse_time, size};
use crate::global::Global;
use crate::site;

/// Show the steps that an image was made by
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig history [FLAGS] IMAGE",
    after_help = "Examples:\n  brig history web:1\n  brig history --no-trunc --format '{{.CreatedBy}}' web:1"
)]
struct History {
    /// Sizes and ages as people read them
    #[arg(
        long,
        short = 'H',
        value_name = "BOOL",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true"
    )]
    human: bool,
    /// Do not cut what is long
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only
    #[arg(long, short = 'q')]
    quiet: bool,
    /// `table`, `json` or a template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// A name or id
    #[arg(value_name = "IMAGE")]
    image: String,
}

const LISTING: Listing = Listing {
    fields: &[
        ("ID", "IMAGE"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedSince", "CREATED"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
    table: "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
    quiet: "{{.ID}}",
};

/// What docker shows for steps whose image is not known here.
const MISSING: &str = "<missing>";

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: History = command::parse("brig history", args)?;
    let show = LISTING.show(flags.format.as_deref(), flags.quiet)?;
    let (store, _) = site::store(global)?;
    let _held = store.shared().map_err(site::of_store)?;
    let image = store.find(&flags.image).map_err(site::of_store)?;
    let mut layers = image.layers.iter();
    let mut rows: Vec<Value> = Vec::new();
    for step in &image.configuration.history {
        let layer = if step.empty_layer { None } else { layers.next() };
        let bytes = layer.and_then(|chain| store.layer_meta(chain).ok()).map_or(0, |meta| meta.size);
        let created = step.created.clone().unwrap_or_default();
        let since =
            parse_time(&created).map_or_else(|| "N/A".to_owned(), |time| ago(now().saturating_sub(time)));
        let by = step.created_by.clone().unwrap_or_default();
        let by = by.replace(['\n', '\t'], " ");
        rows.push(json!({
            "ID": MISSING,
            "CreatedAt": created,
            "CreatedSince": if flags.human { since } else { created.clone() },
            "CreatedBy": if flags.no_trunc { by } else { ellipsis(&by, 45) },
            "Size": if flags.human { size(bytes) } else { bytes.to_string() },
            "Comment": step.comment.clone().unwrap_or_default(),
        }));
    }
    rows.reverse();
    if let Some(first) = rows.first_mut() {
        let id = if flags.no_trunc { image.id.to_string() } else { image.id.short() };
        first["ID"] = Value::from(id);
    }
    LISTING.print(&show, &rows)?;
    Ok(0)
}
