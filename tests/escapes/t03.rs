//! T3: two programs read two different archives from the same bytes, so that what was scanned is not what is unpacked.

use std::process::Command;

use testkit::find_program;
use tests::Brig;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::archives::{Header, Tar, import, walk, write};

pub(crate) const ROW: Row = Row {
    id: "T3",
    title: "entries smuggled where header and PAX record differ",
    faults: &[
        "RUSTSEC-2026-0068",
        "CVE-2025-62518",
        "RUSTSEC-2025-0110",
        "RUSTSEC-2025-0111",
        "RUSTSEC-2026-0066",
        "RUSTSEC-2026-0112",
        "RUSTSEC-2026-0145",
    ],
    kinds: &[Kind::Corpus],
    defence: "archive/src/reader.rs: one parser, which refuses what two programs read in two ways",
};

/// An archive in the content of a file that is empty by one of its two sizes.
fn archive() -> Vec<u8> {
    let inner = Tar::new().file("smuggled", "evil").0;
    let size = inner.len().to_string();
    Tar::new().pax(&[(b"size", size.as_bytes())]).header(Header::new("harmless", b'0')).raw(inner).end()
}

/// More that programs are known to read in two ways.
fn others() -> Vec<(&'static str, Vec<u8>)> {
    let inner = || Tar::new().file("smuggled", "evil").0;
    let long = |kind| Header::new("d", kind).size(1024);
    vec![
        ("the size of the record is smaller", {
            Tar::new().pax(&[(b"size", b"0")]).header(long(b'0')).raw(inner()).end()
        }),
        ("two sizes in one record", {
            Tar::new().pax(&[(b"size", b"1024"), (b"size", b"0")]).header(long(b'0')).raw(inner()).end()
        }),
        ("a global size", {
            let record = crate::tar::record(b"size", b"1024");
            Tar::new().extension(b'g', record).header(Header::new("d", b'0')).raw(inner()).end()
        }),
        ("a directory with content", Tar::new().header(long(b'5')).raw(inner()).end()),
        ("a link with content", Tar::new().header(long(b'2').link("x")).raw(inner()).end()),
        ("an unknown type with content", Tar::new().header(long(b'Z')).raw(inner()).end()),
        ("a negative size", {
            let header = Header::new("d", b'0').set(124, [0xff; 12]);
            Tar::new().header(header).raw(inner()).end()
        }),
        ("a size that is no number", {
            Tar::new().pax(&[(b"size", b" 1024")]).header(Header::new("d", b'0')).raw(inner()).end()
        }),
        ("a lone empty block, then more", Tar::new().file("a", "").raw([0; 512]).raw(inner()).end()),
        ("two names", {
            let named = Tar::new().extension(b'L', "harmless\0").pax(&[(b"path", b"smuggled")]);
            named.file("x", "evil").end()
        }),
    ]
}

/// What a program lists.
fn list(program: &str, brig: &Brig, bytes: &[u8]) -> Vec<String> {
    let archive = write(brig, bytes);
    let mut command = Command::new(find_program(program).unwrap());
    if program == "busybox" {
        command.arg("tar");
    }
    let listed = testkit::run(command.arg("-tf").arg(archive)).stdout;
    listed.lines().map(str::to_owned).collect()
}

/// Whether a file of that name is in the store: imported, not just passed over.
fn is_smuggled(brig: &Brig) -> bool {
    walk(&brig.store()).iter().any(|path| path.ends_with("smuggled"))
}

held!(what_reads_in_two_ways_is_refused, [root, user], |brig| {
    let outcome = import(brig, &archive(), "");
    assert!(outcome.code != 0 && outcome.stderr.contains("disagree"), "{outcome}");
    for (name, bytes) in others() {
        let outcome = import(brig, &bytes, "");
        assert_ne!(outcome.code, 0, "{name}: {outcome}");
        assert!(!is_smuggled(brig), "{name}");
    }
});

control!(header_against_record, Target::Weakened("unpack-sizes"), [root, user], |brig| {
    let weak = brig.with_seams();
    import(&weak, &archive(), "").fails_with(1);
    import(&weak, &archive(), "unpack-sizes").success();
    // GNU tar, the scanner, has not seen it.
    is_smuggled(&weak) && list("tar", &weak, &archive()) == ["harmless"]
});

control!(scanned_by_one_unpacked_by_another, Target::Unconfined("GNU tar and busybox tar"), [root], |brig| {
    list("tar", brig, &archive()) == ["harmless"]
        && list("busybox", brig, &archive()).contains(&"smuggled".to_owned())
});
