//! Devices, attributes, whiteouts, owners: what asks for more than a file.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::Fate::{Inside, Refused};
use crate::support::{Header, Tar, record};
use crate::{Case, names};

pub(crate) fn special(out: &str) -> Vec<Case> {
    let xattr =
        |name: &'static [u8], value: &'static [u8]| Tar::new().pax(&[(name, value)]).file("a", "").end();
    let whiteout = |root: &Path, name: &str| {
        let meta = root.join(name).symlink_metadata().unwrap();
        assert!(meta.file_type().is_char_device() && meta.rdev() == 0, "{name}");
    };
    let _shape_only: fn(&Path, &str) = whiteout;
    vec![
        (
            "block device",
            Tar::new().header(Header::new("sda", b'4').device(8, 0).mode(0o666)).end(),
            Inside(|root, applied| assert!(names(root).is_empty() && applied.skipped_count == 1)),
        ),
        (
            "character device",
            Tar::new().header(Header::new("mem", b'3').device(1, 1)).end(),
            Inside(|root, applied| assert!(names(root).is_empty() && applied.skipped_count == 1)),
        ),
        ("device 0:0", Tar::new().header(Header::new("bin", b'3')).end(), Refused("forged overlay whiteout")),
        (
            "device of 2^30",
            Tar::new().header(Header::new("a", b'3').set(329, b"\x80\0\0\0\x40\0\0\0")).end(),
            Refused("device"),
        ),
        (
            "FIFO",
            Tar::new().header(Header::new("fifo", b'6').mode(0o622)).end(),
            Inside(|root, _| {
                let meta = root.join("fifo").symlink_metadata().unwrap();
                assert!(meta.file_type().is_fifo() && meta.mode() & 0o7777 == 0o622);
            }),
        ),
        (
            "FIFO, then a file of its name",
            Tar::new().header(Header::new("a", b'6')).file("a", "x").end(),
            Inside(|root, _| assert_eq!(fs::read(root.join("a")).unwrap(), b"x")),
        ),
        (
            "overlay redirect",
            xattr(b"SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            Refused("only the engine"),
        ),
        (
            "overlay metacopy of users",
            xattr(b"SCHILY.xattr.user.overlay.metacopy", b""),
            Refused("only the engine"),
        ),
        ("trusted attribute", xattr(b"SCHILY.xattr.trusted.x", b""), Refused("only the engine")),
        (
            "trusted attribute on a symlink",
            Tar::new().pax(&[(b"SCHILY.xattr.trusted.overlay.opaque", b"y")]).symlink("a", "b").end(),
            Refused("only the engine"),
        ),
        (
            "opaque attribute on the root",
            Tar::new().pax(&[(b"SCHILY.xattr.trusted.overlay.opaque", b"y")]).dir("./").end(),
            Refused("only the engine"),
        ),
        (
            "malformed capabilities",
            xattr(b"SCHILY.xattr.security.capability", b"\xff"),
            Refused("malformed capabilities"),
        ),
        (
            "label of another machine",
            xattr(b"SCHILY.xattr.security.selinux", b"system_u:object_r:shadow_t:s0\0"),
            Inside(|_, applied| assert_eq!(applied.skipped_count, 1)),
        ),
        (
            "65 attributes",
            Tar::new()
                .extension(
                    b'x',
                    (0..65)
                        .flat_map(|n| record(format!("SCHILY.xattr.user.{n}").as_bytes(), b""))
                        .collect::<Vec<_>>(),
                )
                .file("a", "")
                .end(),
            Refused("too many extended attributes"),
        ),
        (
            "attribute on a file nobody may write",
            Tar::new()
                .pax(&[(b"SCHILY.xattr.user.a", b"b")])
                .header(Header::new("a", b'0').mode(0o444))
                .end(),
            Inside(|root, _| assert_eq!(root.join("a").metadata().unwrap().mode() & 0o7777, 0o444)),
        ),
        (
            "setuid",
            Tar::new().header(Header::new("su", b'0').mode(0o6755)).end(),
            Inside(|root, _| assert_eq!(root.join("su").metadata().unwrap().mode() & 0o7777, 0o6755)),
        ),
        (
            "setgid directory and its children",
            Tar::new().header(Header::new("d", b'5').mode(0o2775)).dir("d/e").file("d/f", "").end(),
            Inside(|root, _| {
                assert_eq!(root.join("d").metadata().unwrap().mode() & 0o7777, 0o2775);
                assert_eq!(root.join("d/e").metadata().unwrap().mode() & 0o7777, 0o755);
            }),
        ),
        (
            "closed directories",
            Tar::new()
                .header(Header::new("d", b'5').mode(0))
                .header(Header::new("d/e", b'5').mode(0o500))
                .file("d/e/f", "x")
                .file("g", "")
                .file("d/late", "x")
                .end(),
            Inside(|root, _| assert_eq!(root.join("d").metadata().unwrap().mode() & 0o7777, 0)),
        ),
        (
            "whiteout",
            Tar::new().dir("d").file("d/.wh.gone", "").end(),
            Inside(|root, _| {
                let meta = root.join("d/gone").symlink_metadata().unwrap();
                assert!(meta.file_type().is_char_device() && meta.rdev() == 0);
            }),
        ),
        ("whiteout of nothing", Tar::new().file(".wh.", "").end(), Refused("no name")),
        ("whiteout of itself", Tar::new().file("a/.wh..", "").end(), Refused("no name")),
        ("whiteout of the parent", Tar::new().dir("a").file("a/.wh...", "").end(), Refused("no name")),
        ("whiteout as directory", Tar::new().file(".wh.a/b", "").end(), Refused("as its directory")),
        ("whiteout with a slash", Tar::new().dir(".wh.a/").end(), Refused("with content")),
        ("whiteout with content", Tar::new().file(".wh.a", "x").end(), Refused("with content")),
        ("whiteout as symlink", Tar::new().symlink(".wh.a", out).end(), Refused("with content")),
        (
            "whiteout through a symlink",
            Tar::new().symlink("s", out).file("s/.wh.file", "").end(),
            Refused("not a directory"),
        ),
        (
            "opaque through a symlink",
            Tar::new().symlink("s", out).file("s/.wh..wh..opq", "").end(),
            Refused("not a directory"),
        ),
        ("below opaque", Tar::new().file(".wh..wh..opq/x", "").end(), Refused("as its directory")),
        (
            "opaque root",
            Tar::new().file(".wh..wh..opq", "").file("a", "").end(),
            Inside(|root, applied| assert!(applied.opaque_root && names(root) == ["a"])),
        ),
        (
            "opaque directory",
            Tar::new().dir("d").file("d/.wh..wh..opq", "").file("d/x", "").end(),
            Inside(|root, _| assert_eq!(names(&root.join("d")), ["x"])),
        ),
        (
            "whiteout, then a file of its name",
            Tar::new().file(".wh.a", "").file("a", "x").end(),
            Inside(|root, _| assert_eq!(fs::read(root.join("a")).unwrap(), b"x")),
        ),
        (
            "whiteout, then below it",
            Tar::new().file(".wh.a", "").file("a/x", "").end(),
            Inside(|root, _| assert_eq!(names(&root.join("a")), ["x"])),
        ),
        (
            "bookkeeping of AUFS",
            Tar::new().dir(".wh..wh.plnk").file(".wh..wh.plnk/1.2", "").file(".wh..wh.aufs", "").end(),
            Inside(|root, applied| assert!(names(root).is_empty() && applied.skipped_count == 3)),
        ),
    ]
}
