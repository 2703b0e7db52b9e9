//! `brig inspect`, `brig container inspect` and `brig image inspect`: docker's JSON shapes.

use std::ffi::OsString;

use clap::Parser;
use container::{Containers, LATEST};
use serde_json::{Value, json};
use store::{Details, Store};

use crate::command;
use crate::error::{ENGINE_ERROR, FAILED, Failure};
use crate::format::print_one;
use crate::global::Global;
use crate::{output, site};

/// Print everything about containers, images or volumes as JSON
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig inspect [FLAGS] NAME|ID [NAME|ID...]",
    after_help = "Examples:
  brig inspect web
  brig inspect --type image debian:12
  brig inspect -f '{{.State.Status}} {{.State.ExitCode}}' web
  brig inspect -f '{{range .Mounts}}{{.Source}} {{end}}' web
  brig inspect -f '{{json .Brig.Weakenings}}' web"
)]
struct Inspect {
    /// `json` or a Go template
    #[arg(long, short = 'f', value_name = "FORMAT")]
    format: Option<String>,
    /// Add the size of what a container wrote
    #[arg(long, short = 's')]
    size: bool,
    /// container, image or volume; without it the first that has the name
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// The container that was made last
    #[arg(long, short = 'l', conflicts_with = "names")]
    latest: bool,
    /// Names, ids or beginnings of ids
    #[arg(required_unless_present = "latest", value_name = "NAME")]
    names: Vec<String>,
}

/// What may be inspected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Container,
    Image,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Inspect = command::parse("brig inspect", args)?;
    let kinds: &[Kind] = match flags.kind.as_deref() {
        None | Some("" | "all") => &[Kind::Container, Kind::Image],
        Some("container") => &[Kind::Container],
        Some("image") => &[Kind::Image],
        Some("network" | "secret" | "volume") => {
            let kind = flags.kind.unwrap_or_default();
            return Err(Failure::user(format!("`--type {kind}` is not there"))
                .hint(format!("`brig {kind} inspect NAME`")));
        }
        Some(other) => {
            return Err(Failure::user(format!(
                "\"{}\" is not a valid value for --type",
                other.escape_debug()
            ))
            .hint("use container, image or volume")
            .code(ENGINE_ERROR));
        }
    };
    print(global, kinds, &flags)
}

/// `brig container inspect`.
pub(crate) fn container(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    print(global, &[Kind::Container], &command::parse("brig container inspect", args)?)
}

/// `brig image inspect`.
pub(crate) fn image(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    print(global, &[Kind::Image], &command::parse("brig image inspect", args)?)
}

fn print(global: &Global, kinds: &[Kind], flags: &Inspect) -> Result<u8, Failure> {
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(command::run::failure)?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let names = if flags.latest { &[LATEST.to_owned()][..] } else { &flags.names };
    for name in names {
        match find(&store, &containers, kinds, name, flags.size) {
            Ok(Some(value)) => found.push(value),
            Ok(None) => missing.push(not_found(kinds, name)),
            Err(failure) => missing.push(failure),
        }
    }
    // As docker: what was found is printed, an empty list where nothing was.
    match flags.format.as_deref() {
        None => output::print_json(&found)?,
        Some("json") => output::print_data(&(json!(found).to_string() + "\n"))?,
        Some(format) => found.iter().try_for_each(|value| print_one(format, value))?,
    }
    for failure in &missing {
        global.log.failure(failure);
    }
    Ok(if missing.is_empty() { 0 } else { FAILED })
}

fn not_found(kinds: &[Kind], name: &str) -> Failure {
    let (what, list) = match kinds {
        [Kind::Container] => ("container", "`brig ps -a` lists the containers"),
        [Kind::Image] => ("image", "`brig images` lists the images"),
        _ => ("object", "`brig ps -a` and `brig images` list what there is"),
    };
    Failure::user(format!("no such {what}: {}", name.escape_debug())).hint(list)
}

fn find(
    store: &Store,
    containers: &Containers<'_>,
    kinds: &[Kind],
    name: &str,
    size: bool,
) -> Result<Option<Value>, Failure> {
    for kind in kinds {
        let found = match kind {
            Kind::Container => match containers.find(name) {
                Ok(id) => {
                    let mut value = container::inspect(containers, &id).map_err(command::run::failure)?;
                    if size {
                        let written = containers.written(&id).map_err(command::run::failure)?;
                        let image = value["Image"].as_str().unwrap_or_default();
                        let below = store.inspect(image).map_or(0, |details| details.size);
                        value["SizeRw"] = written.into();
                        value["SizeRootFs"] = below.saturating_add(written).into();
                    }
                    Some(value)
                }
                Err(container::Error::NoContainer { .. }) => None,
                Err(error) => return Err(command::run::failure(error)),
            },
            Kind::Image => match store.inspect(name) {
                Ok(details) => Some(describe(&details)),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(site::of_store(error)),
            },
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// An image in docker's shape.
fn describe(details: &Details) -> Value {
    let image = &details.image;
    let configuration = &image.configuration;
    let manifest = image.descriptor.digest.to_string();
    let tags: Vec<String> = details.references.iter().map(oci::Reference::familiar).collect();
    let mut digests: Vec<String> = details
        .references
        .iter()
        .map(|reference| format!("{}@{manifest}", reference.familiar_name()))
        .collect();
    digests.dedup();
    let comment = configuration.history.last().and_then(|last| last.comment.clone()).unwrap_or_default();
    let layers: Vec<String> = configuration.rootfs.diff_ids.iter().map(ToString::to_string).collect();
    json!({
        "Id": image.id.to_string(),
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": "",
        "Comment": comment,
        "Created": configuration.created,
        "DockerVersion": "",
        "Author": configuration.author.clone().unwrap_or_default(),
        "Architecture": configuration.architecture,
        "Variant": configuration.variant,
        "Os": configuration.os,
        "Size": details.size,
        "VirtualSize": details.size,
        "GraphDriver": {"Name": "overlay", "Data": null},
        "Config": image_config(&configuration.config),
        "RootFS": {"Type": configuration.rootfs.kind, "Layers": layers},
        "Metadata": {"LastTagTime": null},
        "Descriptor": image.descriptor,
    })
}

/// The configuration with the members that docker always prints, so that templates find them.
fn image_config(config: &oci::image::Config) -> Value {
    let mut value = json!({
        "User": "",
        "Env": null,
        "Cmd": null,
        "Volumes": null,
        "WorkingDir": "",
        "Entrypoint": null,
        "OnBuild": null,
        "Labels": null,
    });
    if let (Value::Object(all), Value::Object(set)) = (&mut value, json!(config)) {
        all.extend(set);
    }
    value
}
