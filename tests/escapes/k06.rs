//! K6: io_uring, which also carries calls past a filter of system calls.

use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::doors::{Door, WIDE, are_open, assert_closed};

pub(crate) const ROW: Row = Row {
    id: "K6",
    title: "io_uring",
    faults: &["CVE-2022-29582", "CVE-2023-2598", "CVE-2024-0582"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: io_uring is refused, programs fall back",
};

/// Closed by default.
const DOORS: &[Door] = &[("calls", "io_uring_setup")];

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
