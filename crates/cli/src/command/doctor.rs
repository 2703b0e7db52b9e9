//! `brig doctor`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use container::lsm::{Apparmor, Modules, Selinux};
use probe::prerequisite::{Host, Status, examine, render_text, to_json};

use crate::command;
use crate::error::Failure;
use crate::global::Global;
use crate::output;

/// Show what this host has of what containers need, and the command that mends what is missing
#[derive(Debug, Parser)]
struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print an AppArmor profile for `apparmor_parser --replace`: `containers`, or `program` for brig itself
    #[arg(long, value_name = "PROFILE", conflicts_with = "json")]
    print_profile: Option<String>,
}

/// Exit code where something that containers need does not work at all.
const UNAVAILABLE: u8 = 1;

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Doctor = command::parse("brig doctor", args)?;
    if let Some(name) = &flags.print_profile {
        return print_profile(name);
    }
    let host = Host {
        uid: rustix::process::geteuid().as_raw(),
        store: global.root()?,
        run: global.runroot()?,
        runtime: runtime_directory(),
        unconfined: unconfined(),
    };
    let findings = examine(&host);
    if flags.json {
        output::print_json(&to_json(&findings))?;
    } else {
        let mut text = Vec::new();
        render_text(&findings, &mut text)
            .map_err(|error| Failure::environment(format!("write the table: {error}")))?;
        output::print(&String::from_utf8_lossy(&text))?;
    }
    let broken = findings.iter().any(|finding| finding.status == Status::Unavailable);
    Ok(if broken { UNAVAILABLE } else { 0 })
}

/// Why a container without further flags gets no label of the security module that is on.
fn unconfined() -> Option<(String, Option<String>)> {
    let modules = Modules::look(&container::Options::default());
    match (modules.apparmor, modules.selinux) {
        (Apparmor::Missing(lack), _) | (_, Selinux::Missing(lack)) => Some((lack.reason, lack.mend)),
        _ => None,
    }
}

/// The text of one of our AppArmor profiles.
fn print_profile(name: &str) -> Result<u8, Failure> {
    let text = match name {
        "containers" => container::lsm::apparmor::containers(),
        "program" => {
            let path = std::env::current_exe()
                .map_err(|error| Failure::environment(format!("find this program: {error}")))?;
            let text = path.to_str().and_then(container::lsm::apparmor::program);
            text.ok_or_else(|| {
                Failure::environment(format!(
                    "a profile cannot name `{}`: move brig elsewhere",
                    path.display()
                ))
            })?
        }
        other => {
            let reason = format!("`--print-profile` cannot be `{other}`: use containers or program");
            return Err(Failure::user(reason));
        }
    };
    output::print(&text)?;
    Ok(0)
}

#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
fn runtime_directory() -> Option<PathBuf> {
    std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
}
