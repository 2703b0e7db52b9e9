//! R8: files are masked with what the root has at `/dev/null`, which the image or a neighbour chose.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::json;
use testkit::Bundle;
use tests::attack::{Canary, Paused};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, mount, run, run_by};
use crate::race::{Flipper, Until, a_race_of_bundles, for_a_while, run_at_once};

pub(crate) const ROW: Row = Row {
    id: "R8",
    title: "masked with a `/dev/null` that is none",
    faults: &["CVE-2025-31133", "CVE-2025-62161"],
    kinds: &[Kind::Static, Kind::Race, Kind::BruteRace],
    defence: "runtime/src/child/mount.rs: the host's checked /dev/null is the mask; only ENOENT needs none",
};

/// What the image has at `/dev/null`, without a `/dev` of the container's own.
fn attack(brig: &Brig, canary: &Canary, shape: &str) -> Bundle {
    let script = "for f in /proc/keys /proc/version; do head -c 64 $f | wc -c; stat -c %t:%T $f; done; \
                  echo x > /proc/keys; ls /proc/scsi /sys/firmware 2>/dev/null | wc -l";
    let mut bundle = brig.bundle("bundle", &["sh", "-c", script]);
    let null = bundle.rootfs().join("dev/null");
    match shape {
        "link to the canary" => symlink(canary.path().join("secret"), &null).unwrap(),
        "link to core_pattern" => symlink("/proc/sys/kernel/core_pattern", &null).unwrap(),
        "regular file" => fs::write(&null, "contents of the image\n").unwrap(),
        _ => {}
    }
    bundle.config["mounts"] = json!([mount("/proc", "proc")]);
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/keys", "/proc/version", "/proc/scsi", "/nowhere"]);
    bundle.write();
    bundle
}

const MASKED: &str = "0\n1:3\n0\n1:3\n0\n";

held!(whatever_the_image_has, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for shape in ["link to the canary", "link to core_pattern", "regular file", "absent"] {
        let outcome = run(brig, &attack(brig, &canary, shape), "");
        canary.assert_untouched(shape);
        assert!(outcome.code != 0 || outcome.stdout == MASKED, "{shape}: {outcome}");
        if shape == "absent" {
            assert_eq!(outcome.code, 0, "{shape}: {outcome}");
        }
    }
});

control!(runc_masks_with_the_images_file, Target::Debian("runc", "1.1.5"), [root], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let outcome = run_by("runc", brig, &attack(brig, &canary, "regular file"));
    outcome.code == 0 && outcome.stdout != MASKED
});

/// A bundle that reads what is masked, in a root without a `/dev` of the container's own.
fn reader(brig: &Brig) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["cat", "/proc/keys"]);
    bundle.config["mounts"] = json!([mount("/proc", "proc")]);
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/keys"]);
    bundle.write();
    bundle
}

/// A neighbour replaces `/dev/null` after the devices are made, before the mask.
fn replaced(weak: &Brig, weaken: &str) -> bool {
    let bundle = reader(weak);
    let mut command = weak.runtime(&["run", "--bundle", at(&bundle), "brig-test-mask"]);
    command.env("BRIG_WEAKEN", weaken);
    let paused = Paused::at(&mut command, "mask:proc/keys", &weak.directory().join("pause"));
    let null = bundle.rootfs().join("dev/null");
    fs::rename(&null, bundle.rootfs().join("dev/old")).unwrap();
    fs::write(&null, "chosen\n").unwrap();
    let (_, stdout, stderr) = paused.go();
    assert!(stdout == "chosen\n" || stdout.is_empty(), "{stdout} {stderr}");
    !stdout.is_empty()
}

held!(replaced_before_the_mask, [root], |brig| {
    assert!(!replaced(&brig.with_seams(), ""));
});

control!(masked_with_the_roots_own, Target::Weakened("mask"), [root], |brig| {
    replaced(&brig.with_seams(), "mask")
});

/// Runs again and again while `/dev/null` and a file change their names; answers whether a mask was the file.
fn raced(brig: &Brig, until: Until, command: impl Fn(&Bundle) -> Command) -> bool {
    let bundle = reader(brig);
    let [null, file] = ["null", "file"].map(|name| bundle.rootfs().join("dev").join(name));
    assert!(Command::new("mknod").arg(&null).args(["c", "1", "3"]).status().unwrap().success());
    fs::write(&file, "chosen\n").unwrap();
    let flipper = Flipper::new(&null, &file);
    let mut ran = 0;
    let (reached, count) = for_a_while(until, || {
        let output = run_at_once(&mut command(&bundle));
        ran += u32::from(output.status.success());
        // A device of the wrong kind may be refused; nothing else is ever read.
        assert!(output.stdout.is_empty() || output.stdout == b"chosen\n");
        !output.stdout.is_empty()
    });
    drop(flipper);
    assert!(reached || (ran > 0 && count > 5), "only {ran} of {count} ran");
    reached
}

a_race_of_bundles!(raced);
