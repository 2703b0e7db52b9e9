//! R13: the place of a mount, or of a node, is made while a neighbour who shares the root swaps the directory above it.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use testkit::Bundle;
use tests::attack::{Canary, Paused};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, bind, command_by, run};
use crate::race::{Flipper, Until, directory_and_link, for_a_while, run_at_once};
use crate::trees::{Kept, replace};

pub(crate) const ROW: Row = Row {
    id: "R13",
    title: "directories and files are made on the host",
    faults: &["CVE-2024-45310"],
    kinds: &[Kind::Static, Kind::Race, Kind::BruteRace],
    defence: "runtime/src/child/mount.rs: each name is made in the descriptor of the directory above it",
};

held!(links_that_lie_there, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let source = brig.directory().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "bound\n").unwrap();
    let mut bundle = brig.bundle("bundle", &["true"]);
    let mounts = bundle.config["mounts"].clone();
    for shape in ["absolute", "relative", "dangling", "up", "through proc", "fifo"] {
        for destination in ["/link", "/link/../link/deep/er"] {
            for kind in ["directory", "file", "tmpfs"] {
                let kept = Kept::new(&bundle.rootfs(), "link");
                replace(&bundle.rootfs(), "link", shape, &canary);
                bundle.config["mounts"] = mounts.clone();
                bundle.config["mounts"].as_array_mut().unwrap().push(match kind {
                    "tmpfs" => crate::bundles::mount(destination, "tmpfs"),
                    "file" => bind(destination, &source.join("file")),
                    _ => bind(destination, &source),
                });
                bundle.write();
                drop(run(brig, &bundle, ""));
                drop(kept);
                canary.assert_untouched(format_args!("{destination} ({kind}) as {shape}"));
            }
        }
    }
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "bound\n");
});

/// Swaps the directory above for a link to the canary at `point`; answers whether the host was reached.
fn swapped_at(weak: &Brig, point: &str, weaken: &str) -> bool {
    let canary = Canary::new(weak.directory(), "canary");
    let source = weak.directory().join("source");
    fs::create_dir_all(&source).unwrap();
    let mut bundle = weak.bundle("bundle", &["true"]);
    let root = bundle.rootfs();
    fs::create_dir_all(root.join("a/b")).unwrap();
    let destination = format!("/{}", point.split_once(':').unwrap().1);
    if point.contains("node:") || point.contains("node-made") {
        bundle.config["linux"]["devices"] = json!([
            {"path": destination, "type": "c", "major": 1, "minor": 3, "fileMode": 0o777, "uid": 5, "gid": 5}
        ]);
    } else {
        let source = if point.starts_with("make-file") { canary.path().join("secret") } else { source };
        bundle.config["mounts"].as_array_mut().unwrap().push(bind(&destination, &source));
    }
    bundle.write();
    let mut command = weak.runtime(&["run", "--bundle", at(&bundle), "brig-test-swap"]);
    let paused = Paused::at(command.env("BRIG_WEAKEN", weaken), point, &weak.directory().join("pause"));
    if point.starts_with("node-made") {
        // The node itself, for a link to a file of the host.
        fs::rename(root.join("a/b/node"), root.join("a/b/old")).unwrap();
        symlink(canary.path().join("secret"), root.join("a/b/node")).unwrap();
    } else {
        fs::rename(root.join("a/b"), root.join("a/old")).unwrap();
        symlink(canary.path(), root.join("a/b")).unwrap();
    }
    let outcome = paused.go();
    let changes = canary.changes();
    assert!(changes.is_empty() || !weaken.is_empty(), "{point}: {outcome:?}\n{changes:?}");
    !changes.is_empty()
}

held!(a_swap_before_a_directory, [root], |brig| {
    assert!(!swapped_at(&brig.with_seams(), "make-directory:a/b/c/d", ""));
});

held!(a_swap_before_a_file, [root], |brig| {
    assert!(!swapped_at(&brig.with_seams(), "make-file:a/b/node", ""));
});

held!(a_swap_before_a_node, [root], |brig| {
    assert!(!swapped_at(&brig.with_seams(), "make-node:a/b/node", ""));
});

held!(a_swap_of_the_node, [root], |brig| {
    assert!(!swapped_at(&brig.with_seams(), "node-made:a/b/node", ""));
});

control!(by_path_strings, Target::Weakened("root"), [root], |brig| {
    swapped_at(&brig.with_seams(), "make-directory:a/b/c/d", "root")
});

/// Runs again and again, each time with a place to make, while the directory above it and a link to the canary change
/// their names; answers whether the host was reached.
fn raced(brig: &Brig, until: Until, run: impl Fn(&Bundle)) -> bool {
    let canary = Canary::new(brig.directory(), "canary");
    let source = brig.directory().join("source");
    fs::create_dir(&source).unwrap();
    let mut bundle = brig.bundle("bundle", &["true"]);
    let (directory, link) = directory_and_link(&bundle.rootfs(), "shared", canary.path());
    let mounts = bundle.config["mounts"].as_array().unwrap().len();
    bundle.config["mounts"].as_array_mut().unwrap().push(json!({}));
    let flipper = Flipper::new(&directory, &link);
    let mut number = 0;
    let (reached, count) = for_a_while(until, || {
        number += 1;
        bundle.config["mounts"][mounts] = bind(&format!("/shared/{number}/deep/er"), &source);
        bundle.write();
        run(&bundle);
        !canary.changes().is_empty()
    });
    drop(flipper);
    assert!(reached || count > 5, "only {count} runs");
    reached
}

held!(a_race, [root], |brig| {
    assert!(!raced(brig, Until::Held, |bundle| {
        run_at_once(&mut brig.runtime(&["run", "--bundle", at(bundle), "brig-test-race"]));
    }));
});

control!(a_race_against_path_strings, Target::Weakened("root"), [root], |brig| {
    let weak = brig.with_seams();
    raced(&weak, Until::Lost, |bundle| {
        let mut command = weak.runtime(&["run", "--bundle", at(bundle), "brig-test-race"]);
        run_at_once(command.env("BRIG_WEAKEN", "root"));
    })
});

control!(a_race_against_runc, Target::Debian("runc", "1.1.5"), [root], |brig| {
    raced(brig, Until::Lost, |bundle| {
        run_at_once(&mut command_by("runc", brig, &["run", "--bundle", at(bundle), "brig-test-race"]));
    })
});
