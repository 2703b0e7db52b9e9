//! What a plan must know of this machine, read once.

use cgroup::{Cgroup, Hierarchy, Layout};

use crate::plan::{CgroupView, Facts};
use crate::{Error, Result, lsm};

/// The whole range of ids: the map of the initial user namespace (user_namespaces(7)).
const INITIAL_MAP: [&str; 3] = ["0", "0", "4294967295"];

/// Reads the facts that a plan of a bundle needs.
pub fn read(bundle: &str, views: Vec<CgroupView>, devices: bool) -> Facts {
    Facts {
        can_make_nodes: devices && can_make_nodes(),
        apparmor: lsm::apparmor::is_on(),
        selinux: lsm::selinux::is_on(),
        cgroups: views,
        bundle: bundle.to_owned(),
        ..Facts::default()
    }
}

/// CAP_MKNOD counts in the initial user namespace only.
fn can_make_nodes() -> bool {
    let capable = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::MKNOD));
    capable
        && read_small("/proc/self/uid_map").is_some_and(|map| map.split_ascii_whitespace().eq(INITIAL_MAP))
}

/// The start of a small kernel file; `None` where there is none.
pub(crate) fn read_small(path: &str) -> Option<String> {
    use rustix::fs::{Mode, OFlags};
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let bytes = files::read_all(&file, MAX_SMALL).ok()?;
    String::from_utf8(bytes).ok()
}

/// Longest kernel file that is read whole in bytes.
const MAX_SMALL: u64 = 64 * 1024;

/// What a container of systemd's driver sees before its cgroup exists: its cgroup namespace's root, and without such
/// a namespace the machine's hierarchy, as with runc.
pub fn systemd_view(layout: &Layout) -> Result<CgroupView> {
    let v2 = layout.v2().filter(|_| layout.v1_controllers().is_empty()).ok_or(Error::SystemdCgroup)?;
    Ok(CgroupView {
        name: String::new(),
        kind: "cgroup2".to_owned(),
        options: Vec::new(),
        host_path: v2.mount.clone(),
    })
}

/// How a container sees its cgroups: one directory for each hierarchy that it is in.
pub fn cgroup_views(layout: &Layout, cgroup: &Cgroup) -> Vec<CgroupView> {
    let paths: Vec<_> = cgroup.paths().map(|(_, path)| path).collect();
    views(layout, |hierarchy| paths.iter().find(|path| is_below(path, &hierarchy.mount)).cloned())
}

/// What a container sees that has no cgroup of its own: the caller's, in which it stays. Engines' images expect the
/// directories to be there.
pub fn caller_views(layout: &Layout) -> Vec<CgroupView> {
    views(layout, |hierarchy| {
        let own = hierarchy.own.as_deref()?.trim_matches('/');
        Some(if own.is_empty() { hierarchy.mount.clone() } else { format!("{}/{own}", hierarchy.mount) })
    })
}

fn is_below(path: &str, mount: &str) -> bool {
    path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn views(layout: &Layout, path_of: impl Fn(&Hierarchy) -> Option<String>) -> Vec<CgroupView> {
    let pure = layout.kind() == cgroup::Kind::V2;
    let view = |hierarchy: &Hierarchy| {
        let host_path = path_of(hierarchy)?;
        if hierarchy.version == cgroup::Version::V2 {
            let name = if pure { String::new() } else { "unified".to_owned() };
            return Some(CgroupView { name, kind: "cgroup2".to_owned(), options: Vec::new(), host_path });
        }
        // Version 1 has another name for the one controller.
        let name = |controller: cgroup::Controller| match controller.name() {
            "io" => "blkio".to_owned(),
            name => name.to_owned(),
        };
        let mut options: Vec<String> = hierarchy.controllers.iter().map(name).collect();
        if let Some(name) = &hierarchy.name {
            options.push("none".to_owned());
            options.push(format!("name={name}"));
        }
        let name = hierarchy.mount.rsplit('/').next().unwrap_or_default().to_owned();
        Some(CgroupView { name, kind: "cgroup".to_owned(), options, host_path })
    };
    layout.hierarchies().iter().filter_map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_has_the_v2_hierarchy_or_says_what_it_lacks() {
        let pure = b"25 1 0:24 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(systemd_view(&Layout::parse(pure, "0::/\n")).unwrap().host_path, "/sys/fs/cgroup");
        let legacy = b"26 1 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let error = systemd_view(&Layout::parse(legacy, "4:memory:/\n")).unwrap_err();
        assert!(error.to_string().contains("cgroup v2"), "{error}");
    }

    #[test]
    fn without_a_cgroup_of_its_own_the_caller_s_are_seen() {
        let mounts = b"26 1 0:25 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n\
            27 1 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
            28 1 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let layout = Layout::parse(mounts, "4:blkio:/\n2:name=systemd:/a/b\n0::/c\n");
        let seen: Vec<_> = caller_views(&layout)
            .into_iter()
            .map(|view| (view.name, view.kind, view.options.join(","), view.host_path))
            .collect();
        let row = |name: &str, kind: &str, options: &str, path: &str| {
            (name.to_owned(), kind.to_owned(), options.to_owned(), path.to_owned())
        };
        let expected = [
            row("blkio", "cgroup", "blkio", "/sys/fs/cgroup/blkio"),
            row("systemd", "cgroup", "none,name=systemd", "/sys/fs/cgroup/systemd/a/b"),
            row("unified", "cgroup2", "", "/sys/fs/cgroup/unified/c"),
        ];
        assert_eq!(seen, expected);
    }
}
