//! Commands on a container that exists.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use clap::Parser;
use oci::runtime::{Cpu, Memory, Pids, Resources, Status};
use runtime::{Container, status_name};
use rustix::process::Signal;
use serde::Serialize;

use super::options::Options;
use super::{Failed, parse};
use crate::output;

/// Longest resources file that `update` reads in bytes.
const MAX_RESOURCES: u64 = 1024 * 1024;

/// Act on a container
#[derive(Debug, Parser)]
struct Id {
    /// Id of the container
    container_id: String,
}

pub(super) fn start(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Id = parse("start", args)?;
    Container::load(&options.root()?, &flags.container_id)?.start()?;
    Ok(0)
}

pub(super) fn pause(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Id = parse("pause", args)?;
    Container::load(&options.root()?, &flags.container_id)?.pause()?;
    Ok(0)
}

pub(super) fn resume(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Id = parse("resume", args)?;
    Container::load(&options.root()?, &flags.container_id)?.resume()?;
    Ok(0)
}

/// What `state` prints: the spec's fields, and those that engines read from runc.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "ociVersion")]
    oci_version: &'a str,
    id: &'a str,
    pid: i32,
    status: &'static str,
    bundle: &'a str,
    rootfs: String,
    created: &'a str,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    annotations: &'a std::collections::BTreeMap<String, String>,
    owner: String,
}

impl<'a> Shown<'a> {
    fn of(container: &'a Container<'_>) -> Self {
        let saved = container.saved();
        let status = container.status();
        let root = saved.spec.root.as_ref().map_or("", |root| root.path.as_str());
        let rootfs = if root.starts_with('/') { root.to_owned() } else { format!("{}/{root}", saved.bundle) };
        Self {
            oci_version: oci::runtime::SPEC_VERSION,
            id: &saved.id,
            pid: if status == Status::Stopped { 0 } else { saved.pid },
            status: status_name(status),
            bundle: &saved.bundle,
            rootfs,
            created: &saved.created,
            annotations: &saved.spec.annotations,
            owner: owner_name(saved.owner),
        }
    }
}

fn owner_name(uid: u32) -> String {
    if uid == 0 { "root".to_owned() } else { format!("#{uid}") }
}

pub(super) fn state(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Id = parse("state", args)?;
    let root = options.root()?;
    let container = Container::load(&root, &flags.container_id)?;
    output::print_json(&Shown::of(&container))?;
    Ok(0)
}

/// List containers
#[derive(Debug, Parser)]
struct List {
    /// table or json
    #[arg(long, short, default_value = "table")]
    format: String,
    /// Print ids only
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn list(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: List = parse("list", args)?;
    let root = options.root()?;
    let ids = root.ids()?;
    if flags.quiet {
        output::print(&ids.iter().map(|id| format!("{id}\n")).collect::<String>())?;
        return Ok(0);
    }
    // One that is deleted meanwhile is none any more.
    let containers: Vec<_> = ids.iter().filter_map(|id| Container::load(&root, id).ok()).collect();
    let shown: Vec<_> = containers.iter().map(Shown::of).collect();
    match flags.format.as_str() {
        "json" => output::print_json(&shown)?,
        "table" => {
            let rows: Vec<Vec<String>> = shown
                .iter()
                .map(|row| {
                    [row.id, &row.pid.to_string(), row.status, row.bundle, row.created, &row.owner]
                        .map(str::to_owned)
                        .to_vec()
                })
                .collect();
            output::print(&crate::format::table(
                &["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
                &rows,
            ))?;
        }
        other => return Err(format!("unknown format `{other}`: use table or json").into()),
    }
    Ok(0)
}

/// Send a signal to a container
#[derive(Debug, Parser)]
struct Kill {
    /// Send it to every process
    #[arg(long, short)]
    all: bool,
    /// Id of the container
    container_id: String,
    /// Name or number
    #[arg(default_value = "SIGTERM")]
    signal: String,
}

pub(super) fn kill(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Kill = parse("kill", args)?;
    let signal = signal(&flags.signal).ok_or_else(|| format!("unknown signal `{}`", flags.signal))?;
    Container::load(&options.root()?, &flags.container_id)?.kill(signal, flags.all)?;
    Ok(0)
}

/// A signal by name, with or without `SIG`, in any case, or by number.
pub(super) fn signal(text: &str) -> Option<Signal> {
    if let Ok(number) = text.parse::<i32>() {
        return Signal::from_named_raw(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal)
}

const SIGNALS: [(&str, Signal); 33] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ILL", Signal::ILL),
    ("TRAP", Signal::TRAP),
    ("ABRT", Signal::ABORT),
    ("IOT", Signal::ABORT),
    ("BUS", Signal::BUS),
    ("FPE", Signal::FPE),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("STKFLT", Signal::STKFLT),
    ("CHLD", Signal::CHILD),
    ("CLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("VTALRM", Signal::VTALARM),
    ("PROF", Signal::PROF),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
    ("PWR", Signal::POWER),
    ("SYS", Signal::SYS),
];

/// Delete a container and what it holds
#[derive(Debug, Parser)]
struct Delete {
    /// Kill it first; one that does not exist is no error
    #[arg(long, short)]
    force: bool,
    /// Id of the container
    container_id: String,
}

pub(super) fn delete(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Delete = parse("delete", args)?;
    let root = options.root()?;
    let container = match Container::load(&root, &flags.container_id) {
        // What a creation that was killed left has no state, or half of one.
        Err(runtime::Error::NoContainer(_) | runtime::Error::State { .. }) if flags.force => {
            return match root.remove(&flags.container_id) {
                Ok(()) | Err(runtime::Error::NoContainer(_)) => Ok(0),
                Err(error) => Err(error.into()),
            };
        }
        result => result?,
    };
    options.warn(&container.delete(flags.force)?);
    Ok(0)
}

/// List the processes of a container
#[derive(Debug, Parser)]
struct Ps {
    /// table (through ps) or json (the pids)
    #[arg(long, short, default_value = "table")]
    format: String,
    /// Id of the container
    container_id: String,
    /// Options for ps
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    ps_options: Vec<String>,
}

pub(super) fn ps(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Ps = parse("ps", args)?;
    let pids = Container::load(&options.root()?, &flags.container_id)?.pids()?;
    match flags.format.as_str() {
        "json" => output::print_json(&pids)?,
        "table" => output::print(&ps_table(&flags.ps_options, &pids)?)?,
        other => return Err(format!("unknown format `{other}`: use table or json").into()),
    }
    Ok(0)
}

/// The lines of ps(1) that are about these pids, found by its `PID` column.
fn ps_table(ps_options: &[String], pids: &[i32]) -> Result<String, Failed> {
    let program = sys::program::find("ps").ok_or("`ps` is not installed: use `--format json`")?;
    let mut command = std::process::Command::new(program);
    command.env_clear().current_dir("/");
    if ps_options.is_empty() {
        command.arg("-ef")
    } else {
        command.args(ps_options)
    };
    let result = command.output().map_err(|error| format!("run `ps`: {error}"))?;
    if !result.status.success() {
        return Err(format!("ps: {}", String::from_utf8_lossy(&result.stderr).trim()).into());
    }
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading
        .split_ascii_whitespace()
        .position(|name| name == "PID")
        .ok_or("the output of `ps` has no column PID")?;
    let mut shown = format!("{heading}\n");
    for line in lines {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid: i32| pids.contains(&pid)) {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    Ok(shown)
}

/// Change the limits of a container
#[derive(Debug, Parser)]
struct Update {
    /// File with a resources object, `-` for standard input; other flags are then ignored
    #[arg(long, short)]
    resources: Option<PathBuf>,
    /// 10 to 1000
    #[arg(long)]
    blkio_weight: Option<u16>,
    /// Microseconds
    #[arg(long)]
    cpu_period: Option<u64>,
    /// Microseconds per period, -1 for no limit
    #[arg(long, allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// Microseconds
    #[arg(long)]
    cpu_burst: Option<u64>,
    /// Relative weight, 2 to 262144
    #[arg(long, visible_alias = "cpu-shares")]
    cpu_share: Option<u64>,
    /// Microseconds
    #[arg(long)]
    cpu_rt_period: Option<u64>,
    /// Microseconds
    #[arg(long)]
    cpu_rt_runtime: Option<i64>,
    /// 1 makes it SCHED_IDLE
    #[arg(long)]
    cpu_idle: Option<i64>,
    /// CPU list
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// Memory node list
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// Bytes, -1 for no limit
    #[arg(long, allow_hyphen_values = true)]
    memory: Option<i64>,
    /// Bytes
    #[arg(long, allow_hyphen_values = true)]
    memory_reservation: Option<i64>,
    /// Memory plus swap in bytes, -1 for no limit
    #[arg(long, allow_hyphen_values = true)]
    memory_swap: Option<i64>,
    /// Tasks, -1 for no limit
    #[arg(long, allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Id of the container
    container_id: String,
}

pub(super) fn update(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Update = parse("update", args)?;
    let root = options.root()?;
    let mut container = Container::load(&root, &flags.container_id)?;
    let resources = match &flags.resources {
        Some(path) => read_resources(path)?,
        None => flags.to_resources(),
    };
    options.warn(&container.update(&resources)?);
    Ok(0)
}

impl Update {
    fn to_resources(&self) -> Resources {
        let cpu = Cpu {
            shares: self.cpu_share,
            quota: self.cpu_quota,
            burst: self.cpu_burst,
            period: self.cpu_period,
            realtime_runtime: self.cpu_rt_runtime,
            realtime_period: self.cpu_rt_period,
            cpus: self.cpuset_cpus.clone(),
            mems: self.cpuset_mems.clone(),
            idle: self.cpu_idle,
        };
        let memory = Memory {
            limit: self.memory,
            reservation: self.memory_reservation,
            swap: self.memory_swap,
            ..Memory::default()
        };
        Resources {
            cpu: (cpu != Cpu::default()).then_some(cpu),
            memory: (memory != Memory::default()).then_some(memory),
            pids: self.pids_limit.map(|limit| Pids { limit: Some(limit) }),
            block_io: self
                .blkio_weight
                .map(|weight| oci::runtime::BlockIo { weight: Some(weight), ..Default::default() }),
            ..Resources::default()
        }
    }
}

fn read_resources(path: &std::path::Path) -> Result<Resources, Failed> {
    let mut text = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_RESOURCES).read_to_end(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(MAX_RESOURCES).read_to_end(&mut text)?;
    }
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_name_and_number() {
        for text in ["9", "KILL", "SIGKILL", "sigkill", "kill"] {
            assert_eq!(signal(text), Some(Signal::KILL), "{text}");
        }
        for text in ["", "SIG", "0", "-1", "65", "SIGNOPE"] {
            assert_eq!(signal(text), None, "{text}");
        }
    }
}
