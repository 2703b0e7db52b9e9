//! R37: giant files and endless output that an engine gathers in its memory.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use testkit::Outcome;
use tests::escape::{Kind, Row, Target};
use tests::{attack, control, held};

use crate::bundles::path as bundle_path;
use crate::engines::{forget_podman, podman_over};

pub(crate) const ROW: Row = Row {
    id: "R37",
    title: "memory of the engine, by giant account files or endless output",
    faults: &["CVE-2026-47262", "CVE-2022-31030", "CVE-2022-1708", "CVE-2025-64329", "CVE-2024-3056"],
    kinds: &[Kind::Corpus],
    defence: "files/src/root.rs: what is read of a root has a limit in bytes, and is a regular file; streams have blocks",
};

/// What nothing of ours may need, in KiB.
const MOST: u64 = 32 << 10;

/// Runs a command; the largest resident set of any process below it in KiB.
fn peak(command: &Command) -> (Outcome, u64) {
    let mut timed = Command::new("busybox");
    timed.args(["time", "-v"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        timed.env(name, value);
    }
    let outcome = testkit::run(&mut timed);
    let line = outcome
        .stderr
        .lines()
        .find_map(|line| line.trim().strip_prefix("Maximum resident set size (kbytes): "));
    let peak: u64 = line.unwrap_or_else(|| panic!("{outcome}")).parse().unwrap();
    // busybox takes the kernel's KiB for pages of four.
    (outcome, peak / 4)
}

/// Accounts that are followed by `size` bytes of nothing.
fn giant(root: &Path, name: &str, size: u64) {
    let mut file = File::create(root.join(name)).unwrap();
    file.write_all(b"root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n").unwrap();
    file.set_len(size).unwrap();
}

held!(giant_accounts_are_not_read, [root, user], |brig| {
    for (size, runs) in [(1_u64 << 16, true), (32 << 20, false)] {
        let image = format!("accounts{size}");
        attack::image(brig, &image, &[], |root| {
            giant(root, "etc/passwd", size);
            giant(root, "etc/group", size);
        });
        let (outcome, peak) =
            peak(&brig.command(&["run", "--rm", "--network=none", "-u", "user", &image, "id", "-u"]));
        assert_eq!(outcome.code == 0, runs, "{image}: {outcome}");
        assert!(peak < MOST, "{image}: {peak} KiB");
        assert!(runs || outcome.stderr.contains("etc/"), "{outcome}");
    }
});

// The runtime looks for the home directory of who has none in the environment.
held!(a_bundle_with_two_gigabytes_of_accounts, [root, user], |brig| {
    let mut bundle = brig.bundle("bundle", &["true"]);
    bundle.config["process"]["env"] = json!(["PATH=/bin"]);
    bundle.write();
    for name in ["etc/passwd", "etc/group"] {
        fs::create_dir_all(bundle.rootfs().join("etc")).unwrap();
        giant(&bundle.rootfs(), name, 1 << 31);
    }
    let (outcome, peak) = peak(&brig.runtime(&["run", "--bundle", bundle_path(&bundle), "brig-test-giant"]));
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(peak < MOST, "{peak} KiB");
});

held!(endless_output_is_not_gathered, [root, user], |brig| {
    brig.import_busybox();
    let script = "yes | head -c 200000000";
    let (outcome, peak) =
        peak(&brig.command(&["run", "--rm", "--network=none", "busybox", "sh", "-c", script]));
    assert_eq!(outcome.stdout.len(), 200_000_000);
    assert!(peak < MOST, "{peak} KiB");
});

control!(podman_reads_them_whole, Target::Debian("podman", "4.3.1"), [root], |brig| {
    let root = brig.directory().join("root");
    testkit::busybox_rootfs(&root);
    let measure = |size| {
        giant(&root, "etc/passwd", 64);
        giant(&root, "etc/group", size);
        let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000", "-u", "user"];
        let root = ["--rootfs", root.to_str().unwrap(), "true"];
        peak(&podman_over("runc", brig, &[&["run", "--rm", "--net=none"], &limits[..], &root].concat()))
    };
    let ((_, small), (outcome, large)) = (measure(64), measure(64 << 20));
    forget_podman(brig);
    println!("{small} KiB, then {large} KiB: {outcome}");
    large > small + MOST
});

control!(without_the_limit, Target::Weakened("engine-file-limit"), [root], |brig| {
    let weak = brig.with_seams();
    attack::image(&weak, "giant", &[], |root| giant(root, "etc/passwd", 96 << 20));
    let mut command = weak.command(&["run", "--rm", "--network=none", "-u", "user", "giant", "id", "-u"]);
    let (_, limited) = peak(&command);
    let (_, whole) = peak(command.env("BRIG_WEAKEN", "engine-file-limit"));
    limited < MOST && whole > MOST
});
