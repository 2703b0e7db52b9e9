//! `brig unshare`.

use std::ffi::OsString;

use clap::Parser;
use container::Unshare;

use crate::command::{self, run::failure};
use crate::error::Failure;
use crate::global::Global;
use crate::site;

/// Run a program in your own user namespace, where your containers' files are yours
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig unshare [PROGRAM [WORDS...]]",
    after_help = "CONTAINERS_GRAPHROOT and CONTAINERS_RUNROOT name the store and the run directory.\n\nExamples:\n  brig unshare\n  brig unshare cat /proc/self/uid_map\n  brig unshare ls -ln /home/me/.local/share/brig/containers"
)]
struct Flags {
    /// The program and its words; your shell without one
    #[arg(value_name = "PROGRAM", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the program that reads the environment for its libraries"
)]
pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let mut flags: Flags = command::parse("brig unshare", args)?;
    let (store, _) = site::store(global)?;
    let runroot = global.runroot()?;
    let mut environment: Vec<_> = std::env::vars_os()
        .filter(|(name, _)| name != "CONTAINERS_GRAPHROOT" && name != "CONTAINERS_RUNROOT")
        .collect();
    environment.push(("CONTAINERS_GRAPHROOT".into(), store.path().into()));
    environment.push(("CONTAINERS_RUNROOT".into(), runroot.into()));
    if flags.words.is_empty() {
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        flags.words.push(shell.unwrap_or_else(|| "/bin/sh".into()));
    }
    let unshare = Unshare { words: flags.words, environment };
    container::unshare(&store, &unshare).map_err(failure)
}
