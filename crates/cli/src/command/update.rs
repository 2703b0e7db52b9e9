//! `brig update`.

use std::ffi::OsString;

use clap::Parser;
use container::Update;

use crate::command::run::health::HealthArguments;
use crate::command::run::limits::LimitFlags;
use crate::command::run::{failure, restart_policy};
use crate::command::{self, each_printing};
use crate::error::Failure;
use crate::global::Global;

/// Change limits, health checks and restart policies of containers
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig update [FLAGS] CONTAINER [CONTAINER...]",
    disable_help_flag = true,
    args_override_self = true,
    after_help = "What runs is changed at once, and later starts have it, too. A limit that cannot be applied changes nothing.\n\nExamples:\n  brig update --memory 512m --cpus 1.5 web\n  brig update --restart unless-stopped web\n  brig update --health-interval 5m --health-retries 2 web"
)]
struct Flags {
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    health: HealthArguments,
    /// no, on-failure[:TIMES], always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<String>,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Flags = command::parse("brig update", args)?;
    let mut update =
        Update { restart: flags.restart.as_deref().map(restart_policy).transpose()?, ..Update::default() };
    flags.limits.parse(&mut update.limits).map_err(failure)?;
    update.health = flags.health.parse().map_err(failure)?;
    each_printing(global, &flags.containers, |site, id, name| {
        for warning in container::update(site.containers, id, &update)? {
            global.log.warning(&warning);
        }
        Ok(Some(name.to_owned()))
    })
}
