//! `brig diff`.

use std::ffi::OsString;

use clap::Parser;
use container::{Change, ChangeKind, Containers};
use serde_json::json;

use crate::command::{self, chosen, run::failure};
use crate::error::Failure;
use crate::global::Global;
use crate::{output, site};

/// List what a container changed of its image
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig diff [FLAGS] CONTAINER|IMAGE",
    after_help = "A: added, C: changed, D: deleted. Of an image: what its top layer changes.\n\nExamples:\n  brig diff web\n  brig diff --format json web"
)]
struct Diff {
    /// `json`, or one line each if unset
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// The container that was made last
    #[arg(long, short = 'l')]
    latest: bool,
    /// A container's name or id, or an image
    #[arg(value_name = "CONTAINER|IMAGE", required_unless_present = "latest")]
    name: Option<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Diff = command::parse("brig diff", args)?;
    let name = chosen::one(flags.latest, flags.name)?;
    command::warn_of_confinement(global);
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    let changes = match containers.find(&name) {
        Ok(id) => container::changes(&store, &containers, &id),
        Err(error @ container::Error::NoContainer { .. }) => {
            let _held = store.shared().map_err(site::of_store)?;
            match store.find(&name) {
                Ok(image) => container::image_changes(&store, &image),
                Err(missing) if missing.is_not_found() => Err(error),
                Err(other) => return Err(site::of_store(other)),
            }
        }
        Err(error) => Err(error),
    }
    .map_err(failure)?;
    match flags.format.as_deref() {
        None => output::print(&changes.iter().map(line).collect::<String>())?,
        Some("json") => output::print_json(&json!({
            "changed": of_kind(&changes, ChangeKind::Modified),
            "added": of_kind(&changes, ChangeKind::Added),
            "deleted": of_kind(&changes, ChangeKind::Deleted),
        }))?,
        Some(other) => {
            return Err(Failure::user(format!("format `{other}` is not known: use json")));
        }
    }
    Ok(0)
}

fn line(change: &Change) -> String {
    let letter = match change.kind {
        ChangeKind::Modified => 'C',
        ChangeKind::Added => 'A',
        ChangeKind::Deleted => 'D',
    };
    format!("{letter} {}\n", path(change))
}

/// A name of the container's, which may hold anything: without what drives a terminal.
fn path(change: &Change) -> String {
    let text = String::from_utf8_lossy(&change.path);
    let escape = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    format!("/{}", text.chars().map(escape).collect::<String>())
}

fn of_kind(changes: &[Change], kind: ChangeKind) -> Vec<String> {
    changes
        .iter()
        .filter(|change| change.kind == kind)
        .map(|change| format!("/{}", String::from_utf8_lossy(&change.path)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_write_lines() {
        let change = Change { kind: ChangeKind::Added, path: b"a\nD /etc\x1b[2J".to_vec() };
        assert_eq!(line(&change), "A /a\\nD /etc\\u{1b}[2J\n");
    }
}
