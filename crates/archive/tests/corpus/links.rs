//! Links of both kinds, and what is written through them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::Fate::{Inside, Refused};
use crate::support::{Header, Tar};
use crate::{Case, names};

pub(crate) fn links(out: &str) -> Vec<Case> {
    let below = |name: &str| format!("{out}/{name}");
    vec![
        (
            "symlink, then into it",
            Tar::new().symlink("a", out).file("a/x", "evil").end(),
            Refused("not a directory"),
        ),
        (
            "symlink to the root",
            Tar::new().symlink("a", "/").file("a/x", "evil").end(),
            Refused("not a directory"),
        ),
        (
            "symlink up",
            Tar::new().symlink("a", "../outside").file("a/x", "").end(),
            Refused("not a directory"),
        ),
        (
            "symlink inside",
            Tar::new().dir("b").symlink("a", "b").file("a/x", "").end(),
            Refused("not a directory"),
        ),
        (
            "symlink chain",
            Tar::new().dir("d").symlink("d/a", ".").symlink("d/b", "a/..").file("d/b/x", "").end(),
            Refused("not a directory"),
        ),
        ("symlink to itself", Tar::new().symlink("a", "a").file("a/x", "").end(), Refused("not a directory")),
        (
            "symlink, then a file of its name",
            Tar::new().symlink("a", below("file")).file("a", "new").end(),
            Inside(|root, _| assert_eq!(fs::read(root.join("a")).unwrap(), b"new")),
        ),
        (
            "symlink, then a directory of its name",
            Tar::new()
                .symlink("a", below("directory"))
                .header(Header::new("a", b'5').mode(0o777))
                .file("a/x", "")
                .end(),
            Inside(|root, _| assert!(root.join("a").symlink_metadata().unwrap().is_dir())),
        ),
        (
            "directory, then a symlink of its name",
            Tar::new().dir("a").file("a/y", "").symlink("a", out).file("a/x", "").end(),
            Refused("not a directory"),
        ),
        (
            "directory swapped between its entries",
            Tar::new().dir("a").file("a/y", "").symlink("a", out).dir("b").dir("a").file("a/x", "").end(),
            Inside(|root, _| assert_eq!(names(&root.join("a")), ["x"])),
        ),
        (
            "symlink, then mode and time of a directory",
            Tar::new()
                .symlink("a", below("directory"))
                .header(Header::new("a/", b'5').mode(0o6777).owner(0, 0))
                .end(),
            Inside(|root, _| assert!(root.join("a").symlink_metadata().unwrap().is_dir())),
        ),
        ("empty symlink", Tar::new().symlink("a", "").end(), Refused("without a target")),
        ("empty hard link", Tar::new().hard_link("a", "").end(), Refused("without a target")),
        (
            "NUL in a symlink",
            Tar::new().pax(&[(b"linkpath", b"a\0b")]).symlink("a", "x").end(),
            Refused("NUL"),
        ),
        (
            "symlink too long",
            Tar::new().pax(&[(b"linkpath", &[b'x'; 4096])]).symlink("a", "x").end(),
            Refused("bad target"),
        ),
        ("hard link outside", Tar::new().hard_link("a", "../outside/file").end(), Refused("bad target")),
        ("hard link, absolute", Tar::new().hard_link("a", "/etc/passwd").end(), Refused("does not hold")),
        (
            "hard link by PAX",
            Tar::new().pax(&[(b"linkpath", b"../outside/file")]).hard_link("a", "x").end(),
            Refused("bad target"),
        ),
        (
            "hard link by GNU name",
            Tar::new().extension(b'K', b"../outside/file\0").hard_link("a", "x").end(),
            Refused("bad target"),
        ),
        (
            "hard link through a symlink",
            Tar::new().symlink("s", out).hard_link("a", "s/file").end(),
            Refused("through something"),
        ),
        (
            "hard link to a symlink, then a write",
            Tar::new().symlink("s", below("file")).hard_link("a", "s").file("a", "evil").end(),
            Inside(|root, _| {
                assert!(root.join("s").symlink_metadata().unwrap().is_symlink());
                assert_eq!(fs::read(root.join("a")).unwrap(), b"evil");
            }),
        ),
        (
            "hard link to a directory",
            Tar::new().dir("d").hard_link("a", "d").end(),
            Refused("to a directory"),
        ),
        ("hard link to the root", Tar::new().hard_link("a", ".").end(), Refused("to the root")),
        ("hard link to itself", Tar::new().file("a", "").hard_link("a", "a").end(), Refused("to itself")),
        ("hard link to nothing", Tar::new().hard_link("a", "b").end(), Refused("does not hold")),
        ("hard link to later", Tar::new().hard_link("a", "b").file("b", "").end(), Refused("does not hold")),
        (
            "hard link to a whiteout",
            Tar::new().file(".wh.b", "").hard_link("a", "b").end(),
            Refused("to a whiteout"),
        ),
        (
            "hard link, then a write to one of the two",
            Tar::new().file("a", "1").hard_link("b", "a").file("b", "2").end(),
            Inside(|root, _| assert_eq!(fs::read(root.join("a")).unwrap(), b"1")),
        ),
        (
            "hard link replaces a directory",
            Tar::new().file("a", "1").dir("b/c").hard_link("b", "a").end(),
            Inside(|root, _| assert_eq!(root.join("a").metadata().unwrap().nlink(), 2)),
        ),
        ("file, then below it", Tar::new().file("a", "").file("a/x", "").end(), Refused("not a directory")),
        (
            "twice the same file",
            Tar::new().file("a", "1").file("a", "22").end(),
            Inside(|root, _| assert_eq!(fs::read(root.join("a")).unwrap(), b"22")),
        ),
        (
            "file replaces a full directory",
            Tar::new().dir("a/b/c").file("a/b/c/d", "").file("a", "f").end(),
            Inside(|root, _| assert_eq!(fs::read(root.join("a")).unwrap(), b"f")),
        ),
        (
            "directory twice",
            Tar::new().dir("a").file("a/x", "").header(Header::new("a", b'5').mode(0o700)).end(),
            Inside(|root, _| {
                assert!(root.join("a/x").exists());
                assert_eq!(root.join("a").metadata().unwrap().mode() & 0o7777, 0o700);
            }),
        ),
    ]
}
