//! Resource limits of a bundle: each becomes one line for one file of the container's own cgroup, properties of a systemd unit, or an error of one line.

use cgroup::Version;
use cgroup::fuzzing::{device, device_rules, systemd, writes};
use oci::runtime::Resources;

use crate::input::check_message;

/// Most bytes of an input.
pub const MAX_LEN: usize = 4096;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    let Ok(resources) = serde_json::from_slice::<Resources>(bytes) else { return };
    let again = serde_json::to_vec(&resources).expect("resources are made of strings and numbers");
    assert_eq!(serde_json::from_slice::<Resources>(&again).ok().as_ref(), Some(&resources));
    for version in [Version::V1, Version::V2] {
        match writes(&resources, version) {
            Ok(list) => {
                for (file, value) in &list {
                    check_file(file);
                    let is_raw = resources.unified.contains_key(file);
                    assert!(is_raw || !value.contains('\n'), "{file}: {value:?}");
                    assert!(value.len() <= 8192, "{file}: {} bytes", value.len());
                }
                assert_eq!(writes(&resources, version).ok(), Some(list));
            }
            Err(error) => check_message(&error.to_string(), 1024),
        }
    }
    match systemd::limits(&resources) {
        Ok(count) => assert!(count <= 64),
        Err(error) => check_message(&error.to_string(), 1024),
    }
    match (device::compile(&resources.devices), device_rules(&resources)) {
        (Ok((length, list)), Ok(count)) => {
            assert!(length <= 64 + 16 * count, "{count} rules became {length} instructions");
            for text in list.unwrap_or_default() {
                assert_eq!(device::list(&text), [text]);
            }
        }
        (Err(error), Err(_)) => check_message(&error.to_string(), 1024),
        (one, other) => panic!("{one:?} {other:?}"),
    }
    let _: cgroup::Controllers = cgroup::Controllers::needed(&resources);
}

/// A plain name of a limit.
fn check_file(file: &str) {
    assert!(!file.is_empty() && file.len() <= 128, "{file:?}");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    assert!(file.bytes().all(plain) && !file.contains(".."), "{file:?}");
    // These move processes and hand control on.
    let hands_on = ["cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "tasks", "release_agent", "notify_on_release", "cgroup.event_control", "cgroup.subtree_control", "cgroup.type"];
    assert!(!hands_on.contains(&file), "{file:?}");
}
