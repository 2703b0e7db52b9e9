//! K8: calls that stop the kernel in the middle of its work, or that reach into another process.

use tests::control;
use tests::escape::{Kind, Row, Target};

use crate::doors::{Door, are_open_under_podman, closed_by_default};

pub(crate) const ROW: Row = Row {
    id: "K8",
    title: "userfaultfd and its kin, which make races easy to win",
    faults: &["CVE-2021-22555", "CVE-2022-2588", "CVE-2016-5195"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: not on the allow list",
};

/// Closed by default.
const DOORS: &[Door] = &[
    ("calls", "userfaultfd"),
    ("calls", "process_vm_readv"),
    ("calls", "process_vm_writev"),
    ("calls", "ptrace"),
    ("calls", "kcmp"),
    ("calls", "process_madvise"),
    ("calls", "pidfd_getfd"),
    ("calls", "vmsplice"),
    ("calls", "modify_ldt"),
];

closed_by_default!(DOORS, opened to root: DOORS, to a user: DOORS);

control!(open_under_podmans_profile, Target::Debian("podman", "4.3.1"), [root], |brig| {
    are_open_under_podman(
        brig,
        &[
            ("calls", "ptrace"),
            ("calls", "process_vm_readv"),
            ("calls", "process_vm_writev"),
            ("calls", "pidfd_getfd"),
        ],
    )
});
