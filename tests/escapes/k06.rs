//! K6: io_uring, which also carries calls past a filter of system calls.

use tests::escape::{Kind, Row};

use crate::doors::{Door, closed_by_default};

pub(crate) const ROW: Row = Row {
    id: "K6",
    title: "io_uring",
    faults: &["CVE-2022-29582", "CVE-2023-2598", "CVE-2024-0582"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: io_uring is refused, programs fall back",
};

/// Closed by default.
const DOORS: &[Door] = &[("calls", "io_uring_setup")];

closed_by_default!(DOORS, opened to root: DOORS, to a user: DOORS);
