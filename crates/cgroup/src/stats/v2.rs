//! The counters of v2's files.

use std::collections::BTreeMap;

use super::v1::throttling;
use super::{
    CpuStats, HugetlbStats, IoStats, MemoryStats, PidsStats, Pressure, Pressures, Stall, Stats, device,
    number, rdma, table,
};
use crate::Controller;
use crate::directory::Directory;

/// Reads one controller; `false` when its directory does not answer.
pub(super) fn read(controller: Controller, directory: &Directory, stats: &mut Stats) -> bool {
    match controller {
        Controller::Cpu => match directory.read("cpu.stat") {
            Ok(text) => {
                cpu(&text, stats.cpu.get_or_insert_default());
                true
            }
            Err(_) => false,
        },
        Controller::Memory => memory(directory, stats),
        Controller::Pids => match number(directory, "pids.current") {
            Some(current) => {
                stats.pids = Some(PidsStats { current, limit: number(directory, "pids.max") });
                true
            }
            None => false,
        },
        Controller::Io => match directory.read("io.stat") {
            Ok(text) => {
                stats.io = Some(io(&text));
                true
            }
            Err(_) => false,
        },
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

pub(super) fn cpu(text: &str, cpu: &mut CpuStats) {
    for (name, value) in table(text) {
        match name {
            "usage_usec" => cpu.usage = value.saturating_mul(1000),
            "user_usec" => cpu.user = value.saturating_mul(1000),
            "system_usec" => cpu.system = value.saturating_mul(1000),
            _ => {}
        }
    }
    if text.contains("nr_periods") {
        throttling(text, cpu);
    }
}

fn memory(directory: &Directory, stats: &mut Stats) -> bool {
    let Some(usage) = number(directory, "memory.current") else { return false };
    let raw = directory.read("memory.stat").unwrap_or_default();
    let raw: BTreeMap<String, u64> = table(&raw).map(|(name, value)| (name.to_owned(), value)).collect();
    let events = directory.read("memory.events").unwrap_or_default();
    let event = |wanted| table(&events).find(|(name, _)| *name == wanted).map_or(0, |(_, value)| value);
    let limit = number(directory, "memory.max");
    let swap_limit = number(directory, "memory.swap.max");
    stats.memory = Some(MemoryStats {
        usage,
        peak: number(directory, "memory.peak"),
        limit,
        cache: raw.get("file").copied().unwrap_or(0),
        swap_usage: number(directory, "memory.swap.current").map(|swap| swap.saturating_add(usage)),
        swap_limit: limit.zip(swap_limit).map(|(limit, swap)| limit.saturating_add(swap)),
        kernel: raw.get("kernel").copied(),
        kernel_tcp: raw.get("sock").copied(),
        failures: event("max"),
        oom_kills: event("oom_kill"),
        raw,
    });
    true
}

pub(super) fn io(text: &str) -> Vec<IoStats> {
    let mut list = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(entry) = words.next().and_then(|number| device(&mut list, number)) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            match key {
                "rbytes" => entry.read_bytes = value,
                "wbytes" => entry.write_bytes = value,
                "dbytes" => entry.discard_bytes = value,
                "rios" => entry.reads = value,
                "wios" => entry.writes = value,
                "dios" => entry.discards = value,
                _ => {}
            }
        }
    }
    list
}

fn hugetlb(directory: &Directory, stats: &mut Stats) -> bool {
    let Ok(files) = directory.files() else { return false };
    let sizes = files.iter().filter_map(|file| {
        let size = file.strip_prefix("hugetlb.")?.strip_suffix(".current")?;
        (!size.contains('.')).then_some(size)
    });
    let mut answered = false;
    for size in sizes {
        answered = true;
        let events = directory.read(&format!("hugetlb.{size}.events")).unwrap_or_default();
        let failures = table(&events).find(|(name, _)| *name == "max").map_or(0, |(_, value)| value);
        let usage = number(directory, &format!("hugetlb.{size}.current")).unwrap_or(0);
        stats.hugetlb.insert(size.to_owned(), HugetlbStats { usage, peak: None, failures });
    }
    answered
}

pub(super) fn pressures(directory: &Directory) -> Pressures {
    // Off by boot option, or per cgroup by `cgroup.pressure`: then reading is `EOPNOTSUPP`.
    let read = |file| directory.read(file).ok().map(|text| pressure(&text));
    Pressures { cpu: read("cpu.pressure"), memory: read("memory.pressure"), io: read("io.pressure") }
}

pub(super) fn pressure(text: &str) -> Pressure {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let stall = match words.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            _ => continue,
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            fill(stall, key, value);
        }
    }
    pressure
}

fn fill(stall: &mut Stall, key: &str, value: &str) {
    let percent = || value.parse().unwrap_or(0.0);
    match key {
        "avg10" => stall.avg10 = percent(),
        "avg60" => stall.avg60 = percent(),
        "avg300" => stall.avg300 = percent(),
        "total" => stall.total = value.parse().unwrap_or(0),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_nanoseconds() {
        let mut found = CpuStats::default();
        cpu(
            "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnr_periods 3\nnr_throttled 2\nthrottled_usec 7\nbad\n",
            &mut found,
        );
        assert_eq!((found.usage, found.user, found.system), (10_000, 6_000, 4_000));
        assert_eq!((found.periods, found.throttled_periods, found.throttled), (3, 2, 7_000));
    }

    #[test]
    fn io_lines() {
        let list =
            io("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \nbroken\n259:1 rbytes=x rios=9\n");
        assert_eq!(list.len(), 3);
        assert_eq!((list[0].read_bytes, list[0].discards, list[2].reads), (1, 6, 9));
    }

    #[test]
    fn pressure_lines() {
        let found = pressure(
            "some avg10=1.50 avg60=0.00 avg300=0.00 total=42\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=7\n",
        );
        assert_eq!((found.some.avg10, found.some.total, found.full.total), (1.5, 42, 7));
    }

    #[test]
    fn rdma_lines() {
        let found = rdma("mlx4_0 hca_handle=2 hca_object=2000\nocrdma1 hca_handle=3 hca_object=max\n");
        assert_eq!(found.len(), 1, "a line that does not parse is left out");
        assert_eq!(found["mlx4_0"], crate::RdmaStats { handles: 2, objects: 2000 });
    }
}
