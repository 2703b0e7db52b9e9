//! Sparse files of all the formats that GNU tar has.

use std::fs;

use crate::Case;
use crate::Fate::{Inside, Refused};
use crate::support::{Header, Tar};

pub(crate) fn sparse() -> Vec<Case> {
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
