//! Headers, sizes and orders that two readers would take differently.

use std::fs;
use std::path::Path;

use crate::Fate::{Inside, Refused};
use crate::support::{Header, Tar, record};
use crate::{Case, nothing};

pub(crate) fn structure() -> Vec<Case> {
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
