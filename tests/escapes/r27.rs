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

/// Whether a container sees where it is in the host's tree.
fn sees_more(brig: &Brig, flags: &[&str]) -> bool {
    brig.import_busybox();
    let seen = brig.shell(flags, "cat /proc/self/cgroup /proc/1/cgroup").success();
    assert!(!seen.is_empty(), "{flags:?}");
    seen.lines().any(|line| !line.ends_with(":/"))
}

held!(only_its_own_part_is_seen, [root, user], |brig| {
    for flags in [&[][..], &["--privileged"], &["--network", "host"]] {
        assert!(!sees_more(brig, flags), "{flags:?}");
    }
});

control!(the_hosts_namespace, Target::Opened("--cgroupns host"), [root], |brig| {
    sees_more(brig, &["--cgroupns", "host"])
});

control!(a_writable_view, Target::Opened("--privileged"), [root], |brig| {
    brig.import_busybox();
    let found = writable(brig, &["--privileged", "--userns=host"]);
    found.iter().any(|path| path.ends_with("cgroup.procs")) && found.iter().any(|path| !path.contains('.'))
});
