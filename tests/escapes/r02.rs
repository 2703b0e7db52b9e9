//! R2: somebody inside looks at, or traces, the process that joins while it is not yet the payload.

use std::fs;
use std::time::Duration;

use tests::attack::{self, Paused};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::race::run_at_once;

pub(crate) const ROW: Row = Row {
    id: "R2",
    title: "a joining process is looked at or traced",
    faults: &["CVE-2016-9962"],
    kinds: &[Kind::Race, Kind::BruteRace, Kind::Inside],
    defence: "runtime/src/child/mod.rs: not dumpable before the first namespace is joined",
};

/// How often somebody joins.
const JOINS: usize = 200;

/// Joins once, stopped just before the payload, then often; answers what the hunter learned of us.
fn learned(weak: &Brig, weaken: &str) -> Vec<String> {
    let bundle = weak.bundle("bundle", &["probe", "hunt", "/tmp"]);
    attack::install_probe(&bundle.rootfs());
    let seen = |name: &str| fs::read_to_string(bundle.rootfs().join("tmp").join(name)).unwrap_or_default();
    weak.start("brig-test-hunt", &bundle);
    let rounds = |more: u64| {
        let start: u64 = seen("rounds").parse().unwrap_or(0);
        while seen("rounds").parse::<u64>().unwrap_or(0) < start + more {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    rounds(1);
    let mut exec = weak.runtime(&["exec", "brig-test-hunt", "true"]);
    let paused = Paused::at(exec.env("BRIG_WEAKEN", weaken), "execute", &weak.directory().join("pause"));
    rounds(3);
    let (code, _, stderr) = paused.go();
    assert_eq!(code, Some(0), "{stderr}");
    let ours = || -> Vec<String> {
        seen("found").lines().filter(|line| is_of_us(line)).map(str::to_owned).collect()
    };
    // What the long look showed needs no short ones.
    if ours().is_empty() {
        for _ in 0..JOINS {
            let mut exec = weak.runtime(&["exec", "brig-test-hunt", "true"]);
            let output = run_at_once(exec.env("BRIG_WEAKEN", weaken));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    fs::write(bundle.rootfs().join("tmp/stop"), "").unwrap();
    ours()
}

/// Of what was ours at the first look, and the payload or nothing at the second, nothing was learned.
fn is_of_us(line: &str) -> bool {
    let payload = line.ends_with("/bin/busybox") || line.contains("/memfd:brig-exec") || line.ends_with(' ');
    line.contains("brig-test") || (line.starts_with("traced") || line.starts_with("writable")) && !payload
}

held!(nothing_is_learned, [root, user] needs [c_compiler()], |brig| {
    assert_eq!(learned(&brig.with_seams(), ""), Vec::<String>::new());
});

control!(dumpable_meanwhile, Target::Weakened("dumpable"), [root, user] needs [c_compiler()], |brig| {
    let learned = learned(&brig.with_seams(), "dumpable");
    // Its descriptors are read, it is traced, or both.
    learned.iter().any(|line| line.starts_with("traced") || line.contains("brig-test"))
});
