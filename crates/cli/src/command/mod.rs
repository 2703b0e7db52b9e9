//! The commands of `brig`, one file each.
//!
//! To add one: a file with `pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure>`
//! (the words after the command; the exit code) and a row in [`COMMANDS`] or [`IMAGE_COMMANDS`].

pub(crate) mod attach;
mod boot;
mod check;
mod chosen;
mod commit;
mod complete;
mod cp;
mod df;
mod diff;
mod doctor;
mod events;
mod examples;
mod exec;
mod exists;
mod export;
mod generate;
mod group;
mod healthcheck;
mod history;
mod image;
mod images;
mod import;
mod info;
mod inspect;
mod journal;
mod kill;
mod load;
mod login;
mod logout;
mod logs;
mod pause;
mod port;
mod prune;
mod ps;
mod pull;
mod push;
mod rename;
mod restart;
mod rm;
mod rmi;
pub(crate) mod run;
mod save;
mod secret;
mod selection;
mod start;
mod stats;
mod stop;
mod tag;
mod top;
mod tree;
mod unpause;
mod unshare;
mod untag;
mod update;
mod version;
mod volume;
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use container::Site;
use container::value::name::ContainerId;

use crate::error::{ENGINE_ERROR, FAILED, Failure};
use crate::global::{Early, Global};
use crate::{note, output, sealed};

/// One command: its name, what help says about it, its entry point.
#[derive(Clone, Copy)]
struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(&Global, Vec<OsString>) -> Result<u8, Failure>,
}

/// Every command that is the first word after `brig`.
const COMMANDS: &[Command] = &[
    Command { name: "run", about: "Run a program in a new container", run: run::run },
    Command { name: "create", about: "Make a container and leave it for a later start", run: run::create },
    Command { name: "exec", about: "Run a program in a container that runs", run: exec::run },
    Command { name: "top", about: "List the processes of a container", run: top::run },
    Command { name: "update", about: "Change limits and restart policies of containers", run: update::run },
    Command { name: "stats", about: "Show what containers use", run: stats::run },
    Command { name: "start", about: "Start containers that are created or ended", run: start::run },
    Command { name: "stop", about: "Stop containers", run: stop::run },
    Command { name: "kill", about: "Send a signal to containers", run: kill::run },
    Command { name: "restart", about: "Stop containers and start them again", run: restart::run },
    Command { name: "attach", about: "Connect the terminal to a running container", run: attach::run },
    Command { name: "ps", about: "List containers", run: ps::run },
    Command {
        name: "inspect",
        about: "Print everything about containers or images as JSON",
        run: inspect::run,
    },
    Command { name: "pause", about: "Freeze the processes of containers", run: pause::run },
    Command { name: "unpause", about: "Let frozen containers go on", run: unpause::run },
    Command { name: "wait", about: "Wait until containers end and print their exit codes", run: wait::run },
    Command { name: "port", about: "List the published ports of a container", run: port::run },
    Command { name: "rename", about: "Give a container another name", run: rename::run },
    Command { name: "logs", about: "Print what containers said", run: logs::run },
    Command { name: "healthcheck", about: "Check whether a container works", run: group::healthcheck },
    Command { name: "cp", about: "Copy files between containers and the host", run: cp::run },
    Command { name: "diff", about: "List what a container changed of its image", run: diff::run },
    Command { name: "commit", about: "Make an image of a container's changes", run: commit::run },
    Command {
        name: "export",
        about: "Write a container's root file system as a tar archive",
        run: export::run,
    },
    Command { name: "generate", about: "Print what starts containers after a reboot", run: group::generate },
    Command { name: "history", about: "Show the steps that an image was made by", run: history::run },
    Command { name: "images", about: "List images", run: images::run },
    Command {
        name: "import",
        about: "Make an image of the tar archive of a root file system",
        run: import::run,
    },
    Command { name: "load", about: "Load images from an archive or an OCI layout directory", run: load::run },
    Command { name: "pull", about: "Get images from a registry", run: pull::run },
    Command { name: "push", about: "Send images to a registry", run: push::run },
    Command { name: "login", about: "Keep credentials for a registry", run: login::run },
    Command { name: "logout", about: "Forget credentials for registries", run: logout::run },
    Command { name: "rm", about: "Remove containers", run: rm::run },
    Command { name: "rmi", about: "Remove images", run: rmi::run },
    Command { name: "save", about: "Write images to an archive or a directory", run: save::run },
    Command { name: "tag", about: "Give an image another name", run: tag::run },
    Command { name: "untag", about: "Take names from an image, which stays", run: untag::run },
    Command { name: "container", about: "Commands on containers", run: group::container },
    Command { name: "image", about: "Commands on images", run: image::run },
    Command {
        name: "events",
        about: "Print what happens to containers, images and volumes",
        run: events::run,
    },
    Command { name: "journal", about: "Show who did what, and check the record of it", run: journal::run },
    Command { name: "unshare", about: "Run a program in your own user namespace", run: unshare::run },
    Command { name: "doctor", about: "Show what this host lacks and how to mend it", run: doctor::run },
    Command { name: "info", about: "Print where things are kept and what this machine is", run: info::run },
    Command { name: "secret", about: "Commands on secrets", run: secret::run },
    Command { name: "volume", about: "Commands on volumes", run: volume::run },
    Command { name: "system", about: "Commands on the whole of brig", run: group::system },
    Command { name: "completion", about: "Print the completion script of a shell", run: complete::script },
    Command { name: "help", about: "Print help about a command", run: help_of },
    Command { name: "version", about: "Print the version", run: version::run },
];

/// Instead of a command's words: it answers with [`Described`] and does nothing. No program can be called with it.
pub(crate) const DESCRIBE: &str = "\0describe";

/// What a command says of itself, for completion.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Described {
    /// A noun.
    #[error("a noun")]
    Verbs(Vec<String>),
    /// A command with flags; `positional` is what help calls its words.
    #[error("a command")]
    Flags { flags: Vec<DescribedFlag>, positional: String },
}

/// One flag of a command.
#[derive(Debug)]
pub(crate) struct DescribedFlag {
    /// `--name` and `-n`.
    pub(crate) names: Vec<String>,
    /// Whether the next word is its value.
    pub(crate) takes_value: bool,
}

/// Answers [`DESCRIBE`].
pub(crate) fn described<P: Parser>(args: &[OsString]) -> Result<(), Failure> {
    if args.first().is_none_or(|word| word != DESCRIBE) {
        return Ok(());
    }
    let mut command = P::command();
    command.build();
    let flags = command.get_arguments().filter(|flag| !flag.is_positional() && !flag.is_hide_set());
    let flags = flags.map(|flag| DescribedFlag {
        names: flag
            .get_long()
            .map(|long| format!("--{long}"))
            .into_iter()
            .chain(flag.get_short().map(|short| format!("-{short}")))
            .collect(),
        takes_value: flag.get_action().takes_values() && !flag.is_require_equals_set(),
    });
    let names =
        |flag: &clap::Arg| flag.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let positional = command.get_positionals().find_map(names).unwrap_or_default();
    Err(Failure::user(Described::Flags { flags: flags.collect(), positional }))
}

/// Runs `brig help`: what `--help` says.
fn help_of(global: &Global, mut args: Vec<OsString>) -> Result<u8, Failure> {
    if args.first().is_some_and(|word| word == DESCRIBE) {
        let positional = "COMMAND".to_owned();
        return Err(Failure::user(Described::Flags { flags: Vec::new(), positional }));
    }
    if args.is_empty() {
        return output::print(&help()).map(|()| 0);
    }
    if args[0] == "--help" || args[0] == "-h" {
        let text = "Print help about a command\n\nUsage: brig help [COMMAND [VERB]]\n\nExamples:\n  brig help run\n  brig help volume create\n";
        return output::print(text).map(|()| 0);
    }
    let word = args.remove(0);
    args.push("--help".into());
    dispatch(global, COMMANDS, "brig", &word, args)
}

/// Runs the command line for people and returns its exit code.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    let mut global = Global::default();
    let all = args.clone();
    let mut args = args.into_iter();
    let result = global.parse(&mut args).and_then(|early| match early {
        Early::Help => output::print(&help()).map(|()| 0),
        Early::Version => output::print(&format!("brig version {}\n", env!("CARGO_PKG_VERSION"))).map(|()| 0),
        Early::Command => match args.next() {
            Some(word) if word == "__complete" => complete::answer(&global, &args.collect::<Vec<_>>()),
            Some(word) => {
                let after: Vec<OsString> = args.collect();
                global.note.begin(&word, &after, &all);
                dispatch(&global, COMMANDS, "brig", &word, after)
            }
            None => output::print(&help()).map(|()| ENGINE_ERROR),
        },
    });
    match result {
        Ok(code) => {
            note::write(&global, Some(code), None);
            ExitCode::from(code)
        }
        Err(failure) => {
            note::write(&global, Some(failure.exit_code()), Some(&failure));
            global.log.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(
    global: &Global,
    commands: &[Command],
    parent: &str,
    word: &OsString,
    args: Vec<OsString>,
) -> Result<u8, Failure> {
    match commands.iter().find(|command| word == command.name) {
        // As docker: only `run` tells a failure of its own from one of the program by 125.
        Some(command) => (command.run)(global, args).map_err(|failure| match command.name {
            "run" => failure.code_unless_set(ENGINE_ERROR),
            _ => failure.code_unless_set(FAILED),
        }),
        None => Err(Failure::user(format!("`{}` is not a command of `{parent}`", word.to_string_lossy()))
            .hint(format!("`{parent} --help` lists the commands"))
            .code(FAILED)),
    }
}

/// Before a process is put into a container of our own user namespace: it could write to this program (CVE-2019-5736).
fn sealed_for(site: &Site<'_>, id: &ContainerId) -> Result<(), Failure> {
    let state = site.containers.state(id).map_err(run::failure)?;
    if state.pid != 0 && sealed::shares_user_namespace(state.pid) {
        sealed::seal()?;
    }
    Ok(())
}

/// Parses the words of one command. Help and usage errors are printed here, as clap words them.
pub(crate) fn parse<P: Parser>(name: &str, args: Vec<OsString>) -> Result<P, Failure> {
    described::<P>(&args)?;
    try_parse(name, args, None).map_err(|error| usage_error(name, &error))
}

/// As [`parse`], for who has more to say of an error, or whose flags serve more than one command.
pub(crate) fn try_parse<P: Parser>(
    name: &str,
    args: Vec<OsString>,
    usage: Option<String>,
) -> Result<P, clap::Error> {
    let mut command = P::command();
    if let Some(usage) = usage {
        command = command.override_usage(usage);
    }
    if command.get_after_help().is_none()
        && let Some(examples) = examples::of(name)
    {
        command = command.after_help(examples);
    }
    let words = std::iter::once(OsString::from(name)).chain(args);
    P::from_arg_matches(&command.try_get_matches_from_mut(words)?)
}

/// What a command that could not be parsed ends with; asking for help is no failure.
pub(crate) fn usage_error(name: &str, error: &clap::Error) -> Failure {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match output::print(&error.to_string()) {
            Ok(()) => Failure::closed_pipe(),
            Err(failure) => failure,
        },
        _ => usage(name, &error.to_string()),
    }
}

/// Turns clap's several lines into our one line and its hints.
fn usage(name: &str, text: &str) -> Failure {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut first = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let mut failure_hints = Vec::new();
    for line in lines {
        match line.strip_prefix("tip: ") {
            Some(tip) => failure_hints.push(tip.to_owned()),
            None if line.starts_with("Usage:") => break,
            None => {
                first.push(' ');
                first.push_str(line);
            }
        }
    }
    let failure = Failure::user(first.replace('\'', "`"));
    failure_hints
        .into_iter()
        .fold(failure, |failure, hint| failure.hint(hint.replace('\'', "`")))
        .hint(format!("`{name} --help` lists the flags"))
        .code(ENGINE_ERROR)
}

/// Does the same to each container and prints what `act` returns; goes on after a failure, as docker does.
pub(crate) fn each_printing(
    global: &Global,
    names: &[String],
    act: impl Fn(&Site<'_>, &ContainerId, &str) -> container::Result<Option<String>>,
) -> Result<u8, Failure> {
    crate::site::with(global, |site, _| each_at(global, site, names, act))
}

/// As [`each_printing`], where the store is open already.
fn each_at(
    global: &Global,
    site: &Site<'_>,
    names: &[String],
    act: impl Fn(&Site<'_>, &ContainerId, &str) -> container::Result<Option<String>>,
) -> Result<u8, Failure> {
    let mut code = 0;
    for name in names {
        let done = site.containers.find(name).and_then(|id| {
            global.note.container(site.containers, &id);
            let done = act(site, &id, name)?;
            global.note.happened_by_command();
            Ok(done)
        });
        match done {
            Ok(Some(text)) => output::print(&format!("{text}\n"))?,
            Ok(None) => {}
            Err(error) => {
                global.log.failure(&run::failure(error));
                code = FAILED;
            }
        }
    }
    Ok(code)
}

/// Parses a signal, as `--signal` has it.
pub(crate) fn signal(text: &str) -> Result<i32, Failure> {
    container::spec::signal(text)
        .ok_or_else(|| Failure::user(format!("`{}` is no signal, see signal(7)", text.escape_debug())))
}

/// Names and one-line descriptions.
fn listing(commands: &[Command]) -> String {
    commands.iter().map(|command| format!("  {:<12} {}\n", command.name, command.about)).collect()
}

/// Parses the name of an image.
pub(crate) fn reference(text: &str) -> Result<oci::Reference, Failure> {
    text.parse().map_err(|error| Failure::user(format!("`{text}` is no image name: {error}")))
}

/// Parses `OS/ARCHITECTURE[/VARIANT]`.
pub(crate) fn platform(text: &str) -> Result<oci::image::Platform, Failure> {
    let parts: Vec<&str> = text.split('/').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(word) {
        return Err(Failure::user(format!("`--platform` cannot be `{text}`: use linux/amd64 and the like")));
    }
    let mut platform = oci::image::Platform::host();
    parts[0].clone_into(&mut platform.os);
    parts[1].clone_into(&mut platform.architecture);
    platform.variant = parts.get(2).map(|part| (*part).to_owned());
    Ok(platform)
}

fn help() -> String {
    let mut text = String::from(
        "Usage: brig [FLAGS] COMMAND\n\nStores images and runs containers, without a daemon.\n\nCommands:\n",
    );
    text.push_str(&listing(COMMANDS));
    text.push_str(
        "\nFlags:\n      --root DIR           Where images and containers are kept\n      --runroot DIR        Where locks and sockets are kept\n      --log-level LEVEL    error, warn, info or debug\n      --log-format FORMAT  text or json\n  -D, --debug              As --log-level debug\n  -h, --help               Print help\n  -v, --version            Print the version\n\n`brig COMMAND --help` says more about a command.\n",
    );
    text
}

/// Says where the process that reads or writes a container's files for this command is confined less than it should be.
fn warn_of_confinement(global: &Global) {
    if let Some(lack) = container::lacking_confinement() {
        let text =
            format!("who reads and writes the files is confined by a system call filter alone: {lack}");
        global.log.warning(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_errors_become_one_line_with_hints() {
        let failure = usage(
            "brig run",
            "error: unexpected argument '--nmae' found\n\n  tip: a similar argument exists: '--name'\n\nUsage: brig run\n",
        );
        assert_eq!(failure.chain(), "unexpected argument `--nmae` found");
        assert_eq!(
            failure.hints(),
            ["a similar argument exists: `--name`", "`brig run --help` lists the flags"]
        );
    }

    /// Docker's public command list, without what is about clusters, builds and registries, which are other issues.
    #[test]
    fn dockers_commands_are_there() {
        const TOP: &str = "attach commit container cp create diff events exec export help image images import info inspect \
            kill load logs pause port ps rename restart rm rmi run save start stats stop system tag top unpause update \
            version volume wait";
        const CONTAINER: &str = "attach commit cp create diff exec export inspect kill list logs ls pause port ps rename \
            restart rm run start stats stop top unpause update wait";
        const IMAGE: &str = "import inspect list load ls rm save tag";
        let global = Global::default();
        let names = |described| match described {
            Some(Described::Verbs(verbs)) => verbs,
            _ => Vec::new(),
        };
        let noun = |noun: &str| names(complete::describe(&global, &[noun.to_owned()]));
        let top = COMMANDS.iter().map(|command| command.name.to_owned()).collect();
        for (wanted, found) in [(TOP, top), (CONTAINER, noun("container")), (IMAGE, noun("image"))] {
            for name in wanted.split_whitespace() {
                assert!(found.iter().any(|known: &String| known == name), "{name}");
            }
        }
    }

    #[test]
    fn names_are_unique_and_sorted_by_use() {
        for (at, command) in COMMANDS.iter().enumerate() {
            assert!(COMMANDS[at + 1..].iter().all(|other| other.name != command.name), "{}", command.name);
            assert!(!command.about.ends_with('.'), "{}", command.name);
        }
    }
}
