//! R17: `exec --user` takes a user for root that is none.

use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::users::{exec_as, exec_by, ids};

pub(crate) const ROW: Row = Row {
    id: "R17",
    title: "`exec --user` becomes root",
    faults: &["CVE-2026-30892"],
    kinds: &[Kind::Static],
    defence: "cli/src/runtime/exec.rs: decimal ids, nothing before or after them; no capabilities but root's",
};

/// Whom each of these is, where it is anybody.
const USERS: [(&str, Option<(u32, u32)>); 13] = [
    ("1", Some((1, 0))),
    ("1:2", Some((1, 2))),
    ("1000", Some((1000, 0))),
    ("2147483647:2147483646", Some((2_147_483_647, 2_147_483_646))),
    ("-1", None),
    ("+1", None),
    (" 1", None),
    ("1:", None),
    (":1", None),
    ("0x1", None),
    ("1,0", None),
    ("root", None),
    ("", None),
];

held!(it_is_the_user_that_is_named, [root], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    brig.start("brig-test-user", &bundle);
    for (user, expected) in USERS {
        let outcome = exec_as(brig, "brig-test-user", user);
        assert_eq!(ids(&outcome), expected, "`{user}`: {outcome}");
        if expected.is_some() {
            let words = ["exec", "-u", user, "brig-test-user", "grep", "CapEff", "/proc/self/status"];
            assert_eq!(brig.runtime_ok(&words), "CapEff:\t0000000000000000\n", "{user}");
        }
    }
});

control!(crun_makes_root_of_them, Target::Debian("crun", "1.8.1"), [root], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    exec_by("crun", brig, &bundle, &["-1"]).iter().all(|outcome| ids(outcome) == Some((0, 0)))
});

control!(runc_makes_root_of_what_wraps, Target::Debian("runc", "1.1.5"), [root], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    exec_by("runc", brig, &bundle, &["4294967296"]).iter().all(|outcome| ids(outcome) == Some((0, 0)))
});
