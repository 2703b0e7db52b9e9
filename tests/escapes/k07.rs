//! K7: faults of the keyrings, and keys that no namespace holds apart.

use tests::control;
use tests::escape::{Kind, Row, Target};

use crate::doors::{Door, are_open_under_podman, closed_by_default};

pub(crate) const ROW: Row = Row {
    id: "K7",
    title: "the keyring calls",
    faults: &["CVE-2016-0728", "CVE-2017-6074"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: keyctl, add_key and request_key are refused",
};

/// Closed by default.
const DOORS: &[Door] = &[("calls", "keyctl"), ("calls", "add_key"), ("calls", "request_key")];

closed_by_default!(DOORS, opened to root: DOORS, to a user: DOORS);

control!(open_under_podmans_profile, Target::Debian("podman", "4.3.1"), [root], |brig| {
    are_open_under_podman(brig, &[("calls", "keyctl")])
});
