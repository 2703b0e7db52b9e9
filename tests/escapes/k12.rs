//! K12: overlayfs and other file systems mounted in a namespace of one's own.

use tests::control;
use tests::escape::{Kind, Row, Target};

use crate::doors::{Door, are_open_under_podman, closed_by_default};

pub(crate) const ROW: Row = Row {
    id: "K12",
    title: "mounts from inside, overlays among them",
    faults: &["CVE-2021-3493", "CVE-2023-0386", "CVE-2023-2640", "CVE-2023-32629"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: no mount call, no new namespace",
};

/// Closed by default.
const DOORS: &[Door] = &[
    ("calls", "mount"),
    ("calls", "umount2"),
    ("calls", "pivot_root"),
    ("calls", "open_tree"),
    ("calls", "fsopen"),
    ("calls", "fsconfig"),
    ("calls", "fspick"),
    ("calls", "move_mount"),
    ("calls", "mount_setattr"),
    ("new namespaces", "unshare(NEWUSER)"),
];

/// Those that need no capability over the host's namespaces.
const FREE: &[Door] =
    &[("calls", "fsconfig"), ("calls", "mount_setattr"), ("new namespaces", "unshare(NEWUSER)")];

closed_by_default!(DOORS, opened to root: DOORS, to a user: FREE);

control!(open_under_podmans_profile, Target::Debian("podman", "4.3.1"), [root], |brig| {
    are_open_under_podman(
        brig,
        &[("calls", "fsconfig"), ("calls", "mount_setattr"), ("new namespaces", "unshare(NEWUSER)")],
    )
});
