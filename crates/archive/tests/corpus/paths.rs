//! Names that lead out of the root, or are none.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::Fate::{Inside, Refused};
use crate::support::{Header, Tar};
use crate::{Case, nothing};

pub(crate) fn paths(out: &str) -> Vec<Case> {
    let below = |name: &str| format!("{out}/{name}");
    let deep = |count: usize| "d/".repeat(count);
    let long = "n".repeat(255);
    vec![
        ("parent", Tar::new().file("../x", "evil").end(), Refused("`..` component")),
        ("parent in the middle", Tar::new().dir("a").file("a/../../x", "").end(), Refused("`..` component")),
        ("parent at the end", Tar::new().dir("a/..").end(), Refused("`..` component")),
        ("parent after a slash", Tar::new().file("/../x", "").end(), Refused("`..` component")),
        ("parent by PAX", Tar::new().pax(&[(b"path", b"../x")]).file("x", "").end(), Refused("`..`")),
        (
            "parent by GNU name",
            Tar::new().extension(b'L', b"../outside/x\0").file("x", "").end(),
            Refused("`..`"),
        ),
        (
            "parent by prefix",
            Tar::new().header(Header::new("x", b'0').set(345, "../outside")).end(),
            Refused("`..`"),
        ),
        (
            "absolute",
            Tar::new().file("/etc/x", "in").end(),
            Inside(|root, _| assert_eq!(fs::read(root.join("etc/x")).unwrap(), b"in")),
        ),
        (
            "absolute outside",
            Tar::new().pax(&[(b"path", below("x").as_bytes())]).file("x", "").end(),
            Inside(nothing),
        ),
        (
            "many slashes",
            Tar::new().file("//a///b", "").end(),
            Inside(|root, _| assert!(root.join("a/b").exists())),
        ),
        ("empty name", Tar::new().file("", "").end(), Refused("has no name")),
        (
            "empty PAX name",
            Tar::new().pax(&[(b"path", b"")]).file("x", "").end(),
            Refused("empty PAX record"),
        ),
        ("NUL in a PAX name", Tar::new().pax(&[(b"path", b"a\0b")]).file("x", "").end(), Refused("NUL")),
        (
            "NUL in a GNU name",
            Tar::new().extension(b'L', b"a\0b\0").file("x", "").end(),
            Refused("long name"),
        ),
        ("empty GNU name", Tar::new().extension(b'L', b"\0").file("x", "").end(), Refused("long name")),
        (
            "not UTF-8",
            Tar::new().file(b"caf\xe9", "").end(),
            Inside(|root, _| assert_eq!(fs::read_dir(root).unwrap().count(), 1)),
        ),
        ("control characters", Tar::new().file("a\x1b[2J\n", "").end(), Inside(nothing)),
        ("255 bytes", Tar::new().extension(b'L', format!("{long}\0")).file("x", "").end(), Inside(nothing)),
        (
            "256 bytes",
            Tar::new().pax(&[(b"path", format!("{long}n").as_bytes())]).file("x", "").end(),
            Refused("255"),
        ),
        ("256 deep", Tar::new().pax(&[(b"path", deep(256).as_bytes())]).dir("x").end(), Inside(nothing)),
        (
            "257 deep",
            Tar::new().pax(&[(b"path", deep(257).as_bytes())]).dir("x").end(),
            Refused("components"),
        ),
        (
            "2000 deep",
            Tar::new().pax(&[(b"path", deep(2000).as_bytes())]).dir("x").end(),
            Refused("components"),
        ),
        ("4096 deep", Tar::new().pax(&[(b"path", deep(4096).as_bytes())]).dir("x").end(), Refused("4095")),
        ("file with a slash", Tar::new().file("a/", "").end(), Refused("slash")),
        ("symlink with a slash", Tar::new().symlink("a/", "b").end(), Refused("slash")),
        (
            "directory of old",
            Tar::new().header(Header::new("a/", 0)).end(),
            Inside(|root, _| assert!(root.join("a").is_dir())),
        ),
        ("root as symlink", Tar::new().symlink(".", out).file("x", "").end(), Refused("replace the root")),
        (
            "root as symlink, slash",
            Tar::new().symlink("./.", out).file("x", "").end(),
            Refused("replace the root"),
        ),
        ("root as file", Tar::new().file(".", "").end(), Refused("replace the root")),
        ("root as hard link", Tar::new().hard_link("/", "x").end(), Refused("slash")),
        (
            "root as directory",
            Tar::new().header(Header::new("./", b'5').mode(0o711)).end(),
            Inside(|root, _| {
                assert_eq!(root.metadata().unwrap().mode() & 0o7777, 0o711);
                assert_eq!(root.metadata().unwrap().mtime(), 0o14000000000);
            }),
        ),
    ]
}
