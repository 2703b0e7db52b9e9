//! M10: what is written into a mount of a host directory stays there, where only the container was to see it.

use std::path::Path;

use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

pub(crate) const ROW: Row = Row {
    id: "M10",
    title: "writes that outlive their container in a host directory",
    faults: &["CVE-2025-4953"],
    kinds: &[Kind::Inside],
    defence: "runtime/src/launch.rs, container/src/overlays.rs: a `:O` mount is an overlay whose upper layer is the \
              container's and goes with its end",
};

/// All that a container can do to a directory, with the ids of its files.
fn change(brig: &Brig, directory: &Path, options: &str) {
    let idmap = match (brig.is_root(), options) {
        (true, "") => ":idmap",
        (true, _) => ",idmap",
        (false, _) => "",
    };
    let volume = format!("{}:/d{options}{idmap}", directory.display());
    let script = "cd /d; echo evil >secret; echo evil >new; mkdir -p deep/er; ln -s / link; chmod 777 . secret; \
                  rm -rf empty; touch -d 2001-01-01 .; mv secret moved; echo ended";
    let outcome = brig.shell(&["-v", &volume], script);
    assert!(outcome.stdout.contains("ended"), "{outcome}");
}

held!(an_overlay_is_thrown_away, [root, user], |brig| {
    brig.import_busybox();
    let canary = canary(brig);
    change(brig, canary.path(), ":O");
    canary.assert_untouched("an overlay");
    // Nor does it come back.
    let seen = brig.shell(&["-v", &format!("{}:/d:O", canary.path().display())], "ls /d").success();
    assert!(!seen.contains("new"), "{seen}");
});

control!(a_bind_mount_is_changed, Target::Opened("without `:O`"), [root, user], |brig| {
    brig.import_busybox();
    let canary = canary(brig);
    change(brig, canary.path(), "");
    !canary.changes().is_empty()
});

/// A canary that the person owns.
fn canary(brig: &Brig) -> Canary {
    let canary = Canary::new(brig.directory(), "canary");
    match brig.as_user() {
        Some(user) => canary.given_to(user),
        None => canary,
    }
}
