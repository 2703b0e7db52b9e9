//! T10: a layer whose decompression goes on when its archive has ended badly: whoever waits for it waits for ever.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::Brig;
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::archives::{Tar, import, write};
use crate::layouts::{Image, LAYER, Layout, digest, load};

pub(crate) const ROW: Row = Row {
    id: "T10",
    title: "a malformed layer that makes the engine wait for ever",
    faults: &["CVE-2021-20291", "CVE-2025-64329"],
    kinds: &[Kind::Corpus],
    defence: "archive/src/apply.rs: decoding, hashing and writing in one process and one pass, without a thread or a \
              pipe between them",
};

/// Archives that end in the middle, or that go on after their end by more than a pipe holds.
fn layers() -> Vec<(&'static str, Vec<u8>)> {
    let rest = vec![b'x'; 4 << 20];
    let good = || Tar::new().file("a", "b");
    let mut cut = good().end();
    cut.truncate(700);
    vec![
        ("a bad header, then much more", good().raw(&rest).end()),
        ("an end, then much more", Tar(good().end()).raw(&rest).0),
        ("a lone empty block, then much more", good().raw([0; 512]).raw(&rest).0),
        ("cut in a header", cut),
        ("a file that is longer than the archive", {
            Tar::new().header(crate::archives::Header::new("a", b'0').size(1 << 30)).raw(&rest).0
        }),
    ]
}

fn packed(brig: &Brig, layer: &[u8], program: &str) -> Vec<u8> {
    let path = write(brig, layer);
    Command::new(program).args(["-qc"]).arg(path).output().unwrap().stdout
}

// The harness ends whatever takes longer than its limit; each of these takes less than a second.
held!(every_layer_comes_to_an_end, [root, user] needs [program("zstd")], |brig| {
    for (name, layer) in layers() {
        for program in ["gzip", "zstd", "xz"] {
            let mut bytes = packed(brig, &layer, program);
            for cut in [0, bytes.len() / 2] {
                bytes.truncate(bytes.len() - cut);
                let outcome = import(brig, &bytes, "");
                let refused = outcome.stderr.starts_with("error: ") && outcome.code == 1;
                assert!(refused || outcome.code == 0, "{name} {program} {cut}: {outcome}");
                // Bytes after the end are another program's business, and hashed; anything else is refused.
                assert!(outcome.code != 0 || name.starts_with("an end"), "{name} {program} {cut}: {outcome}");
            }
        }
    }
});

held!(a_blob_without_an_end_comes_to_one, [root, user], |brig| {
    // A pipe, a device and a directory in the place of a blob: nobody waits for a writer.
    for kind in ["fifo", "zero", "directory"] {
        for part in ["manifest", "layer"] {
            let layout = Layout::new(brig, "layout");
            let image =
                Image::of(&layout, LAYER, &crate::layouts::layer(), &digest(&crate::layouts::layer()));
            let manifest = image.finish(&layout);
            let place = layout.blob(if part == "manifest" { &manifest } else { &image.layer });
            fs::remove_file(&place).unwrap();
            let made = match kind {
                "fifo" => Command::new("mkfifo").arg(&place).status(),
                "zero" if !brig.is_root() => continue,
                "zero" => Command::new("mknod").arg(&place).args(["c", "1", "5"]).status(),
                _ => Command::new("mkdir").arg(&place).status(),
            };
            assert!(made.unwrap().success());
            let outcome = load(brig, layout.path(), "");
            assert!(
                outcome.code == 1 && outcome.stderr.contains("not a regular file"),
                "{kind} {part}: {outcome}"
            );
        }
    }
});

/// Whether a shell that unpacks as engines of old did is still waiting after two seconds.
fn waits(brig: &Brig, layer: &[u8]) -> bool {
    let path = brig.directory().join("layer.gz");
    fs::write(&path, packed(brig, layer, "gzip")).unwrap();
    // The reader gives up at the bad header; the shell holds the pipe open and waits for the decompressor.
    let script = "mkfifo \"$1.pipe\"; exec 3<>\"$1.pipe\"; gzip -dc \"$1\" >&3 &
        tar -tf - <\"$1.pipe\" >/dev/null 2>&1; wait $!";
    let mut command = Command::new("sh");
    let mut child = command.args(["-c", script, "sh"]).arg(&path).process_group(0).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let group = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
    child.wait().unwrap();
    true
}

control!(
    a_decompressor_that_nobody_reads,
    Target::Unconfined("gzip and tar joined by a pipe"),
    [root],
    |brig| { waits(brig, &layers()[0].1) }
);
