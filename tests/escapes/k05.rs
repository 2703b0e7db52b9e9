//! K5: the verifier of eBPF and the perf subsystem.

use tests::escape::{Kind, Row};

use crate::doors::{Door, closed_by_default};

pub(crate) const ROW: Row = Row {
    id: "K5",
    title: "bpf and perf events",
    faults: &["CVE-2022-23222", "CVE-2021-3490", "CVE-2022-25636"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: bpf and perf_event_open are refused",
};

/// Closed by default.
const DOORS: &[Door] = &[("calls", "bpf"), ("calls", "perf_event_open")];

closed_by_default!(DOORS, opened to root: DOORS, to a user: DOORS);
