//! R27: the cgroup tree is writable, and shows more than the container's own part.

use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

pub(crate) const ROW: Row = Row {
    id: "R27",
    title: "cgroups that can be written to",
    faults: &["CVE-2023-25809"],
    kinds: &[Kind::Inside],
    defence: "container/src/spec/mounts.rs: a read-only view of its own part, in a cgroup namespace",
};

/// What a container can write to or make in the cgroup tree. Nothing is written.
fn writable(brig: &Brig, flags: &[&str]) -> Vec<String> {
    let script = "find /sys/fs/cgroup -type f 2>/dev/null | while read f; do \
                  ( : >> \"$f\" ) 2>/dev/null && echo \"$f\"; done; \
                  for d in /sys/fs/cgroup /sys/fs/cgroup/*; do \
                  mkdir $d/brig-test-made 2>/dev/null && rmdir $d/brig-test-made && echo $d; done; exit 0";
    brig.shell(flags, script).success().lines().map(str::to_owned).collect()
}

held!(nothing_is_writable, [root, user], |brig| {
    brig.import_busybox();
    for flags in [&[][..], &["--userns=host"], &["--network", "host"], &["--cap-add", "SYS_ADMIN"]] {
        // Without root, the host's user namespace is none that could be given.
        if brig.is_root() || flags != ["--userns=host"] {
            assert_eq!(writable(brig, flags), Vec::<String>::new(), "{flags:?}");
        }
    }
});

held!(only_its_own_part_is_seen, [root, user], |brig| {
    brig.import_busybox();
    let seen = brig.shell(&[], "cat /proc/self/cgroup /proc/1/cgroup").success();
    assert!(!seen.is_empty() && seen.lines().all(|line| line.ends_with(":/")), "{seen}");
});

control!(a_writable_view, Target::Opened("--privileged"), [root], |brig| {
    brig.import_busybox();
    let found = writable(brig, &["--privileged", "--userns=host"]);
    found.iter().any(|path| path.ends_with("cgroup.procs")) && found.iter().any(|path| !path.contains('.'))
});
