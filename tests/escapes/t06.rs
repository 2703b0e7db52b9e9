//! T6: a small archive that becomes a large tree, a large file, or a large window in memory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use testkit::Outcome;
use tests::Brig;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::archives::{Header, Tar, gnu_tar, import, walk, write};
use crate::layouts::{CONFIGURATION, Layout, MANIFEST, configuration, digest, load, manifest};

pub(crate) const ROW: Row = Row {
    id: "T6",
    title: "decompression bombs",
    faults: &["CVE-2017-14992", "CVE-2023-25153"],
    kinds: &[Kind::Corpus],
    defence: "archive/src/limits.rs: ratio, bytes, entries, window and headers are bounded, and streamed",
};

/// Bytes of zeros: more than the 64 MiB up to which any ratio is let through.
const ZEROS: u64 = 96 << 20;

/// 96 MiB of zeros in less than 200 KiB.
fn bomb(brig: &Brig, compressor: &[&str]) -> Vec<u8> {
    let header = Tar::new().header(Header::new("zeros", b'0').size(ZEROS)).0;
    let path = write(brig, &header);
    fs::File::options().append(true).open(&path).unwrap().set_len(ZEROS + 512 + 1024).unwrap();
    let mut command = Command::new(compressor[0]);
    let packed = command.args(&compressor[1..]).arg(&path).output().unwrap();
    assert!(packed.status.success() && packed.stdout.len() < 200 << 10, "{}", packed.stdout.len());
    packed.stdout
}

const GZIP: [&str; 2] = ["gzip", "-9c"];
const ZSTD: [&str; 2] = ["zstd", "-qc"];

/// A file of 2^43 bytes in a few headers, by GNU's sparse format.
fn sparse() -> Vec<u8> {
    let size = (1_u64 << 43).to_string();
    let records: [(&[u8], &[u8]); 4] = [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"huge"),
        (b"GNU.sparse.realsize", size.as_bytes()),
    ];
    let map = format!("1\n{size}\n0\n");
    let mut block = map.into_bytes();
    block.resize(512, 0);
    Tar::new().pax(&records).file("huge", block).end()
}

/// A frame of zstd that asks for a window of 3.75 GiB, and does not need it.
fn window() -> Vec<u8> {
    let content = Tar::new().file("a", "b").end();
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3 | 7];
    let size = u32::try_from(content.len()).unwrap();
    // One raw block, the last one.
    frame.extend_from_slice(&(size << 3 | 1).to_le_bytes()[..3]);
    frame.extend(content);
    frame
}

/// A layout whose manifest names one layer five times: 315 MiB of zeros in 60 KiB, and no layer beyond any bound.
fn repeated(brig: &Brig) -> Layout {
    let size = 63_u64 << 20;
    let path = write(brig, &Tar::new().header(Header::new("zeros", b'0').size(size)).0);
    fs::File::options().append(true).open(&path).unwrap().set_len(size + 512 + 1024).unwrap();
    let plain = fs::read(&path).unwrap();
    let packed = Command::new("gzip").arg("-9c").arg(&path).output().unwrap().stdout;
    let layout = Layout::new(brig, "layout");
    let layer = layout.put("application/vnd.oci.image.layer.v1.tar+gzip", &packed);
    let config = layout.put(CONFIGURATION, &configuration(&vec![digest(&plain); 5]));
    let manifest = layout.put_json(MANIFEST, &manifest(&config, &vec![layer; 5]));
    layout.index(vec![manifest]);
    layout
}

/// Bytes on disk below a directory.
fn used(brig: &Brig) -> u64 {
    walk(&brig.store())
        .iter()
        .filter_map(|path| fs::symlink_metadata(path).ok())
        .map(|stat| stat.blocks() * 512)
        .sum()
}

/// Imports with 256 MiB of address space: what is streamed needs no more.
fn import_in_little_memory(brig: &Brig, bytes: &[u8]) -> Outcome {
    let path = write(brig, bytes);
    let command = brig.command(&["import", path.to_str().unwrap(), "attack"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 262144; exec \"$@\"", "sh"]).arg(command.get_program());
    testkit::run(shell.args(command.get_args()))
}

held!(gzip_bombs_are_refused, [root, user], |brig| {
    let outcome = import_in_little_memory(brig, &bomb(brig, &GZIP));
    assert!(outcome.code != 0 && outcome.stderr.contains("200 uncompressed bytes"), "{outcome}");
    assert!(used(brig) < 1 << 20, "{} bytes are left", used(brig));
});

held!(zstd_bombs_are_refused, [root] needs [program("zstd")], |brig| {
    let outcome = import_in_little_memory(brig, &bomb(brig, &ZSTD));
    assert!(outcome.code != 0 && outcome.stderr.contains("200 uncompressed bytes"), "{outcome}");
    assert!(used(brig) < 1 << 20, "{} bytes are left", used(brig));
});

held!(giants_are_refused, [root, user], |brig| {
    let long = |kind| Tar::new().header(Header::new("x", kind).size(1 << 32)).raw([b'x'; 4096]).end();
    let attacks = [
        ("sparse file", sparse()),
        ("window", window()),
        ("extended header", long(b'x')),
        ("long name", long(b'L')),
        ("size", Tar::new().header(Header::new("x", b'0').set(124, b"77777777777\0")).end()),
        (
            "binary size",
            Tar::new().header(Header::new("x", b'0').set(124, [0x80, 0, 0, 0, 0x7f]).gnu()).end(),
        ),
        ("depth", Tar::new().pax(&[(b"path", "d/".repeat(2000).as_bytes())]).dir("x").end()),
    ];
    for (name, bytes) in attacks {
        let outcome = import_in_little_memory(brig, &bytes);
        assert_ne!(outcome.code, 0, "{name}: {outcome}");
        assert!(!outcome.stderr.contains("panicked"), "{name}: {outcome}");
        assert!(used(brig) < 1 << 20, "{name}: {} bytes are left", used(brig));
    }
});

held!(one_layer_many_times_is_refused, [root], |brig| {
    let outcome = load(brig, repeated(brig).path(), "");
    assert!(outcome.code != 0 && outcome.stderr.contains("all layers"), "{outcome}");
    assert!(used(brig) < 1 << 20, "{} bytes are left", used(brig));
});

control!(one_layer_many_times, Target::Weakened("unpack-ratio"), [root], |brig| {
    let weak = brig.with_seams();
    load(&weak, repeated(&weak).path(), "unpack-ratio").success();
    used(&weak) > 300 << 20
});

control!(without_the_ratio, Target::Weakened("unpack-ratio"), [root], |brig| {
    let weak = brig.with_seams();
    let bytes = bomb(&weak, &GZIP);
    import(&weak, &bytes, "").fails_with(1);
    import(&weak, &bytes, "unpack-ratio").success();
    used(&weak) > ZEROS
});

control!(tar_fills_the_disk, Target::Unconfined("GNU tar -z"), [root], |brig| {
    let zeros = gnu_tar(brig, &["-z"], &bomb(brig, &GZIP)).join("zeros");
    fs::metadata(zeros).is_ok_and(|stat| stat.blocks() * 512 >= ZEROS)
});

control!(tar_makes_the_giant, Target::Unconfined("GNU tar"), [root], |brig| {
    let huge = gnu_tar(brig, &[], &sparse()).join("huge");
    fs::metadata(huge).is_ok_and(|stat| stat.len() == 1 << 43)
});
