//! `brig start`.

use std::ffi::OsString;

use clap::Parser;
use clap::builder::BoolishValueParser;
use container::value::name::ContainerId;
use container::{Attach, Connection, Error, LATEST, Site};

use crate::command::chosen::{self, Chosen};
use crate::command::{self, attach, run::failure};
use crate::error::Failure;
use crate::global::Global;
use crate::site;

/// Start containers that are created or ended
#[derive(Debug, Parser)]
#[command(override_usage = "brig start [FLAGS] CONTAINER [CONTAINER...]\n       brig start --all [FLAGS]")]
struct Start {
    /// Show the container's output and end with its exit code
    #[arg(long, short = 'a')]
    attach: bool,
    /// Hand the standard input on
    #[arg(long, short = 'i')]
    interactive: bool,
    /// Keys that leave the container running, ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Pass signals on to the program
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    sig_proxy: bool,
    /// All that do not run
    #[arg(long, conflicts_with_all = ["containers", "attach", "interactive"])]
    all: bool,
    /// The one that was made last
    #[arg(long, short = 'l', conflicts_with_all = ["containers", "all"])]
    latest: bool,
    /// Those of all that match, as in `brig ps`
    #[arg(long, short = 'f', value_name = "KEY=VALUE", conflicts_with_all = ["containers", "attach", "interactive"])]
    filter: Vec<String>,
    /// Names, ids or beginnings of ids
    #[arg(required_unless_present_any = ["all", "latest", "filter"], value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Start = command::parse("brig start", args)?;
    if !flags.attach && !flags.interactive {
        let warn = |text: &str| global.log.warning(text);
        let Start { all, latest, filter, containers, .. } = flags;
        let chosen = Chosen { all, latest, filter, containers, ..Chosen::default() };
        let does_not_live = |status| !chosen::lives(status);
        return chosen.each(global, does_not_live, |site, id| {
            match container::start(site, id, None, &warn) {
                // As docker: what was asked for is so.
                Err(Error::Running { .. }) => Ok(()),
                result => result,
            }
        });
    }
    let latest = [LATEST.to_owned()];
    let named = if flags.latest { &latest[..] } else { &flags.containers };
    let [name] = named else {
        return Err(Failure::user(
            "one terminal can be attached to one container only: start the others without `-a` and `-i`",
        )
        .code(1));
    };
    site::with(global, |site, _| {
        let id = site.containers.find(name).map_err(|error| failure(error).code(1))?;
        global.note.container(site.containers, &id);
        global.note.happened_by_command();
        attached(global, site, &id, &flags)
    })
}

fn attached(global: &Global, site: &Site<'_>, id: &ContainerId, flags: &Start) -> Result<u8, Failure> {
    let record = site.containers.record(id).map_err(failure)?.unwrap_or_default();
    let keys = flags.detach_keys.as_deref().or(record.detach_keys.as_deref());
    let mut how = Attach::new(flags.interactive && record.open_stdin, record.tty, keys).map_err(failure)?;
    how.forward_signals = flags.sig_proxy;
    let (connection, theirs) = Connection::pair(&how).map_err(failure)?;
    let connection = match container::start(site, id, Some(theirs), &|text| global.log.warning(text)) {
        Ok(()) => connection,
        Err(Error::Running { .. }) => Connection::open(site.containers, id, &how).map_err(failure)?,
        Err(error) => return Err(failure(error)),
    };
    attach::stay(site.containers, id, connection, &how)
}
