//! K5: the verifier of eBPF and the perf subsystem.

use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::doors::{Door, WIDE, are_open, assert_closed};

pub(crate) const ROW: Row = Row {
    id: "K5",
    title: "bpf and perf events",
    faults: &["CVE-2022-23222", "CVE-2021-3490", "CVE-2022-25636"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: bpf and perf_event_open are refused",
};

/// Closed by default.
const DOORS: &[Door] = &[("calls", "bpf"), ("calls", "perf_event_open")];

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
