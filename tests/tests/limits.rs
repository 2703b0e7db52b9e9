//! What a default container can do to its neighbours and to the host: nothing that one would notice.
//!
//! Each story lets one container try to use up something, and then asks another container and the host for an answer.
//! Nothing here is measured: an answer comes or it does not.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::path::Path;

use tests::{Brig, story};

const IDLE: &str = "trap exit TERM; while :; do sleep 1000 & wait; done";

/// Lets `script` do its worst in a default container, which says `done` in /tmp/done once it did, and looks at what is
/// left: the neighbour answers, a new container starts, the host makes processes.
fn against(brig: &Brig, flags: &[&str], script: &str, tell: impl FnOnce(&str)) {
    brig.import_busybox();
    let neighbour = brig.detached(&[], IDLE);
    let hostile = brig.detached(flags, script);
    while brig.run(&["exec", &neighbour, "true"]).code == 0 && !is_done(brig, &hostile) {}
    assert_eq!(brig.ok(&["exec", &neighbour, "echo", "here"]), "here\n");
    assert_eq!(brig.shell(&[], "echo new").success(), "new\n");
    testkit::run(&mut brig.other("true")).success();
    tell(&hostile);
    for id in [&hostile, &neighbour] {
        brig.ok(&["rm", "-f", id]);
    }
}

/// Whether the hostile one said that it is done, or ended.
fn is_done(brig: &Brig, id: &str) -> bool {
    brig.store().join("containers").join(id).join("upper/tmp/done").exists()
        || brig.ok(&["stats", "-a", "--no-stream", "--format", "{{.PIDs}}", id]).trim() == "--"
}

story!(a_fork_bomb_meets_the_limit_of_tasks, [root], |brig| {
    testkit::needs!(cgroup_v1("pids"));
    // It forks until it cannot: the shell ends with the first failure, its children stay.
    let script = "(while :; do sleep 1000 & done); echo >/tmp/done; while :; do sleep 1000; done";
    against(brig, &[], script, |id| {
        let tasks = brig.ok(&["stats", "--no-stream", "--format", "{{.PIDs}}", id]);
        let tasks: u32 = tasks.trim().parse().unwrap();
        assert!((500..=1024).contains(&tasks), "{tasks}");
        // Full, it still can be looked at from outside.
        assert!(brig.ok(&["top", id]).lines().count() > 500);
    });
});

story!(a_memory_hog_is_the_one_that_is_killed, [root], |brig| {
    testkit::needs!(cgroup_v1("memory"));
    // A default container has the reservation of the host's 80 %: to fill that would hurt this machine, so the limit is
    // named. What is shown is who dies.
    let script =
        "head -c 300m /dev/zero | tail -c 300m >/dev/null; echo >/tmp/done; while :; do sleep 1000; done";
    against(brig, &["--memory", "64m", "--memory-swap", "64m"], script, |id| {
        assert_eq!(brig.ok(&["exec", id, "cat", "/proc/1/comm"]), "sh\n");
    });
});

// The machines of `cargo xtask vm` show it on cgroup v2, beside systemd as well.
story!(a_kill_for_memory_is_told, [root], |brig| {
    testkit::needs!(cgroup_v1("memory"));
    brig.import_busybox();
    let flags = ["--network=none", "--memory", "32m", "--memory-swap", "32m"];
    let id = brig.detached(&flags, "exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    assert_eq!(brig.ok(&["wait", &id]), "137\n");
    assert_eq!(brig.ok(&["inspect", "--format", "{{.State.OOMKilled}}", &id]), "true\n");
    tests::eventually("its end and why are told", || {
        let told = brig.ok(&["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"]);
        ["die", "oom"].iter().all(|wanted| told.lines().any(|action| action == *wanted))
    });
    // Who is killed by hand was not.
    let id = brig.detached(&flags, IDLE);
    brig.ok(&["kill", &id]);
    assert_eq!(brig.ok(&["wait", &id]), "137\n");
    assert_eq!(brig.ok(&["inspect", "--format", "{{.State.OOMKilled}}", &id]), "false\n");
});

story!(descriptors_end_where_their_limit_is, [root, user, bare], |brig| {
    let script = "n=3; while eval \"exec $n</dev/null\" 2>/dev/null; do n=$((n+1)); done";
    let script = format!("(ulimit -n; {script}); echo >/tmp/done; while :; do sleep 1000; done");
    against(brig, &[], &script, |id| {
        assert_eq!(brig.ok(&["exec", id, "sh", "-c", "ulimit -n"]), "1024\n");
    });
});

story!(a_flood_of_output_is_kept_to_three_files_of_ten_megabytes, [root, user, bare], |brig| {
    let script = "head -c 48m /dev/zero | tr '\\\\0' 'x' | fold -w 1000; echo >/tmp/done; while :; do sleep 1000; done";
    against(brig, &[], script, |id| {
        let directory = brig.store().join("containers").join(id);
        assert!(size_of(&directory.join("log")) <= 33 << 20);
    });
});

fn size_of(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    entries.map(|entry| entry.metadata().unwrap().len()).sum()
}

story!(the_memory_of_dev_shm_and_run_is_bounded, [root, user, bare], |brig| {
    brig.import_busybox();
    let outcome = brig
        .shell(&[], "head -c 80m /dev/zero >/dev/shm/fill; wc -c </dev/shm/fill; df -k /dev/shm | tail -1");
    let size: u64 = outcome.stdout.lines().next().unwrap().trim().parse().unwrap();
    assert!(size <= 64 << 20, "{outcome}");
});
