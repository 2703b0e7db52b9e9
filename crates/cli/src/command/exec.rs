//! `brig exec`.

use std::ffi::OsString;

use clap::Parser;
use clap::builder::BoolishValueParser;
use container::value::environment;
use container::{Exec, LATEST, Running};

use crate::command::{self, run::failure};
use crate::error::{ENGINE_ERROR, Failure};
use crate::global::Global;
use crate::note::{self, Event};
use crate::{input, sealed, site};

/// Run a program in a container that runs
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig exec [FLAGS] CONTAINER COMMAND [WORDS...]",
    disable_help_flag = true,
    args_override_self = true,
    after_help = "Examples:\n  brig exec web cat /etc/hostname\n  brig exec -it web sh\n  brig exec -u 1000 -w /srv -e LANG=C web ls"
)]
struct Flags {
    /// The one that was made last
    #[arg(long, short = 'l')]
    latest: bool,
    /// Leave the program running and return
    #[arg(short = 'd', long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    detach: bool,
    /// Keys that leave the program running
    #[arg(long, value_name = "KEYS")]
    detach_keys: Option<String>,
    /// Set a variable
    #[arg(short = 'e', long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    env_file: Vec<String>,
    /// Keep standard input open
    #[arg(short = 'i', long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    interactive: bool,
    /// Give the program every capability in the container
    #[arg(long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    privileged: bool,
    /// Pass this many descriptors from 3 on to the program
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u32,
    /// Give the program a terminal
    #[arg(short = 't', long, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new(), hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    tty: bool,
    /// Run as this user
    #[arg(short = 'u', long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Working directory
    #[arg(short = 'w', long, value_name = "DIR")]
    workdir: Option<String>,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The container, then the program and its words; nothing after the container is a flag of ours
    #[arg(value_name = "CONTAINER", trailing_var_arg = true, required = true, num_args = 1.., allow_hyphen_values = false)]
    words: Vec<OsString>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let mut flags: Flags = command::parse("brig exec", args)?;
    let words = std::mem::take(&mut flags.words).into_iter().map(|word| {
        word.into_string().map_err(|word| Failure::user(format!("`{}` is not UTF-8", word.to_string_lossy())))
    });
    let mut words = words.collect::<Result<Vec<_>, _>>()?.into_iter();
    let name = if flags.latest { LATEST.to_owned() } else { words.next().unwrap_or_default() };
    if words.len() == 0 {
        return Err(Failure::user("no program is named")
            .hint("brig exec [FLAGS] CONTAINER PROGRAM [WORDS...]")
            .code(ENGINE_ERROR));
    }
    let exec = exec(flags, words.collect())?;
    site::with(global, |site, _| {
        let id = site.containers.find(&name).map_err(failure)?;
        let running = Running::open(site.containers, &id).map_err(failure)?;
        if sealed::shares_user_namespace(running.pid()) {
            sealed::seal()?;
        }
        if exec.privileged {
            global.log.warning("`exec --privileged` opens every capability in the container to the program");
        }
        let event = Event::of(site.containers, &id);
        global.note.container_of(&event);
        global.note.happened_by_command();
        // Before it runs: whoever kills this command shall not thereby kill its record.
        note::write(global, None, None);
        let executed = running.exec(&exec, &site.environment).map_err(failure);
        let code = executed.as_ref().map_or_else(|failure| failure.exit_code(), |executed| executed.code);
        if !exec.detach {
            event.with("exitCode", &code).error(executed.as_ref().err()).write(global, &["exec_die"]);
        }
        let executed = executed?;
        for warning in &executed.warnings {
            global.log.warning(warning);
        }
        Ok(executed.code)
    })
}

fn exec(flags: Flags, command: Vec<String>) -> Result<Exec, Failure> {
    let mut environment = Vec::new();
    for path in &flags.env_file {
        let bytes = input::read(path, environment::MAX_FILE as u64)?;
        environment.extend(environment::parse_file("--env-file", path, &bytes).map_err(failure)?);
    }
    for entry in &flags.env {
        environment.push(environment::parse("--env", entry).map_err(failure)?);
    }
    Ok(Exec {
        command,
        user: flags.user,
        workdir: flags.workdir,
        environment,
        terminal: flags.tty,
        interactive: flags.interactive,
        detach: flags.detach,
        privileged: flags.privileged,
        detach_keys: flags.detach_keys,
        preserve_descriptors: flags.preserve_fds,
    })
}
