//! Hosts whose mounts are shared, as systemd's all are: what is mounted in a container stays there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;

use serde_json::json;

use crate::modules::{bundle, runtime, while_running};
use crate::vm_test;

/// Where a tree or a node of the host's lies in the container, as `source|place`.
const PLACES: [&str; 3] = ["/bin/sh|/proc/kcore", "/bin|/sys/fs/cgroup", "/bin|/mnt"];

vm_test!(mounts_of_a_container_stay_inside, [plain, apparmor, selinux], [root], |machine| {
    let mut bundle = bundle(machine, "bundle", "sleep 1000");
    let share = machine.directory().join("share");
    fs::create_dir(&share).unwrap();
    let capabilities = json!(["CAP_SYS_ADMIN"]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": capabilities, "effective": capabilities, "permitted": capabilities});
    // The host's hierarchies and a directory of its own are bound.
    let linux = &mut bundle.config["linux"];
    linux["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
    linux["maskedPaths"] = json!(["/proc/kcore"]);
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    mounts.push(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}));
    mounts.push(json!({"destination": "/mnt", "type": "bind", "source": share, "options": ["rbind"]}));
    let seen = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = seen();
    while_running(machine, &bundle, "one", || {
        for row in PLACES {
            let (source, place) = row.split_once('|').unwrap();
            let words = ["exec", "one", "mount", "-o", "bind", source, place];
            testkit::run(&mut runtime(machine, &words)).success();
            assert_eq!(seen(), before, "{place}");
        }
    });
    assert_eq!(seen(), before);
    // Asked for, it reaches the host: the machine's mounts are shared, and the test sees what it looks for.
    if machine.has_systemd() {
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.last_mut().unwrap()["options"] = json!(["rbind", "rshared"]);
        bundle.write();
        while_running(machine, &bundle, "two", || {
            testkit::run(&mut runtime(machine, &["exec", "two", "mount", "-o", "bind", "/bin", "/mnt"]))
                .success();
            assert!(seen().contains("/share"), "control");
            testkit::run(&mut runtime(machine, &["exec", "two", "umount", "/mnt"])).success();
        });
    }
});
