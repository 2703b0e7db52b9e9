//! The first thing that anybody types, on machines as people have them.

use crate::vm_test;

vm_test!(hello, [plain, apparmor, selinux], [root, user], |machine| {
    let seen = machine.ok(&["run", "--rm", "hello"]);
    assert!(seen.contains("hello"), "{seen}");
});

vm_test!(a_shell, [plain, apparmor, selinux], [root, user], |machine| {
    machine.import_busybox();
    let seen = machine.shell(&[], "cat /proc/self/cgroup; id -u").success();
    assert_eq!(seen, "0::/\n0\n", "as {}", if machine.is_root() { "root" } else { "user" });
    let runs = std::path::Path::new("/run/systemd/system").exists();
    assert_eq!(runs, machine.has_systemd());
});
