//! `events`: statistics in the shape that runc's consumers read.

use std::ffi::OsString;
use std::time::Duration;

use cgroup::Stats;
use clap::Parser;
use runtime::Container;
use serde_json::{Value, json};

use super::options::Options;
use super::{Failed, parse};
use crate::output;

/// Print statistics and events of a container
#[derive(Debug, Parser)]
struct Events {
    /// Time between statistics: a number with s, m or h
    #[arg(long, default_value = "5s")]
    interval: String,
    /// Print them once
    #[arg(long)]
    stats: bool,
    /// Id of the container
    container_id: String,
}

pub(super) fn run(options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Events = parse("events", args)?;
    let interval = interval(&flags.interval).ok_or_else(|| format!("`{}` is no interval", flags.interval))?;
    let root = options.root()?;
    let container = Container::load(&root, &flags.container_id)?;
    let mut told = out_of_memory(&container.open_cgroup()?);
    loop {
        let cgroup = container.open_cgroup()?;
        print("stats", &flags.container_id, Some(shape(&cgroup.stats()?)))?;
        if flags.stats {
            return Ok(0);
        }
        std::thread::sleep(interval);
        // Compared with what was told, not with what was seen a moment ago: taking statistics takes time.
        let killed = out_of_memory(&cgroup);
        if killed > told {
            print("oom", &flags.container_id, None)?;
            told = killed;
        }
        if !container.saved().is_alive() {
            return Ok(0);
        }
    }
}

fn out_of_memory(cgroup: &cgroup::Cgroup) -> u64 {
    cgroup.stats().ok().and_then(|stats| stats.memory).map_or(0, |memory| memory.oom_kills)
}

fn print(kind: &str, id: &str, data: Option<Value>) -> Result<(), Failed> {
    let mut event = json!({ "type": kind, "id": id });
    if let Some(data) = data {
        event["data"] = data;
    }
    output::print(&format!("{event}\n"))?;
    Ok(())
}

fn interval(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => number,
        "m" => number.checked_mul(60)?,
        "h" => number.checked_mul(3600)?,
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

fn shape(stats: &Stats) -> Value {
    let cpu = stats.cpu.clone().unwrap_or_default();
    let memory = stats.memory.clone().unwrap_or_default();
    let pids = stats.pids.unwrap_or_default();
    json!({
        "cpu": {
            "usage": { "total": cpu.usage, "percpu": cpu.per_cpu, "kernel": cpu.system, "user": cpu.user },
            "throttling": {
                "periods": cpu.periods,
                "throttledPeriods": cpu.throttled_periods,
                "throttledTime": cpu.throttled,
            },
        },
        "memory": {
            "cache": memory.cache,
            "usage": {
                "limit": memory.limit.unwrap_or(u64::MAX),
                "usage": memory.usage,
                "max": memory.peak.unwrap_or_default(),
                "failcnt": memory.failures,
            },
            "swap": {
                "limit": memory.swap_limit.unwrap_or(u64::MAX),
                "usage": memory.swap_usage.unwrap_or_default(),
                "failcnt": 0,
            },
            "raw": memory.raw,
        },
        "pids": { "current": pids.current, "limit": pids.limit.unwrap_or_default() },
        "blkio": { "devices": stats.io },
        "hugetlb": stats.hugetlb,
        "pressure": stats.pressure,
    })
}
