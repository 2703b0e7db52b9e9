//! The device policy of a container's cgroup: deny, then the spec's rules, then what every container has.

use oci::runtime::{DeviceRule, Resources, Spec};

/// Type, major, minor, access; `None` is all. As runc's default list, so that a bundle means the same here.
const ALWAYS: [(&str, Option<i64>, Option<i64>, &str); 11] = [
    // Making a node is no access to it.
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    // null, zero, full, random, urandom
    ("c", Some(1), Some(3), "rwm"),
    ("c", Some(1), Some(5), "rwm"),
    ("c", Some(1), Some(7), "rwm"),
    ("c", Some(1), Some(8), "rwm"),
    ("c", Some(1), Some(9), "rwm"),
    // tty, console, ptmx, and the terminals of devpts
    ("c", Some(5), Some(0), "rwm"),
    ("c", Some(5), Some(1), "rwm"),
    ("c", Some(5), Some(2), "rwm"),
    ("c", Some(136), None, "rwm"),
];

/// The spec's resources with the whole device policy (GO-2022-0396: what nobody allows is denied).
pub(crate) fn with_device_policy(spec: &Spec) -> Resources {
    let mut resources = spec.linux.as_ref().and_then(|linux| linux.resources.clone()).unwrap_or_default();
    let deny_all = DeviceRule { allow: false, access: Some("rwm".to_owned()), ..DeviceRule::default() };
    let asked = std::mem::take(&mut resources.devices);
    resources.devices = std::iter::once(deny_all)
        .chain(asked)
        .chain(ALWAYS.iter().map(|(kind, major, minor, access)| DeviceRule {
            allow: true,
            kind: Some((*kind).to_owned()),
            major: *major,
            minor: *minor,
            access: Some((*access).to_owned()),
        }))
        .collect();
    resources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specs_rules_stand_between_deny_and_defaults() {
        let mut spec = Spec::default();
        assert!(!with_device_policy(&spec).devices[0].allow);
        let rule =
            DeviceRule { allow: true, kind: Some("c".to_owned()), major: Some(10), ..DeviceRule::default() };
        let resources = Resources { devices: vec![rule.clone()], ..Resources::default() };
        spec.linux =
            Some(oci::runtime::Linux { resources: Some(resources), ..oci::runtime::Linux::default() });
        let devices = with_device_policy(&spec).devices;
        assert_eq!(devices[1], rule);
        assert_eq!(devices.len(), 2 + ALWAYS.len());
    }
}
