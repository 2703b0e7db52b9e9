//! `brig rename`.

use std::ffi::OsString;

use clap::Parser;
use container::value::name::Name;

use crate::command::{self, run::failure};
use crate::error::Failure;
use crate::global::Global;
use crate::site;

/// Give a container another name
#[derive(Debug, Parser)]
#[command(override_usage = "brig rename CONTAINER NAME")]
struct Rename {
    /// A name, an id or the beginning of one
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// The new name
    #[arg(value_name = "NAME")]
    name: String,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Rename = command::parse("brig rename", args)?;
    site::with(global, |site, _| {
        let name = Name::new(&flags.name).map_err(failure)?;
        let id = site.containers.find(&flags.container);
        id.and_then(|id| {
            global.note.container(site.containers, &id);
            site.containers.rename(&id, &name)?;
            global.note.happened(&["rename"]);
            Ok(())
        })
        .map_err(|error| failure(error).code(1))?;
        Ok(0)
    })
}
