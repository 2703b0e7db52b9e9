//! Files that the kernel shows of cgroups and mounts: any text is read without a panic, paths of the own cgroup never climb, what is not there is not made up.

use cgroup::fuzzing::{controllers, device, events, stats};
use cgroup::{Kind, Layout, Version};

use crate::input::text;

/// Most bytes of an input: a mount table, a NUL, `/proc/self/cgroup`.
pub const MAX_LEN: usize = 4096;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let (table, rest) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, bytes),
    };
    if let Some(memberships) = text(rest) {
        check_layout(table, memberships);
    }
    let Some(text) = text(bytes) else { return };
    let found = stats::stats(text);
    let devices = found.io.unwrap_or_default();
    let mut numbers: Vec<_> = devices.iter().map(|entry| (entry.major, entry.minor)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), devices.len(), "a device is counted twice");
    assert!(found.rdma.len() <= text.lines().count());
    let _: cgroup::Pressure = stats::pressure(text);
    assert!(events(text).len() <= text.lines().count());
    for separator in [' ', ','] {
        let set = controllers(text, separator);
        let names: Vec<_> = set.iter().map(cgroup::Controller::name).collect();
        assert_eq!(controllers(&names.join(","), ','), set);
    }
    let list = device::list(text);
    // What would be written is what would be read.
    assert_eq!(device::list(&list.join("\n")).len(), list.len());
    let rows = probe::fuzzing::mount_rows(text);
    assert!(rows.len() <= 4096 + 16 * text.len());
}

fn check_layout(table: &[u8], memberships: &str) {
    let layout = Layout::parse(table, memberships);
    for hierarchy in layout.hierarchies() {
        assert!(hierarchy.version == Version::V1 || hierarchy.controllers.is_empty());
        let Some(own) = &hierarchy.own else { continue };
        assert!(!own.starts_with('/') && !own.split('/').any(|part| part == ".."), "{own:?}");
    }
    let kinds: Vec<_> = layout.hierarchies().iter().map(|hierarchy| hierarchy.version).collect();
    let expected = match (kinds.contains(&Version::V1), kinds.contains(&Version::V2)) {
        (true, true) => Kind::Hybrid,
        (true, false) => Kind::V1,
        (false, true) => Kind::V2,
        (false, false) => Kind::None,
    };
    assert_eq!(layout.kind(), expected);
    for controller in cgroup::Controller::ALL {
        if let Some(hierarchy) = layout.hierarchy_of(controller) {
            assert!(hierarchy.controllers.contains(controller) || hierarchy.version == Version::V2);
        }
    }
}
