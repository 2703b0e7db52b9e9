//! R5: `/proc` of a root that others share is a link, or is moved away, so that the masks lie somewhere else.

use std::fs;
use std::process::Command;

use serde_json::json;
use testkit::Bundle;
use tests::attack::{Canary, Paused};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, mount, run};
use crate::race::{Flipper, Until, a_race_of_bundles, exchange, for_a_while, run_at_once};
use crate::trees::{Kept, SHAPES, replace};

pub(crate) const ROW: Row = Row {
    id: "R5",
    title: "the masks of `/proc` lie somewhere else",
    faults: &["CVE-2019-19921", "CVE-2023-27561"],
    kinds: &[Kind::Static, Kind::Race, Kind::BruteRace],
    defence: "runtime/src/child/mount.rs: kernel directories are opened without links, and what was mounted is \
              reached by its own descriptor",
};

held!(links_in_its_place, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let mut bundle = brig.bundle("bundle", &["true"]);
    bundle.config["mounts"] = json!([mount("/proc", "proc")]);
    bundle.write();
    for shape in SHAPES {
        let kept = Kept::new(&bundle.rootfs(), "proc");
        replace(&bundle.rootfs(), "proc", shape, &canary);
        let outcome = run(brig, &bundle, "");
        drop(kept);
        canary.assert_untouched(shape);
        assert_ne!(outcome.code, 0, "{shape}: {outcome}");
    }
});

/// Tells of each procfs, wherever it is, whether what is masked can be read and what is read-only can be opened for
/// writing; it writes nothing.
const LOOK: &str = "for p in /proc /other; do \
                    head -c 5 $p/version 2>/dev/null | grep -q Linux && echo unmasked; \
                    ( : >> $p/sys/kernel/domainname ) 2>/dev/null && grep -q . $p/self/status && echo writable; \
                    done; true";

/// A bundle whose root has another directory that its neighbours can exchange with `/proc`.
fn shared(brig: &Brig) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["sh", "-c", LOOK]);
    fs::create_dir(bundle.rootfs().join("other")).unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/version"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
    bundle.write();
    bundle
}

fn swap(bundle: &Bundle) {
    exchange(&bundle.rootfs().join("proc"), &bundle.rootfs().join("other"));
}

/// Moves `/proc` at the pause; answers what the payload sees of it.
fn moved_at(weak: &Brig, point: &str, weaken: &str) -> String {
    let bundle = shared(weak);
    let mut command = weak.runtime(&["run", "--bundle", at(&bundle), "brig-test-moved"]);
    let paused = Paused::at(command.env("BRIG_WEAKEN", weaken), point, &weak.directory().join("pause"));
    swap(&bundle);
    let (code, stdout, stderr) = paused.go();
    assert_eq!(code, Some(0), "{stderr}");
    stdout
}

held!(moved_before_it_is_mounted, [root, user], |brig| {
    assert_eq!(moved_at(&brig.with_seams(), "mount:proc", ""), "");
});

held!(moved_after_it_is_mounted, [root, user], |brig| {
    assert_eq!(moved_at(&brig.with_seams(), "mount:dev", ""), "");
});

control!(masks_by_path, Target::Weakened("mounted"), [root], |brig| {
    moved_at(&brig.with_seams(), "mount:dev", "mounted") == "unmasked\nwritable\n"
});

/// Runs again and again while `/proc` changes its name; answers whether a payload saw one without masks.
fn raced(brig: &Brig, until: Until, command: impl Fn(&Bundle) -> Command) -> bool {
    let bundle = shared(brig);
    let flipper = Flipper::new(&bundle.rootfs().join("proc"), &bundle.rootfs().join("other"));
    let mut ran = 0;
    let (reached, _) = for_a_while(until, || {
        let output = run_at_once(&mut command(&bundle));
        ran += u32::from(output.status.success());
        output.stdout.starts_with(b"un") || output.stdout.starts_with(b"wr")
    });
    drop(flipper);
    assert!(reached || ran > 5, "only {ran} runs");
    reached
}

a_race_of_bundles!(raced);
