//! SELinux: a label for each container, verified, or the start fails. Debian's policy has no type for containers: the
//! machine has a small one of the tests' own (`xtask/src/vm/guest/container.cil`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;

use serde_json::json;

use crate::modules::{as_root, as_user, bundle, import_for_user, run_bundle, runtime, while_running};
use crate::vm_test;

const CURRENT: &str = "cat /proc/1/attr/current";
const LABEL: &str = "system_u:system_r:container_t:s0:c1,c2";
const FILES: &str = "system_u:object_r:container_file_t:s0:c1,c2";

fn trim(label: &str) -> &str {
    label.trim_end_matches(['\0', '\n'])
}

vm_test!(containers_are_kept_apart, [selinux], [root], |machine| {
    machine.import_busybox();
    assert_eq!(fs::read_to_string("/sys/fs/selinux/enforce").unwrap(), "1");
    let labels = [0, 1].map(|_| {
        let outcome = machine.shell(&[], CURRENT);
        assert!(!outcome.stderr.contains("selinux"), "{outcome}");
        trim(&outcome.success()).to_owned()
    });
    for label in &labels {
        let categories =
            label.strip_prefix("system_u:system_r:container_t:s0:").unwrap_or_else(|| panic!("{label}"));
        assert_eq!(categories.split(',').count(), 2, "{label}");
    }
    assert_ne!(labels[0], labels[1]);
    let mounts = machine.shell(&[], "grep -E ' / | /dev/shm ' /proc/mounts").success();
    assert_eq!(mounts.matches("context=\"system_u:object_r:container_file_t:s0:").count(), 2, "{mounts}");
    machine.shell(&["--require-all"], "echo x > /root/f; cat /etc/hosts /root/f > /dev/null").success();
    assert_eq!(fs::read_dir("/run/brig/mcs").unwrap().count(), 0, "categories were not given back");

    // Files of one container, and another that can reach them.
    let share = machine.directory().join("share");
    fs::create_dir(&share).unwrap();
    fs::write(share.join("f"), "secret\n").unwrap();
    let open = format!(
        "chmod 755 {0} {1}; chmod 644 {1}/f; chcon -R {FILES} {1}",
        machine.directory().display(),
        share.display()
    );
    as_root(&open).success();
    let volume = format!("{}:/mnt", share.display());
    let same = ["-v", &volume, "--security-opt", "label=level:s0:c1,c2"];
    assert_eq!(machine.shell(&same, "cat /mnt/f").success(), "secret\n");
    let other = ["-v", &volume, "--security-opt", "label=level:s0:c3,c4"];
    let held = machine.shell(&other, "cat /mnt/f");
    assert!(held.code != 0 && held.stderr.contains("Permission denied"), "{held}");
    let control = machine.shell(&["-v", &volume, "--security-opt", "label=disable"], "cat /mnt/f");
    assert_eq!(control.stdout, "secret\n", "{control}");
    assert!(control.stderr.contains("`--security-opt label=disable` opens"), "{control}");
    // CVE-2021-43816: nothing is relabelled.
    for option in ["z", "Z"] {
        let error = machine.shell(&["-v", &format!("{volume}:{option}")], "true").fails_with(125);
        assert!(error.contains("does not relabel"), "{error}");
    }
});

vm_test!(a_label_that_cannot_be_had_fails_the_start, [selinux], [root], |machine| {
    machine.import_busybox();
    let error = machine.shell(&["--security-opt", "label=type:no_such_t"], "true").fails_with(125);
    assert!(error.contains("no_such_t") && error.contains("no such context"), "{error}");
    // A type of the policy that a container's process may not become.
    let outcome = machine.shell(&["--security-opt", "label=type:init_t"], "echo started");
    assert!(outcome.code == 126 && outcome.stdout.is_empty(), "{outcome}");
    assert!(outcome.stderr.contains("does not let the program start"), "{outcome}");
    let mut bundle = bundle(machine, "bundle", "echo started");
    for label in ["no:such:label:s0", "system_u:system_r:no_such_t:s0", "system_u:system_r:init_t:s0", "x"] {
        bundle.config["process"]["selinuxLabel"] = json!(label);
        let outcome = run_bundle(machine, &bundle, "one");
        assert!(outcome.code != 0 && !outcome.stdout.contains("started"), "{label}: {outcome}");
        assert!(outcome.stderr.contains(label), "{outcome}");
    }
});

vm_test!(a_bundle_gets_its_labels_and_exec_joins, [selinux], [root], |machine| {
    let mut bundle = bundle(machine, "bundle", "sleep 1000");
    as_root(&format!("chcon -R {FILES} {}", bundle.rootfs().display())).success();
    // In another order than the kernel shows.
    bundle.config["process"]["selinuxLabel"] = json!("system_u:system_r:container_t:s0:c2,c1");
    bundle.config["linux"]["mountLabel"] = json!("system_u:object_r:container_file_t:s0:c2,c1");
    let process = machine.directory().join("process.json");
    let words = json!({"args": ["cat", "/proc/self/attr/current"], "cwd": "/", "env": ["PATH=/bin"],
                       "user": {"uid": 0, "gid": 0}});
    fs::write(&process, words.to_string()).unwrap();
    while_running(machine, &bundle, "one", || {
        let exec = |arguments: &[&str]| {
            testkit::run(&mut runtime(machine, &[&["exec"], arguments].concat())).success()
        };
        assert_eq!(trim(&exec(&["one", "cat", "/proc/1/attr/current"])), LABEL);
        assert_eq!(trim(&exec(&["one", "cat", "/proc/self/attr/current"])), LABEL);
        assert_eq!(trim(&exec(&["--process", &process.to_string_lossy(), "one"])), LABEL);
        let mounts = exec(&["one", "cat", "/proc/mounts"]);
        let tmpfs = mounts.lines().find(|line| line.contains(" /dev tmpfs ")).unwrap();
        assert!(tmpfs.contains(&format!("context=\"{FILES}\"")), "{tmpfs}");
        let wrong = testkit::run(&mut runtime(
            machine,
            &["exec", "--process-label", "no:such:label:s0", "one", "true"],
        ));
        assert!(wrong.code != 0 && wrong.stderr.contains("no:such:label:s0"), "{wrong}");
    });
});

vm_test!(containers_of_a_user_are_confined, [selinux], [root], |machine| {
    import_for_user(machine);
    let outcome = as_user(&format!("$brig run --rm busybox sh -c '{CURRENT}; echo x > /root/f'"));
    assert!(outcome.code == 0 && outcome.stdout.contains(":system_r:container_t:s0:c"), "{outcome}");
});
