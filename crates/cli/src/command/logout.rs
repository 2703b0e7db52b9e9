//! `brig logout`.

use std::ffi::OsString;

use clap::Parser;

use super::login::named;
use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::output;
use crate::remote::{Remote, of_registry};

/// Forget credentials for registries
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig logout [FLAGS] [REGISTRY]",
    after_help = "Examples:\n  brig logout registry.example\n  brig logout --all"
)]
struct Logout {
    /// All that are kept in the file
    #[arg(long, short = 'a', conflicts_with = "registry")]
    all: bool,
    #[command(flatten)]
    remote: Remote,
    /// Host with an optional port, or a repository there; Docker Hub if unset
    #[arg(value_name = "REGISTRY")]
    registry: Option<String>,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Logout = command::parse("brig logout", args)?;
    let (registry, name) = named(flags.registry.as_deref())?;
    let path = flags.remote.own()?;
    let is_gone = registry::forget(&path, (!flags.all).then_some(name.as_str())).map_err(of_registry)?;
    if !is_gone {
        let shown = if flags.all { "any registry".to_owned() } else { format!("`{name}`") };
        // As docker: that is what was wanted.
        return output::print(&format!("Not logged in to {shown}\n")).map(|()| 0);
    }
    global.note.object("registry", &registry, &name, &["logout"]);
    output::print(&format!(
        "Removing login credentials for {}\n",
        if flags.all { "all registries" } else { &name }
    ))
    .map(|()| 0)
}
