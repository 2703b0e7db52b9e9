//! Number of tasks, freezing, killing, statistics, `update`.

use serde_json::{Value, json};

use crate::container::{WAITS, no_limits};
use crate::vm_test;

/// Starts more processes than a small limit allows.
const FORKS: &[&str] = &["sh", "-c", "for number in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; wait"];

vm_test!(a_fork_beyond_the_limit_fails, [plain, apparmor], [root, user], |machine| {
    let container = machine.start("forks", WAITS, json!({"pids": {"limit": 8}}));
    assert_eq!(container.file("pids.max"), "8");
    let outcome = container.exec(FORKS);
    assert_ne!(outcome.code, 0, "{outcome}");
    assert!(outcome.stderr.contains("fork"), "{outcome}");
    assert!(container.count("pids.events", "max") > 0);
    let now: u64 = container.file("pids.current").parse().expect("a number");
    assert!(now <= 8, "{now}");
});

vm_test!(a_paused_container_stands_still, [plain, apparmor], [root, user], |machine| {
    let container = machine.start("paused", &["sh", "-c", "while :; do :; done"], no_limits());
    container.until("work", |container| container.count("cpu.stat", "usage_usec") > 0);
    container.ok(&["pause"]);
    assert_eq!(container.state()["status"], "paused");
    assert_eq!(container.count("cgroup.events", "frozen"), 1);
    let used = container.count("cpu.stat", "usage_usec");
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(container.count("cpu.stat", "usage_usec"), used);
    assert_ne!(container.exec(&["true"]).code, 0, "nothing starts in a paused container");
    container.ok(&["resume"]);
    assert_eq!(container.state()["status"], "running");
    container.until("work goes on", |container| container.count("cpu.stat", "usage_usec") > used);
});

vm_test!(a_kill_reaches_all, [plain, apparmor], [root, user], |machine| {
    // Without a pid namespace of its own the first process takes no other along.
    let mut bundle = machine.bundle("many", WAITS, no_limits());
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().expect("our own shape");
    namespaces.retain(|namespace| namespace["type"] != "pid");
    if !machine.is_root() {
        // A user cannot mount a procfs of a pid namespace that is not theirs.
        let mounts = bundle.config["mounts"].as_array_mut().expect("our own shape");
        mounts.retain(|mount| mount["type"] != "proc");
        bundle.config["linux"]["maskedPaths"] = json!([]);
        bundle.config["linux"]["readonlyPaths"] = json!([]);
        mounts_proc(&mut bundle.config);
    }
    bundle.write();
    let container = machine.start_bundle("many", &bundle);
    let mut beside =
        container.exec_beside(&["setsid", "sh", "-c", "trap '' TERM HUP INT; while :; do sleep 1; done"]);
    // systemd takes an empty scope away, and its cgroup with it.
    let listed = || std::fs::read_to_string(container.cgroup().join("cgroup.procs")).unwrap_or_default();
    let processes = || listed().lines().count();
    // The trap is set when its first `sleep` runs.
    container.until("the second process and its child", |_| processes() >= 4);
    container.ok(&["kill", "--all"].map(|word| word));
    container.until("only those that refuse", |_| processes() >= 1);
    testkit::run(&mut machine.runtime(&["kill", "--all", "many", "KILL"])).success();
    container.until("nobody", |_| processes() == 0);
    beside.wait().expect("its end");
});

/// The host's procfs, bound: what a user can have without a pid namespace.
fn mounts_proc(config: &mut Value) {
    let mounts = config["mounts"].as_array_mut().expect("our own shape");
    mounts
        .insert(0, json!({"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]}));
}

vm_test!(statistics_tell_limits_and_usage, [plain, apparmor], [root, user], |machine| {
    let limit = 64 * 1024 * 1024;
    let resources = json!({"memory": {"limit": limit}, "pids": {"limit": 50}, "cpu": {"quota": 50_000, "period": 100_000}});
    let container = machine.start("stats", WAITS, resources);
    let text = container.ok(&["events", "--stats"]);
    let stats: Value = serde_json::from_str(&text).expect("JSON");
    let data = &stats["data"];
    assert_eq!(stats["type"], "stats", "{text}");
    assert_eq!(data["memory"]["usage"]["limit"], limit, "{text}");
    assert!(
        data["memory"]["usage"]["usage"].as_u64().is_some_and(|usage| usage > 0 && usage < limit),
        "{text}"
    );
    assert_eq!(data["pids"]["limit"], 50, "{text}");
    assert!(data["pids"]["current"].as_u64().is_some_and(|current| current >= 1), "{text}");
    assert!(data["cpu"]["usage"]["total"].as_u64().is_some_and(|total| total > 0), "{text}");
});

vm_test!(limits_can_be_changed, [plain, apparmor], [root, user], |machine| {
    let container =
        machine.start("changes", WAITS, json!({"memory": {"limit": 67_108_864}, "pids": {"limit": 50}}));
    let changed = json!({"memory": {"limit": 134_217_728}, "pids": {"limit": 60}, "cpu": {"shares": 512, "quota": 30_000, "period": 100_000}});
    let outcome = container.update(&changed);
    assert_eq!(outcome.code, 0, "{outcome}");
    let check = || {
        for (file, value) in [
            ("memory.max", "134217728"),
            ("pids.max", "60"),
            ("cpu.weight", "59"),
            ("cpu.max", "30000 100000"),
        ] {
            assert_eq!(container.file(file), value, "{file}");
        }
    };
    check();
    if machine.has_systemd() {
        // systemd writes what it knows again whenever it reloads.
        let user = if machine.is_root() { "--system" } else { "--user" };
        testkit::run(std::process::Command::new("systemctl").args([user, "daemon-reload"])).success();
        check();
    }
});

vm_test!(the_unified_map_is_written_as_it_is, [plain, apparmor], [root, user], |machine| {
    let resources = json!({"unified": {"pids.max": "33", "memory.high": "50331648", "cpu.weight": "77"}});
    let container = machine.start("unified", WAITS, resources);
    for (file, value) in [("pids.max", "33"), ("memory.high", "50331648"), ("cpu.weight", "77")] {
        assert_eq!(container.file(file), value, "{file}");
    }
    let outcome = machine.run_limited("unknown", &["true"], json!({"unified": {"memory.nonsense": "1"}}));
    assert_ne!(outcome.code, 0, "a limit that cannot be applied is an error");
});
