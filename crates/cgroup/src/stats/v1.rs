//! The counters of v1's files.

use super::{CpuStats, HugetlbStats, MemoryStats, PidsStats, Stats, device, number, rdma, table};
use crate::Controller;
use crate::directory::Directory;

/// Reads one controller; `false` when its directory does not answer.
pub(super) fn read(controller: Controller, directory: &Directory, stats: &mut Stats) -> bool {
    match controller {
        Controller::Cpu => cpu(directory, stats),
        Controller::Memory => memory(directory, stats),
        Controller::Pids => match number(directory, "pids.current") {
            Some(current) => {
                stats.pids = Some(PidsStats { current, limit: number(directory, "pids.max") });
                true
            }
            None => false,
        },
        Controller::Io => io(directory, stats),
        Controller::Hugetlb => hugetlb(directory, stats),
        Controller::Rdma => match directory.read("rdma.current") {
            Ok(text) => {
                stats.rdma = rdma(&text);
                true
            }
            Err(_) => false,
        },
        _ => false,
    }
}

fn cpu(directory: &Directory, stats: &mut Stats) -> bool {
    let Ok(text) = directory.read("cpu.stat") else { return false };
    let cpu = stats.cpu.get_or_insert_default();
    throttling(&text, cpu);
    true
}

pub(super) fn throttling(text: &str, cpu: &mut CpuStats) {
    for (name, value) in table(text) {
        match name {
            "nr_periods" => cpu.periods = value,
            "nr_throttled" => cpu.throttled_periods = value,
            // v1 says nanoseconds, v2 microseconds.
            "throttled_time" => cpu.throttled = value,
            "throttled_usec" => cpu.throttled = value.saturating_mul(1000),
            _ => {}
        }
    }
}

/// Reads the `cpuacct` hierarchy, often mounted with `cpu` and often not.
pub(super) fn accounting(directory: &Directory, stats: &mut Stats) {
    let cpu = stats.cpu.get_or_insert_default();
    cpu.usage = number(directory, "cpuacct.usage").unwrap_or(0);
    cpu.user = number(directory, "cpuacct.usage_user").unwrap_or(0);
    cpu.system = number(directory, "cpuacct.usage_sys").unwrap_or(0);
    let list = directory.read("cpuacct.usage_percpu").unwrap_or_default();
    cpu.per_cpu = list.split_whitespace().filter_map(|value| value.parse().ok()).collect();
}

fn memory(directory: &Directory, stats: &mut Stats) -> bool {
    let Some(usage) = number(directory, "memory.usage_in_bytes") else { return false };
    let raw = directory.read("memory.stat").unwrap_or_default();
    let raw: std::collections::BTreeMap<String, u64> =
        table(&raw).map(|(name, value)| (name.to_owned(), value)).collect();
    let events = directory.read("memory.oom_control").unwrap_or_default();
    stats.memory = Some(MemoryStats {
        usage,
        peak: number(directory, "memory.max_usage_in_bytes"),
        limit: number(directory, "memory.limit_in_bytes"),
        cache: raw.get("total_cache").copied().unwrap_or(0),
        swap_usage: number(directory, "memory.memsw.usage_in_bytes"),
        swap_limit: number(directory, "memory.memsw.limit_in_bytes"),
        kernel: number(directory, "memory.kmem.usage_in_bytes"),
        kernel_tcp: number(directory, "memory.kmem.tcp.usage_in_bytes"),
        failures: number(directory, "memory.failcnt").unwrap_or(0),
        oom_kills: table(&events).find(|(name, _)| *name == "oom_kill").map_or(0, |(_, value)| value),
        raw,
    });
    true
}

fn io(directory: &Directory, stats: &mut Stats) -> bool {
    let mut list = Vec::new();
    let mut answered = false;
    for (file, bytes) in
        [("blkio.throttle.io_service_bytes_recursive", true), ("blkio.throttle.io_serviced_recursive", false)]
    {
        let Ok(text) = directory.read(file) else { continue };
        answered = true;
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(number), Some(what), Some(value)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let (Some(entry), Ok(value)) = (device(&mut list, number), value.parse()) else { continue };
            let field = match (what, bytes) {
                ("Read", true) => &mut entry.read_bytes,
                ("Write", true) => &mut entry.write_bytes,
                ("Discard", true) => &mut entry.discard_bytes,
                ("Read", false) => &mut entry.reads,
                ("Write", false) => &mut entry.writes,
                ("Discard", false) => &mut entry.discards,
                _ => continue,
            };
            *field = value;
        }
    }
    stats.io = answered.then_some(list);
    answered
}

fn hugetlb(directory: &Directory, stats: &mut Stats) -> bool {
    let Ok(files) = directory.files() else { return false };
    let sizes = files.iter().filter_map(|file| {
        let size = file.strip_prefix("hugetlb.")?.strip_suffix(".usage_in_bytes")?;
        (!size.contains('.')).then_some(size)
    });
    for size in sizes {
        let read = |what: &str| number(directory, &format!("hugetlb.{size}.{what}"));
        let entry = HugetlbStats {
            usage: read("usage_in_bytes").unwrap_or(0),
            peak: read("max_usage_in_bytes"),
            failures: read("failcnt").unwrap_or(0),
        };
        stats.hugetlb.insert(size.to_owned(), entry);
    }
    true
}
