//! What a container uses: one sample, and what two of them say.

use std::path::Path;
use std::time::Instant;

use rustix::fs::{CWD, Mode, OFlags};

use crate::error::Result;
use crate::exec::Running;

/// Most bytes of `net/dev` that are read.
const MAX_FILE: u64 = 1 << 20;
/// Nanoseconds of a clock tick of `/proc`.
const TICK: u64 = 10_000_000;

/// What a container used until now. `None` is not known: a missing number is never a zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub time: Instant,
    /// Processor time in nanoseconds.
    pub cpu: Option<u64>,
    /// Memory in bytes, without the page cache that can be given back at once.
    pub memory: Option<u64>,
    /// Most memory that it may have: its limit, or the machine's.
    pub memory_limit: u64,
    /// Tasks.
    pub pids: Option<u64>,
    /// Bytes received and sent, but on the loopback device; none where the network is the host's.
    pub network: Option<(u64, u64)>,
    /// Bytes read and written on block devices.
    pub block: Option<(u64, u64)>,
    /// Whether the numbers are sums over its processes, since it has no control group.
    pub summed: bool,
}

impl Sample {
    /// Processor use since an earlier sample in hundredths of a percent of one processor.
    #[must_use]
    pub fn load_since(&self, earlier: &Self) -> Option<u64> {
        let used = self.cpu?.checked_sub(earlier.cpu?)?;
        let passed = u64::try_from(self.time.checked_duration_since(earlier.time)?.as_nanos()).ok()?;
        used.saturating_mul(10_000).checked_div(passed)
    }

    /// Memory in hundredths of a percent of its limit.
    #[must_use]
    pub fn memory_share(&self) -> Option<u64> {
        let share = u128::from(self.memory?) * 10_000 / u128::from(self.memory_limit.max(1));
        u64::try_from(share).ok()
    }
}

impl Running<'_> {
    /// What it used until now.
    ///
    /// # Errors
    /// [`crate::Error::Runtime`], [`crate::Error::System`].
    pub fn sample(&self) -> Result<Sample> {
        let system = rustix::system::sysinfo();
        let mut sample = Sample {
            time: Instant::now(),
            cpu: None,
            memory: None,
            memory_limit: system.totalram.saturating_mul(u64::from(system.mem_unit)),
            pids: None,
            network: self.network(),
            block: None,
            summed: false,
        };
        if let Some(cgroup) = self.cgroup()? {
            count(&cgroup.stats().map_err(runtime::Error::from)?, &mut sample);
        }
        if sample.cpu.is_none() || sample.memory.is_none() || sample.pids.is_none() {
            self.sum(&mut sample)?;
        }
        Ok(sample)
    }

    /// What its processes that live have used: less than the truth, since those that ended are not in it.
    fn sum(&self, sample: &mut Sample) -> Result<()> {
        let processes = self.processes()?;
        sample.summed = true;
        if sample.cpu.is_none() {
            sample.cpu = Some(processes.iter().map(|process| process.ticks * TICK).sum());
        }
        if sample.memory.is_none() {
            sample.memory = Some(processes.iter().map(|process| process.resident * 1024).sum());
        }
        sample.pids = sample.pids.or_else(|| u64::try_from(processes.len()).ok());
        Ok(())
    }

    fn network(&self) -> Option<(u64, u64)> {
        let path = format!("/proc/{}", self.pid());
        let inode = |path: &Path| rustix::fs::stat(path).ok().map(|stat| stat.st_ino);
        let network = |process: &str| inode(&Path::new(process).join("ns/net"));
        if network(&path)? == network("/proc/self")? {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(CWD, format!("{path}/net/dev"), flags, Mode::empty()).ok()?;
        Some(transfers(&String::from_utf8_lossy(&files::read_all(&file, MAX_FILE).ok()?)))
    }
}

/// What the kernel counted.
fn count(stats: &cgroup::Stats, sample: &mut Sample) {
    sample.cpu = stats.cpu.as_ref().map(|cpu| cpu.usage);
    if let Some(memory) = &stats.memory {
        // As docker: v1 counts the whole tree in `total_`.
        let idle = memory.raw.get("total_inactive_file").or_else(|| memory.raw.get("inactive_file"));
        sample.memory = Some(memory.usage.saturating_sub(idle.copied().unwrap_or(0)));
        sample.memory_limit =
            memory.limit.map_or(sample.memory_limit, |limit| limit.min(sample.memory_limit));
    }
    sample.pids = stats.pids.map(|pids| pids.current);
    sample.block = stats.io.as_ref().map(|devices| {
        devices
            .iter()
            .fold((0, 0), |(read, written), device| (read + device.read_bytes, written + device.write_bytes))
    });
}

/// Sums of `net/dev`, but for the loopback device.
fn transfers(text: &str) -> (u64, u64) {
    let devices = text.lines().skip(2).filter_map(|line| line.split_once(':'));
    devices.filter(|(name, _)| name.trim() != "lo").fold((0_u64, 0_u64), |(received, sent), (_, counters)| {
        let mut counters =
            counters.split_ascii_whitespace().map(|word| word.parse::<u64>().unwrap_or_default());
        let (one, other) = (counters.next().unwrap_or(0), counters.nth(7).unwrap_or(0));
        (received.saturating_add(one), sent.saturating_add(other))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn interfaces_are_summed_but_the_loopback() {
        let text = "Inter-| Receive\n face |bytes\n    lo: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n  \
            eth0: 7 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\ntap0:1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(transfers(text), (8, 11));
        assert_eq!(transfers("x\ny\nz:"), (0, 0));
    }

    #[test]
    fn shares() {
        let time = Instant::now();
        let one = Sample {
            time,
            cpu: Some(1_000_000),
            memory: Some(512),
            memory_limit: 2048,
            pids: None,
            network: None,
            block: None,
            summed: false,
        };
        let later = Sample { time: time + Duration::from_millis(10), cpu: Some(6_000_000), ..one.clone() };
        assert_eq!(later.load_since(&one), Some(5000));
        assert_eq!(one.load_since(&one), None);
        assert_eq!(one.load_since(&later), None);
        assert_eq!(one.memory_share(), Some(2500));
        assert_eq!(Sample { memory_limit: 0, ..one }.memory_share(), Some(5_120_000));
    }
}
