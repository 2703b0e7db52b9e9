//! `brig system df`.

use std::ffi::OsString;

use clap::Parser;
use container::{Containers, Summary};
use serde_json::{Value, json};
use store::Store;

use crate::command;
use crate::command::run::failure;
use crate::error::Failure;
use crate::format::{Listing, size};
use crate::global::Global;
use crate::{output, site};

/// Show what images, containers and volumes take
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig system df [FLAGS]",
    after_help = "Examples:\n  brig system df\n  brig system df -v\n  brig system df --format json"
)]
struct Df {
    /// One line for each image, container and volume
    #[arg(long, short = 'v', conflicts_with = "format")]
    verbose: bool,
    /// `table`, `json` or a template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const LISTING: Listing = Listing {
    fields: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
    table: "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    quiet: "{{.Type}}",
};

/// A name, its bytes, and whether something uses it.
struct Item {
    name: String,
    bytes: u64,
    used: bool,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Df = command::parse("brig system df", args)?;
    let show = LISTING.show(flags.format.as_deref(), false)?;
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    let images = store.usage().map_err(site::of_store)?;
    let ran = items_of_containers(&containers)?;
    let volumes = items_of_volumes(&store, &containers)?;
    if flags.verbose {
        return verbose(&store, &ran, &volumes);
    }
    let kept = row("Images", images.images, images.used, images.bytes, images.reclaimable);
    let rows =
        [kept, sum("Containers", &ran), sum("Local Volumes", &volumes), row("Build Cache", 0, 0, 0, 0)];
    LISTING.print(&show, &rows)?;
    Ok(0)
}

fn items_of_containers(containers: &Containers<'_>) -> Result<Vec<Item>, Failure> {
    let item = |summary: Summary| Item {
        bytes: containers.written(&summary.id).unwrap_or(0),
        used: summary.state.status.is_running(),
        name: summary.record.name.unwrap_or_else(|| summary.id.short().to_owned()),
    };
    Ok(containers.list().map_err(failure)?.into_iter().map(item).collect())
}

fn items_of_volumes(store: &Store, containers: &Containers<'_>) -> Result<Vec<Item>, Failure> {
    let volumes = container::volumes::open(store).map_err(failure)?;
    let used = container::volumes::used(containers).map_err(failure)?;
    let names = volumes.names().map_err(|error| failure(error.into()))?;
    let item = |name: volume::Name| Item {
        bytes: volumes.size(&name).unwrap_or(0),
        used: used.contains(name.as_str()),
        name: name.to_string(),
    };
    Ok(names.into_iter().map(item).collect())
}

fn sum(kind: &str, items: &[Item]) -> Value {
    let bytes = |free: bool| items.iter().filter(|item| !free || !item.used).map(|item| item.bytes).sum();
    row(kind, items.len(), items.iter().filter(|item| item.used).count(), bytes(false), bytes(true))
}

fn row(kind: &str, count: usize, active: usize, bytes: u64, reclaimable: u64) -> Value {
    let percent = (reclaimable * 100).checked_div(bytes).map(|percent| format!(" ({percent}%)"));
    json!({
        "Type": kind,
        "TotalCount": count.to_string(),
        "Active": active.to_string(),
        "Size": size(bytes),
        "Reclaimable": format!("{}{}", size(reclaimable), percent.unwrap_or_default()),
    })
}

fn verbose(store: &Store, ran: &[Item], volumes: &[Item]) -> Result<u8, Failure> {
    let mut text = String::from("Images space usage:\n\n");
    let images = store.images().map_err(site::of_store)?;
    let rows: Vec<Vec<String>> = images
        .iter()
        .map(|image| {
            let name = image.reference.as_ref().map_or_else(|| "<none>".to_owned(), oci::Reference::familiar);
            vec![name, image.id.short(), size(image.size)]
        })
        .collect();
    text.push_str(&crate::format::table(&["IMAGE", "IMAGE ID", "SIZE"], &rows));
    for (title, heading, items) in [
        ("Containers", ["CONTAINER", "RUNNING", "SIZE"], ran),
        ("Local Volumes", ["VOLUME NAME", "USED", "SIZE"], volumes),
    ] {
        text.push_str(&format!("\n{title} space usage:\n\n"));
        let word = |used: bool| if used { "yes" } else { "no" }.to_owned();
        let rows: Vec<Vec<String>> =
            items.iter().map(|item| vec![item.name.clone(), word(item.used), size(item.bytes)]).collect();
        text.push_str(&crate::format::table(&heading, &rows));
    }
    output::print(&text)?;
    Ok(0)
}
