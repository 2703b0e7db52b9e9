//! `brig attach`, and what `run` and `start` have of it.

use std::ffi::OsString;

use clap::Parser;
use clap::builder::BoolishValueParser;
use container::value::name::ContainerId;
use container::{Attach, Attached, Connection, Containers};

use crate::command::{self, chosen, run::failure};
use crate::error::Failure;
use crate::global::Global;
use crate::{output, site};

/// Connect the terminal to a running container
#[derive(Debug, Parser)]
#[command(override_usage = "brig attach [FLAGS] CONTAINER")]
struct Flags {
    /// Do not hand the standard input on
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    no_stdin: bool,
    /// Pass signals on to the program
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    sig_proxy: bool,
    /// Keys that leave the container running, ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// The one that was made last
    #[arg(long, short = 'l')]
    latest: bool,
    /// A name, an id or the beginning of one
    #[arg(value_name = "CONTAINER", required_unless_present = "latest")]
    container: Option<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Flags = command::parse("brig attach", args)?;
    let name = chosen::one(flags.latest, flags.container)?;
    site::with(global, |site, _| {
        let containers = site.containers;
        let attached = containers.find(&name).and_then(|id| {
            global.note.container(containers, &id);
            global.note.happened_by_command();
            let record = containers.record(&id)?.unwrap_or_default();
            let keys = flags.detach_keys.as_deref().or(record.detach_keys.as_deref());
            let mut how = Attach::new(record.open_stdin && !flags.no_stdin, record.tty, keys)?;
            how.forward_signals = flags.sig_proxy;
            let connection = Connection::open(containers, &id, &how)?;
            container::attach(containers, &id, connection, &how)
        });
        code(attached.map_err(|error| failure(error).code(1))?)
    })
}

/// Stays with a container until it ends or the person leaves it; the command's exit code.
pub(crate) fn stay(
    containers: &Containers<'_>,
    id: &ContainerId,
    connection: Connection,
    how: &Attach,
) -> Result<u8, Failure> {
    code(container::attach(containers, id, connection, how).map_err(failure)?)
}

fn code(attached: Attached) -> Result<u8, Failure> {
    match attached {
        Attached::Ended(code) => Ok(code),
        Attached::Detached => {
            // As docker: the shell's next line begins on one of its own.
            output::error_line("read escape sequence");
            Ok(0)
        }
        Attached::Signalled(number) => Ok(u8::try_from(128 + number).unwrap_or(1)),
    }
}
