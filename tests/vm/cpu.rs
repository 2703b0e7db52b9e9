//! Limits of processor time, and placement.

use serde_json::json;

use crate::container::{Container, WAITS};
use crate::vm_test;

const SPINS: &[&str] = &["sh", "-c", "while :; do :; done"];
const PERIOD: u64 = 100_000;

/// Processor time used and periods passed, as the kernel counted them.
fn usage(container: &Container<'_>) -> (u64, u64) {
    (container.count("cpu.stat", "usage_usec"), container.count("cpu.stat", "nr_periods"))
}

vm_test!(a_quota_throttles, [plain, apparmor], [root, user], |machine| {
    let container = machine.start("fifth", SPINS, json!({"cpu": {"quota": PERIOD / 5, "period": PERIOD}}));
    assert_eq!(container.file("cpu.max"), format!("{} {PERIOD}", PERIOD / 5));
    container.until("throttling", |container| container.count("cpu.stat", "nr_throttled") > 3);
    // Against the kernel's own periods, not the clock: a busy host makes them fewer, not shorter.
    let before = usage(&container);
    container.until("twenty periods", |container| usage(container).1 >= before.1 + 20);
    let after = usage(&container);
    let (used, allowed) = (after.0 - before.0, (after.1 - before.1) * PERIOD / 5);
    assert!(used < allowed * 2, "{used} µs used where {allowed} µs were allowed");
    // Lifted, it spins on.
    assert_eq!(container.update(&json!({"cpu": {"quota": -1}})).code, 0);
    assert_eq!(container.file("cpu.max"), format!("max {PERIOD}"));
});

vm_test!(shares_become_weights, [plain, apparmor], [root, user], |machine| {
    for (shares, weight) in [(1024, "100"), (512, "59"), (2, "1"), (262_144, "10000")] {
        let container = machine.start("shares", WAITS, json!({"cpu": {"shares": shares}}));
        assert_eq!(container.file("cpu.weight"), weight, "{shares} shares");
    }
});

vm_test!(weights_divide_a_processor, [plain, apparmor], [root], |machine| {
    let start = |id, shares| machine.start(id, SPINS, json!({"cpu": {"shares": shares, "cpus": "1"}}));
    let (light, heavy) = (start("light", 64), start("heavy", 1024));
    let (first_light, first_heavy) = (usage(&light).0, usage(&heavy).0);
    heavy.until("two seconds of work", |heavy| usage(heavy).0 > first_heavy + 2_000_000);
    let (light, heavy) = (usage(&light).0 - first_light, usage(&heavy).0 - first_heavy);
    assert!(heavy > light * 2, "{heavy} µs against {light} µs");
});

vm_test!(a_cpuset_places, [plain, apparmor], [root], |machine| {
    let container = machine.start("placed", WAITS, json!({"cpu": {"cpus": "1", "mems": "1"}}));
    let allowed =
        |container: &Container<'_>| container.exec(&["grep", "_allowed_list", "/proc/self/status"]).success();
    assert_eq!(container.file("cpuset.cpus"), "1");
    assert_eq!(container.file("cpuset.mems"), "1");
    assert_eq!(allowed(&container), "Cpus_allowed_list:\t1\nMems_allowed_list:\t1\n");
    assert_eq!(container.exec(&["nproc"]).success(), "1\n");
    assert_eq!(container.update(&json!({"cpu": {"cpus": "0", "mems": "0-1"}})).code, 0);
    assert_eq!(allowed(&container), "Cpus_allowed_list:\t0\nMems_allowed_list:\t0-1\n");
    // A processor that the machine lacks is an error, not an empty set.
    assert_ne!(container.update(&json!({"cpu": {"cpus": "7"}})).code, 0);
});
