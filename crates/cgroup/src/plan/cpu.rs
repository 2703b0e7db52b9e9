//! CPU time and placement.

use oci::runtime::Cpu;

use super::bad;
use crate::layout::Version;
use crate::step::{Step, Write};
use crate::{Controller, Result, convert};

/// Longest CPU or node list, in bytes: well above a list of every second one of 8192 CPUs in ranges.
const LIST_BYTES: usize = 4000;

/// Plans shares, quota, period, burst, idle and real time.
pub(super) fn time(cpu: &Cpu, version: Version, steps: &mut Vec<Step>) -> Result<()> {
    let write = |file: &'static str, value: String| Write::new(Controller::Cpu, file, value);
    if let Some(idle) = cpu.idle {
        if !(0..=1).contains(&idle) {
            return Err(bad("cpu.idle", idle, "is neither 0 nor 1"));
        }
        steps.push(Step::Write(write("cpu.idle", idle.to_string())));
    }
    // An idle cgroup has no weight: the kernel refuses one.
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0 && cpu.idle != Some(1)) {
        steps.push(Step::Write(match version {
            Version::V1 => write("cpu.shares", shares.to_string()),
            Version::V2 => write("cpu.weight", convert::cpu_weight(shares).to_string()),
        }));
    }
    bandwidth(cpu, version, steps);
    real_time(cpu, version, steps);
    Ok(())
}

fn bandwidth(cpu: &Cpu, version: Version, steps: &mut Vec<Step>) {
    let quota = cpu.quota.filter(|quota| *quota != 0);
    let period = cpu.period.filter(|period| *period != 0);
    let write = |file: &'static str, value: String| Write::new(Controller::Cpu, file, value);
    let mut group = Vec::new();
    match (version, quota, period) {
        (Version::V1, _, _) => {
            group.extend(period.map(|period| write("cpu.cfs_period_us", period.to_string())));
            group.extend(quota.map(|quota| write("cpu.cfs_quota_us", quota.max(-1).to_string())));
            group.extend(cpu.burst.map(|burst| write("cpu.cfs_burst_us", burst.to_string())));
        }
        (Version::V2, Some(quota), Some(period)) => {
            group.push(write("cpu.max", format!("{} {period}", convert::limit(quota))));
        }
        // The kernel keeps the period when only the quota is given, but not the other way round.
        (Version::V2, Some(quota), None) => group.push(write("cpu.max", convert::limit(quota))),
        (Version::V2, None, Some(period)) => {
            steps.push(Step::KeepFirstWord(write("cpu.max", period.to_string())));
        }
        (Version::V2, None, None) => {}
    }
    if version == Version::V2 {
        group.extend(cpu.burst.map(|burst| write("cpu.max.burst", burst.to_string())));
    }
    match group.len() {
        0 => {}
        1 => steps.extend(group.pop().map(Step::Write)),
        _ => steps.push(Step::Group(group)),
    }
}

fn real_time(cpu: &Cpu, version: Version, steps: &mut Vec<Step>) {
    let runtime = cpu.realtime_runtime.filter(|runtime| *runtime != 0).map(|runtime| runtime.to_string());
    let period = cpu.realtime_period.filter(|period| *period != 0).map(|period| period.to_string());
    let fields = [
        ("cpu.realtimePeriod", "cpu.rt_period_us", period),
        ("cpu.realtimeRuntime", "cpu.rt_runtime_us", runtime),
    ];
    let mut group = Vec::new();
    for (field, file, value) in fields {
        let Some(value) = value else { continue };
        match version {
            Version::V1 => group.push(Write::new(Controller::Cpu, file, value)),
            Version::V2 => steps.push(Step::Unsupported {
                controller: Controller::Cpu,
                field,
                value,
                reason: "cgroup v2 has no real-time limits: leave it out",
            }),
        }
    }
    if !group.is_empty() {
        steps.push(Step::Group(group));
    }
}

/// Plans `cpuset.cpus` and `cpuset.mems`, which have the same names on both versions.
pub(super) fn placement(cpu: &Cpu, steps: &mut Vec<Step>) -> Result<()> {
    let fields = [("cpu.cpus", "cpuset.cpus", &cpu.cpus), ("cpu.mems", "cpuset.mems", &cpu.mems)];
    for (field, file, list) in fields {
        let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else { continue };
        let allowed = |byte: u8| byte.is_ascii_digit() || matches!(byte, b',' | b'-' | b':' | b'/' | b' ');
        if list.len() > LIST_BYTES || !list.bytes().all(allowed) {
            return Err(bad(field, list, "is not a list such as `0-3,7`"));
        }
        steps.push(Step::Write(Write::new(Controller::Cpuset, file, list)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, check_bad};

    #[test]
    fn weight() {
        check(r#"{"cpu":{"shares":512}}"#, &["cpu.shares=512"], &["cpu.weight=59"]);
        check(r#"{"cpu":{"shares":0}}"#, &[], &[]);
        check(r#"{"cpu":{"shares":512,"idle":1}}"#, &["cpu.idle=1"], &["cpu.idle=1"]);
        check(
            r#"{"cpu":{"shares":512,"idle":0}}"#,
            &["cpu.idle=0", "cpu.shares=512"],
            &["cpu.idle=0", "cpu.weight=59"],
        );
        check_bad(r#"{"cpu":{"idle":2}}"#);
    }

    #[test]
    fn quota_and_period() {
        check(
            r#"{"cpu":{"quota":50000,"period":100000}}"#,
            &["group cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000"],
            &["cpu.max=50000 100000"],
        );
        check(r#"{"cpu":{"quota":-1}}"#, &["cpu.cfs_quota_us=-1"], &["cpu.max=max"]);
        check(r#"{"cpu":{"period":20000}}"#, &["cpu.cfs_period_us=20000"], &["keep cpu.max=20000"]);
        check(
            r#"{"cpu":{"quota":1000,"burst":500}}"#,
            &["group cpu.cfs_quota_us=1000 cpu.cfs_burst_us=500"],
            &["group cpu.max=1000 cpu.max.burst=500"],
        );
    }

    #[test]
    fn real_time_is_v1_only() {
        check(
            r#"{"cpu":{"realtimePeriod":1000000,"realtimeRuntime":950000}}"#,
            &["group cpu.rt_period_us=1000000 cpu.rt_runtime_us=950000"],
            &["unsupported cpu.realtimePeriod", "unsupported cpu.realtimeRuntime"],
        );
    }

    #[test]
    fn lists() {
        let expected = ["cpuset.cpus=0-3,7", "cpuset.mems=0"];
        check(r#"{"cpu":{"cpus":"0-3,7","mems":"0"}}"#, &expected, &expected);
        check_bad(r#"{"cpu":{"cpus":"0;1"}}"#);
        check_bad(r#"{"cpu":{"mems":"0\n"}}"#);
    }
}
