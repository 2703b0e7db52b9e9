//! `brig image tree`, and the trees of `brig images --tree`.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::Parser;
use container::Containers;
use store::{Listed, Store};

use crate::command::{self, run::failure};
use crate::error::Failure;
use crate::format::{self, NONE, size};
use crate::global::Global;
use crate::{output, site};

/// Show the layers of an image, the lowest first
#[derive(Debug, Parser)]
#[command(override_usage = "brig image tree IMAGE", after_help = "Example:\n  brig image tree web:1")]
struct Tree {
    /// A name or id
    #[arg(value_name = "IMAGE")]
    image: String,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Tree = command::parse("brig image tree", args)?;
    let (store, _) = site::store(global)?;
    let details = store.inspect(&flags.image).map_err(site::of_store)?;
    let all = store.images().map_err(site::of_store)?;
    let names: Vec<String> = details.references.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "Image ID: {}\nTags:     [{}]\nSize:     {}\nImage Layers\n",
        details.image.id.short(),
        names.join(" "),
        size(details.size)
    );
    for (at, chain) in details.image.layers.iter().enumerate() {
        let branch = if at + 1 == details.image.layers.len() { "└──" } else { "├──" };
        let bytes = store.layer_meta(chain).map_err(site::of_store)?.size;
        let mut ends = Vec::new();
        for one in &all {
            let Some(name) = &one.reference else { continue };
            if store.find(&name.to_string()).is_ok_and(|image| image.layers.last() == Some(chain)) {
                ends.push(name.to_string());
            }
        }
        let of = if ends.is_empty() { String::new() } else { format!(" Top Layer of: [{}]", ends.join(" ")) };
        text.push_str(&format!("{branch} ID: {} Size: {}{of}\n", chain.short(), size(bytes)));
    }
    output::print(&text)?;
    Ok(0)
}

/// Prints each image with its platform below it, what it takes unpacked and as it is kept, and whether a container has it.
pub(crate) fn list(global: &Global, store: &Store, images: &[Listed], heading: bool) -> Result<u8, Failure> {
    let containers = Containers::open(store, &global.runroot()?).map_err(failure)?;
    let used: BTreeSet<String> =
        containers.list().map_err(failure)?.into_iter().map(|container| container.record.image_id).collect();
    let mut rows = Vec::with_capacity(images.len() * 2);
    for listed in images {
        let id = listed.id.to_string();
        let image = store.find(&id).map_err(site::of_store)?;
        let parts = image.manifest.layers.iter().chain([&image.manifest.config, &image.descriptor]);
        let content = size(parts.map(|part| part.size).sum());
        let name = listed.reference.as_ref().map_or_else(|| NONE.to_owned(), oci::Reference::familiar);
        let extra = if used.contains(&id) { "U" } else { "" };
        rows.push(vec![name, listed.id.short(), size(listed.size), content.clone(), extra.to_owned()]);
        let configuration = &image.configuration;
        let mut platform = format!("└─ {}/{}", configuration.os, configuration.architecture);
        if let Some(variant) = &configuration.variant {
            platform.push_str(&format!("/{variant}"));
        }
        // What an image says of itself may hold anything.
        let platform = platform.chars().filter(|character| !character.is_control()).collect();
        rows.push(vec![platform, listed.manifest.short(), size(listed.size), content, String::new()]);
    }
    let headings = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"];
    let mut text = format::table(&headings, &rows);
    if !heading {
        text = text.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    }
    output::print(&text)?;
    Ok(0)
}
