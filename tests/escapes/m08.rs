//! M8: the source of a bind mount is looked at, then opened again, and its owner swaps it in between.
//!
//! The engine's own store stands for any path that the guard refuses. The person who types the path is not the
//! attacker: whoever can rename in a directory above it is.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tests::escape::{Kind, Row, Target, race_seconds};
use tests::{Brig, control, held};

pub(crate) const ROW: Row = Row {
    id: "M8",
    title: "the source of a bind mount swapped for a refused path",
    faults: &["CVE-2024-1753", "CVE-2024-9407"],
    kinds: &[Kind::BruteRace],
    defence: "runtime/src/prepare.rs: a source must be the file that the guard saw",
};

/// Starts containers while the source flips between a directory and a link to the store; answers how many were
/// started and in how many the store was seen.
fn race(brig: &Brig, weaken: &str, until: impl Fn(u32, u32) -> bool) -> (u32, u32) {
    brig.import_busybox();
    let (data, link) = (brig.directory().join("data"), brig.directory().join("link"));
    fs::create_dir(&data).unwrap();
    symlink(brig.store(), &link).unwrap();
    let volume = format!("{}:/mnt", data.display());
    // The store is its owner's alone: a range of ids of the container's own could not read it, and show nothing.
    let ids: &[&str] = if brig.is_root() { &["--userns=host"] } else { &[] };
    let arguments = [&["run", "--rm"], ids, &["-v", &volume, "busybox", "ls", "-a", "/mnt"]].concat();
    let stop = AtomicBool::new(false);
    let (mut tried, mut started, mut reached) = (0, 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &data, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        while !until(tried, reached) {
            let outcome = testkit::run(brig.command(&arguments).env("BRIG_WEAKEN", weaken));
            tried += 1;
            started += u32::from(outcome.code == 0);
            reached += u32::from(outcome.stdout.contains("oci-layout"));
        }
        stop.store(true, Ordering::Relaxed);
    });
    (started, reached)
}

held!(what_was_checked_is_what_is_mounted, [root, user], |brig| {
    let end = Instant::now() + Duration::from_secs(race_seconds());
    let (started, reached) = race(brig, "", |tried, _| tried >= 20 && Instant::now() > end);
    assert_eq!(reached, 0, "of {started} starts");
    assert!(started > 0, "no container was started");
});

control!(opened_again_by_its_path, Target::Weakened("source"), [root, user], |brig| {
    let (_, reached) = race(&brig.with_seams(), "source", |tried, reached| reached > 0 || tried == 2000);
    reached > 0
});
