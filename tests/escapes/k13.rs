//! K13: i386 and x32 system calls, which a filter for the native ABI does not see.

use tests::control;
use tests::escape::{Kind, Row, Target};

use crate::doors::{Door, are_open_under_podman, closed_by_default};

pub(crate) const ROW: Row = Row {
    id: "K13",
    title: "calls by another ABI, past the filter",
    faults: &["CVE-2014-0038", "CVE-2010-3081"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/compile.rs: any architecture but the native one answers ENOSYS",
};

/// Closed by default.
const DOORS: &[Door] = &[
    ("foreign ABIs", "i386 getpid"),
    ("foreign ABIs", "i386 socketcall AF_VSOCK"),
    ("foreign ABIs", "i386 socketcall AF_ALG"),
    ("foreign ABIs", "x32 getpid"),
];

/// Those that this kernel was built with, and opens to root.
const BUILT: &[Door] = &[("foreign ABIs", "i386 getpid"), ("foreign ABIs", "i386 socketcall AF_VSOCK")];

/// Those that need no capability over the host's namespaces.
const FREE: &[Door] = &[("foreign ABIs", "i386 getpid"), ("foreign ABIs", "i386 socketcall AF_VSOCK")];

closed_by_default!(DOORS, opened to root: BUILT, to a user: FREE);

control!(open_under_podmans_profile, Target::Debian("podman", "4.3.1"), [root], |brig| {
    are_open_under_podman(
        brig,
        &[("foreign ABIs", "i386 getpid"), ("foreign ABIs", "i386 socketcall AF_VSOCK")],
    )
});
