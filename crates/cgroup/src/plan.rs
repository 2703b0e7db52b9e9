//! From the runtime specification's resources to steps: pure, compared as tables in the tests.
//!
//! A zero means "unset" wherever Docker, containerd and podman send zeros for limits nobody asked for.

use oci::runtime::{HugepageLimit, NetworkResources, Pids, Rdma, Resources};

use crate::layout::Version;
use crate::step::{Step, Write};
use crate::{Controller, Error, Result};

mod cpu;
mod io;
mod memory;

/// Longest value of a raw `unified` key, in bytes: a kernel file takes at most a page.
const UNIFIED_BYTES: usize = 4095;
/// Longest name of a network interface (`IFNAMSIZ` without its end).
const INTERFACE_BYTES: usize = 15;
/// Longest name of an RDMA device (`IB_DEVICE_NAME_MAX`).
const RDMA_BYTES: usize = 64;

/// Plans every limit but the devices, whose rules need a descriptor.
pub(crate) fn plan(resources: &Resources, version_of: impl Fn(Controller) -> Version) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if let Some(limits) = &resources.cpu {
        cpu::time(limits, version_of(Controller::Cpu), &mut steps)?;
        cpu::placement(limits, &mut steps)?;
    }
    if let Some(limits) = &resources.memory {
        memory::plan(limits, version_of(Controller::Memory), &mut steps)?;
    }
    if let Some(limits) = &resources.pids {
        pids(limits, &mut steps);
    }
    if let Some(limits) = &resources.block_io {
        io::plan(limits, version_of(Controller::Io), &mut steps)?;
    }
    for limit in &resources.hugepage_limits {
        hugetlb(limit, version_of(Controller::Hugetlb), &mut steps)?;
    }
    for (device, limit) in &resources.rdma {
        rdma(device, limit, &mut steps)?;
    }
    if let Some(limits) = &resources.network {
        network(limits, &mut steps)?;
    }
    for (file, value) in &resources.unified {
        steps.push(unified(file, value)?);
    }
    Ok(steps)
}

fn pids(limits: &Pids, steps: &mut Vec<Step>) {
    let Some(limit) = limits.limit else { return };
    // systemd cannot express 0, so it means 1 with every driver, as in runc.
    let limit = if limit == 0 { 1 } else { limit };
    steps.push(Step::Write(Write::new(Controller::Pids, "pids.max", crate::convert::limit(limit))));
}

fn hugetlb(limit: &HugepageLimit, version: Version, steps: &mut Vec<Step>) -> Result<()> {
    let size = &limit.page_size;
    let digits = size.strip_suffix("KB").or(size.strip_suffix("MB")).or(size.strip_suffix("GB"));
    let valid = digits.is_some_and(|digits| {
        (1..=7).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    if !valid {
        return Err(bad("hugepageLimits.pageSize", size, "is not a size such as `2MB`"));
    }
    let end = match version {
        Version::V1 => "limit_in_bytes",
        Version::V2 => "max",
    };
    let write =
        |middle: &str| Write::new(Controller::Hugetlb, format!("hugetlb.{size}.{middle}{end}"), limit.limit);
    steps.push(Step::Write(write("")));
    // Reservations count apart (Linux 5.7): without this a process may reserve the whole pool.
    steps.push(Step::IfPresent(write("rsvd.")));
    Ok(())
}

fn rdma(device: &str, limit: &Rdma, steps: &mut Vec<Step>) -> Result<()> {
    word("rdma", device, RDMA_BYTES)?;
    let number = |value: Option<u32>| value.map_or_else(|| "max".to_owned(), |value| value.to_string());
    let value =
        format!("{device} hca_handle={} hca_object={}", number(limit.hca_handles), number(limit.hca_objects));
    steps.push(Step::Write(Write::new(Controller::Rdma, "rdma.max", value)));
    Ok(())
}

/// These two exist on v1 only, so there the controller is found and on v2 it is not.
fn network(limits: &NetworkResources, steps: &mut Vec<Step>) -> Result<()> {
    if let Some(class) = limits.class_id.filter(|class| *class != 0) {
        steps.push(Step::Write(Write::new(Controller::NetCls, "net_cls.classid", class)));
    }
    for priority in &limits.priorities {
        word("network.priorities", &priority.name, INTERFACE_BYTES)?;
        let value = format!("{} {}", priority.name, priority.priority);
        steps.push(Step::Write(Write::new(Controller::NetPrio, "net_prio.ifpriomap", value)));
    }
    Ok(())
}

/// Checks a raw key: it names one file of the container's own cgroup, and none that moves processes or
/// hands control on.
fn unified(file: &str, value: &str) -> Result<Step> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if file.is_empty() || file.len() > 128 || !file.bytes().all(plain) || file.contains("..") {
        return Err(bad("unified", file, "is not the name of a cgroup file"));
    }
    // Of the core's files these alone are limits; `cgroup.type` and `cgroup.subtree_control` change who controls.
    let core = matches!(file, "cgroup.max.depth" | "cgroup.max.descendants" | "cgroup.pressure");
    if !file.contains('.') || (file.starts_with("cgroup.") && !core) {
        return Err(bad("unified", file, "is not a limit"));
    }
    if value.is_empty() || value.len() > UNIFIED_BYTES {
        return Err(bad("unified", file, "its value is empty or longer than 4095 bytes"));
    }
    match file.split('.').next().and_then(Controller::from_name) {
        Some(controller) if controller.is_v2() => {
            Ok(Step::Unified(Write::new(controller, file.to_owned(), value)))
        }
        // Core files (`cgroup.max.depth`) and controllers of newer kernels (`dmem.max`).
        _ => Ok(Step::Unified(Write::new(Controller::Misc, file.to_owned(), value))),
    }
}

/// Refuses what would become more than one word of a line that the kernel parses.
fn word(field: &'static str, text: &str, limit: usize) -> Result<()> {
    if text.is_empty() || text.len() > limit || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(bad(field, text, "is not a device name"));
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "callers have numbers and fresh strings")]
fn bad(field: &'static str, value: impl ToString, reason: &'static str) -> Error {
    let value: String = value.to_string().chars().take(64).flat_map(char::escape_default).collect();
    Error::BadValue { field, value, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows steps one a line, so that tables read like what happens.
    pub(super) fn shown(json: &str, version: Version) -> Result<Vec<String>> {
        let resources: Resources = serde_json::from_str(json).unwrap();
        let one = |write: &Write| format!("{}={}", write.file, write.value);
        let list = |writes: &[Write]| writes.iter().map(one).collect::<Vec<_>>().join(" ");
        let steps = plan(&resources, |_| version)?;
        let show = |step: &Step| match step {
            Step::Write(write) => one(write),
            Step::Unified(write) => format!("unified {}", one(write)),
            Step::IfPresent(write) => format!("if present {}", one(write)),
            Step::Group(writes) => format!("group {}", list(writes)),
            Step::FirstPresent(writes) => format!("first {}", list(writes)),
            Step::KeepFirstWord(write) => format!("keep {}", one(write)),
            Step::Guard { current, limit } => format!("guard {}<={limit}", current.file),
            Step::Unsupported { field, .. } => format!("unsupported {field}"),
        };
        Ok(steps.iter().map(show).collect())
    }

    pub(super) fn check(json: &str, v1: &[&str], v2: &[&str]) {
        assert_eq!(shown(json, Version::V1).unwrap(), v1, "v1 {json}");
        assert_eq!(shown(json, Version::V2).unwrap(), v2, "v2 {json}");
    }

    pub(super) fn check_bad(json: &str) {
        for version in [Version::V1, Version::V2] {
            let error = shown(json, version).expect_err(json);
            assert!(matches!(error, Error::BadValue { .. }), "{json}: {error}");
            assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn nothing_asked_nothing_done() {
        check("{}", &[], &[]);
        check(r#"{"cpu":{},"memory":{},"pids":{},"blockIO":{},"network":{}}"#, &[], &[]);
    }

    #[test]
    fn small_controllers() {
        for (json, expected) in [
            (r#"{"pids":{"limit":7}}"#, "pids.max=7"),
            (r#"{"pids":{"limit":0}}"#, "pids.max=1"),
            (r#"{"pids":{"limit":-1}}"#, "pids.max=max"),
            (r#"{"rdma":{"mlx4_0":{"hcaHandles":3}}}"#, "rdma.max=mlx4_0 hca_handle=3 hca_object=max"),
            (r#"{"network":{"classID":1048577}}"#, "net_cls.classid=1048577"),
            (r#"{"network":{"priorities":[{"name":"eth0","priority":5}]}}"#, "net_prio.ifpriomap=eth0 5"),
        ] {
            check(json, &[expected], &[expected]);
        }
        check(
            r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4096}]}"#,
            &["hugetlb.2MB.limit_in_bytes=4096", "if present hugetlb.2MB.rsvd.limit_in_bytes=4096"],
            &["hugetlb.2MB.max=4096", "if present hugetlb.2MB.rsvd.max=4096"],
        );
    }

    #[test]
    fn raw_keys_name_one_file() {
        let expected = ["unified cgroup.max.depth=3", "unified memory.high=1000"];
        check(r#"{"unified":{"memory.high":"1000","cgroup.max.depth":"3"}}"#, &expected, &expected);
        for key in [
            "",
            "..",
            "../memory.max",
            "a/b",
            "/etc/passwd",
            "memory..max",
            "cgroup.procs",
            "cgroup.type",
            "cgroup.subtree_control",
            "tasks",
            "notify_on_release",
            "cgroup.kill",
            "a b",
        ] {
            check_bad(&format!(r#"{{"unified":{{"{key}":"1"}}}}"#));
        }
        check_bad(r#"{"unified":{"memory.high":""}}"#);
    }

    #[test]
    fn hostile_names_are_refused() {
        for json in [
            r#"{"hugepageLimits":[{"pageSize":"../2MB","limit":1}]}"#,
            r#"{"hugepageLimits":[{"pageSize":"MB","limit":1}]}"#,
            r#"{"hugepageLimits":[{"pageSize":"64kB","limit":1}]}"#,
            r#"{"rdma":{"a b":{}}}"#,
            r#"{"rdma":{"":{}}}"#,
            r#"{"network":{"priorities":[{"name":"eth0\nlo","priority":5}]}}"#,
            r#"{"network":{"priorities":[{"name":"abcdefghijklmnop","priority":5}]}}"#,
        ] {
            check_bad(json);
        }
    }
}
