//! R11: the image's `/dev` is a link, and the nodes and links of a default `/dev` are made where it leads.

use std::process::Command;

use serde_json::json;
use testkit::Bundle;
use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{mount, run, run_by};
use crate::race::{Flipper, Until, a_race_of_bundles, directory_and_link, for_a_while, run_at_once};
use crate::trees::{SHAPES, replace};

pub(crate) const ROW: Row = Row {
    id: "R11",
    title: "nodes and links made through `/dev`",
    faults: &["CVE-2026-41579", "CVE-2026-47766"],
    kinds: &[Kind::Static, Kind::BruteRace],
    defence: "files/src/root.rs: every path is resolved inside the root by openat2",
};

/// Without a tmpfs over it, `/dev` is the image's own.
fn attack(brig: &Brig, canary: &Canary, shape: &str) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["true"]);
    replace(&bundle.rootfs(), "dev", shape, canary);
    bundle.config["mounts"] = json!([mount("/proc", "proc")]);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.write();
    bundle
}

held!(stays_in_the_root, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for shape in SHAPES {
        let bundle = attack(brig, &canary, shape);
        drop(run(brig, &bundle, ""));
        canary.assert_untouched(format_args!("/dev as {shape}"));
    }
});

control!(without_resolution_in_the_root, Target::Weakened("root"), [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    let bundle = attack(&weak, &canary, "absolute");
    drop(run(&weak, &bundle, ""));
    canary.assert_untouched("the test build with all defences");
    drop(run(&weak, &bundle, "root"));
    !canary.changes().is_empty()
});

control!(runc_deletes_the_hosts_file, Target::Debian("runc", "1.1.5"), [root], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let bundle = attack(brig, &canary, "absolute");
    drop(run_by("runc", brig, &bundle));
    !canary.changes().is_empty()
});

/// Runs again and again while `/dev` and a link to the canary change their names; answers whether that was reached.
fn raced(brig: &Brig, until: Until, command: impl Fn(&Bundle) -> Command) -> bool {
    let canary = Canary::new(brig.directory(), "canary");
    let mut bundle = brig.bundle("bundle", &["true"]);
    bundle.config["mounts"] = json!([mount("/proc", "proc")]);
    bundle.config["linux"]["maskedPaths"] = json!([]);
    bundle.write();
    let (directory, link) = directory_and_link(&bundle.rootfs(), "dev", canary.path());
    let flipper = Flipper::new(&directory, &link);
    let (reached, count) = for_a_while(until, || {
        run_at_once(&mut command(&bundle));
        !canary.changes().is_empty()
    });
    drop(flipper);
    assert!(reached || count > 5, "only {count} runs");
    reached
}

a_race_of_bundles!(raced);
