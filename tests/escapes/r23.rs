//! R23: the place of a volume in a container is exchanged while files are copied there, or what a container that does not
//! run has mounted is.

use std::fs;
use std::os::unix::fs::symlink;

use tests::Brig;
use tests::attack::{Canary, Paused};
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::copies::{Way, reaches_the_host};
use crate::race::Until;

pub(crate) const ROW: Row = Row {
    id: "R23",
    title: "copies to a volume whose place is exchanged",
    faults: &["CVE-2026-41568", "CVE-2026-42306"],
    kinds: &[Kind::BruteRace, Kind::Race],
    defence: "container/src/view.rs: cp joins the namespaces of a container that runs and mounts nothing; view/mounted.rs: sources are compared with what was checked",
};

held!(nothing_is_reached, [root, user] needs [c_compiler()], |brig| {
    assert!(!reaches_the_host(brig, "", Way::Volume, Until::Held));
});

control!(without_the_view, Target::Weakened("engine-copy-view"), [root] needs [c_compiler()], |brig| {
    reaches_the_host(&brig.with_seams(), "engine-copy-view", Way::Volume, Until::Lost)
});

/// The source of a bind mount becomes a link after the guard looked at it, and before the copy mounts it.
fn follows_the_exchange(brig: &Brig, weaken: &str) -> bool {
    brig.import_busybox();
    let canary = Canary::new(brig.directory(), "canary");
    let at = |name: &str| brig.directory().join(name);
    fs::create_dir(at("shared")).unwrap();
    fs::write(at("given"), "given\n").unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&at("shared"));
        user.give(&at("given"));
    }
    let volume = format!("{}:/shared", at("shared").display());
    brig.ok(&["create", "--name", "box", "-v", &volume, "busybox", "true"]);
    let mut command = brig.command(&["cp", at("given").to_str().unwrap(), "box:/shared/secret"]);
    let paused = Paused::at(command.env("BRIG_WEAKEN", weaken), "cp.mount", &at("pause"));
    fs::rename(at("shared"), at("moved")).unwrap();
    symlink(canary.path(), at("shared")).unwrap();
    let (code, _, stderr) = paused.go();
    assert!(code == Some(0) || stderr.contains("was replaced meanwhile"), "{stderr}");
    brig.ok(&["rm", "box"]);
    !canary.changes().is_empty()
}

held!(an_exchanged_source_is_not_mounted, [root, user], |brig| {
    assert!(!follows_the_exchange(&brig.with_seams(), ""));
});

control!(without_the_comparison_it_is, Target::Weakened("engine-copy-view"), [root, user], |brig| {
    follows_the_exchange(&brig.with_seams(), "engine-copy-view")
});
