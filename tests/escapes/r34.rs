//! R34: secrets of the caller's environment, in the payload's or in that of the container's first process.

use testkit::Outcome;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::engines::{forget_podman, podman_over};

pub(crate) const ROW: Row = Row {
    id: "R34",
    title: "secrets of the caller's environment",
    faults: &["CVE-2021-3602"],
    kinds: &[Kind::Inside],
    defence: "container/src/spec/process.rs: the environment is the image's and what was asked for",
};

const SCRIPT: &str = "env; tr '\\0' '\\n' < /proc/1/environ; exit 0";

fn see(brig: &Brig, flags: &[&str]) -> Outcome {
    brig.import_busybox();
    let mut command = brig.command(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", SCRIPT]].concat());
    command.env("BRIG_SECRET", "canary").env("HTTPS_PROXY", "http://name:canary@proxy");
    testkit::run(&mut command)
}

held!(nothing_of_the_caller_is_seen, [root, user, bare], |brig| {
    for flags in [&[][..], &["--init"], &["-t"], &["--privileged"]] {
        let outcome = see(brig, flags);
        assert!(outcome.code == 0 && outcome.stdout.contains("PATH="), "{flags:?}: {outcome}");
        assert!(!outcome.stdout.contains("canary"), "{flags:?}: {outcome}");
    }
});

held!(nothing_of_the_caller_is_seen_by_one_that_joins, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    brig.start("brig-test-environment", &bundle);
    let mut command = brig.runtime(&["exec", "brig-test-environment", "sh", "-c", SCRIPT]);
    command.env("BRIG_SECRET", "canary");
    let outcome = testkit::run(&mut command);
    assert!(outcome.code == 0 && !outcome.stdout.contains("canary"), "{outcome}");
});

/// What a program that joins sees of its caller's environment.
fn see_by_exec(brig: &Brig, flags: &[&str]) -> Outcome {
    brig.import_busybox();
    let id = brig.ok(&["run", "-d", "busybox", "sleep", "1000"]).trim().to_owned();
    let script = "env; tr '\\0' '\\n' </proc/self/environ; tr '\\0' '\\n' </proc/$$/environ";
    let mut command = brig.command(&[&["exec"], flags, &[&id, "sh", "-c", script]].concat());
    command.env("BRIG_SECRET", "canary").env("HTTPS_PROXY", "http://name:canary@proxy");
    let outcome = testkit::run(&mut command);
    brig.ok(&["rm", "-f", &id]);
    outcome
}

held!(nothing_of_the_caller_is_seen_by_exec, [root, user, bare], |brig| {
    for flags in [&[][..], &["-t"], &["--privileged"], &["-e", "OTHER=1"]] {
        let outcome = see_by_exec(brig, flags);
        assert!(outcome.code == 0 && outcome.stdout.contains("PATH="), "{flags:?}: {outcome}");
        assert!(!outcome.stdout.contains("canary"), "{flags:?}: {outcome}");
    }
});

control!(named_to_exec, Target::Opened("exec -e NAME"), [root, user], |brig| {
    see_by_exec(brig, &["-e", "BRIG_SECRET"]).stdout.contains("BRIG_SECRET=canary")
});

control!(copied_when_asked_for, Target::Opened("--env-host"), [root, user], |brig| {
    see(brig, &["--env-host"]).stdout.contains("BRIG_SECRET=canary")
});

// Podman copies proxies, with the passwords in them, unless it is told not to.
control!(podman_copies_the_proxy, Target::Debian("podman", "4.3.1"), [root], |brig| {
    let root = brig.directory().join("root");
    testkit::busybox_rootfs(&root);
    let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"];
    let words =
        [&["run", "--rm", "--net=none"], &limits[..], &["--rootfs", root.to_str().unwrap(), "env"]].concat();
    let mut command = podman_over("runc", brig, &words);
    command.env("HTTPS_PROXY", "http://name:canary@proxy");
    let outcome = testkit::run(&mut command);
    forget_podman(brig);
    println!("{outcome}");
    outcome.stdout.contains("canary")
});
