//! R10: what the engine writes to `/proc` goes to a file that somebody else put there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use testkit::Bundle;
use tests::attack::Paused;
use tests::escape::{Kind, Row, Target};
use tests::shape::{self, Trace};
use tests::{Brig, control, held};

use crate::bundles::{at, bind, command_by, run};
use crate::race::{
    Flipper, Until, a_race_of_bundles, directory_and_link, exchange, for_a_while, run_at_once,
};

pub(crate) const ROW: Row = Row {
    id: "R10",
    title: "writes to `/proc` are redirected",
    faults: &["CVE-2025-52881", "CVE-2025-62596"],
    kinds: &[Kind::Static, Kind::Race, Kind::BruteRace, Kind::Shape],
    defence: "runtime/src/child/mount.rs: written through a procfs of our own, without crossing a mount or a link",
};

const FILE: &str = "ip_unprivileged_port_start";

/// A bundle that sets a setting of its own network, and shows it.
fn bundle(brig: &Brig) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]);
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "network"}));
    bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "7"});
    bundle.write();
    bundle
}

/// A directory with a file of that name that is no setting: what is written to it is lost, or lands where a link says.
fn fake(directory: &Path) -> PathBuf {
    fs::create_dir_all(directory).unwrap();
    let file = directory.join(FILE);
    fs::write(&file, "").unwrap();
    file
}

held!(a_mount_over_proc_is_refused, [root, user], |brig| {
    let source = brig.directory().join("source");
    drop(fake(&source.join("net/ipv4")));
    let mut bundle = bundle(brig);
    std::os::unix::fs::symlink("proc", bundle.rootfs().join("link")).unwrap();
    for destination in ["/proc/self/attr", "/proc/sys/net", "/link/sys/net", "/proc/../proc/sys"] {
        bundle.config["mounts"].as_array_mut().unwrap().push(bind(destination, &source));
        bundle.write();
        let outcome = run(brig, &bundle, "");
        assert_ne!(outcome.code, 0, "{destination}: {outcome}");
        bundle.config["mounts"].as_array_mut().unwrap().pop();
    }
});

/// Gives `/proc` another name after the procfs is mounted there, so that the root has a made-up one; answers whether
/// that was written to.
fn moved(weak: &Brig, weaken: &str) -> bool {
    let bundle = bundle(weak);
    let other = bundle.rootfs().join("other");
    let file = fake(&other.join("sys/net/ipv4"));
    let mut command = weak.runtime(&["run", "--bundle", at(&bundle), "brig-test-sysctl"]);
    let paused = Paused::at(command.env("BRIG_WEAKEN", weaken), "mount:dev", &weak.directory().join("pause"));
    exchange(&bundle.rootfs().join("proc"), &other);
    drop(paused.go());
    exchange(&bundle.rootfs().join("proc"), &other);
    fs::read_to_string(file).unwrap() == "7"
}

held!(another_proc_meanwhile, [root], |brig| {
    assert!(!moved(&brig.with_seams(), ""));
});

control!(through_the_root, Target::Weakened("procfs,mounted"), [root], |brig| {
    moved(&brig.with_seams(), "procfs,mounted")
});

/// A bundle with a mount that belongs beside `/proc`, in a directory that a neighbour exchanges with a link into it; that
/// directory, the link and the made-up setting.
fn beside(brig: &Brig) -> (Bundle, PathBuf, PathBuf, PathBuf) {
    let source = brig.directory().join("source");
    let file = fake(&source);
    let mut bundle = bundle(brig);
    let (directory, link) = directory_and_link(&bundle.rootfs(), "shared", Path::new("proc/sys/net"));
    fs::create_dir(directory.join("ipv4")).unwrap();
    bundle.config["mounts"].as_array_mut().unwrap().push(bind("/shared/ipv4", &source));
    bundle.write();
    (bundle, directory, link, file)
}

/// Exchanges them once the place of the mount was looked at; answers whether the made-up setting was written to.
fn covered(weak: &Brig, weaken: &str) -> bool {
    let (bundle, directory, link, file) = beside(weak);
    let mut command = weak.runtime(&["run", "--bundle", at(&bundle), "brig-test-sysctl"]);
    command.env("BRIG_WEAKEN", weaken);
    let paused = Paused::at(&mut command, "mount:shared/ipv4", &weak.directory().join("pause"));
    exchange(&directory, &link);
    let (code, stdout, stderr) = paused.go();
    let written = fs::read_to_string(file).unwrap();
    // Either the kernel's was written, or nothing at all.
    assert!(written == "7" || code != Some(0) || stdout == "7\n", "{stdout} {stderr}");
    written == "7"
}

held!(a_mount_that_would_cover_it, [root], |brig| {
    assert!(!covered(&brig.with_seams(), ""));
});

// Should a mount lie there all the same, it is not crossed.
held!(a_mount_that_covers_it, [root], |brig| {
    assert!(!covered(&brig.with_seams(), "destination"));
});

control!(a_mount_that_takes_the_write, Target::Weakened("destination,procfs"), [root], |brig| {
    covered(&brig.with_seams(), "destination,procfs")
});

/// Runs again and again with a mount that belongs beside `/proc`, while its place and a link into `/proc` change their
/// names: a neighbour who shares the volume would do that. Answers whether the made-up setting was written to.
fn raced(brig: &Brig, until: Until, command: impl Fn(&Bundle) -> Command) -> bool {
    let (bundle, directory, link, file) = beside(brig);
    let flipper = Flipper::new(&directory, &link);
    let mut ran = 0;
    let (reached, _) = for_a_while(until, || {
        let output = run_at_once(&mut command(&bundle));
        ran += u32::from(output.stdout == b"7\n");
        !fs::read(&file).unwrap().is_empty()
    });
    drop(flipper);
    assert!(reached || ran > 2, "only {ran} runs");
    reached
}

a_race_of_bundles!(raced);

fn traced(brig: &Brig, command: &Command, program: &Path) -> Trace {
    let (outcome, trace) = shape::trace(command, program, brig.directory());
    outcome.success();
    trace
}

held!(no_kernel_file_is_written_by_its_path, [root] needs [program("strace")], |brig| {
    let bundle = bundle(brig);
    let command = brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-shape"]);
    let trace = traced(brig, &command, brig.program());
    let written = trace.calls().iter().filter(|call| call.name == "openat2" && call.line().contains(FILE));
    // The setting was written, below a descriptor, without crossing a mount or a link.
    let flags = ["O_WRONLY", "RESOLVE_NO_XDEV", "RESOLVE_BENEATH", "RESOLVE_NO_SYMLINKS"];
    assert_eq!(written.filter(|call| flags.iter().all(|flag| call.line().contains(flag))).count(), 1);
    assert_eq!(trace.kernel_files_by_path(), Vec::<String>::new());
});

control!(the_shape_of_runc, Target::Debian("runc", "1.1.5"), [root] needs [program("strace")], |brig| {
    let bundle = bundle(brig);
    let command = command_by("runc", brig, &["run", "--bundle", at(&bundle), "brig-test-runc"]);
    let trace = traced(brig, &command, &testkit::find_program("runc").unwrap());
    trace.kernel_files_by_path().iter().any(|line| line.contains("/proc/sys/net"))
});
