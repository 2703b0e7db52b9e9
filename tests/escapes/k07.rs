//! K7: faults of the keyrings, and keys that no namespace holds apart.

use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::doors::{Door, WIDE, are_open, are_open_under_podman, assert_closed};

pub(crate) const ROW: Row = Row {
    id: "K7",
    title: "the keyring calls",
    faults: &["CVE-2016-0728", "CVE-2017-6074"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: keyctl, add_key and request_key are refused",
};

/// Closed by default.
const DOORS: &[Door] = &[("calls", "keyctl"), ("calls", "add_key"), ("calls", "request_key")];

held!(closed_by_default, [root, user, bare], |brig| {
    assert_closed(brig, &[], DOORS);
    assert_closed(brig, &["--profile=strict"], DOORS);
});

control!(
    open_without_filter_and_namespace,
    Target::Opened("--userns=host --cap-add=ALL seccomp=unconfined"),
    [root],
    |brig| { are_open(brig, &WIDE, DOORS) }
);

control!(open_without_filter, Target::Opened("--security-opt seccomp=unconfined"), [user], |brig| {
    are_open(brig, &["--security-opt=seccomp=unconfined"], DOORS)
});

control!(open_under_podmans_profile, Target::Debian("podman", "4.3.1"), [root], |brig| {
    are_open_under_podman(brig, &[("calls", "keyctl")])
});
