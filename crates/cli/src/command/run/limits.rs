//! The limits that `brig run` and `brig update` share.

use clap::Args;
use container::value::size;
use container::{Error, LimitOptions};

/// Flags of limits that can be changed while a container runs.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LimitFlags {
    /// Memory
    #[arg(short = 'm', long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) memory: Option<String>,
    /// Memory kept under pressure
    #[arg(long, value_name = "SIZE", help_heading = "Limits")]
    pub(crate) memory_reservation: Option<String>,
    /// Memory and swap, or -1
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) memory_swap: Option<String>,
    /// How readily to swap
    #[arg(long, value_name = "0-100", help_heading = "Limits")]
    pub(crate) memory_swappiness: Option<String>,
    /// Processors
    #[arg(long, value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) cpus: Option<String>,
    /// Relative share of processor time
    #[arg(short = 'c', long, value_name = "NUMBER", help_heading = "Limits")]
    pub(crate) cpu_shares: Option<String>,
    /// Length of a period
    #[arg(long, value_name = "MICROSECONDS", help_heading = "Limits")]
    pub(crate) cpu_period: Option<String>,
    /// Processor time in a period
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) cpu_quota: Option<String>,
    /// Processors to run on
    #[arg(long, value_name = "LIST", help_heading = "Limits")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST", help_heading = "Limits")]
    pub(crate) cpuset_mems: Option<String>,
    /// Processes and threads, -1 for no limit
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, help_heading = "Limits")]
    pub(crate) pids_limit: Option<String>,
    /// Relative share of block I/O
    #[arg(long, value_name = "10-1000", help_heading = "Limits")]
    pub(crate) blkio_weight: Option<String>,
}

impl LimitFlags {
    /// Sets what was given.
    pub(crate) fn parse(&self, limits: &mut LimitOptions) -> container::Result<()> {
        let bytes = |flag, text: &Option<String>| {
            text.as_deref().map(|text| size::parse_size(flag, text)).transpose()
        };
        limits.memory = bytes("--memory", &self.memory)?.filter(|limit| *limit > 0);
        limits.memory_reservation =
            bytes("--memory-reservation", &self.memory_reservation)?.filter(|limit| *limit > 0);
        limits.memory_swap = self
            .memory_swap
            .as_deref()
            .map(|text| size::parse_size_or_unlimited("--memory-swap", text))
            .transpose()?
            .filter(|limit| *limit != 0);
        limits.memory_swappiness = bounded("--memory-swappiness", self.memory_swappiness.as_deref(), 0, 100)?;
        limits.cpus = self.cpus.as_deref().map(size::parse_cpus).transpose()?;
        limits.cpu_shares =
            bounded("--cpu-shares", self.cpu_shares.as_deref(), 0, 262_144)?.filter(|shares| *shares > 0);
        limits.cpu_period =
            bounded("--cpu-period", self.cpu_period.as_deref(), 0, 1_000_000)?.filter(|period| *period > 0);
        limits.cpu_quota =
            self.cpu_quota.as_deref().map(|text| size::parse_number("--cpu-quota", text)).transpose()?;
        limits.cpuset_cpus = list("--cpuset-cpus", self.cpuset_cpus.as_deref())?;
        limits.cpuset_mems = list("--cpuset-mems", self.cpuset_mems.as_deref())?;
        limits.pids =
            self.pids_limit.as_deref().map(|text| size::parse_number("--pids-limit", text)).transpose()?;
        limits.blkio_weight = bounded("--blkio-weight", self.blkio_weight.as_deref(), 0, 1000)?
            .filter(|weight| *weight > 0)
            .map(|weight| u16::try_from(weight).unwrap_or(1000).max(10));
        Ok(())
    }
}

fn bounded(flag: &'static str, text: Option<&str>, low: u64, high: u64) -> container::Result<Option<u64>> {
    let Some(text) = text else { return Ok(None) };
    match size::parse_number::<u64>(flag, text)? {
        number if (low..=high).contains(&number) => Ok(Some(number)),
        _ => Err(Error::Value { flag, value: text.to_owned(), reason: format!("use {low} to {high}") }),
    }
}

fn list(flag: &'static str, text: Option<&str>) -> container::Result<Option<String>> {
    text.filter(|text| !text.is_empty()).map(|text| size::parse_list(flag, text)).transpose()
}
