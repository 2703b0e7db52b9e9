//! R7: `/sys`, `/dev` or a directory below them is a link in the root, or is moved while it is mounted.

use std::fs;
use std::process::Command;

use serde_json::json;
use testkit::{Bundle, Outcome};
use tests::attack::{Canary, Paused};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, mount, run};
use crate::race::{Flipper, Until, a_race_of_bundles, exchange, for_a_while, run_at_once};
use crate::trees::{Kept, SHAPES, replace};

pub(crate) const ROW: Row = Row {
    id: "R7",
    title: "kernel file systems are mounted through links",
    faults: &["CVE-2025-54867"],
    kinds: &[Kind::Static, Kind::Race, Kind::BruteRace],
    defence: "runtime/src/child/mount.rs: kernel directories are opened without links, and what was mounted is \
              reached by its own descriptor",
};

const MOUNTS: [(&str, &str); 6] = [
    ("/sys", "sysfs"),
    ("/dev", "tmpfs"),
    ("/dev/pts", "devpts"),
    ("/dev/shm", "tmpfs"),
    ("/dev/mqueue", "mqueue"),
    ("/sys/fs/cgroup", "cgroup"),
];

/// Puts `shape` in place of `name` in the root, and mounts at `destination`.
fn linked(
    brig: &Brig,
    bundle: &mut Bundle,
    attack: (&str, &str, &Canary),
    mounted: (&str, &str),
    weaken: &str,
) -> Outcome {
    let (name, shape, canary) = attack;
    let kept = Kept::new(&bundle.rootfs(), name);
    replace(&bundle.rootfs(), name, shape, canary);
    bundle.config["mounts"] = json!([mount("/proc", "proc"), mount(mounted.0, mounted.1)]);
    bundle.write();
    let outcome = run(brig, bundle, weaken);
    drop(kept);
    outcome
}

held!(links_in_their_place, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let mut bundle = brig.bundle("bundle", &["true"]);
    for (destination, kind) in MOUNTS {
        for shape in SHAPES {
            let attack = (&destination[1..], shape, &canary);
            let outcome = linked(brig, &mut bundle, attack, (destination, kind), "");
            let attack = format!("{destination} as {shape}");
            canary.assert_untouched(&attack);
            // Mounted through a link, the file systems that only the kernel fills could be half hidden.
            if kind != "tmpfs" || destination.starts_with("/dev") {
                assert_ne!(outcome.code, 0, "{attack}: {outcome}");
            }
            let told = outcome.stderr.lines().filter(|line| !line.contains("warning")).count();
            assert_eq!(told, usize::from(outcome.code != 0), "{attack}: {outcome}");
        }
    }
});

held!(links_above_their_place, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let mut bundle = brig.bundle("bundle", &["true"]);
    for shape in SHAPES {
        drop(linked(brig, &mut bundle, ("dev", shape, &canary), ("/dev/pts", "devpts"), ""));
        canary.assert_untouched(format_args!("/dev as {shape}"));
    }
});

control!(through_links, Target::Weakened("root"), [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    let mut bundle = weak.bundle("bundle", &["true"]);
    drop(linked(&weak, &mut bundle, ("dev", "absolute", &canary), ("/dev/pts", "devpts"), "root"));
    !canary.changes().is_empty()
});

/// A bundle with a sysfs, whose root has another directory that its neighbours can exchange with `/sys`.
fn shared(brig: &Brig) -> Bundle {
    let script = "for s in /sys /other; do ls $s/kernel; ( : >> $s/power/state ) 2>/dev/null && \
                  [ -d $s/class ] && echo writable; done; true";
    let mut bundle = brig.bundle("bundle", &["sh", "-c", script]);
    fs::create_dir_all(bundle.rootfs().join("other")).unwrap();
    fs::create_dir_all(bundle.rootfs().join("sys")).unwrap();
    // Nothing that it could write to in earnest: the mount is read-only from the start.
    let mut sysfs = mount("/sys", "sysfs");
    sysfs["options"].as_array_mut().unwrap().push(json!("ro"));
    bundle.config["mounts"].as_array_mut().unwrap().insert(1, sysfs);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "network"}));
    bundle.config["linux"]["maskedPaths"] = json!(["/sys/kernel"]);
    bundle.write();
    bundle
}

/// Moves `/sys` after it is mounted; answers what is seen of the masked directory.
fn moved(weak: &Brig, weaken: &str) -> String {
    let bundle = shared(weak);
    let mut command = weak.runtime(&["run", "--bundle", at(&bundle), "brig-test-moved"]);
    let paused = Paused::at(command.env("BRIG_WEAKEN", weaken), "mount:dev", &weak.directory().join("pause"));
    exchange(&bundle.rootfs().join("sys"), &bundle.rootfs().join("other"));
    let (code, stdout, stderr) = paused.go();
    assert_eq!(code, Some(0), "{stderr}");
    stdout
}

held!(moved_after_it_is_mounted, [root], |brig| {
    assert_eq!(moved(&brig.with_seams(), ""), "");
});

control!(masks_by_path, Target::Weakened("mounted"), [root], |brig| {
    !moved(&brig.with_seams(), "mounted").is_empty()
});

/// Runs again and again while `/sys` changes its name; answers whether a payload saw what is masked.
fn raced(brig: &Brig, until: Until, command: impl Fn(&Bundle) -> Command) -> bool {
    let bundle = shared(brig);
    let flipper = Flipper::new(&bundle.rootfs().join("sys"), &bundle.rootfs().join("other"));
    let mut ran = 0;
    let (reached, _) = for_a_while(until, || {
        let output = run_at_once(&mut command(&bundle));
        ran += u32::from(output.status.success());
        !output.stdout.is_empty()
    });
    drop(flipper);
    assert!(reached || ran > 5, "only {ran} runs");
    reached
}

a_race_of_bundles!(raced);
