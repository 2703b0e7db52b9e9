//! What the kernel counted.
//!
//! Units are bytes and nanoseconds on both versions. A controller without a directory of this container is
//! named in [`Stats::unavailable`]: a missing number is never shown as zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::directory::Directory;
use crate::layout::Version;
use crate::{Controller, Error, Result};

mod v1;
mod v2;

/// Counters of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// CPU time.
    pub cpu: Option<CpuStats>,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Tasks.
    pub pids: Option<PidsStats>,
    /// Block I/O, by device.
    pub io: Option<Vec<IoStats>>,
    /// Huge pages, by page size.
    pub hugetlb: BTreeMap<String, HugetlbStats>,
    /// RDMA, by device.
    pub rdma: BTreeMap<String, RdmaStats>,
    /// Stall times (v2, and v1 beside a v2 directory).
    pub pressure: Pressures,
    /// Controllers that could not be asked.
    pub unavailable: Vec<Controller>,
}

/// CPU time in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// All of it.
    pub usage: u64,
    /// In user mode.
    pub user: u64,
    /// In the kernel.
    pub system: u64,
    /// By CPU (v1 only).
    pub per_cpu: Vec<u64>,
    /// Periods that passed under a quota.
    pub periods: u64,
    /// Periods in which the quota ran out.
    pub throttled_periods: u64,
    /// Time spent waiting for the next period.
    pub throttled: u64,
}

/// Memory in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// Now.
    pub usage: u64,
    /// The most there ever was (v2: Linux 5.19).
    pub peak: Option<u64>,
    /// The limit; `None` is none.
    pub limit: Option<u64>,
    /// Page cache.
    pub cache: u64,
    /// Memory and swap together, as v1 counts.
    pub swap_usage: Option<u64>,
    /// Limit of memory and swap together; `None` is none.
    pub swap_limit: Option<u64>,
    /// Kernel memory.
    pub kernel: Option<u64>,
    /// Network buffers.
    pub kernel_tcp: Option<u64>,
    /// How often the limit was hit.
    pub failures: u64,
    /// Processes killed for lack of memory.
    pub oom_kills: u64,
    /// Every line of `memory.stat`, in the kernel's names.
    pub raw: BTreeMap<String, u64>,
}

/// Numbers of tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// Now.
    pub current: u64,
    /// The limit; `None` is none.
    pub limit: Option<u64>,
}

/// Transfers of one block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IoStats {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Bytes discarded.
    pub discard_bytes: u64,
    /// Read operations.
    pub reads: u64,
    /// Write operations.
    pub writes: u64,
    /// Discard operations.
    pub discards: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HugetlbStats {
    /// Now.
    pub usage: u64,
    /// The most there ever was (v1 only).
    pub peak: Option<u64>,
    /// How often the limit was hit.
    pub failures: u64,
}

/// RDMA resources of one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RdmaStats {
    /// Handles now.
    pub handles: u64,
    /// Objects now.
    pub objects: u64,
}

/// Stall times by resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressures {
    /// Waiting for a CPU.
    pub cpu: Option<Pressure>,
    /// Waiting for memory.
    pub memory: Option<Pressure>,
    /// Waiting for I/O.
    pub io: Option<Pressure>,
}

/// Stalls of some tasks, and of all at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks waited.
    pub full: Stall,
}

/// One line of a pressure file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stall {
    /// Percent of the last 10 seconds.
    pub avg10: f64,
    /// Percent of the last 60 seconds.
    pub avg60: f64,
    /// Percent of the last 300 seconds.
    pub avg300: f64,
    /// Microseconds in all.
    pub total: u64,
}

impl Cgroup {
    /// Reads every counter that the container's directories have.
    ///
    /// # Errors
    /// [`Error::NoCgroup`] when there is no directory at all.
    pub fn stats(&self) -> Result<Stats> {
        if self.members.is_empty() {
            return Err(Error::NoCgroup { operation: "count" });
        }
        let mut stats = Stats::default();
        let wanted = [
            Controller::Cpu,
            Controller::Memory,
            Controller::Pids,
            Controller::Io,
            Controller::Hugetlb,
            Controller::Rdma,
        ];
        for controller in wanted {
            let answered = self.member_of(controller).is_some_and(|member| match member.version {
                Version::V1 => v1::read(controller, &member.directory, &mut stats),
                Version::V2 => v2::read(controller, &member.directory, &mut stats),
            });
            if !answered {
                stats.unavailable.push(controller);
            }
        }
        if let Some(member) = self.member_of(Controller::Cpuacct) {
            v1::accounting(&member.directory, &mut stats);
        } else if let Some(directory) = self.v2_directory() {
            // The core of v2 counts CPU time in every directory, also where v1 has the controller.
            v2::read(Controller::Cpu, directory, &mut stats);
        }
        if stats.cpu.as_ref().is_some_and(|cpu| cpu.usage > 0) {
            stats.unavailable.retain(|controller| *controller != Controller::Cpu);
        }
        if let Some(directory) = self.v2_directory() {
            stats.pressure = v2::pressures(directory);
        }
        Ok(stats)
    }
}

/// Reads a file with one number; `max` and v1's "unlimited" (the highest multiple of a page) are `None`.
fn number(directory: &Directory, file: &str) -> Option<u64> {
    /// `PAGE_COUNTER_MAX` pages of 64 KiB at most: all above is no limit.
    const UNLIMITED: u64 = 0x7fff_ffff_ffff_0000;
    let value = directory.read(file).ok()?.trim().parse().ok()?;
    (value < UNLIMITED).then_some(value)
}

/// Parses lines of a name and a number.
fn table(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name, value.trim().parse().ok()?))
    })
}

/// Returns the entry of a device `8:0`, adding it if it is new.
fn device<'s>(list: &'s mut Vec<IoStats>, number: &str) -> Option<&'s mut IoStats> {
    let (major, minor) = number.split_once(':')?;
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    let index = list.iter().position(|entry| (entry.major, entry.minor) == (major, minor));
    let index = index.unwrap_or_else(|| {
        list.push(IoStats { major, minor, ..IoStats::default() });
        list.len() - 1
    });
    list.get_mut(index)
}

/// Parses `rdma.current`, the same on both versions.
fn rdma(text: &str) -> BTreeMap<String, RdmaStats> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?.to_owned();
        let mut stats = RdmaStats::default();
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "hca_handle" => stats.handles = value.parse().ok()?,
                "hca_object" => stats.objects = value.parse().ok()?,
                _ => {}
            }
        }
        Some((name, stats))
    };
    text.lines().filter_map(line).collect()
}

/// Entrances for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    use super::{Pressure, Stats};

    /// One text as each of the files that have more than one number.
    #[must_use]
    pub fn stats(text: &str) -> Stats {
        let mut stats = Stats { rdma: super::rdma(text), io: Some(super::v2::io(text)), ..Stats::default() };
        super::v2::cpu(text, stats.cpu.get_or_insert_default());
        stats
    }

    /// A pressure file.
    #[must_use]
    pub fn pressure(text: &str) -> Pressure {
        super::v2::pressure(text)
    }
}
