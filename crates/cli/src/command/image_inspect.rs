//! `brig image inspect`: docker's JSON shape.

use std::ffi::OsString;

use clap::Parser;
use serde_json::{Value, json};
use store::Details;

use crate::command;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::{output, site};

/// Print everything about images as JSON
#[derive(Debug, Parser)]
#[command(override_usage = "brig image inspect IMAGE [IMAGE...]")]
struct Inspect {
    /// Only `json` is known
    #[arg(long, short = 'f', value_name = "FORMAT")]
    format: Option<String>,
    /// Names or ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Inspect = command::parse("brig image inspect", args)?;
    if let Some(format) = flags.format.filter(|format| format != "json" && format != "{{json .}}") {
        return Err(Failure::user(format!("format `{format}` is not known: use json")));
    }
    let (store, _) = site::store(global)?;
    let mut found = Vec::new();
    let mut code = 0;
    for image in &flags.images {
        match store.inspect(image) {
            Ok(details) => found.push(describe(&details)),
            Err(error) => {
                global.log.failure(&site::of_store(error));
                code = FAILED;
            }
        }
    }
    output::print_json(&found)?;
    Ok(code)
}

fn describe(details: &Details) -> Value {
    let image = &details.image;
    let configuration = &image.configuration;
    let config = &configuration.config;
    let manifest = image.descriptor.digest.to_string();
    let tags: Vec<String> = details.references.iter().map(oci::Reference::familiar).collect();
    let mut digests: Vec<String> = details
        .references
        .iter()
        .map(|reference| format!("{}@{manifest}", reference.familiar_name()))
        .collect();
    digests.dedup();
    json!({
        "Id": image.id.to_string(),
        "RepoTags": tags,
        "RepoDigests": digests,
        "Comment": configuration.history.last().and_then(|last| last.comment.clone()).unwrap_or_default(),
        "Created": configuration.created,
        "Author": configuration.author.clone().unwrap_or_default(),
        "Architecture": configuration.architecture,
        "Variant": configuration.variant,
        "Os": configuration.os,
        "Size": details.size,
        "Config": config,
        "RootFS": {
            "Type": configuration.rootfs.kind,
            "Layers": configuration.rootfs.diff_ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "Descriptor": image.descriptor,
    })
}
