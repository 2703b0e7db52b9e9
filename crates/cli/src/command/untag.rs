//! `brig untag`.

use std::ffi::OsString;

use clap::Parser;

use crate::command;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::{output, site};

/// Take names from an image, which stays
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig untag IMAGE [NAME[:TAG]...]",
    after_help = "Without names all of them go; the image is then known by its id until it is removed.\n\nExamples:\n  brig untag web:1\n  brig untag web:1 example.org/web:1"
)]
struct Untag {
    /// A name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// The names that go; all if none is given
    #[arg(value_name = "NAME[:TAG]")]
    names: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Untag = command::parse("brig untag", args)?;
    let (store, _) = site::store(global)?;
    let details = store.inspect(&flags.image).map_err(site::of_store)?;
    let going = if flags.names.is_empty() {
        details.references
    } else {
        flags.names.iter().map(|name| command::reference(name)).collect::<Result<Vec<_>, _>>()?
    };
    let mut code = 0;
    for reference in going {
        if store.untag(&reference).map_err(site::of_store)? {
            output::print(&format!("Untagged: {}\n", reference.familiar()))?;
        } else {
            global.log.failure(&Failure::user(format!("no image `{}`", reference.familiar())));
            code = FAILED;
        }
    }
    Ok(code)
}
