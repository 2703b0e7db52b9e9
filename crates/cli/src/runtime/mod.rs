//! `brig-runtime`: an OCI runtime command line that takes runc's place under containerd, podman, CRI-O or
//! Docker.
//!
//! Its grammar, exit codes and output are runc 1.4's. Errors go to standard error and to `--log`, where the
//! engines look for them.

mod create;
mod events;
mod exec;
mod features;
mod manage;
mod options;
mod spec;

use std::ffi::OsString;
use std::process::ExitCode;

use options::Options;

/// Exit code of a command that failed, as runc has it.
const FAILED: u8 = 1;
/// Exit code of `exec` that failed before its process ran.
const EXEC_FAILED: u8 = 255;

/// What a command ends with when it fails.
type Failed = Box<dyn std::error::Error>;

/// Ends a command whose help was asked for and printed.
#[derive(Debug, thiserror::Error)]
#[error("help was printed")]
struct HelpPrinted;

/// One command: its name, what help says about it, its entry point.
struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(&Options, Vec<OsString>) -> Result<u8, Failed>,
}

const COMMANDS: &[Command] = &[
    Command { name: "create", about: "Create a container, which waits for start", run: create::create },
    Command { name: "delete", about: "Delete a container and what it holds", run: manage::delete },
    Command { name: "events", about: "Print statistics and events of a container", run: events::run },
    Command { name: "exec", about: "Execute a process in a running container", run: exec::run },
    Command { name: "features", about: "Print what this runtime implements, as JSON", run: features::run },
    Command { name: "kill", about: "Send a signal to a container (default SIGTERM)", run: manage::kill },
    Command { name: "list", about: "List containers", run: manage::list },
    Command { name: "pause", about: "Freeze the processes of a container", run: manage::pause },
    Command { name: "ps", about: "List the processes of a container", run: manage::ps },
    Command { name: "resume", about: "Let the processes of a container go on", run: manage::resume },
    Command { name: "run", about: "Create and start a container", run: create::run },
    Command { name: "spec", about: "Write a config.json to begin with", run: spec::run },
    Command { name: "start", about: "Start a created container", run: manage::start },
    Command { name: "state", about: "Print the state of a container", run: manage::state },
    Command { name: "update", about: "Change the limits of a container", run: manage::update },
];

/// Runs the runtime command line on the words after its name.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let options = match Options::parse(&mut args) {
        Ok(options) => options,
        Err(error) => {
            crate::output::error_line(&format!("brig-runtime: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let word = args.next().unwrap_or_default();
    let result = match word.to_str() {
        _ if options.version => print_version(),
        _ if options.help => crate::output::print(&help()).map(|()| 0).map_err(Failed::from),
        Some(name @ ("checkpoint" | "restore")) => {
            Err(format!("`{name}` is not supported: `brig-runtime features` says what is").into())
        }
        Some("" | "help" | "h") => crate::output::print(&help()).map(|()| 0).map_err(Failed::from),
        Some(name) => match COMMANDS.iter().find(|command| command.name == name) {
            Some(command) => (command.run)(&options, args.collect()),
            None => Err(format!("no command `{name}`: `brig-runtime --help` lists them").into()),
        },
        None => Err("the command is no text".into()),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is::<HelpPrinted>() => ExitCode::SUCCESS,
        Err(error) => {
            options.report(error.as_ref());
            ExitCode::from(if word == "exec" { EXEC_FAILED } else { FAILED })
        }
    }
}

fn print_version() -> Result<u8, Failed> {
    let text =
        format!("brig-runtime version {}\nspec: {}\n", env!("CARGO_PKG_VERSION"), oci::runtime::SPEC_VERSION);
    crate::output::print(&text)?;
    Ok(0)
}

fn help() -> String {
    let mut text = String::from(
        "OCI runtime of Brigantine: runs bundles according to the OCI runtime specification\n\n\
         Usage: brig-runtime [OPTIONS] COMMAND [ARGS]...\n\nCommands:\n",
    );
    for command in COMMANDS {
        text.push_str(&format!("  {:<9} {}\n", command.name, command.about));
    }
    text.push_str(options::HELP);
    text
}

/// Parses the words of one command; help is printed here.
fn parse<P: clap::Parser>(name: &str, args: Vec<OsString>) -> Result<P, Failed> {
    let words = std::iter::once(OsString::from(format!("brig-runtime {name}"))).chain(args);
    match P::try_parse_from(words) {
        Ok(flags) => Ok(flags),
        Err(error) if matches!(error.kind(), clap::error::ErrorKind::DisplayHelp) => {
            crate::output::print(&error.to_string())?;
            Err(Box::new(HelpPrinted))
        }
        Err(error) => Err(error.to_string().trim_end().to_owned().into()),
    }
}
