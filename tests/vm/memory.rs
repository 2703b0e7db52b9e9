//! Limits of memory and swap.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::container::WAITS;
use crate::vm_test;

const MEBIBYTE: u64 = 1024 * 1024;
/// Touches 64 MiB at once.
const TAKE_64: &[&str] = &["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"];

vm_test!(beyond_the_limit_is_killed, [plain, apparmor], [root, user], |machine| {
    let limit = 32 * MEBIBYTE;
    // Memory and swap together: no swap.
    let resources = json!({"memory": {"limit": limit, "swap": limit}});
    let outcome = machine.run_limited("small", TAKE_64, resources.clone());
    assert_eq!(outcome.code, 137, "{outcome}");
    let container = machine.start("small", WAITS, resources);
    assert_eq!(container.file("memory.max"), limit.to_string());
    assert_eq!(container.file("memory.swap.max"), "0");
    let outcome = container.exec(TAKE_64);
    assert_eq!(outcome.code, 137, "{outcome}");
    assert!(container.count("memory.events", "oom_kill") > 0);
    assert_eq!(container.state()["status"], "running", "only what took the memory is killed");
});

vm_test!(out_of_memory_is_an_event, [plain, apparmor], [root, user], |machine| {
    let limit = 32 * MEBIBYTE;
    let container = machine.start("events", WAITS, json!({"memory": {"limit": limit, "swap": limit}}));
    let mut command = machine.runtime(&["events", "--interval", "200ms", "events"]);
    let mut events = command.stdout(Stdio::piped()).spawn().expect("brig runs");
    let lines = BufReader::new(events.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let mut events_of = lines.map(|line| serde_json::from_str::<Value>(&line).expect("JSON"));
    assert_eq!(events_of.next().expect("statistics first")["type"], "stats");
    assert_eq!(container.exec(TAKE_64).code, 137);
    // It would go on for ever without one: the machine's time limit ends that.
    let told = events_of.find(|event| event["type"] == "oom").expect("the event");
    assert_eq!(told["id"], "events");
    testkit::run(&mut machine.runtime(&["kill", "--all", "events", "KILL"])).success();
    events.wait().expect("its end");
});

vm_test!(swap_is_limited_beside_memory, [plain, apparmor], [root, user], |machine| {
    let resources = json!({"memory": {"limit": 32 * MEBIBYTE, "swap": 112 * MEBIBYTE}});
    let container = machine.start("swaps", WAITS, resources);
    assert_eq!(container.file("memory.swap.max"), (80 * MEBIBYTE).to_string());
    // What is killed without swap lives with it. Zeros would not do: the kernel keeps no page of them.
    let outcome =
        container.exec(&["dd", "if=/dev/urandom", "of=/dev/null", "bs=48M", "count=1", "iflag=fullblock"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    let peak: u64 = container.file("memory.swap.peak").parse().expect("a number");
    assert!(peak > 8 * MEBIBYTE, "{peak}");
    assert_eq!(container.count("memory.events", "oom_kill"), 0);
});

vm_test!(reservation_and_high, [plain, apparmor], [root, user], |machine| {
    let resources = json!({
        "memory": {"reservation": 16 * MEBIBYTE},
        "unified": {"memory.high": (32 * MEBIBYTE).to_string()}
    });
    let container = machine.start("high", WAITS, resources);
    assert_eq!(container.file("memory.low"), (16 * MEBIBYTE).to_string());
    assert_eq!(container.file("memory.high"), (32 * MEBIBYTE).to_string());
    // Beyond the high mark nothing is killed: it is slowed down and swapped out.
    let outcome = container.exec(TAKE_64);
    assert_eq!(outcome.code, 0, "{outcome}");
    assert!(container.count("memory.events", "high") > 0);
    assert_eq!(container.count("memory.events", "oom_kill"), 0);
});

// Not beside SELinux: the policy of the tests' machine lets no container read cgroups, and no user reach the bus.
vm_test!(flags_of_run_are_enforced, [plain, apparmor], [root, user], |machine| {
    machine.import_busybox();
    let limited = ["-m", "48m", "--memory-swap", "48m", "--pids-limit", "64", "--cpus", "0.5"];
    let seen = machine
        .shell(&limited, "cd /sys/fs/cgroup; cat memory.max memory.swap.max pids.max cpu.max")
        .success();
    assert_eq!(seen, format!("{}\n0\n64\n50000 100000\n", 48 * MEBIBYTE));
    let outcome = machine.shell(&limited, &TAKE_64.join(" "));
    assert_eq!(outcome.code, 137, "{outcome}");
});
