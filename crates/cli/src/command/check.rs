//! `brig system check`.

use std::ffi::OsString;

use clap::Parser;
use container::Containers;
use store::Depth;

use crate::command;
use crate::command::run::failure;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::{output, site};

/// Look for what a crash or a failing disk left behind
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig system check [FLAGS]",
    after_help = "Prints one line for each finding and ends with 1 if something is left to mend.\n\nExamples:\n  brig system check\n  brig system check --contents --repair"
)]
struct Check {
    /// Mend what can be mended without losing an image or a container
    #[arg(long, short = 'r')]
    repair: bool,
    /// Read every blob and compare its digest
    #[arg(long)]
    contents: bool,
    /// Print nothing where nothing is wrong
    #[arg(long, short = 'q')]
    quiet: bool,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Check = command::parse("brig system check", args)?;
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    let depth = if flags.contents { Depth::Contents } else { Depth::Names };
    let (mut text, mut open) = (String::new(), 0_usize);
    let mut tell = |finding: String, outcome: Option<Result<&'static str, String>>| match outcome {
        None => {
            open += 1;
            text.push_str(&format!("{finding}\n"));
        }
        Some(Ok(done)) => text.push_str(&format!("{finding}: {done}\n")),
        Some(Err(reason)) => {
            open += 1;
            text.push_str(&format!("{finding}: not mended: {reason}\n"));
        }
    };
    if flags.repair {
        for (left, outcome) in containers.repair().map_err(failure)? {
            tell(left.to_string(), Some(outcome));
        }
        for repaired in store.repair(depth).map_err(site::of_store)? {
            tell(repaired.finding.to_string(), Some(repaired.outcome));
        }
    } else {
        for left in containers.check().map_err(failure)? {
            tell(left.to_string(), None);
        }
        for finding in store.check(depth).map_err(site::of_store)? {
            tell(finding.to_string(), None);
        }
    }
    if text.is_empty() && !flags.quiet {
        text.push_str("nothing is wrong\n");
    }
    output::print(&text)?;
    if open > 0 && !flags.repair {
        global.log.warning("`brig system check --repair` mends what can be mended");
    }
    Ok(if open > 0 { FAILED } else { 0 })
}
