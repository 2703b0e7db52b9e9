//! R6: `/proc` is a link, so that the label goes into a tree of the image while a procfs lies elsewhere.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, mount};
use crate::labels::{LABEL, label_lands_in, with_apparmor};

pub(crate) const ROW: Row = Row {
    id: "R6",
    title: "the security label follows a linked `/proc`",
    faults: &["CVE-2023-28642"],
    kinds: &[Kind::Static],
    defence: "runtime/src/child/mount.rs: the label goes through a procfs that is mounted nowhere, and is read back",
};

/// Runs a bundle with a label, whose `/proc` is a link to a tree of the image, and whose procfs is mounted at
/// `procfs`; answers whether the payload ran, with its label in the image's file.
fn misled(brig: &Brig, procfs: Option<&str>, weaken: &str) -> bool {
    let mut bundle = brig.bundle("bundle", &["echo", "unconfined"]);
    let root = bundle.rootfs();
    fs::remove_dir(root.join("proc")).unwrap();
    symlink("tree", root.join("proc")).unwrap();
    let place = label_lands_in(&root.join("tree"));
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/proc");
    mounts.extend(procfs.map(|destination| mount(destination, "proc")));
    for field in ["maskedPaths", "readonlyPaths"] {
        bundle.config["linux"][field] = json!([]);
    }
    bundle.config["process"]["apparmorProfile"] = json!("brig-test-profile");
    bundle.write();
    let command = brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-label"]);
    let outcome = testkit::run(with_apparmor(&command).env("BRIG_WEAKEN", weaken));
    let written = fs::read_to_string(place).unwrap();
    assert!(!weaken.is_empty() || written.is_empty(), "{written:?}: {outcome}");
    written == LABEL && outcome.stdout == "unconfined\n"
}

held!(a_linked_proc, [root], |brig| {
    for procfs in [None, Some("/proc"), Some("/elsewhere"), Some("/tree/self")] {
        assert!(!misled(brig, procfs, ""), "{procfs:?}");
    }
});

control!(a_label_by_path, Target::Weakened("lsm-verify"), [root], |brig| {
    let weak = brig.with_seams();
    misled(&weak, None, "lsm-verify") && misled(&weak, Some("/elsewhere"), "lsm-verify")
});
