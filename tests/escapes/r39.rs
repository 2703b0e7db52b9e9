//! R39: the first thread of a container's first process ends, and its namespaces cannot be had any more.

use std::fs;

use tests::escape::{Kind, Row, Target};
use tests::{Brig, attack, control, eventually, held};

pub(crate) const ROW: Row = Row {
    id: "R39",
    title: "`exec` into a container whose first thread has ended stays in the host's namespaces",
    faults: &[],
    kinds: &[Kind::Inside],
    defence: "runtime/src/join.rs: a namespace that cannot be opened is an error where the kernel has that kind",
};

/// What `exec` says of its mount namespace once the first thread has ended, where it is not the container's; its errors.
fn joined(brig: &Brig, weaken: &str) -> (String, String) {
    attack::image(brig, "leaves", &[], attack::install_probe);
    let id = brig.ok(&["run", "-d", "--name", "gone", "leaves", "/bin/probe", "leave", "/leave"]);
    let exec = ["exec", "gone", "/bin/readlink", "/proc/self/ns/mnt"];
    // It is joined as any other before.
    let own = brig.ok(&exec);
    assert!(own.starts_with("mnt:"), "{own}");
    brig.ok(&["exec", "gone", "touch", "/leave"]);
    let stat = format!("/proc/{}/stat", brig.life(id.trim())["pid"]);
    eventually("its first thread has ended", || fs::read_to_string(&stat).unwrap().contains(") Z "));
    let outcome = testkit::run(brig.command(&exec).env("BRIG_WEAKEN", weaken));
    assert_eq!(brig.ok(&["ps", "--format", "{{.State}}"]), "running\n");
    brig.ok(&["rm", "-f", "gone"]);
    assert_ne!(outcome.stdout, own);
    (outcome.stdout, outcome.stderr)
}

held!(nobody_joins_half_a_container, [root, user, bare] needs [c_compiler()], |brig| {
    let (said, error) = joined(brig, "");
    assert_eq!(said, "", "{error}");
    assert!(error.contains("first thread"), "{error}");
});

control!(a_missing_namespace_is_skipped, Target::Weakened("namespaces"), [root, user] needs [c_compiler()], |brig| {
    let (said, _) = joined(&brig.with_seams(), "namespaces");
    said.starts_with("mnt:")
});
