//! K13: i386 and x32 system calls, which a filter for the native ABI does not see.

use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::doors::{Door, WIDE, are_open, are_open_under_podman, assert_closed};

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

held!(closed_by_default, [root, user, bare], |brig| {
    assert_closed(brig, &[], DOORS);
    assert_closed(brig, &["--profile=strict"], DOORS);
});

control!(
    open_without_filter_and_namespace,
    Target::Opened("--userns=host --cap-add=ALL seccomp=unconfined"),
    [root],
    |brig| { are_open(brig, &WIDE, BUILT) }
);

control!(open_without_filter, Target::Opened("--security-opt seccomp=unconfined"), [user], |brig| {
    are_open(brig, &["--security-opt=seccomp=unconfined"], FREE)
});

control!(open_under_podmans_profile, Target::Debian("podman", "4.3.1"), [root], |brig| {
    are_open_under_podman(
        brig,
        &[("foreign ABIs", "i386 getpid"), ("foreign ABIs", "i386 socketcall AF_VSOCK")],
    )
});
