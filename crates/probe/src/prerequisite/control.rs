//! Control groups: which layout, which controllers, and whether they were handed to this user.

use cgroup::{Hierarchy, Kind, Layout, Version};
use rustix::fs::{Access, access};

use super::{Finding, Host};
use crate::read;

/// Controllers whose limits `run` can ask for.
const WANTED: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

pub(super) fn findings(host: &Host) -> Vec<Finding> {
    let layout = match Layout::detect() {
        Ok(layout) => layout,
        Err(error) => return vec![Finding::unavailable("cgroup layout", error.to_string(), None)],
    };
    let mut findings = vec![kind(layout.kind())];
    findings.extend(WANTED.map(|controller| delegation(host, &layout, controller)));
    findings.push(kill(layout.v2()));
    findings
}

fn kind(kind: Kind) -> Finding {
    const NAME: &str = "cgroup layout";
    let mend = || {
        Some(
            "sed -i 's/^GRUB_CMDLINE_LINUX=\"/&systemd.unified_cgroup_hierarchy=1 /' /etc/default/grub && update-grub && \
             reboot"
                .to_owned(),
        )
    };
    match kind {
        Kind::V2 => Finding::applied(NAME, "v2"),
        Kind::Hybrid => {
            Finding::weaker(NAME, "v1 controllers beside v2: no pressure, no memory.high", mend())
        }
        Kind::V1 => Finding::weaker(NAME, "v1: no pressure, no memory.high, no cgroup.kill", mend()),
        Kind::None => Finding::unavailable(
            NAME,
            "no cgroup file system is mounted: no limits at all",
            Some("mount -t cgroup2 none /sys/fs/cgroup".to_owned()),
        ),
    }
}

fn delegation(host: &Host, layout: &Layout, controller: &'static str) -> Finding {
    // v1 calls io by an older name.
    let v1_name = if controller == "io" { "blkio" } else { controller };
    let name = match controller {
        "cpu" => "limit of cpu",
        "cpuset" => "limit of cpuset",
        "io" => "limit of io",
        "memory" => "limit of memory",
        _ => "limit of pids",
    };
    let has = |hierarchy: &&Hierarchy| match hierarchy.version {
        Version::V1 => cgroup::Controller::from_name(v1_name)
            .is_some_and(|controller| hierarchy.controllers.contains(controller)),
        Version::V2 => false,
    };
    if let Some(v1) = layout.hierarchies().iter().find(has) {
        let directory = directory(v1);
        if is_writable(&directory) {
            return Finding::applied(name, format!("v1, `{directory}`"));
        }
        // The shell has to move as well: a cgroup is divided by who is in it.
        let shell = rustix::process::getppid().map_or(1, |parent| parent.as_raw_nonzero().get());
        let own = format!("{directory}/brig-{}", host.uid);
        let mend =
            format!("mkdir -p {own} && chown -R {} {own} && echo {shell} > {own}/cgroup.procs", host.uid);
        return Finding::weaker(name, format!("v1, and `{directory}` is not yours"), Some(mend));
    }
    let Some(v2) = layout.v2() else {
        return Finding::unavailable(name, "no hierarchy has this controller", None);
    };
    let directory = directory(v2);
    let controllers = read::line(&format!("{directory}/cgroup.controllers")).unwrap_or_default();
    let delegated = controllers.split_ascii_whitespace().any(|known| known == controller);
    let writable = is_writable(&directory);
    if delegated && writable {
        return Finding::applied(name, format!("v2, `{directory}`"));
    }
    if host.is_root() {
        // Root makes its cgroups from the top, where all controllers are.
        let top = read::line(&format!("{}/cgroup.controllers", v2.mount)).unwrap_or_default();
        return if top.split_ascii_whitespace().any(|known| known == controller) {
            Finding::applied(name, format!("v2, `{}`", v2.mount))
        } else {
            Finding::unavailable(name, "the kernel has no such controller, or v1 has taken it", None)
        };
    }
    // With systemd, a user's own manager hands on what its unit was given.
    let mend = "mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' \
                > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload";
    let detail =
        if writable { "v2, and not delegated to you" } else { "v2, and your cgroup is not yours to divide" };
    Finding::weaker(name, detail, Some(mend.to_owned()))
}

fn kill(v2: Option<&Hierarchy>) -> Finding {
    const NAME: &str = "cgroup.kill";
    let Some(v2) = v2 else {
        return Finding::weaker(NAME, "no v2 hierarchy: processes are killed one by one, frozen first", None);
    };
    let directory = directory(v2);
    // The root cgroup has no such file; any other has it since Linux 5.14.
    let exists = |path: String| access(path, Access::EXISTS).is_ok();
    if exists(format!("{directory}/cgroup.kill")) || directory.trim_end_matches('/') == v2.mount {
        Finding::applied(NAME, "ends a whole container at once")
    } else {
        Finding::weaker(NAME, "absent: processes are killed one by one, frozen first", None)
    }
}

fn directory(hierarchy: &Hierarchy) -> String {
    match hierarchy.own.as_deref() {
        None | Some("") => hierarchy.mount.clone(),
        Some(own) => format!("{}/{own}", hierarchy.mount),
    }
}

fn is_writable(directory: &str) -> bool {
    access(directory, Access::WRITE_OK).is_ok()
        && access(format!("{directory}/cgroup.procs"), Access::WRITE_OK).is_ok()
}
