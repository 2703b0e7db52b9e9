//! Block I/O and huge pages.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::container::WAITS;
use crate::vm_test;

const MEBIBYTE: u64 = 1024 * 1024;

/// The disk below the test's directory.
fn disk() -> (u64, u64) {
    let text = fs::read_to_string("/sys/block/vda/dev").expect("the machine's disk");
    let (major, minor) = text.trim().split_once(':').expect("major:minor");
    (major.parse().expect("a number"), minor.parse().expect("a number"))
}

fn rate(rate: u64) -> Value {
    let (major, minor) = disk();
    json!([{"major": major, "minor": minor, "rate": rate}])
}

vm_test!(rates_of_a_disk, [plain, apparmor], [root], |machine| {
    let (major, minor) = disk();
    let resources = json!({"blockIO": {
        "throttleReadBpsDevice": rate(64 * MEBIBYTE), "throttleWriteBpsDevice": rate(MEBIBYTE),
        "throttleReadIOPSDevice": rate(5000), "throttleWriteIOPSDevice": rate(4000)
    }});
    let container = machine.start("slow", WAITS, resources);
    let mut words: Vec<String> = container.file("io.max").split(' ').map(str::to_owned).collect();
    words.sort();
    let expected = ["254:0", "rbps=67108864", "riops=5000", "wbps=1048576", "wiops=4000"];
    assert_eq!(words, expected.map(|word| word.replace("254:0", &format!("{major}:{minor}"))));
    // A lower bound of the time is what the limit is: a busy host only adds to it.
    let begun = Instant::now();
    let outcome =
        container.exec(&["dd", "if=/dev/zero", "of=/written", "bs=64k", "count=64", "oflag=direct"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    let took = begun.elapsed().as_secs_f32();
    assert!(took > 2.0, "4 MiB in {took} s at 1 MiB a second");
    assert!(container.file("io.stat").contains("wbytes="), "{}", container.file("io.stat"));
    assert_eq!(container.update(&json!({"blockIO": {"throttleWriteBpsDevice": rate(0)}})).code, 0);
    assert!(container.file("io.max").contains("wbps=max"), "{}", container.file("io.max"));
});

vm_test!(weights_of_a_disk, [plain, apparmor], [root], |machine| {
    let container = machine.start("weighs", WAITS, json!({"blockIO": {"weight": 500}}));
    assert_eq!(container.file("io.weight"), "default 4950");
});

// systemd has no such limit, and its slices do not hand the controller down.
vm_test!(huge_pages, [plain], [root], |machine| {
    let limits = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MEBIBYTE}]});
    let mut bundle = machine.bundle("huge", WAITS, limits);
    let mounts = bundle.config["mounts"].as_array_mut().expect("our own shape");
    mounts.push(json!({"destination": "/huge", "type": "hugetlbfs", "source": "none"}));
    bundle.write();
    let container = machine.start_bundle("huge", &bundle);
    assert_eq!(container.file("hugetlb.2MB.max"), (4 * MEBIBYTE).to_string());
    let outcome = container.exec(&["fallocate", "-l", "4194304", "/huge/two"]);
    assert_eq!(outcome.code, 0, "{outcome}");
    let outcome = container.exec(&["fallocate", "-l", "2097152", "/huge/third"]);
    assert_ne!(outcome.code, 0, "{outcome}");
    assert!(container.count("hugetlb.2MB.events", "max") > 0);
});
