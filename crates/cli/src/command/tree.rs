//! `brig image tree`.

use std::ffi::OsString;

use clap::Parser;

use crate::command;
use crate::error::Failure;
use crate::format::size;
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
