//! The first thing that anybody types, on machines as people have them.

use crate::vm_test;

vm_test!(hello, [plain, apparmor, selinux], [root, user], |machine| {
    let seen = machine.ok(&["run", "--rm", "hello"]);
    assert!(seen.contains("doors closed; none open"), "{seen}");
});

vm_test!(a_shell, [plain, apparmor, selinux], [root, user], |machine| {
    machine.import_busybox();
    let seen = machine.shell(&[], "cat /proc/self/cgroup; id -u").success();
    assert_eq!(seen, "0::/\n0\n", "as {}", if machine.is_root() { "root" } else { "user" });
    let runs = std::path::Path::new("/run/systemd/system").exists();
    assert_eq!(runs, machine.has_systemd());
});

// On kernels before 6.15 layers are attached for a moment; where the host's mounts are shared, the first container left
// one of them over its own layer, and no other could start from it.
vm_test!(nothing_stays_mounted, [plain, apparmor, selinux], [root], |machine| {
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    let before = mounts();
    for _ in 0..2 {
        machine.ok(&["run", "--rm", "hello"]);
    }
    assert_eq!(mounts(), before);
});
