//! R4: something of the image lies where the engine writes its security label.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use testkit::{Bundle, Outcome};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, bind, run, run_by};
use crate::labels::{LABEL, label_lands_in, with_apparmor};

pub(crate) const ROW: Row = Row {
    id: "R4",
    title: "the security label is written to a file of the image",
    faults: &["CVE-2019-16884"],
    kinds: &[Kind::Static],
    defence: "runtime/src/child/mount.rs: nothing but a procfs goes onto /proc, and a label that is not read back \
              ends the start",
};

/// A directory that looks as `/proc` does where labels are written.
fn fake(brig: &Brig) -> PathBuf {
    let source = brig.directory().join("source");
    label_lands_in(&source);
    source
}

/// Mounts it at `destination`, and runs.
fn mounted(brig: &Brig, destination: &str, run: impl Fn(&Bundle) -> Outcome) -> Outcome {
    let mut bundle = brig.bundle("bundle", &["cat", "/proc/self/mountinfo"]);
    std::os::unix::fs::symlink("proc", bundle.rootfs().join("link")).unwrap();
    bundle.config["mounts"].as_array_mut().unwrap().push(bind(destination, &fake(brig)));
    bundle.write();
    run(&bundle)
}

const PLACES: [&str; 7] = [
    "/proc",
    "/proc/self",
    "/proc/self/attr",
    "/proc/sys",
    "/proc/../proc/self/attr",
    "//proc//self/./attr/",
    "/link/self/attr",
];

held!(nothing_is_mounted_over_proc, [root, user], |brig| {
    for destination in PLACES {
        let outcome = mounted(brig, destination, |bundle| run(brig, bundle, ""));
        assert_ne!(outcome.code, 0, "{destination}: {outcome}");
    }
    // It is the place that is refused.
    mounted(brig, "/mnt/attr", |bundle| run(brig, bundle, "")).success();
    brig.import_busybox();
    let volume = format!("{}:/proc", brig.directory().join("source").display());
    for flags in [
        &["-v", &*volume][..],
        &["--tmpfs", "/proc"],
        &["--tmpfs", "/proc/self/attr"],
        &["--tmpfs", "/proc/sys"],
    ] {
        assert_ne!(brig.shell(flags, "true").code, 0, "{flags:?}");
    }
});

control!(crun_mounts_over_proc, Target::Debian("crun", "1.8.1"), [root], |brig| {
    PLACES.iter().any(|destination| {
        let outcome = mounted(brig, destination, |bundle| run_by("crun", brig, bundle));
        outcome.code == 0 && outcome.stdout.contains("/source /proc/")
    })
});

/// Runs a bundle with a label where the kernel has no module for it, but the machine looks as if it had; its `/proc` is
/// a directory of the image. Answers whether the payload ran, without its label.
fn unlabelled(brig: &Brig, weaken: &str) -> bool {
    let mut bundle = brig.bundle("bundle", &["echo", "unconfined"]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/proc");
    for field in ["maskedPaths", "readonlyPaths"] {
        bundle.config["linux"][field] = json!([]);
    }
    bundle.config["process"]["apparmorProfile"] = json!("brig-test-profile");
    bundle.write();
    let place = label_lands_in(&bundle.rootfs().join("proc"));
    let command = brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-label"]);
    let outcome = testkit::run(with_apparmor(&command).env("BRIG_WEAKEN", weaken));
    let written = fs::read_to_string(place).unwrap();
    assert_eq!(written == LABEL, outcome.stdout == "unconfined\n", "{written:?}: {outcome}");
    outcome.stdout == "unconfined\n"
}

held!(a_label_that_is_not_read_back, [root], |brig| {
    assert!(!unlabelled(brig, ""));
});

control!(a_label_is_written_and_forgotten, Target::Weakened("lsm-verify"), [root], |brig| {
    unlabelled(&brig.with_seams(), "lsm-verify")
});

// Without any module a label is an error, too.
held!(a_label_without_a_module, [root, user], |brig| {
    let on = |path: &str| Path::new(path).exists();
    let mut bundle = brig.bundle("bundle", &["true"]);
    for (field, value, module) in [
        ("apparmorProfile", "unconfined", on("/sys/kernel/security/apparmor")),
        ("selinuxLabel", "system_u:system_r:container_t:s0", on("/sys/fs/selinux/enforce")),
    ] {
        let plain = bundle.config.clone();
        bundle.config["process"][field] = json!(value);
        bundle.write();
        assert!(module || run(brig, &bundle, "").code != 0, "{field}");
        bundle.config = plain;
    }
    let mut command: Command =
        brig.command(&["run", "--rm", "--security-opt", "apparmor=some-profile", "x", "true"]);
    assert_ne!(testkit::run(&mut command).code, 0);
});
