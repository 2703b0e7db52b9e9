//! T2: a directory entry in the place of a link, whose mode and owner are then set where the link leads.

use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::archives::{BOTH, Header, PYTHON, Tar, hold, import, python};

pub(crate) const ROW: Row = Row {
    id: "T2",
    title: "mode and owner set through a link that stands for a directory",
    faults: &["RUSTSEC-2026-0067", "CVE-2021-32760"],
    kinds: &[Kind::Static],
    defence: "archive/src/directories.rs: a directory is entered without links, and changed by its descriptor",
};

fn archives(canary: &Canary) -> Vec<(&'static str, Vec<u8>)> {
    let target = format!("{}/empty", canary.path().display());
    let link = |name: &str| Tar::new().pax(&[(b"linkpath", target.as_bytes())]).symlink(name, "x");
    let directory = |name: &str| Header::new(name, b'5').mode(0o700).owner(7, 7);
    vec![
        ("at the top", link("l").header(directory("l")).end()),
        ("with a slash", link("l").header(directory("l/")).end()),
        ("deep down", link("a/b/l").header(directory("a/b/l")).end()),
        ("the root of the layer", link("l").header(directory("l/.")).end()),
        ("twice", link("l").header(directory("l")).header(directory("l")).end()),
        ("through another link", link("l").symlink("m", "l").header(directory("m/")).end()),
    ]
}

held!(the_link_is_replaced, [root, user, bare], |brig| {
    hold(brig, "", archives);
});

held!(resolution_holds_without_confinement, [root, user], |brig| {
    hold(&brig.with_seams(), "unpack-confinement", archives);
});

held!(confinement_holds_without_resolution, [root, user], |brig| {
    hold(&brig.with_seams(), "unpack-resolution", archives);
});

control!(without_both, Target::Weakened(BOTH), [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    for (_, bytes) in archives(&canary) {
        drop(import(&weak, &bytes, BOTH));
    }
    canary.changes().iter().any(|change| change.contains("empty: 40700 7:7"))
});

control!(python_changes_the_mode, PYTHON, [root] needs [program("python3")], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    for (_, bytes) in archives(&canary) {
        drop(python(brig, &bytes));
    }
    canary.changes().iter().any(|change| change.contains("empty: 40700"))
});
