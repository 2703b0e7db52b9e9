//! The nouns: `brig container`, `brig image`, `brig system`. Most of their verbs are commands of the top level, too.

use std::ffi::OsString;

use super::{
    COMMANDS, Command, DESCRIBE, Described, boot, check, df, dispatch, exists, generate, healthcheck,
    inspect, listing, prune, ps, rm,
};
use crate::error::Failure;
use crate::global::Global;
use crate::output;

/// A noun and its verbs.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Verbs that the top level spells in another way, or not at all.
    pub(super) own: &'static [Command],
    /// Names of commands of the top level.
    pub(super) shared: &'static [&'static str],
}

const CONTAINER: Group = Group {
    name: "container",
    about: "Commands on containers",
    own: &[
        Command { name: "exists", about: "Ask whether there is such a container", run: exists::container },
        Command {
            name: "inspect",
            about: "Print everything about containers as JSON",
            run: inspect::container,
        },
        Command { name: "list", about: "List containers", run: ps::run },
        Command { name: "ls", about: "List containers", run: ps::run },
        Command { name: "prune", about: "Remove all containers that do not run", run: prune::container },
        Command { name: "remove", about: "Remove containers", run: rm::run },
    ],
    shared: &[
        "attach", "commit", "cp", "create", "diff", "exec", "export", "kill", "logs", "pause", "port", "ps",
        "rename", "restart", "rm", "run", "start", "stats", "stop", "top", "unpause", "update", "wait",
    ],
};

const SYSTEM: Group = Group {
    name: "system",
    about: "Commands on the whole of brig",
    own: &[
        Command {
            name: "boot",
            about: "Start the containers that should run since the machine does",
            run: boot::run,
        },
        Command {
            name: "check",
            about: "Look for what a crash or a failing disk left behind",
            run: check::run,
        },
        Command { name: "df", about: "Show what images, containers and volumes take", run: df::run },
        Command {
            name: "prune",
            about: "Remove containers that do not run, and images that nothing needs",
            run: prune::system,
        },
    ],
    shared: &["events", "info"],
};

const HEALTHCHECK: Group = Group {
    name: "healthcheck",
    about: "Check whether a container works",
    own: &[Command {
        name: "run",
        about: "Check whether a container works, as its health check says, and keep the result",
        run: healthcheck::run,
    }],
    shared: &[],
};

const GENERATE: Group = Group {
    name: "generate",
    about: "Print what others need to work with brig",
    own: &[Command {
        name: "boot",
        about: "Print what makes this machine start containers after a reboot",
        run: generate::run,
    }],
    shared: &[],
};

/// Runs `brig healthcheck`.
pub(crate) fn healthcheck(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    HEALTHCHECK.run(global, args)
}

/// Runs `brig generate`.
pub(crate) fn generate(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    GENERATE.run(global, args)
}

/// Runs `brig container`.
pub(crate) fn container(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    CONTAINER.run(global, args)
}

/// Runs `brig system`.
pub(crate) fn system(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    SYSTEM.run(global, args)
}

impl Group {
    /// All verbs, by name.
    pub(super) fn verbs(&self) -> Vec<Command> {
        let shared = COMMANDS.iter().filter(|command| self.shared.contains(&command.name));
        let mut verbs: Vec<Command> = shared.chain(self.own).copied().collect();
        verbs.sort_by_key(|command| command.name);
        verbs
    }

    /// Runs one verb, or prints what there is.
    pub(super) fn run(&self, global: &Global, mut args: Vec<OsString>) -> Result<u8, Failure> {
        let verbs = self.verbs();
        match args.first() {
            Some(word) if word == DESCRIBE => {
                let names = verbs.iter().map(|verb| verb.name.to_owned()).collect();
                Err(Failure::user(Described::Verbs(names)))
            }
            None => self.help(&verbs),
            Some(word) if word == "--help" || word == "-h" => self.help(&verbs),
            Some(_) => {
                let word = args.remove(0);
                dispatch(global, &verbs, &format!("brig {}", self.name), &word, args)
            }
        }
    }

    fn help(&self, verbs: &[Command]) -> Result<u8, Failure> {
        let (name, about) = (self.name, self.about);
        output::print(&format!(
            "Usage: brig {name} COMMAND\n\n{about}.\n\nCommands:\n{}\n`brig {name} COMMAND --help` says more about a command.\n",
            listing(verbs)
        ))?;
        Ok(0)
    }
}
