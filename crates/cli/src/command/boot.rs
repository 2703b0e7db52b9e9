//! `brig system boot`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use clap::Parser;
use container::value::name::ContainerId;

use crate::command;
use crate::command::run::failure;
use crate::error::{FAILED, Failure};
use crate::global::Global;
use crate::{output, site};

/// Start the containers that should run since the machine does
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig system boot",
    after_help = "Containers of the restart policy always are started, and those of unless-stopped that nobody \
stopped. Those that run are left alone, so it may be run at any time.\n\nExamples:\n  brig generate boot"
)]
struct Boot {
    /// How many are started at the same time; as many as there are processors
    #[arg(long, value_name = "NUMBER")]
    parallel: Option<usize>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Boot = command::parse("brig system boot", args)?;
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let most = flags.parallel.unwrap_or_else(processors).max(1);
    let mut due = site::with(global, |site, _| container::due(site.containers).map_err(failure))?.into_iter();
    let mut running: Vec<(ContainerId, Child)> = Vec::new();
    let mut code = 0;
    loop {
        while running.len() < most
            && let Some(id) = due.next()
        {
            running.push((id.clone(), start(global, &id)?));
        }
        if running.is_empty() {
            return Ok(code);
        }
        // In turn: the next is started when the oldest has been, which takes some milliseconds.
        let (id, mut child) = running.remove(0);
        if child.wait().map_err(Failure::environment)?.success() {
            output::print(&format!("{id}\n"))?;
        } else {
            code = FAILED;
        }
    }
}

/// A process for each, since what starts a container must not have threads. It says itself what went wrong.
fn start(global: &Global, id: &ContainerId) -> Result<Child, Failure> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("brig").arg("--root").arg(global.root()?).arg("--runroot").arg(global.runroot()?);
    command.args(["start", id.as_str()]).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().map_err(Failure::environment)
}
