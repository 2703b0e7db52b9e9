//! `brig top`.

use std::ffi::OsString;
use std::path::Path;

use clap::Parser;
use container::{LATEST, Running};

use crate::command::{self, run::failure};
use crate::error::Failure;
use crate::global::Global;
use crate::{format, output, site};

/// List the processes of a container
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig top CONTAINER [PS-OPTIONS | DESCRIPTORS...]",
    after_help = "Nothing is run in the container: the files in /proc are read from outside. Options of ps (-ef, aux, -o LIST)\nshow the host's ids, descriptors the container's. Times are in UTC.\n\nDescriptors: args, c, capamb, capbnd, capeff, capinh, capprm, comm, etime, gid, group, groups, hgroup, hgroups,\nhpid, huser, label, nice, pcpu, pgid, pid, pmem, ppid, rgroup, rss, ruser, seccomp, stat, state, stime, time, tty,\nuid, user, vsz.\n\nExamples:\n  brig top web\n  brig top web -o pid,args\n  brig top web pid huser seccomp capeff"
)]
struct Top {
    /// The one that was made last
    #[arg(long, short = 'l')]
    latest: bool,
    /// Name, id or beginning of an id
    #[arg(value_name = "CONTAINER", required_unless_present = "latest")]
    container: Option<String>,
    /// Options of ps, or descriptors
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
    words: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let mut flags: Top = command::parse("brig top", args)?;
    if flags.latest {
        // What stands in the container's place is the first word.
        flags.words.splice(0..0, flags.container.replace(LATEST.to_owned()));
    }
    let name = flags.container.unwrap_or_default();
    site::with(global, |site, _| {
        let id = site.containers.find(&name).map_err(failure)?;
        let running = Running::open(site.containers, &id).map_err(failure)?;
        let table = container::top::top(&running, &flags.words, Path::new(site::ETC)).map_err(failure)?;
        let heading: Vec<&str> = table.headings.iter().map(String::as_str).collect();
        output::print(&format::table(&heading, &table.rows))?;
        Ok(0)
    })
}
