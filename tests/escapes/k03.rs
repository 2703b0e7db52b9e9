//! K3: new namespaces give capabilities over nf_tables, packet sockets, xfrm and mounts: the first step of most exploits of 2020 to 2026.

use tests::control;
use tests::escape::{Kind, Row, Target};

use crate::doors::{Door, are_open_under_podman, closed_by_default};

pub(crate) const ROW: Row = Row {
    id: "K3",
    title: "a new user namespace and the kernel surface behind it",
    faults: &[
        "CVE-2022-0185",
        "CVE-2023-32233",
        "CVE-2024-1086",
        "CVE-2026-43284",
        "CVE-2026-43500",
        "CVE-2026-46300",
        "CVE-2026-53362",
    ],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: clone and unshare without namespace flags, clone3 answers ENOSYS",
};

/// Closed by default.
const DOORS: &[Door] = &[
    ("new namespaces", "setns"),
    ("new namespaces", "clone3"),
    ("new namespaces", "clone(NEWUSER)"),
    ("new namespaces", "unshare(NEWNS)"),
    ("new namespaces", "unshare(NEWUSER)"),
];

/// Those that need no capability over the host's namespaces.
const FREE: &[Door] = &[
    ("new namespaces", "clone3"),
    ("new namespaces", "clone(NEWUSER)"),
    ("new namespaces", "unshare(NEWUSER)"),
];

closed_by_default!(DOORS, opened to root: DOORS, to a user: FREE);

control!(open_under_podmans_profile, Target::Debian("podman", "4.3.1"), [root], |brig| {
    are_open_under_podman(
        brig,
        &[
            ("new namespaces", "clone3"),
            ("new namespaces", "clone(NEWUSER)"),
            ("new namespaces", "unshare(NEWUSER)"),
        ],
    )
});
