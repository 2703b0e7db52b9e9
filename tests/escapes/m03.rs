//! M3: while a layer is unpacked, somebody swaps a directory of it for a link to the host.
//!
//! Nobody but the store's owner can get at a layer that is being unpacked (M13), and a container never writes to a
//! layer. The attacker here is given more than that: the rights of the engine itself.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tests::attack::Canary;
use tests::escape::{Kind, Row, Target, race_seconds};
use tests::{Brig, control, held};

use crate::archives::{BOTH, Tar, import};

pub(crate) const ROW: Row = Row {
    id: "M3",
    title: "a layer's directory swapped while it is unpacked",
    faults: &["CVE-2025-47290"],
    kinds: &[Kind::BruteRace],
    defence: "archive/src/directories.rs: directories are held open, names are resolved without links; \
              archive/src/confine.rs: Landlock lets nothing else be opened",
};

/// Many files in two directories by turns, so that they are opened again and again.
fn archive() -> Vec<u8> {
    let mut tar = Tar::new().dir("a").dir("a/b").dir("c");
    for number in 0..150 {
        tar = tar.file(format!("a/b/{number}"), "evil").file(format!("c/{number}"), "x");
    }
    tar.end()
}

/// Directories named `a/b` in layers that are not finished.
fn unfinished(ingest: &Path) -> Vec<PathBuf> {
    let below = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut todo = vec![(ingest.to_owned(), 0)];
    let mut found = Vec::new();
    while let Some((path, depth)) = todo.pop() {
        let inner = path.join("a/b");
        if inner.symlink_metadata().is_ok() {
            found.push(inner);
        } else if depth < 5 && path.is_dir() && !path.is_symlink() {
            todo.extend(below(&path).into_iter().map(|path| (path, depth + 1)));
        }
    }
    found
}

/// Imports in a loop while the directory flips; answers how often it was swapped.
fn race(brig: &Brig, canary: &Canary, weaken: &str, until: impl Fn(u32) -> bool) -> u32 {
    let bytes = archive();
    // The first makes the store.
    import(brig, &bytes, "").success();
    brig.ok(&["rmi", "--force", "attack"]);
    let (stop, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    let link = brig.directory().join("link");
    symlink(canary.path(), &link).unwrap();
    let store = brig.store();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for place in ["ingest", "layers"].iter().flat_map(|name| unfinished(&store.join(name))) {
                    // Several times: it may be looked at just now.
                    for _ in 0..8 {
                        if renameat_with(CWD, &link, CWD, &place, RenameFlags::EXCHANGE).is_ok() {
                            swaps.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        });
        for tried in 1.. {
            drop(import(brig, &bytes, weaken));
            drop(brig.run(&["rmi", "--force", "attack"]));
            if until(tried) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    swaps.load(Ordering::Relaxed)
}

held!(what_is_unpacked_stays_in_the_layer, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let end = Instant::now() + Duration::from_secs(race_seconds());
    let swaps = race(brig, &canary, "", |tried| tried >= 3 && Instant::now() > end);
    canary.assert_untouched(format_args!("{swaps} swaps"));
    assert!(swaps > 0, "nothing was swapped");
});

held!(each_layer_of_the_defence_is_enough, [root], |brig| {
    for weaken in BOTH.split(',') {
        let weak = brig.with_seams();
        let canary = Canary::new(weak.directory(), "canary");
        let end = Instant::now() + Duration::from_secs(race_seconds());
        let swaps = race(&weak, &canary, weaken, |tried| tried >= 3 && Instant::now() > end);
        canary.assert_untouched(format_args!("{swaps} swaps without `{weaken}`"));
        assert!(swaps > 0, "nothing was swapped");
    }
});

control!(names_by_their_paths, Target::Weakened(BOTH), [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    race(&weak, &canary, BOTH, |tried| !canary.changes().is_empty() || tried == 500);
    !canary.changes().is_empty()
});
