//! Containers that join another one's processes, shared memory or host name: these are shared, and nothing else is.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use testkit::Outcome;
use tests::{Brig, story};

const KINDS: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

fn join(brig: &Brig, flags: &[&str], script: &str) -> Outcome {
    brig.run(&[&["run", "--rm", "--network", "none"], flags, &["busybox", "sh", "-c", script]].concat())
}

/// The names of the kinds of namespaces that two processes share.
fn shared(first: &str, second: &str) -> Vec<String> {
    let pairs = first.lines().zip(second.lines());
    KINDS.iter().zip(pairs).filter(|(_, (a, b))| a == b).map(|(kind, _)| (*kind).to_owned()).collect()
}

fn look(process: &str) -> String {
    format!("for kind in {}; do readlink /proc/{process}/ns/$kind; done", KINDS.join(" "))
}

story!(only_what_was_named_is_shared, [root, user, bare], |brig| {
    brig.import_busybox();
    let target = ["--name", "target", "--hostname", "shown", "--network", "none", "-v", "/data"];
    drop(brig.detached(&target, "echo secret > /file; exec sleep 1000"));
    let theirs = brig.ok(&["exec", "target", "sh", "-c", &look("self")]);

    // Processes: seen, signalled, counted from the target's first; files are its own.
    let outcome = join(
        brig,
        &["--pid", "container:target"],
        &format!("{}; kill -0 1 && cat /proc/1/comm; ls /file", look("self")),
    );
    assert!(outcome.stdout.ends_with("\nsleep\n"), "{outcome}");
    assert!(
        outcome.stderr.contains("opens seeing, signalling and tracing that container's processes"),
        "{outcome}"
    );
    let host = KINDS.map(|kind| std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap());
    let mut expected = vec!["pid", "user"];
    // The one kind that no container has anew.
    expected.insert(1, "time");
    assert_eq!(shared(&theirs, &outcome.stdout), expected, "{outcome}");
    for (kind, host) in KINDS.iter().zip(host).filter(|(kind, _)| **kind != "time") {
        assert!(!outcome.stdout.contains(host.to_str().unwrap()), "the host's {kind}: {outcome}");
    }

    // The host name.
    let outcome = join(brig, &["--uts", "container:target"], "hostname; echo $HOSTNAME");
    assert_eq!(outcome.stdout, "shown\nshown\n", "{outcome}");

    // Shared memory and queues, with the processes, which root's takes.
    let flags = ["--pid", "container:target", "--ipc", "container:target"];
    let outcome = join(brig, &flags, &look("self"));
    assert_eq!(shared(&theirs, &outcome.stdout), ["ipc", "pid", "time", "user"], "{outcome}");
    brig.ok(&["exec", "target", "sh", "-c", "echo theirs > /dev/shm/word"]);
    let script = "cat /dev/shm/word; echo ours > /dev/shm/word; grep -c ' /dev/shm .*nosuid,nodev,noexec' /proc/mounts";
    assert_eq!(join(brig, &flags, script).stdout, "theirs\n1\n");
    assert_eq!(brig.ok(&["exec", "target", "cat", "/dev/shm/word"]), "ours\n");
    // What is not memory is not shared as such.
    brig.ok(&["volume", "create", "disk"]);
    drop(brig.detached(&["--name", "other", "--network", "none", "-v", "disk:/dev/shm"], "exec sleep 1000"));
    let other = ["--pid", "container:other", "--ipc", "container:other"];
    let outcome = join(brig, &other, "touch /dev/shm/mine");
    assert!(
        outcome.code == 0 && outcome.stderr.contains("`/dev/shm` stays the container's own"),
        "{outcome}"
    );
    assert_eq!(brig.ok(&["exec", "other", "ls", "/dev/shm"]), "");
    brig.ok(&["rm", "-f", "other"]);
    let sized = join(brig, &[&flags[..], &["--shm-size", "1m"]].concat(), "true");
    assert!(sized.code == 125 && sized.stderr.contains("--shm-size"), "{sized}");
    let alone = join(brig, &["--ipc", "container:target"], "true");
    assert_eq!(alone.code, if brig.is_root() { 125 } else { 0 }, "{alone}");

    // A container that runs no more is joined by nobody, and one that is not there either.
    brig.ok(&["stop", "-t", "0", "target"]);
    let stderr = join(brig, &["--pid", "container:target"], "true").fails_with(125);
    assert!(stderr.contains("is not running") && stderr.contains("hint: `brig start"), "{stderr}");
    join(brig, &["--pid", "container:nosuch"], "true").fails_with(125);
});

// Entering a user namespace gives every right in it: what is left is what the joiner's own flags say, and who has fewer rights
// than the target reaches nothing of it but its numbers.
story!(joining_gives_no_right, [root, user, bare], |brig| {
    brig.import_busybox();
    drop(brig.detached(&["--name", "target", "--network", "none"], "exec sleep 1000"));
    let rights = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("Cap") || line.starts_with("NoNewPrivs"))
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    let theirs = rights(&brig.ok(&["exec", "target", "cat", "/proc/1/status"]));
    let outcome = join(brig, &["--pid", "container:target"], "cat /proc/self/status; cat /proc/self/uid_map");
    assert_eq!(rights(&outcome.stdout), theirs, "{outcome}");
    assert!(outcome.stdout.ends_with(&brig.ok(&["exec", "target", "cat", "/proc/1/uid_map"])), "{outcome}");
    let script = "grep CapEff /proc/self/status; ls /proc/1/root/ 2>&1; readlink /proc/1/cwd; head -c 1 /proc/1/environ 2>&1";
    let outcome = join(brig, &["--pid", "container:target", "--cap-drop", "ALL"], script);
    assert!(outcome.stdout.starts_with("CapEff:\t0000000000000000\n"), "{outcome}");
    assert_eq!(outcome.stdout.matches("ermission denied").count(), 2, "{outcome}");
    // The controls: equal rights do reach it, and a flag that gives more shows in the numbers.
    let outcome = join(brig, &["--pid", "container:target"], script);
    assert_eq!(outcome.stdout.matches("ermission denied").count(), 0, "{outcome}");
    let outcome =
        join(brig, &["--pid", "container:target", "--cap-add", "SYS_ADMIN"], "cat /proc/self/status");
    assert_ne!(rights(&outcome.stdout), theirs, "{outcome}");
    // Nothing opens a user namespace of another kind.
    for flags in [&["--userns", "host"][..], &["--uidmap", "0:0:1"], &["--init"]] {
        if flags[0] == "--init" || brig.is_root() {
            join(brig, &[&["--pid", "container:target"], flags].concat(), "true").fails_with(125);
        }
    }
});

story!(who_joined_starts_again_after_the_other_did, [root, user], |brig| {
    brig.import_busybox();
    drop(brig.detached(&["--name", "target", "--network", "none"], "exec sleep 1000"));
    let id = brig
        .detached(&["--network", "none", "--pid", "container:target"], "cat /proc/1/comm; exec sleep 999");
    brig.ok(&["restart", "-t", "0", "target"]);
    // Its processes were the target's: they ended with it.
    assert_eq!(brig.ok(&["wait", &id]), "137\n");
    brig.ok(&["start", &id]);
    assert_eq!(brig.ok(&["exec", &id, "cat", "/proc/1/comm"]), "sleep\n");
    assert_eq!(brig.life(&id)["status"], "running");
});
