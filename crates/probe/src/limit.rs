//! Limits: of the process, and of its cgroup as far as it is visible from here.

use rustix::process::{Resource, getrlimit};

use crate::read;
use crate::report::Report;

pub(crate) fn rows(report: &mut Report, mounts: &str) {
    process(report);
    cgroup(report, mounts);
}

fn process(report: &mut Report) {
    const GROUP: &str = "process limits";
    let text = |resource| {
        let limit = getrlimit(resource);
        let number =
            |value: Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
        format!("{}:{}", number(limit.current), number(limit.maximum))
    };
    report.info(GROUP, "open files", text(Resource::Nofile), "soft and hard");
    report.info(GROUP, "processes of this user", text(Resource::Nproc), "soft and hard");
    report.info(GROUP, "locked memory", text(Resource::Memlock), "bytes, soft and hard");
    // The program that takes core files runs outside, and reads them with its own rights.
    // A soft limit alone can be raised again.
    let core = getrlimit(Resource::Core).maximum == Some(0);
    report.door(GROUP, "core size", core, text(Resource::Core), "a crash hands memory to a program outside");
}

/// A limit, with the files that hold it: below the v2 mount, and below the v1 mount of a controller.
struct Limit {
    name: &'static str,
    v2: &'static str,
    v1: (&'static str, &'static str),
    is_door: bool,
    why: &'static str,
}

const LIMITS: [Limit; 6] = [
    Limit {
        name: "processes",
        v2: "pids.max",
        v1: ("pids", "pids.max"),
        is_door: true,
        why: "a fork bomb takes the machine along",
    },
    Limit {
        name: "memory, hard",
        v2: "memory.max",
        v1: ("memory", "memory.limit_in_bytes"),
        is_door: false,
        why: "bytes; beyond, something is killed",
    },
    Limit {
        name: "memory, soft",
        v2: "memory.high",
        v1: ("memory", "memory.soft_limit_in_bytes"),
        is_door: false,
        why: "bytes; beyond, it is slowed down",
    },
    Limit {
        name: "processor time",
        v2: "cpu.max",
        v1: ("cpu", "cpu.cfs_quota_us"),
        is_door: false,
        why: "microseconds of each period",
    },
    Limit {
        name: "processor share",
        v2: "cpu.weight",
        v1: ("cpu", "cpu.shares"),
        is_door: false,
        why: "against its neighbours",
    },
    Limit {
        name: "processors",
        v2: "cpuset.cpus.effective",
        v1: ("cpuset", "cpuset.effective_cpus"),
        is_door: false,
        why: "which ones",
    },
];

fn cgroup(report: &mut Report, mounts: &str) {
    const GROUP: &str = "cgroup limits";
    let own = read::text("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().next_back().and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or("unknown");
    report.info(GROUP, "own cgroup", path, "as seen from its cgroup namespace");
    let (mut memory_hard, mut memory_soft) = (None, None);
    for limit in &LIMITS {
        let value = value(limit, &own, mounts);
        match limit.v2 {
            "memory.max" => memory_hard.clone_from(&value),
            "memory.high" => memory_soft.clone_from(&value),
            _ => {}
        }
        match value {
            None => report.info(GROUP, limit.name, "not visible", limit.why),
            Some(value) if limit.is_door => {
                report.door(GROUP, limit.name, !is_unlimited(&value), value, limit.why);
            }
            Some(value) => report.info(GROUP, limit.name, value, limit.why),
        }
    }
    // Either of the two keeps the machine alive.
    if memory_hard.is_some() || memory_soft.is_some() {
        let closed = [&memory_hard, &memory_soft].into_iter().flatten().any(|value| !is_unlimited(value));
        let answer = if closed { "limited" } else { "unlimited" };
        report.door(GROUP, "memory", closed, answer, "one container takes all of it");
    }
}

/// `max`, or what v1 says for it: -1, or the highest page-aligned number.
fn is_unlimited(value: &str) -> bool {
    value == "max" || value == "-1" || value.parse::<u64>().is_ok_and(|bytes| bytes >= 1 << 62)
}

fn value(limit: &Limit, own: &str, mounts: &str) -> Option<String> {
    let (controller, v1_file) = limit.v1;
    for mount in
        crate::mount::parse(mounts).filter(|mount| matches!(mount.kind, "cgroup" | "cgroup2")).take(64)
    {
        let is_v2 = mount.kind == "cgroup2";
        let file = if is_v2 { limit.v2 } else { v1_file };
        // In a private namespace the mount's root is the own cgroup; in the machine's, it is further down.
        let below = own_path(own, if is_v2 { "" } else { controller }).unwrap_or_default();
        if !is_v2 && !mount.target.rsplit('/').next()?.split(',').any(|name| name == controller) {
            continue;
        }
        for directory in [format!("{}{below}", mount.target), mount.target.to_owned()] {
            if let Ok(value) = read::line(&format!("{directory}/{file}")) {
                return Some(value);
            }
        }
    }
    None
}

/// The path of a controller's line in `/proc/self/cgroup`; v2 has an empty controller.
fn own_path<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        (controllers.split(',').any(|name| name == controller) && !path.contains("/..")).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_none() {
        for (value, expected) in
            [("max", true), ("-1", true), ("9223372036854771712", true), ("1024", false), ("0", false)]
        {
            assert_eq!(is_unlimited(value), expected, "{value}");
        }
    }

    #[test]
    fn own_paths() {
        let own = "4:memory,cpu:/a/b\n3:name=systemd:/x\n0::/c\n1:pids:/../z\n";
        assert_eq!(own_path(own, "cpu"), Some("/a/b"));
        assert_eq!(own_path(own, ""), Some("/c"));
        assert_eq!(own_path(own, "pids"), None);
    }
}
