//! Memory and swap.

use oci::runtime::Memory;

use super::bad;
use crate::layout::Version;
use crate::step::{Step, Write};
use crate::{Controller, Result, convert};

/// Plans the limits of memory; `kernel` and `useHierarchy` do nothing on current kernels.
pub(super) fn plan(memory: &Memory, version: Version, steps: &mut Vec<Step>) -> Result<()> {
    let fields = [
        ("memory.limit", memory.limit),
        ("memory.reservation", memory.reservation),
        ("memory.swap", memory.swap),
        ("memory.kernelTCP", memory.kernel_tcp),
    ];
    for (field, value) in fields {
        if let Some(value) = value.filter(|value| *value < -1) {
            return Err(bad(field, value, "is negative and not -1"));
        }
    }
    match version {
        Version::V1 => v1(memory, steps),
        Version::V2 => v2(memory, steps),
    }
}

fn v1(memory: &Memory, steps: &mut Vec<Step>) -> Result<()> {
    let write = |file: &'static str, value: i64| Write::new(Controller::Memory, file, value);
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let limit = set(memory.limit);
    // The checks are the same on both versions, so that a bundle fails alike everywhere.
    convert::swap(memory.swap, memory.limit)?;
    let mut group = Vec::new();
    group.extend(limit.map(|limit| write("memory.limit_in_bytes", limit)));
    match (set(memory.swap), limit) {
        (Some(swap), _) => group.push(write("memory.memsw.limit_in_bytes", swap)),
        // An old limit of both together would hold below the new one. Where swap is not accounted there is
        // no such file and nothing to lift.
        (None, Some(-1)) => steps.push(Step::IfPresent(write("memory.memsw.limit_in_bytes", -1))),
        (None, _) => {}
    }
    match group.len() {
        0 => {}
        1 => steps.extend(group.pop().map(Step::Write)),
        _ => steps.push(Step::Group(group)),
    }
    let reservation = set(memory.reservation).map(|value| write("memory.soft_limit_in_bytes", value));
    steps.extend(reservation.map(Step::Write));
    let tcp = set(memory.kernel_tcp).map(|value| write("memory.kmem.tcp.limit_in_bytes", value));
    steps.extend(tcp.map(Step::Write));
    if let Some(swappiness) = memory.swappiness {
        if swappiness > 100 {
            return Err(bad("memory.swappiness", swappiness, "is above 100"));
        }
        steps.push(Step::Write(Write::new(Controller::Memory, "memory.swappiness", swappiness)));
    }
    if memory.disable_oom_killer == Some(true) {
        steps.push(Step::Write(write("memory.oom_control", 1)));
    }
    Ok(())
}

fn v2(memory: &Memory, steps: &mut Vec<Step>) -> Result<()> {
    let write = |file: &'static str, value: String| Write::new(Controller::Memory, file, value);
    let limit = memory.limit.filter(|limit| *limit != 0);
    if let (Some(true), Some(limit @ 1..)) = (memory.check_before_update, limit) {
        let current = write("memory.current", limit.to_string());
        steps.push(Step::Guard { current, limit });
    }
    // First the swap: a lowered `memory.max` reclaims at once, and must not fill swap that is about to be
    // taken away.
    if let Some(swap) = convert::swap(memory.swap, memory.limit)? {
        let write = write("memory.swap.max", swap);
        // Without swap in the kernel "unlimited" is already true.
        let lifted = write.value == "max";
        steps.push(if lifted { Step::IfPresent(write) } else { Step::Write(write) });
    }
    steps.extend(limit.map(|limit| Step::Write(write("memory.max", convert::limit(limit)))));
    let reservation = memory.reservation.filter(|reservation| *reservation != 0);
    steps.extend(reservation.map(|low| Step::Write(write("memory.low", convert::limit(low)))));
    let mut unsupported = |field, value: Option<String>, reason| {
        let step = |value| Step::Unsupported { controller: Controller::Memory, field, value, reason };
        steps.extend(value.map(step));
    };
    unsupported(
        "memory.swappiness",
        memory.swappiness.map(|value| value.to_string()),
        "cgroup v2 has no swappiness of its own: set `memory.swap` or leave it out",
    );
    unsupported(
        "memory.disableOOMKiller",
        memory.disable_oom_killer.filter(|off| *off).map(|_| "true".to_owned()),
        "cgroup v2 cannot turn the OOM killer off: set `memory.high` in `unified` to be throttled instead",
    );
    unsupported(
        "memory.kernelTCP",
        memory.kernel_tcp.filter(|value| *value != 0).map(|value| value.to_string()),
        "cgroup v2 counts TCP memory in `memory.limit`: leave it out",
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, check_bad};

    #[test]
    fn limit_and_swap() {
        check(r#"{"memory":{"limit":1000}}"#, &["memory.limit_in_bytes=1000"], &["memory.max=1000"]);
        check(
            r#"{"memory":{"limit":1000,"swap":3000}}"#,
            &["group memory.limit_in_bytes=1000 memory.memsw.limit_in_bytes=3000"],
            &["memory.swap.max=2000", "memory.max=1000"],
        );
        check(
            r#"{"memory":{"limit":-1}}"#,
            &["if present memory.memsw.limit_in_bytes=-1", "memory.limit_in_bytes=-1"],
            &["if present memory.swap.max=max", "memory.max=max"],
        );
        check(r#"{"memory":{"limit":0,"swap":0,"reservation":0}}"#, &[], &[]);
        check_bad(r#"{"memory":{"limit":1000,"swap":999}}"#);
        check_bad(r#"{"memory":{"swap":999}}"#);
        check_bad(r#"{"memory":{"limit":-2}}"#);
    }

    #[test]
    fn the_rest() {
        check(r#"{"memory":{"reservation":10}}"#, &["memory.soft_limit_in_bytes=10"], &["memory.low=10"]);
        check(
            r#"{"memory":{"swappiness":60,"disableOOMKiller":true,"kernelTCP":5}}"#,
            &["memory.kmem.tcp.limit_in_bytes=5", "memory.swappiness=60", "memory.oom_control=1"],
            &[
                "unsupported memory.swappiness",
                "unsupported memory.disableOOMKiller",
                "unsupported memory.kernelTCP",
            ],
        );
        check(r#"{"memory":{"disableOOMKiller":false,"kernel":7,"useHierarchy":true}}"#, &[], &[]);
        check(
            r#"{"memory":{"limit":5,"checkBeforeUpdate":true}}"#,
            &["memory.limit_in_bytes=5"],
            &["guard memory.current<=5", "memory.max=5"],
        );
    }
}
