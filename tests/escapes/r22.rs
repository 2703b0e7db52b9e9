//! R22: an archive is unpacked by a decompressor that the attacker put where the engine looks for one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::attack;
use tests::escape::{Kind, Row, Target};
use tests::running::Running;
use tests::shape;
use tests::{Brig, control, held};

use crate::trojans::Trojans;

pub(crate) const ROW: Row = Row {
    id: "R22",
    title: "decompressors of the attacker's",
    faults: &["CVE-2026-41567"],
    kinds: &[Kind::Static, Kind::Shape],
    defence: "archive/src/decompress.rs: gzip and zstd in our own process, which executes nothing",
};

/// The busybox image in a compressed archive.
fn archive(brig: &Brig, compressor: &str) -> PathBuf {
    let (plain, packed) = (testkit::busybox_tar(brig.directory()), brig.directory().join(compressor));
    let output = Command::new(compressor).arg("-c").arg(&plain).output().unwrap();
    assert!(output.status.success());
    fs::write(&packed, output.stdout).unwrap();
    packed
}

/// `brig` among the trojans, with nothing else in its `PATH`.
fn among(brig: &Brig, trojans: &Trojans, arguments: &[&str]) -> Command {
    let (store, run) = (brig.store(), brig.directory().join("run"));
    let fixed = ["--root", store.to_str().unwrap(), "--runroot", run.to_str().unwrap()];
    let search = trojans.path().to_str().unwrap();
    trojans.beside(brig, search, brig.program(), &[&fixed, arguments].concat())
}

held!(an_archive_is_unpacked_by_ourselves, [root, user] needs [program("gzip"), program("zstd")], |brig| {
    let trojans = Trojans::new(brig.directory());
    for compressor in ["gzip", "zstd"] {
        let packed = archive(brig, compressor);
        testkit::run(&mut among(brig, &trojans, &["import", packed.to_str().unwrap(), compressor])).success();
        assert_eq!(trojans.executed(), "", "{compressor}");
        assert_eq!(brig.ok(&["run", "--rm", compressor, "echo", "unpacked"]), "unpacked\n");
    }
});

held!(programs_of_the_image_are_not_ours_to_run, [root, user], |brig| {
    let names = ["newuidmap", "newgidmap", "tar", "gzip", "xz", "zstd", "unpigz", "mount", "modprobe", "ps"];
    attack::image(brig, "trojan", &[], |root| {
        for name in names {
            let place = root.join("bin").join(name);
            drop(fs::remove_file(&place));
            fs::write(&place, "#!/bin/sh\necho trojan $0 >> /tmp/ran\n").unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        }
    });
    let outcome = brig.run(&["run", "--rm", "-u", "user", "trojan", "sh", "-c", "cat /tmp/ran; id -un"]);
    assert_eq!(outcome.stdout, "user\n", "{outcome}");
    // What the payload itself starts does run: the trojans work.
    assert!(brig.ok(&["run", "--rm", "trojan", "sh", "-c", "/bin/xz; cat /tmp/ran"]).contains("trojan"));
});

held!(a_copy_is_unpacked_by_ourselves, [root, user] needs [program("gzip"), program("zstd")], |brig| {
    let trojans = Trojans::new(brig.directory());
    attack::image(brig, "trojan", &[], |root| {
        for name in ["gzip", "zstd", "unpigz", "xz", "tar"] {
            let place = root.join("bin").join(name);
            drop(fs::remove_file(&place));
            fs::write(&place, "#!/bin/sh\necho trojan $0 >> /tmp/ran\n").unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        }
    });
    let running = Running::of(brig, "trojan", &[], "trojan", "mkdir /into");
    for compressor in ["gzip", "zstd"] {
        let packed = archive(brig, compressor);
        let mut copy = among(brig, &trojans, &["cp", "-", "trojan:/into"]);
        let status = copy.stdin(fs::File::open(packed).unwrap()).status().unwrap();
        assert!(status.success(), "{compressor}");
        brig.ok(&["cp", "trojan:/into/bin/busybox", brig.directory().to_str().unwrap()]);
        assert_eq!(trojans.executed(), "", "{compressor}");
    }
    assert_ne!(brig.run(&["cp", "trojan:/tmp/ran", "-"]).code, 0, "the container's own were executed");
    drop(running);
});

held!(nothing_is_executed, [root] needs [program("strace"), program("zstd")], |brig| {
    let packed = archive(brig, "zstd");
    let command = brig.command(&["import", packed.to_str().unwrap(), "packed"]);
    let (outcome, trace) = shape::trace(&command, brig.program(), brig.directory());
    outcome.success();
    let executed: Vec<_> = trace.calls().iter().filter(|call| call.is_execution()).collect();
    assert!(trace.calls().len() > 50, "the trace shows nothing");
    assert!(executed.iter().all(|call| call.line().contains(brig.program().to_str().unwrap())), "{executed:?}");
});

fn unpack_with_tar(brig: &Brig, search: &Path) {
    let packed = archive(brig, "gzip");
    let place = brig.directory().join("unpacked");
    fs::create_dir(&place).unwrap();
    let mut tar = Command::new("/usr/bin/env");
    tar.arg(format!("PATH={}", search.display())).arg("/bin/tar").arg("-xf").arg(packed).arg("-C").arg(place);
    // What it found is no decompressor, so that tar fails in the end.
    tar.status().unwrap();
}

control!(
    tar_starts_what_it_finds,
    Target::Unconfined("tar(1), which looks for gzip in PATH"),
    [root] needs [program("gzip")],
    |brig| {
        let trojans = Trojans::new(brig.directory());
        unpack_with_tar(brig, trojans.path());
        trojans.executed().contains("gzip")
    }
);
