//! Faults that were there once, each told by what the person saw.

use std::process::Command;

use tests::story;

// Found by the lab: nginx, redis and sshd of a container could not be reached from inside it.
story!(a_network_of_its_own_has_loopback, [root, user, bare], |brig| {
    brig.import_busybox();
    let addresses = brig.shell(&["--network", "none"], "ip address show lo").success();
    assert!(addresses.contains("UP") && addresses.contains("127.0.0.1/8"), "{addresses}");
});

// Found by the lab: `ping` of an image made elsewhere could not be executed at all.
story!(a_file_with_a_capability_that_nobody_has_can_be_executed, [root, user], |brig| {
    testkit::needs!(root, program("setcap"));
    let (rootfs, archive) = (brig.directory().join("rootfs"), brig.directory().join("capable.tar"));
    testkit::busybox_rootfs(&rootfs);
    testkit::run(Command::new("setcap").arg("cap_net_raw+ep").arg(rootfs.join("bin/busybox"))).success();
    let pack = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--owner=0", "--group=0", "-C"];
    testkit::run(Command::new("tar").args(pack).arg(&rootfs).arg("-cf").arg(&archive).arg(".")).success();
    brig.ok(&["import", archive.to_str().expect("our paths are ASCII"), "capable"]);
    let command = ["run", "--rm", "-u", "1000", "capable", "grep", "^CapEff", "/proc/self/status"];
    assert_eq!(brig.ok(&command), "CapEff:\t0000000000000000\n");
});
