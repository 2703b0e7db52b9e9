//! T4: whiteouts that hide more than they may, or that are made where a link leads.

use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::archives::{BOTH, Header, Tar, hold, import, walk, write};
use crate::engines::{forget_podman, podman};
use crate::layouts::{docker_archive, load};

pub(crate) const ROW: Row = Row {
    id: "T4",
    title: "whiteouts without a name, or through a link",
    faults: &["CVE-2014-9357", "CVE-2018-15664"],
    kinds: &[Kind::Static, Kind::Corpus],
    defence: "archive/src/path.rs: a whiteout hides one name of its own directory; archive/src/directories.rs",
};

/// Names of whiteouts that hide no name.
const NAMELESS: [&str; 7] = [".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh..", "a/.wh...", "a/.wh.b/c"];

fn archives(canary: &Canary) -> Vec<(&'static str, Vec<u8>)> {
    let out = canary.path().to_str().unwrap();
    let through = || Tar::new().pax(&[(b"linkpath", out.as_bytes())]).symlink("l", "x");
    let mut all = vec![
        ("a new name through a link", through().file("l/.wh.new", "").end()),
        ("a file through a link", through().file("l/.wh.secret", "").end()),
        ("a directory through a link", through().file("l/.wh.empty", "").end()),
        ("everything through a link", through().file("l/.wh..wh..opq", "").end()),
        ("a climbing name", Tar::new().file("../.wh.new", "").end()),
        ("a whiteout as a link, then through it", {
            Tar::new().pax(&[(b"linkpath", out.as_bytes())]).symlink(".wh.l", "x").file("l/new", "").end()
        }),
        ("the hidden name, then a link in its place, then through it", {
            let hidden = Tar::new().file(".wh.l", "").pax(&[(b"linkpath", out.as_bytes())]);
            hidden.symlink("l", "x").file("l/.wh.new", "").end()
        }),
        ("a whiteout with content", Tar::new().file(".wh.x", "evil").end()),
        ("a whiteout as a device", Tar::new().header(Header::new(".wh.x", b'3').device(1, 3)).end()),
        ("a forged whiteout of overlayfs", Tar::new().header(Header::new("x", b'3').device(0, 0)).end()),
    ];
    all.extend(NAMELESS.map(|name| (name, Tar::new().dir("a").file(name, "").end())));
    all
}

held!(a_whiteout_stays_in_its_directory, [root, user, bare], |brig| {
    hold(brig, "", archives);
    for name in NAMELESS {
        let outcome = import(brig, &Tar::new().dir("a").file(name, "").end(), "");
        assert!(outcome.code != 0 && outcome.stderr.contains("whiteout"), "{name}: {outcome}");
    }
});

held!(resolution_holds_without_confinement, [root], |brig| {
    hold(&brig.with_seams(), "unpack-confinement", archives);
});

held!(confinement_holds_without_resolution, [root], |brig| {
    hold(&brig.with_seams(), "unpack-resolution", archives);
});

/// A lower layer, and one above it that hides its own directory.
fn two_layers() -> Vec<u8> {
    let lower = Tar::new().dir("a").file("a/keep", "kept").end();
    docker_archive(&[lower, Tar::new().file("a/.wh..", "").end()])
}

held!(a_nameless_whiteout_in_an_upper_layer_is_refused, [root, user], |brig| {
    let archive = write(brig, &two_layers());
    let outcome = load(brig, &archive, "");
    assert!(outcome.code != 0 && outcome.stderr.contains("whiteout of no name"), "{outcome}");
});

control!(made_where_the_link_leads, Target::Weakened(BOTH), [root], |brig| {
    let weak = brig.with_seams();
    let canary = Canary::new(weak.directory(), "canary");
    for (_, bytes) in archives(&canary) {
        drop(import(&weak, &bytes, BOTH));
    }
    !canary.changes().is_empty()
});

control!(names_unchecked, Target::Weakened("unpack-whiteouts"), [root], |brig| {
    let weak = brig.with_seams();
    let archive = write(&weak, &two_layers());
    load(&weak, &archive, "").fails_with(1);
    load(&weak, &archive, "unpack-whiteouts").code == 0
});

control!(podman_deletes_the_directory_itself, Target::Debian("podman", "4.3.1"), [root], |brig| {
    let archive = write(brig, &two_layers());
    let outcome = podman(brig, &["load", "-i", archive.to_str().unwrap()]);
    // Each layer of `vfs` is a whole tree: the upper one should have kept what the lower one has.
    let kept =
        walk(&brig.directory().join("podman/vfs/dir")).iter().filter(|path| path.ends_with("a/keep")).count();
    forget_podman(brig);
    outcome.code == 0 && kept == 1
});
