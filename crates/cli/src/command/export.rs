//! `brig export`.

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use clap::Parser;
use container::Containers;

use crate::command;
use crate::command::run::failure;
use crate::error::Failure;
use crate::global::Global;
use crate::progress::Progress;
use crate::site;
use crate::target::Target;

/// Write a container's root file system as a tar archive
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig export [-o FILE] CONTAINER",
    after_help = "What is mounted in the container, such as its volumes, is not a part of it.\n\nExamples:\n  brig export -o web.tar web\n  brig export web | brig import - web:flat"
)]
struct Export {
    /// Write to this file, which is there in full or not at all; standard output if unset
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<OsString>,
    /// A container's name or id
    #[arg(value_name = "CONTAINER")]
    container: String,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Export = command::parse("brig export", args)?;
    if flags.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::user("standard output is a terminal").hint("name a file with `-o FILE`"));
    }
    let progress = Progress::start(global, false, &format!("export {}", flags.container));
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    let id = containers.find(&flags.container).map_err(failure)?;
    let target = Target::create(flags.output.as_deref())?;
    global.note.container(&containers, &id);
    command::warn_of_confinement(global);
    progress.begin("writing", None);
    let left_out = container::export(&store, &containers, &id, &target, progress.meter()).map_err(failure)?;
    drop(progress);
    target.finish()?;
    global.note.happened_by_command();
    for line in left_out {
        global.log.warning(&line);
    }
    Ok(0)
}
