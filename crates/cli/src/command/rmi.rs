//! `brig rmi`.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::Parser;
use store::Force;

use crate::command;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::{output, site};

/// Remove images
#[derive(Debug, Parser)]
#[command(override_usage = "brig rmi [FLAGS] IMAGE [IMAGE...]")]
struct Rmi {
    /// Take all names away, also while containers use the image
    #[arg(long, short = 'f')]
    force: bool,
    /// Accepted for docker's sake: layers that nothing needs are always removed
    #[arg(long, hide = true)]
    no_prune: bool,
    /// All images; one that a container uses stays, unless forced
    #[arg(long, short = 'a', conflicts_with = "images")]
    all: bool,
    /// Leave out what is not there
    #[arg(long, short = 'i')]
    ignore: bool,
    /// Names or ids
    #[arg(required_unless_present = "all", value_name = "IMAGE")]
    images: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let mut flags: Rmi = command::parse("brig rmi", args)?;
    let store = site::tidy_store(global)?;
    if flags.all {
        let ids: BTreeSet<String> =
            store.images().map_err(site::of_store)?.into_iter().map(|image| image.id.to_string()).collect();
        flags.images.extend(ids);
    }
    let force = if flags.force { Force::Yes } else { Force::No };
    let mut code = 0;
    for image in &flags.images {
        match store.remove(image, force) {
            Ok(removed) => {
                for digest in &removed.deleted {
                    global.note.object("image", &digest.to_string(), image, &["delete"]);
                }
                if removed.deleted.is_empty() {
                    global.note.object("image", image, image, &["untag"]);
                }
                let mut text = String::new();
                for reference in &removed.untagged {
                    text.push_str(&format!("Untagged: {}\n", reference.familiar()));
                }
                for digest in &removed.deleted {
                    text.push_str(&format!("Deleted: {digest}\n"));
                }
                output::print(&text)?;
            }
            Err(error) if error.is_not_found() && flags.ignore => {}
            // As docker: the others are removed all the same.
            Err(error) if error.is_not_found() && flags.force => {
                global.log.warning(&site::of_store(error).chain());
            }
            Err(error) => {
                global.log.failure(&site::of_store(error));
                code = FAILED;
            }
        }
    }
    Ok(code)
}
