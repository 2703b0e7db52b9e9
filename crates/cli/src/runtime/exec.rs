//! `exec`.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use clap::Parser;
use oci::runtime::{Capabilities, Process};
use runtime::{Container, ExecRequest, Report};

use super::options::Options;
use super::{Failed, parse};
use crate::sealed;

/// Longest process file in bytes.
const MAX_PROCESS: u64 = 16 * 1024 * 1024;

/// Execute a process in a running container
#[derive(Debug, Parser)]
struct Exec {
    /// Unix socket that receives the master of the terminal
    #[arg(long)]
    console_socket: Option<PathBuf>,
    /// Working directory
    #[arg(long)]
    cwd: Option<String>,
    /// NAME=value
    #[arg(long, short)]
    env: Vec<String>,
    /// Allocate a terminal
    #[arg(long, short)]
    tty: bool,
    /// UID[:GID]
    #[arg(long, short)]
    user: Option<String>,
    /// Supplementary groups
    #[arg(long, short = 'g')]
    additional_gids: Vec<u32>,
    /// File with a process object
    #[arg(long, short)]
    process: Option<PathBuf>,
    /// Return once the process runs
    #[arg(long, short)]
    detach: bool,
    /// File to write the pid to
    #[arg(long)]
    pid_file: Option<PathBuf>,
    /// SELinux label of the process
    #[arg(long)]
    process_label: Option<String>,
    /// AppArmor profile of the process
    #[arg(long)]
    apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability
    #[arg(long, short)]
    cap: Vec<String>,
    /// Descriptors after the standard streams to pass on
    #[arg(long, default_value_t = 0)]
    preserve_fds: u32,
    /// Run in a sub-cgroup
    #[arg(long)]
    cgroup: Vec<String>,
    /// Join a paused container too
    #[arg(long)]
    ignore_paused: bool,
    /// Id of the container
    container_id: String,
    /// Command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(super) fn run(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Exec = parse("exec", args)?;
    let root = options.root()?;
    let container = Container::load(&root, &flags.container_id)?;
    if sealed::shares_user_namespace(container.saved().pid) {
        sealed::run_read_only()?;
    }
    let process = process_of(&flags, &container)?;
    let request = ExecRequest {
        process,
        detach: flags.detach,
        interactive: true,
        quiet: false,
        detach_keys: None,
        console_socket: flags.console_socket,
        pid_file: flags.pid_file,
        preserve_descriptors: flags.preserve_fds,
        ignore_paused: flags.ignore_paused,
    };
    let mut report = Report::default();
    let exit = runtime::exec_in(&container, &request, &flags.cgroup, &mut report)?;
    options.warn_beside_payload(&report.warnings);
    Ok(exit.0)
}

/// The process of `--process`, or the container's own with what the flags change.
fn process_of(flags: &Exec, container: &Container<'_>) -> Result<Process, Failed> {
    if let Some(path) = &flags.process {
        let mut text = Vec::new();
        std::fs::File::open(path)?.take(MAX_PROCESS).read_to_end(&mut text)?;
        return serde_json::from_slice(&text)
            .map_err(|error| format!("`{}`: {error}", path.display()).into());
    }
    if flags.command.is_empty() {
        return Err("name a command, or a file with `--process`".into());
    }
    let mut process = container.saved().spec.process.clone().unwrap_or_default();
    process.args.clone_from(&flags.command);
    process.terminal = flags.tty;
    process.console_size = None;
    process.env.extend(flags.env.iter().cloned());
    if let Some(cwd) = &flags.cwd {
        process.cwd.clone_from(cwd);
    }
    if let Some(user) = &flags.user {
        let (uid, gid) = parse_user(user)?;
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
    }
    process.user.additional_gids.extend(&flags.additional_gids);
    process.no_new_privileges |= flags.no_new_privs;
    process.selinux_label = flags.process_label.clone().or(process.selinux_label);
    process.apparmor_profile = flags.apparmor.clone().or(process.apparmor_profile);
    if !flags.cap.is_empty() {
        let sets = process.capabilities.get_or_insert_with(Capabilities::default);
        for capability in &flags.cap {
            for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
                set.push(capability.clone());
            }
        }
    }
    Ok(process)
}

/// `UID[:GID]` in decimal, strictly: what is no number is no id (CVE-2026-30892).
fn parse_user(text: &str) -> Result<(u32, Option<u32>), Failed> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let id = |text: &str| {
        // A leading zero is octal to some: nobody should have to know to whom.
        let decimal =
            text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
        text.parse::<u32>().ok().filter(|id| decimal && *id != u32::MAX)
    };
    let bad = || Failed::from(format!("`{text}` is not UID[:GID] in decimal"));
    let uid = id(user).ok_or_else(bad)?;
    Ok((uid, group.map(|group| id(group).ok_or_else(bad)).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_decimal_numbers() {
        assert_eq!(parse_user("1").unwrap(), (1, None));
        assert_eq!(parse_user("1000:5").unwrap(), (1000, Some(5)));
        for bad in
            ["", "+1", "-1", " 1", "0x1", "00", "01", "4294967295", "4294967296", "root", "1:", ":1", "1:2:3"]
        {
            assert!(parse_user(bad).is_err(), "{bad}");
        }
    }
}
