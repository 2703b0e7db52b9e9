//! The engine's commands on pure cgroup v2: limits, changes of them, numbers, and what stays of a container.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::container::{cgroup_of, wait_until};
use crate::scope::{cgroups, systemctl};
use crate::{Machine, vm_test};

/// Waits to be told to end, and does.
pub(crate) const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done";

impl Machine {
    /// Starts a container in the background that has no network: the machine has no program for one.
    pub(crate) fn detached(&self, name: &str, flags: &[&str], script: &str) {
        let words = ["run", "-d", "--network", "none", "--name", name];
        // What is started keeps no stream of the test's.
        let outcome = testkit::run_detached(
            &mut self.command(&[&words, flags, &["busybox", "sh", "-c", script]].concat()),
        );
        assert_eq!(outcome.code, 0, "{flags:?}: {outcome}");
    }

    /// What `inspect` says of a container.
    pub(crate) fn inspect(&self, name: &str) -> Value {
        let shown: Value = serde_json::from_str(&self.ok(&["inspect", name])).expect("JSON");
        shown[0].clone()
    }

    /// The cgroup of a container that runs.
    pub(crate) fn cgroup(&self, name: &str) -> PathBuf {
        cgroup_of(self.inspect(name)["State"]["Pid"].as_i64().expect("a process"))
    }

    /// Compares files of a container's cgroup.
    fn assert_files(&self, name: &str, expected: &[(&str, &str)]) {
        let cgroup = self.cgroup(name);
        let read =
            |file: &str| fs::read_to_string(cgroup.join(file)).unwrap_or_else(|error| error.to_string());
        let seen: Vec<(&str, String)> =
            expected.iter().map(|(file, _)| (*file, read(file).trim_end().to_owned())).collect();
        let expected: Vec<(&str, String)> =
            expected.iter().map(|(file, text)| (*file, (*text).to_owned())).collect();
        assert_eq!(seen, expected, "{}", cgroup.display());
    }
}

/// Limits of which every person has the controllers, and what the cgroup says of them.
const LIMITS: &[&str] = &[
    "--memory=64m",
    "--memory-reservation=32m",
    "--memory-swap=96m",
    "--cpus=0.5",
    "--cpu-shares=512",
    "--pids-limit=50",
];
const LIMITED: &[(&str, &str)] = &[
    ("memory.max", "67108864"),
    ("memory.low", "33554432"),
    ("memory.swap.max", "33554432"),
    ("cpu.max", "50000 100000"),
    ("cpu.weight", "59"),
    ("pids.max", "50"),
];
const CHANGES: &[&str] = &[
    "--memory=128m",
    "--memory-reservation=48m",
    "--memory-swap=160m",
    "--cpus=0.25",
    "--cpu-shares=2048",
    "--pids-limit=60",
];
const CHANGED: &[(&str, &str)] = &[
    ("memory.max", "134217728"),
    ("memory.low", "50331648"),
    ("memory.swap.max", "33554432"),
    ("cpu.max", "25000 100000"),
    ("cpu.weight", "174"),
    ("pids.max", "60"),
];

vm_test!(limits_of_the_engine_are_kept_and_changed, [plain, apparmor], [root, user], |machine| {
    machine.import_busybox();
    machine.detached("limited", LIMITS, IDLE);
    machine.assert_files("limited", LIMITED);
    machine.ok(&[&["update"], CHANGES, &["limited"]].concat());
    machine.assert_files("limited", CHANGED);
    // systemd writes its own idea of a scope again when it is told to read its files.
    if machine.has_systemd() {
        systemctl(machine, &["daemon-reload"]);
        machine.assert_files("limited", CHANGED);
    }
    // One at a time, and the others stay.
    for (flag, file, text) in [
        ("--pids-limit=70", "pids.max", "70"),
        ("--cpus=1", "cpu.max", "100000 100000"),
        ("--cpu-shares=1024", "cpu.weight", "100"),
        ("--memory-reservation=16m", "memory.low", "16777216"),
    ] {
        machine.ok(&["update", flag, "limited"]);
        machine.assert_files("limited", &[(file, text), ("memory.max", "134217728")]);
    }
    // A later start has them, too.
    machine.ok(&["restart", "-t", "5", "limited"]);
    machine.assert_files(
        "limited",
        &[("memory.max", "134217728"), ("pids.max", "70"), ("cpu.max", "100000 100000")],
    );
});

// systemd 252 delegates neither to a user.
vm_test!(cpusets_and_disks_of_the_engine, [plain, apparmor], [root], |machine| {
    machine.import_busybox();
    let flags = [
        "--cpuset-cpus=0",
        "--cpuset-mems=0",
        "--blkio-weight=500",
        "--device-write-bps=/dev/vda:1m",
        "--device-read-iops=/dev/vda:500",
    ];
    machine.detached("disks", &flags, IDLE);
    machine
        .assert_files("disks", &[("cpuset.cpus", "0"), ("cpuset.mems", "0"), ("io.weight", "default 4950")]);
    let most = fs::read_to_string(machine.cgroup("disks").join("io.max")).expect("io.max");
    assert!(most.contains("wbps=1048576") && most.contains("riops=500"), "{most}");
    machine.ok(&["update", "--cpuset-cpus=0-1", "--cpuset-mems=1", "--blkio-weight=100", "disks"]);
    machine
        .assert_files("disks", &[("cpuset.cpus", "0-1"), ("cpuset.mems", "1"), ("io.weight", "default 910")]);
});

// A limit that was asked for and cannot be applied is an error, in a second and not in thirty.
vm_test!(a_limit_without_its_controller_is_refused, [apparmor], [user], |machine| {
    machine.import_busybox();
    for flag in ["--cpuset-cpus=0", "--blkio-weight=500", "--device-write-bps=/dev/vda:1m"] {
        let outcome = machine.run(&["run", "-d", "--network=none", "--name=none", flag, "busybox", "true"]);
        assert_eq!(outcome.code, 125, "{flag}: {outcome}");
        assert!(outcome.stderr.contains("hint: "), "{flag}: {outcome}");
        drop(machine.run(&["rm", "-f", "none"]));
    }
    assert!(cgroups().is_empty(), "{:?}", cgroups());
});

vm_test!(numbers_of_stats, [plain, apparmor], [root, user], |machine| {
    machine.import_busybox();
    let script = "dd if=/dev/zero of=/dev/shm/held bs=1M count=16; dd if=/dev/zero of=/written bs=64k count=64 conv=fsync; \
        sleep 1000 & sleep 1000 & touch /tmp/ready; while :; do :; done";
    machine.detached("busy", &["-m", "64m", "--pids-limit=50"], script);
    wait_until("it holds what it wants", || {
        machine.run(&["exec", "busy", "test", "-e", "/tmp/ready"]).code == 0
    });
    let numbers = || -> Value {
        serde_json::from_str(machine.ok(&["stats", "--no-stream", "--format", "json"]).trim()).expect("JSON")
    };
    let shown = numbers();
    let percent = |key: &str| -> f64 {
        shown[key]
            .as_str()
            .and_then(|text| text.strip_suffix('%')?.parse().ok())
            .unwrap_or_else(|| panic!("{shown}"))
    };
    assert_eq!((&shown["Name"], &shown["PIDs"]), (&"busy".into(), &"3".into()), "{shown}");
    assert!(percent("CPUPerc") > 1.0 && percent("CPUPerc") < 250.0, "{shown}");
    // 16 MiB in memory, and some of what was written.
    assert!(percent("MemPerc") > 24.0 && percent("MemPerc") <= 100.0, "{shown}");
    assert!(shown["MemUsage"].as_str().is_some_and(|text| text.ends_with(" / 64MiB")), "{shown}");
    assert_eq!(shown["NetIO"], "0B / 0B", "{shown}");
    // The controller of disks is root's alone where systemd 252 delegates.
    let written = shown["BlockIO"].as_str().and_then(|text| text.split(" / ").nth(1)).unwrap_or_default();
    if machine.is_root() || !machine.has_systemd() {
        assert!(written.ends_with("MB"), "{shown}");
    }
    // It stands still.
    let used = || -> String {
        let text = fs::read_to_string(machine.cgroup("busy").join("cpu.stat")).expect("cpu.stat");
        text.lines().find(|line| line.starts_with("usage_usec")).expect("its usage").to_owned()
    };
    machine.ok(&["pause", "busy"]);
    assert_eq!(machine.inspect("busy")["State"]["Status"], "paused");
    let before = used();
    assert_eq!(numbers()["CPUPerc"], "0.00%");
    assert_eq!(used(), before);
    let refused = machine.run(&["exec", "busy", "true"]);
    assert!(refused.code != 0 && refused.stderr.contains("paused"), "{refused}");
    machine.ok(&["unpause", "busy"]);
    wait_until("it goes on", || used() != before);
    machine.ok(&["rm", "-f", "busy"]);
    assert!(cgroups().is_empty(), "{:?}", cgroups());
});

// Beside systemd the scope, and the count in it, is gone with the last process.
vm_test!(a_kill_for_memory_is_told, [plain, apparmor], [root, user], |machine| {
    machine.import_busybox();
    let limit = ["-m", "32m", "--memory-swap", "32m"];
    machine.detached("eater", &limit, "exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    assert_eq!(machine.ok(&["wait", "eater"]), "137\n");
    let state = machine.inspect("eater")["State"].clone();
    assert_eq!((&state["OOMKilled"], &state["ExitCode"]), (&true.into(), &137.into()), "{state}");
    let actions = || machine.ok(&["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"]);
    wait_until("die and oom are told", || {
        let actions = actions();
        ["die", "oom"].iter().all(|wanted| actions.lines().any(|action| action == *wanted))
    });
    // Again and again: systemd removes the scope while its end is seen.
    for _ in 0..8 {
        machine.ok(&["start", "eater"]);
        assert_eq!(machine.ok(&["wait", "eater"]), "137\n");
        assert_eq!(machine.inspect("eater")["State"]["OOMKilled"], true);
    }
    // A process that is not the first: the container lives on, and it is told at its end.
    let forks = "dd if=/dev/zero of=/dev/null bs=64M count=1; exit 3";
    machine.detached("parent", &limit, forks);
    assert_eq!(machine.ok(&["wait", "parent"]), "3\n");
    // One that was killed by hand was not.
    machine.detached("killed", &limit, IDLE);
    machine.ok(&["kill", "killed"]);
    assert_eq!(machine.ok(&["wait", "killed"]), "137\n");
    assert_eq!(machine.inspect("killed")["State"]["OOMKilled"], false);
});

vm_test!(the_engine_leaves_no_cgroup, [plain, apparmor], [root, user], |machine| {
    machine.import_busybox();
    for (name, end) in [
        ("first", &["stop", "-t", "5"][..]),
        ("second", &["kill"]),
        ("third", &["rm", "-f"]),
        ("fourth", &["stop", "-t", "0"]),
    ] {
        machine.detached(name, &["-m", "64m"], IDLE);
        assert_eq!(cgroups().len(), 1, "{:?}", cgroups());
        machine.ok(&[end, &[name]].concat());
        wait_until("no cgroup", || cgroups().is_empty());
    }
    machine.detached("gone", &["--rm"], "true");
    wait_until("the container is gone", || machine.ok(&["ps", "-aq", "--filter", "name=gone"]).is_empty());
    wait_until("no cgroup", || cgroups().is_empty());
    if machine.has_systemd() {
        assert_eq!(
            systemctl(machine, &["list-units", "--all", "--plain", "--no-legend", "brig-*.scope"]),
            ""
        );
    }
});

/// A start that fails, with what it says.
fn fails(machine: &Machine, flags: &[&str], code: i32) {
    let words: &[&[&str]] = &[&["run", "-d", "--network=none", "--name=bad"], flags];
    let outcome = testkit::run_detached(&mut machine.command(&words.concat()));
    assert_eq!(outcome.code, code, "{flags:?}: {outcome}");
    drop(machine.run(&["rm", "-f", "bad"]));
    assert!(cgroups().is_empty(), "{flags:?}: {:?}", cgroups());
}

vm_test!(a_start_that_fails_leaves_no_cgroup, [plain, apparmor], [root, user], |machine| {
    machine.import_busybox();
    fails(machine, &["busybox", "no-such-program"], 127);
    fails(machine, &["busybox", "/etc"], 126);
    fails(machine, &["-v", "/no/such/place:/here:ro", "busybox", "true"], 125);
    fails(machine, &["--workdir=/proc/self/fd/3", "busybox", "true"], 125);
    fails(machine, &["--memory=64m", "--memory-swap=32m", "busybox", "true"], 125);
    fails(machine, &["--cpuset-cpus=99", "busybox", "true"], 125);
    fails(machine, &["--sysctl=net.ipv4.no_such=1", "busybox", "true"], 125);
});
