//! Limits, scheduling and the other attributes of a process, from the spec's names to the kernel's numbers.

use oci::runtime::{IoPriority, MemoryPolicy, Process, Scheduler};
use rustix::process::Resource;
use sys::process::SchedulerAttributes;

/// Most nodes a NUMA policy may name: the kernel's `MAX_NUMNODES` on large configurations.
const MAX_NODES: usize = 1024;

/// Why an attribute of the process is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// No such value.
    #[error("unknown {what} `{}`", value.escape_debug())]
    Unknown {
        /// Field of the spec.
        what: &'static str,
        /// What it holds.
        value: String,
    },
    /// Out of the kernel's bounds.
    #[error("{what} {value} is out of range {low} to {high}")]
    Range {
        /// Field of the spec.
        what: &'static str,
        /// What it holds.
        value: i64,
        /// Least value.
        low: i64,
        /// Greatest value.
        high: i64,
    },
    /// The same limit twice.
    #[error("the resource limit `{}` is given twice", .0.escape_debug())]
    DuplicateLimit(String),
    /// Soft above hard.
    #[error("the resource limit `{}` has a soft limit above its hard limit", .0.escape_debug())]
    SoftAboveHard(String),
}

/// One resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which.
    pub resource: Resource,
    /// Soft limit; `u64::MAX` for none.
    pub soft: u64,
    /// Hard limit; `u64::MAX` for none.
    pub hard: u64,
}

fn unknown(what: &'static str, value: &str) -> AttributeError {
    AttributeError::Unknown { what, value: value.to_owned() }
}

fn within(what: &'static str, value: i64, low: i64, high: i64) -> Result<i64, AttributeError> {
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(AttributeError::Range { what, value, low, high })
    }
}

/// The process's resource limits.
pub fn limits(process: &Process) -> Result<Vec<Limit>, AttributeError> {
    let mut limits: Vec<Limit> = Vec::with_capacity(process.rlimits.len());
    for rlimit in &process.rlimits {
        let resource = resource(&rlimit.kind).ok_or_else(|| unknown("rlimit", &rlimit.kind))?;
        if limits.iter().any(|limit| limit.resource == resource) {
            return Err(AttributeError::DuplicateLimit(rlimit.kind.clone()));
        }
        if rlimit.soft > rlimit.hard {
            return Err(AttributeError::SoftAboveHard(rlimit.kind.clone()));
        }
        limits.push(Limit { resource, soft: rlimit.soft, hard: rlimit.hard });
    }
    Ok(limits)
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "RLIMIT_AS" => Resource::As,
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_LOCKS" => Resource::Locks,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
        "RLIMIT_NICE" => Resource::Nice,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_RSS" => Resource::Rss,
        "RLIMIT_RTPRIO" => Resource::Rtprio,
        "RLIMIT_RTTIME" => Resource::Rttime,
        "RLIMIT_SIGPENDING" => Resource::Sigpending,
        "RLIMIT_STACK" => Resource::Stack,
        _ => return None,
    })
}

/// Arguments of sched_setattr(2).
pub fn scheduler(scheduler: &Scheduler) -> Result<SchedulerAttributes, AttributeError> {
    let policy = match scheduler.policy.as_str() {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        other => return Err(unknown("scheduler policy", other)),
    };
    let mut flags = 0;
    for flag in &scheduler.flags {
        flags |= match flag.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            other => return Err(unknown("scheduler flag", other)),
        };
    }
    within("scheduler nice", i64::from(scheduler.nice), -20, 19)?;
    let priority = within("scheduler priority", i64::from(scheduler.priority), 0, 99)?;
    let mut attributes = SchedulerAttributes::default();
    attributes.policy = policy;
    attributes.flags = flags;
    attributes.nice = scheduler.nice;
    attributes.priority = u32::try_from(priority).unwrap_or_default();
    attributes.runtime = scheduler.runtime;
    attributes.deadline = scheduler.deadline;
    attributes.period = scheduler.period;
    Ok(attributes)
}

/// Class and level of ioprio_set(2).
pub fn io_priority(priority: &IoPriority) -> Result<(u8, u8), AttributeError> {
    let class = match priority.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        other => return Err(unknown("I/O priority class", other)),
    };
    let level = within("I/O priority", priority.priority, 0, 7)?;
    Ok((class, u8::try_from(level).unwrap_or_default()))
}

/// Mode with flags, and node mask, of set_mempolicy(2).
pub fn memory_policy(policy: &MemoryPolicy) -> Result<(i32, Vec<u64>), AttributeError> {
    let mut mode = match policy.mode.as_str() {
        "MPOL_DEFAULT" => 0,
        "MPOL_PREFERRED" => 1,
        "MPOL_BIND" => 2,
        "MPOL_INTERLEAVE" => 3,
        "MPOL_LOCAL" => 4,
        "MPOL_PREFERRED_MANY" => 5,
        "MPOL_WEIGHTED_INTERLEAVE" => 6,
        other => return Err(unknown("memory policy mode", other)),
    };
    for flag in &policy.flags {
        mode |= match flag.as_str() {
            "MPOL_F_NUMA_BALANCING" => 1 << 13,
            "MPOL_F_RELATIVE_NODES" => 1 << 14,
            "MPOL_F_STATIC_NODES" => 1 << 15,
            other => return Err(unknown("memory policy flag", other)),
        };
    }
    Ok((
        mode,
        bit_list(&policy.nodes, MAX_NODES).ok_or_else(|| unknown("memory policy nodes", &policy.nodes))?,
    ))
}

/// Execution domain of personality(2).
pub fn personality(personality: &oci::runtime::Personality) -> Result<u64, AttributeError> {
    if let Some(flag) = personality.flags.first() {
        return Err(unknown("personality flag", flag));
    }
    match personality.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => Err(unknown("personality domain", other)),
    }
}

/// The mask of a CPU list of `execCPUAffinity`; empty where none is given.
pub fn processors(what: &'static str, list: &str) -> Result<Vec<u64>, AttributeError> {
    let what = if what == "initial" { "initial CPU affinity" } else { "final CPU affinity" };
    match bit_list(list, rustix::thread::CpuSet::MAX_CPU) {
        Some(mask) if mask.is_empty() && !list.is_empty() => Err(unknown(what, list)),
        Some(mask) => Ok(mask),
        None => Err(unknown(what, list)),
    }
}

/// The mask of a list such as `0-3,7`; `None` where it is not one, or names a bit of `limit` or above.
pub fn bit_list(list: &str, limit: usize) -> Option<Vec<u64>> {
    let mut mask = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= limit {
            return None;
        }
        for bit in first..=last {
            if mask.len() <= bit / 64 {
                mask.resize(bit / 64 + 1, 0);
            }
            mask[bit / 64] |= 1 << (bit % 64);
        }
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_bits() {
        assert_eq!(bit_list("0-3,7", 64), Some(vec![0b1000_1111]));
        assert_eq!(bit_list("65", 128), Some(vec![0, 2]));
        assert_eq!(bit_list("", 64), Some(vec![]));
        for bad in ["3-1", "64", "a", "1-", "-1", "0-99999999999999999999"] {
            assert_eq!(bit_list(bad, 64), None, "{bad}");
        }
    }

    #[test]
    fn limits_are_checked() {
        let limit = |kind: &str, soft, hard| oci::runtime::Rlimit { kind: kind.to_owned(), soft, hard };
        let process = |rlimits| Process { rlimits, ..Process::default() };
        assert_eq!(limits(&process(vec![limit("RLIMIT_CORE", 0, 0)])).unwrap().len(), 1);
        assert!(matches!(
            limits(&process(vec![limit("RLIMIT_CORE", 0, 0), limit("RLIMIT_CORE", 1, 1)])),
            Err(AttributeError::DuplicateLimit(_))
        ));
        assert!(matches!(
            limits(&process(vec![limit("RLIMIT_CORE", 2, 1)])),
            Err(AttributeError::SoftAboveHard(_))
        ));
        assert!(matches!(
            limits(&process(vec![limit("RLIMIT_NONE", 0, 0)])),
            Err(AttributeError::Unknown { .. })
        ));
    }
}
