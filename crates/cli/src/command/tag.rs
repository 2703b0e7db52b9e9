//! `brig tag`.

use std::ffi::OsString;

use clap::Parser;

use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::site;

/// Give an image another name
#[derive(Debug, Parser)]
struct Tag {
    /// Name or id
    #[arg(value_name = "IMAGE")]
    source: String,
    /// The other name
    #[arg(value_name = "NAME[:TAG]")]
    target: String,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Tag = command::parse("brig tag", args)?;
    let target = command::reference(&flags.target)?;
    let store = site::tidy_store(global)?;
    store.tag(&flags.source, &target).map_err(site::of_store)?;
    global.note.object("image", &flags.source, &flags.target, &["tag"]);
    Ok(0)
}
