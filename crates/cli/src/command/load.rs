//! `brig load`.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;

use clap::Parser;
use store::LoadOptions;

use crate::command::{self, platform};
use crate::error::Failure;
use crate::global::Global;
use crate::progress::Progress;
use crate::{output, site};

/// Load images from an archive or an OCI layout directory
#[derive(Debug, Parser)]
#[command(override_usage = "brig load [FLAGS] [-i FILE|DIR]")]
struct Load {
    /// OCI archive, docker archive or OCI layout directory; standard input if unset
    #[arg(long, short = 'i', value_name = "FILE|DIR")]
    input: Option<OsString>,
    /// Name for images that have a tag only
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Platform to choose where an image has several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Print nothing
    #[arg(long, short = 'q')]
    quiet: bool,
    /// As --input
    #[arg(value_name = "FILE|DIR", conflicts_with = "input", hide = true)]
    path: Option<OsString>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Load = command::parse("brig load", args)?;
    let options = LoadOptions {
        name: flags.name.as_deref().map(command::reference).transpose()?,
        platform: flags.platform.as_deref().map(platform).transpose()?,
    };
    let input = flags.input.or(flags.path).filter(|path| path != "-");
    if input.is_none() && io::stdin().is_terminal() {
        return Err(Failure::user("standard input is a terminal").hint("name the archive with `-i FILE`"));
    }
    let progress = Progress::start(global, flags.quiet, "load");
    let mut store = site::tidy_store(global)?;
    store.measure(progress.meter());
    let loaded = match &input {
        Some(path) => store.load(Path::new(path), &options),
        None => store.load_stream(&mut io::stdin().lock(), &options),
    }
    .map_err(site::of_store)?;
    drop(progress);
    for image in &loaded {
        let name = image.references.first().map(|reference| reference.familiar()).unwrap_or_default();
        global.note.object("image", &image.id.to_string(), &name, &["load"]);
    }
    if flags.quiet {
        return Ok(0);
    }
    let mut text = String::new();
    for image in loaded {
        if image.references.is_empty() {
            text.push_str(&format!("Loaded image ID: {}\n", image.id));
        }
        for reference in image.references {
            text.push_str(&format!("Loaded image: {}\n", reference.familiar()));
        }
    }
    output::print(&text)?;
    Ok(0)
}
