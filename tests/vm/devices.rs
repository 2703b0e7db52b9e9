//! Devices: an eBPF program of ours decides what may be made and opened.

use std::process::Command;

use serde_json::json;
use testkit::Bundle;

use crate::container::WAITS;
use crate::{Machine, vm_test};

/// A bundle whose root holds nodes that an image or a mount could have brought, and that may make more.
fn with_nodes(machine: &Machine, id: &str) -> Bundle {
    let devices = json!({"devices": [
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        {"allow": true, "type": "b", "major": 254, "minor": 32, "access": "r"}
    ]});
    let mut bundle = machine.bundle(id, WAITS, devices);
    for set in ["bounding", "effective", "permitted"] {
        let list = bundle.config["process"]["capabilities"][set].as_array_mut().expect("our own shape");
        list.push("CAP_MKNOD".into());
    }
    bundle.write();
    for (name, kind, major, minor) in
        [("disk", "b", "254", "0"), ("nothing", "c", "1", "3"), ("swap", "b", "254", "32")]
    {
        let node = bundle.rootfs().join(name);
        testkit::run(Command::new("mknod").args(["-m", "666"]).arg(node).args([kind, major, minor]))
            .success();
    }
    bundle
}

vm_test!(only_listed_devices_can_be_reached, [plain, apparmor], [root], |machine| {
    let container = machine.start_bundle("devices", &with_nodes(machine, "devices"));
    let check = || {
        for (command, is_allowed) in [
            (["dd", "if=/disk", "of=/dev/null", "count=1"].as_slice(), false),
            (&["dd", "if=/nothing", "of=/dev/null", "count=1"], true),
            (&["dd", "if=/swap", "of=/dev/null", "count=1"], true),
            // Reading is listed, writing is not.
            (&["dd", "if=/dev/zero", "of=/swap", "count=1", "conv=notrunc"], false),
            // As with every runtime a node may be made, by whoever has CAP_MKNOD; it opens nothing.
            (&["sh", "-c", "rm -f /made; mknod /made b 254 0 && dd if=/made of=/dev/null count=1"], false),
            (&["sh", "-c", "rm -f /made; mknod /made c 1 1 && dd if=/made of=/dev/null count=1"], false),
            (&["sh", "-c", "rm -f /made; mknod /made c 1 3 && echo x >/made"], true),
        ] {
            let outcome = container.exec(command);
            assert_eq!(outcome.code == 0, is_allowed, "{command:?}: {outcome}");
            assert!(is_allowed || outcome.stderr.contains("not permitted"), "{outcome}");
        }
    };
    check();
    // Another limit does not take the program away, nor does systemd's reload put its own in place.
    assert_eq!(container.update(&json!({"pids": {"limit": 99}})).code, 0);
    check();
    if machine.has_systemd() {
        testkit::run(Command::new("systemctl").arg("daemon-reload")).success();
        check();
    }
});

// Not beside SELinux, which refuses disks to `container_t` whatever the cgroup says.
vm_test!(run_opens_a_device_on_request, [plain, apparmor], [root], |machine| {
    machine.import_busybox();
    // The container's root is not the machine's: the node's own mode would keep it out.
    testkit::run(Command::new("chmod").args(["666", "/dev/vdc"])).success();
    let read = "dd if=/dev/vdc of=/dev/null count=1";
    let outcome = machine.shell(&["--device", "/dev/vdc:/dev/vdc:r"], read);
    assert_eq!(outcome.code, 0, "{outcome}");
    let outcome = machine
        .shell(&["--device", "/dev/vdc:/dev/vdc:r"], "dd if=/dev/zero of=/dev/vdc count=1 conv=notrunc");
    assert!(outcome.code != 0 && outcome.stderr.contains("not permitted"), "{outcome}");
    assert_ne!(machine.shell(&[], read).code, 0);
});
