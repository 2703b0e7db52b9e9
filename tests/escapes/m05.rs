//! M5: what was made as a mount point is removed at the end, by its path, which leads elsewhere by then.

use std::fs;
use std::process::Command;

use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

pub(crate) const ROW: Row = Row {
    id: "M5",
    title: "a mount point removed that is the host's by then",
    faults: &["CVE-2024-23652"],
    kinds: &[Kind::Static, Kind::Inside],
    defence: "runtime/src/child/mount.rs: mount points are never removed one by one; files/src/tree.rs: a container's \
              files are removed by descriptor, and no link is followed",
};

// The container puts a link in the place above its mount point, and ends.
held!(the_end_removes_nothing_outside, [root, user], |brig| {
    brig.import_busybox();
    let canary = Canary::new(brig.directory(), "canary");
    let outside = canary.path().display();
    let data = brig.directory().join("data");
    fs::create_dir(&data).unwrap();
    let script = format!(
        "for name in top overlay made; do mv /$name /$name.old; ln -s {outside} /$name; done; ls -l /; echo swapped"
    );
    for mount in ["-v=volume:/top/empty", "-v=/made/empty", "--tmpfs=/overlay/empty"] {
        for keep in [false, true] {
            let flags: &[&str] = if keep { &["run", "--name", "kept"] } else { &["run", "--rm"] };
            let outcome = brig.run(&[flags, &[mount, "busybox", "sh", "-c", &script]].concat());
            assert!(outcome.stdout.contains("swapped"), "{outcome}");
            if keep {
                brig.ok(&["rm", "-v", "kept"]);
            }
            canary.assert_untouched(mount);
        }
    }
    let bind = format!("{}:/top/empty", data.display());
    let outcome = brig.run(&["run", "--rm", "-v", &bind, "busybox", "sh", "-c", &script]);
    assert!(outcome.stdout.contains("swapped") && data.exists(), "{outcome}");
    canary.assert_untouched("a bind mount");
});

// What is in the volume, when the volume goes.
held!(the_end_of_a_volume_removes_nothing_outside, [root, user], |brig| {
    brig.import_busybox();
    let canary = Canary::new(brig.directory(), "canary");
    let script = format!(
        "ln -s {} /d/link; mkdir -p /d/a/b; ln -s /../../../../.. /d/a/b/up",
        canary.path().display()
    );
    brig.ok(&["run", "--rm", "-v", "volume:/d", "busybox", "sh", "-c", &script]);
    brig.ok(&["volume", "rm", "volume"]);
    canary.assert_untouched("the removal of a volume");
});

control!(rmdir_by_path, Target::Unconfined("rmdir"), [root], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let root = brig.directory().join("root");
    fs::create_dir_all(root.join("top/empty")).unwrap();
    fs::rename(root.join("top"), root.join("top.old")).unwrap();
    std::os::unix::fs::symlink(canary.path(), root.join("top")).unwrap();
    drop(testkit::run(Command::new("rmdir").arg(root.join("top/empty"))));
    !canary.changes().is_empty()
});
