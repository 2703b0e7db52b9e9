//! Hostile archives, made here byte by byte: each must be refused or land inside, and the outside must
//! not change in any way. Run as whoever runs the tests, and once more as a plain user.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(clippy::disallowed_methods, reason = "works on directories of its own")]
#![allow(missing_docs, reason = "test support")]

mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use archive::{Applied, CompressedDigest, Devices, Error, Ids, Limits, Options, Target, Whiteouts, apply};
use support::{Header, Place, Tar, record};

/// What must become of an archive.
enum Fate {
    /// Refused with a message that holds this.
    Refused(&'static str),
    /// Accepted, and then this holds inside the root.
    Inside(fn(&Path, &Applied)),
}
use Fate::{Inside, Refused};

type Case = (&'static str, Vec<u8>, Fate);

fn options() -> Options<'static> {
    let root = rustix::process::geteuid().is_root();
    Options {
        ids: if root { Ids::Keep } else { Ids::SingleId },
        whiteouts: if root { Whiteouts::OverlayTrusted } else { Whiteouts::OverlayUser },
        devices: Devices::Skip,
        compressed: CompressedDigest::Skip,
        target: Target::Layer,
    }
}

fn nothing(_: &Path, _: &Applied) {}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn paths(out: &str) -> Vec<Case> {
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

fn links(out: &str) -> Vec<Case> {
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

fn structure() -> Vec<Case> {
    let file = |size: u64| Header::new("a", b'0').size(size);
    let smuggled = || Tar::new().file("smuggled", "").0;
    let mut broken = Header::new("a", b'0').sum();
    broken[0] ^= 1;
    vec![
        // Found by tests/differential.rs of the fuzz crate: each is another archive to GNU tar or to Python.
        (
            "prefix without ustar",
            Tar::new().header(Header::new("x", b'0').set(257, [0; 8]).set(345, "p")).end(),
            Refused("prefix"),
        ),
        (
            "prefix in GNU's format",
            Tar::new().header(Header::new("x", b'0').gnu().set(345, "p")).end(),
            Refused("prefix"),
        ),
        (
            "device of a file",
            Tar::new().file("x", "").header(Header::new("y", b'0').set(337, "12345678")).file("z", "").end(),
            Refused("not octal"),
        ),
        (
            "seven more bits of a number",
            Tar::new().header(Header::new("x", b'0').set(108, b"\x81\0\0\0\0\0\0\0")).end(),
            Refused("out of range"),
        ),
        (
            "long name without its end",
            Tar::new()
                .header(Header::new("././@LongLink", b'L').gnu().size(3))
                .raw([&b"abcdef"[..], &[0; 506]].concat())
                .file("x", "")
                .end(),
            Refused("after an extension header"),
        ),
        (
            "PAX records behind their end",
            Tar::new()
                .header(Header::new("p", b'x').size(12))
                .raw([&b"12 comment=\n13 path=evil\n"[..], &[0; 487]].concat())
                .file("x", "")
                .end(),
            Refused("after an extension header"),
        ),
        (
            "directory by one of two names",
            Tar::new().pax(&[(b"path", b"x")]).header(Header::new("d/", 0)).end(),
            Refused("two names disagree"),
        ),
        (
            "global header at the end",
            Tar::new().file("x", "").extension(b'g', record(b"comment", b"c")).end(),
            Refused("without an entry"),
        ),
        (
            "label of a volume",
            Tar::new().pax(&[(b"GNU.volume.label", b"v")]).file("x", "").end(),
            Refused("dump or volume"),
        ),
        ("nothing", Vec::new(), Inside(|_, applied| assert_eq!(applied.end, archive::End::Missing))),
        (
            "end marker alone",
            Tar::new().end(),
            Inside(|_, applied| assert_eq!(applied.end, archive::End::Marker)),
        ),
        (
            "no end marker",
            Tar::new().file("a", "").0,
            Inside(|_, applied| assert_eq!(applied.end, archive::End::Missing)),
        ),
        ("lone zero block", Tar::new().raw([0; 512]).file("a", "").end(), Refused("lone zero block")),
        ("data after the end", Tar::new().raw([0; 1024]).file("a", "").end(), Refused("after the end")),
        ("truncated header", Tar::new().file("a", "").raw([1; 511]).0, Refused("truncated")),
        ("truncated data", Tar::new().header(file(1000)).raw([1; 512]).0, Refused("truncated")),
        (
            "no padding and no end marker",
            Tar::new().header(file(1)).raw([1; 1]).0,
            Inside(|root, applied| {
                assert_eq!(fs::read(root.join("a")).unwrap(), [1]);
                assert_eq!(applied.end, archive::End::Missing);
            }),
        ),
        (
            "part of a padding",
            Tar::new().header(file(1)).raw([1; 200]).0,
            Inside(|_, applied| assert_eq!(applied.end, archive::End::Missing)),
        ),
        (
            "truncated extension",
            Tar::new().header(Header::new("x", b'x').size(600)).raw([b'1'; 512]).0,
            Refused("truncated"),
        ),
        ("wrong checksum", Tar::new().raw(broken).end(), Refused("checksum")),
        (
            "checksum of signed bytes",
            {
                let mut block = Header::new(b"caf\xe9", b'0').sum();
                let sum =
                    u32::from_str_radix(std::str::from_utf8(&block[148..154]).unwrap(), 8).unwrap() - 256;
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                Tar::new().raw(block).end()
            },
            Refused("checksum"),
        ),
        ("garbage", vec![0xa5; 4096], Refused("malformed")),
        (
            "unknown magic",
            Tar::new().header(Header::new("a", b'0').set(257, b"ustar\0xx")).end(),
            Refused("magic"),
        ),
        (
            "negative size",
            Tar::new().header(Header::new("a", b'0').set(124, [0xff; 12])).end(),
            Refused("negative"),
        ),
        (
            "size of 2^63",
            Tar::new().header(Header::new("a", b'0').set(124, b"\x80\0\0\0\x80\0\0\0\0\0\0\0")).end(),
            Refused("out of range"),
        ),
        (
            "size of 2^63 - 1",
            Tar::new()
                .header(Header::new("a", b'0').set(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"))
                .end(),
            Refused("limit"),
        ),
        (
            "size in hexadecimal",
            Tar::new().header(Header::new("a", b'0').set(124, b"0x0000000\0")).end(),
            Refused("octal"),
        ),
        (
            "negative owner",
            Tar::new().header(Header::new("a", b'0').set(108, [0xff; 8])).end(),
            Refused("negative"),
        ),
        ("owner -1", Tar::new().pax(&[(b"uid", b"4294967295")]).file("a", "").end(), Refused("owner")),
        (
            "owner wraps to 0",
            Tar::new().pax(&[(b"uid", b"4294967296")]).file("a", "").end(),
            Refused("owner"),
        ),
        (
            "PAX size smaller",
            Tar::new().pax(&[(b"size", b"0")]).header(file(512)).raw(smuggled()).end(),
            Refused("disagree"),
        ),
        (
            "PAX size larger",
            Tar::new().pax(&[(b"size", b"512")]).header(file(0)).raw(smuggled()).end(),
            Refused("disagree"),
        ),
        (
            "PAX size twice",
            {
                let records = [record(b"size", b"0"), record(b"size", b"512")].concat();
                Tar::new().extension(b'x', records).header(file(0)).end()
            },
            Refused("twice"),
        ),
        ("negative PAX size", Tar::new().pax(&[(b"size", b"-1")]).header(file(0)).end(), Refused("number")),
        (
            "PAX size of 2^64 - 1",
            Tar::new().pax(&[(b"size", b"18446744073709551615")]).header(file(0)).end(),
            Refused("limit"),
        ),
        (
            "PAX size on a directory",
            Tar::new().pax(&[(b"size", b"512")]).dir("a").raw(smuggled()).end(),
            Refused("disagree"),
        ),
        (
            "data on a directory",
            Tar::new().header(Header::new("a", b'5').size(512)).raw(smuggled()).end(),
            Refused("has data"),
        ),
        (
            "data on a symlink",
            Tar::new().header(Header::new("a", b'2').link("b").size(512)).raw(smuggled()).end(),
            Refused("has data"),
        ),
        (
            "data on a hard link",
            Tar::new().file("b", "").header(Header::new("a", b'1').link("b").size(512)).raw(smuggled()).end(),
            Refused("has data"),
        ),
        (
            "PAX after PAX",
            Tar::new().pax(&[(b"path", b"b")]).pax(&[(b"size", b"0")]).file("a", "").end(),
            Refused("several"),
        ),
        (
            "GNU name after PAX",
            Tar::new().pax(&[(b"path", b"b")]).extension(b'L', b"c\0").file("a", "").end(),
            Refused("several"),
        ),
        (
            "PAX after GNU name",
            Tar::new().extension(b'L', b"c\0").pax(&[(b"path", b"b")]).file("a", "").end(),
            Refused("several"),
        ),
        (
            "GNU name twice",
            Tar::new().extension(b'L', b"b\0").extension(b'L', b"c\0").file("a", "").end(),
            Refused("several"),
        ),
        (
            "both GNU names",
            Tar::new().extension(b'K', b"target\0").extension(b'L', b"name\0").symlink("a", "b").end(),
            Inside(|root, _| assert_eq!(fs::read_link(root.join("name")).unwrap(), Path::new("target"))),
        ),
        ("PAX and nothing", Tar::new().pax(&[(b"path", b"b")]).end(), Refused("without an entry")),
        ("GNU name and nothing", Tar::new().extension(b'L', b"b\0").0, Refused("without an entry")),
        (
            "global PAX path",
            Tar::new().extension(b'g', record(b"path", b"x")).file("a", "").end(),
            Refused("global"),
        ),
        (
            "global PAX size",
            Tar::new().extension(b'g', record(b"size", b"0")).file("a", "b").end(),
            Refused("global"),
        ),
        (
            "git's global comment",
            Tar::new().extension(b'g', record(b"comment", b"00")).file("a", "").end(),
            Inside(nothing),
        ),
        (
            "huge PAX",
            Tar::new().header(Header::new("x", b'x').size((8 << 30) - 1)).end(),
            Refused("extension header"),
        ),
        (
            "PAX of 2 MiB",
            Tar::new().extension(b'x', record(b"comment", &vec![b'x'; 2 << 20])).end(),
            Refused("extension header"),
        ),
        (
            "huge GNU name",
            Tar::new().header(Header::new("x", b'L').gnu().size(2 << 20)).end(),
            Refused("extension header"),
        ),
        (
            "malformed PAX",
            Tar::new().extension(b'x', b"99 path=x\n").file("a", "").end(),
            Refused("malformed PAX"),
        ),
        (
            "PAX without a newline",
            Tar::new().extension(b'x', b"8 path=x").file("a", "").end(),
            Refused("malformed PAX"),
        ),
        ("unknown type", Tar::new().header(Header::new("a", b'Z')).end(), Refused("unknown type")),
        ("volume header", Tar::new().header(Header::new("a", b'V').gnu()).end(), Refused("unknown type")),
        ("multi-volume", Tar::new().header(Header::new("a", b'M').gnu()).end(), Refused("unknown type")),
        ("Solaris ACL", Tar::new().header(Header::new("a", b'A')).end(), Refused("unknown type")),
        ("xz", b"\xfd7zXZ\0\0\0".to_vec(), Refused("xz")),
    ]
}

fn sparse() -> Vec<Case> {
    let old = |map: &[u8], size: &str, stored: u64| {
        Header::new("a", b'S').gnu().set(345, [0; 155]).set(386, map).set(483, size).size(stored)
    };
    let pax = |size: &'static [u8], stored: &[u8]| {
        Tar::new()
            .pax(&[
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.minor", b"0"),
                (b"GNU.sparse.name", b"real"),
                (b"GNU.sparse.realsize", size),
            ])
            .file("GNUSparseFile.1/a", stored)
            .end()
    };
    let map = |text: &str, data: &[u8]| {
        let mut stored = text.as_bytes().to_vec();
        stored.resize(512, 0);
        [stored, data.to_vec()].concat()
    };
    let octal = |values: &[u64]| values.iter().map(|value| format!("{value:011o}\0")).collect::<String>();
    vec![
        (
            "old sparse",
            Tar::new().header(old(octal(&[512, 3, 1024, 0]).as_bytes(), "00000002000", 3)).data("abc").end(),
            Inside(|root, _| {
                let content = fs::read(root.join("a")).unwrap();
                assert_eq!((content.len(), &content[512..515]), (1024, &b"abc"[..]));
            }),
        ),
        (
            "old sparse, overlapping",
            Tar::new().header(old(octal(&[0, 2, 1, 1]).as_bytes(), "00000002000", 3)).data("abc").end(),
            Refused("sparse map"),
        ),
        (
            "old sparse, backwards",
            Tar::new().header(old(octal(&[512, 2, 0, 1]).as_bytes(), "00000002000", 3)).data("abc").end(),
            Refused("sparse map"),
        ),
        (
            "old sparse, beyond its size",
            Tar::new().header(old(octal(&[0, 3]).as_bytes(), "00000000002", 3)).data("abc").end(),
            Refused("sparse map"),
        ),
        (
            "old sparse, more than stored",
            Tar::new().header(old(octal(&[0, 600]).as_bytes(), "00000002000", 3)).data("abc").end(),
            Refused("disagree"),
        ),
        (
            "old sparse, less than stored",
            Tar::new().header(old(octal(&[0, 1]).as_bytes(), "00000002000", 3)).data("abc").end(),
            Refused("disagree"),
        ),
        (
            "old sparse of 8 EiB",
            Tar::new()
                .header(old(&[], "\u{0}", 0).set(483, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"))
                .end(),
            Refused("limit"),
        ),
        (
            "sparse 1.0",
            pax(b"1024", &map("1\n512\n3\n", b"abc")),
            Inside(|root, _| {
                let content = fs::read(root.join("real")).unwrap();
                assert_eq!((content.len(), &content[512..515]), (1024, &b"abc"[..]));
            }),
        ),
        ("sparse 1.0 without a map", pax(b"1024", b""), Refused("sparse map")),
        ("sparse 1.0, count too large", pax(b"1024", &map("999999999\n", b"")), Refused("segments")),
        ("sparse 1.0, count beyond the map", pax(b"1024", &map("9\n1\n", b"")), Refused("sparse map")),
        ("sparse 1.0, not decimal", pax(b"1024", &map("1\n-1\n3\n", b"abc")), Refused("sparse map")),
        (
            "sparse 1.0, overflow",
            pax(b"1024", &map("1\n18446744073709551615\n3\n", b"abc")),
            Refused("sparse map"),
        ),
        (
            "sparse 0.1",
            Tar::new().pax(&[(b"GNU.sparse.map", b"0,1")]).file("a", "b").end(),
            Refused("sparse"),
        ),
        (
            "sparse directory",
            Tar::new()
                .pax(&[
                    (b"GNU.sparse.major", b"1"),
                    (b"GNU.sparse.minor", b"0"),
                    (b"GNU.sparse.name", b"a"),
                    (b"GNU.sparse.realsize", b"0"),
                ])
                .dir("b")
                .end(),
            Refused("not a file"),
        ),
    ]
}

fn special(out: &str) -> Vec<Case> {
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

/// Applies every archive, as whoever this process is.
#[test]
fn hostile_archives() {
    let mut count = 0;
    let kinds: [fn(&str) -> Vec<Case>; 5] = [paths, links, |_| structure(), |_| sparse(), special];
    for kind in kinds {
        let number = kind("").len();
        for index in 0..number {
            let place = Place::new();
            let out = place.outside().to_str().unwrap().to_owned();
            let (name, bytes, fate) = kind(&out).swap_remove(index);
            let result = apply(bytes.as_slice(), place.root(), &options(), &Limits::default());
            match (fate, result) {
                (Refused(reason), Err(error)) => {
                    let text = chain(&error);
                    assert!(text.contains(reason), "{name}: `{text}` without `{reason}`");
                    assert!(!text.contains('\n'), "{name}: {text}");
                }
                (Inside(check), Ok(applied)) => check(&place.inside(""), &applied),
                (Refused(_), Ok(applied)) => panic!("{name}: accepted: {applied:?}"),
                (Inside(_), Err(error)) => panic!("{name}: refused: {}", chain(&error)),
            }
            if let Some(damage) = place.damage() {
                panic!("{name}: the outside changed: {damage}");
            }
            // So that its removal works for a plain user too.
            let _opened =
                fs::set_permissions(place.inside("d"), std::os::unix::fs::PermissionsExt::from_mode(0o700));
            let _opened =
                fs::set_permissions(place.inside("d/e"), std::os::unix::fs::PermissionsExt::from_mode(0o700));
            count += 1;
        }
    }
    assert!(count >= 60, "only {count} archives");
}

/// The same as a plain user.
#[test]
fn hostile_archives_as_a_user() {
    testkit::needs!(root, user);
    let user = testkit::User::without_subids();
    let program = user.install(&std::env::current_exe().unwrap());
    let output = user.command(&program).args(["--exact", "hostile_archives"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Every archive above, cut and bent at random places, must not touch the outside either.
#[test]
fn bent_archives() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let place = Place::new();
    let out = place.outside().to_str().unwrap().to_owned();
    let all = [paths(&out), links(&out), structure(), sparse(), special(&out)].concat_cases();
    for round in 0..6 {
        for bytes in &all {
            if bytes.is_empty() || bytes.len() > 1 << 16 {
                continue;
            }
            let mut bytes = bytes.clone();
            let block = random(bytes.len() / 512 + 1) * 512;
            for _ in 0..=round % 3 {
                let at = (block + random(512)).min(bytes.len() - 1);
                bytes[at] = b"\0/.x0157gKLS\xff"[random(13)];
            }
            if let Some(header) = bytes.get_mut(block..block + 512) {
                let block: [u8; 512] = header.try_into().unwrap();
                header.copy_from_slice(&Header(block).sum());
            }
            let name = format!("{}", random(usize::MAX));
            fs::create_dir(place.inside(&name)).unwrap();
            let root = files::open_directory(place.inside(&name)).unwrap();
            // Refused or not: only the outside matters here.
            let _either =
                apply(bytes.as_slice(), &root, &options(), &Limits { bytes: 1 << 20, ..Limits::default() });
        }
    }
    assert_eq!(place.damage(), None);
}

trait ConcatCases {
    fn concat_cases(self) -> Vec<Vec<u8>>;
}

impl<const N: usize> ConcatCases for [Vec<Case>; N] {
    fn concat_cases(self) -> Vec<Vec<u8>> {
        self.into_iter().flatten().map(|(_, bytes, _)| bytes).collect()
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
