//! Where the cgroup of a container lies, who made it, and that nothing of it stays.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::container::{WAITS, cgroup_of, wait_until};
use crate::{Machine, vm_test};

/// The cgroups of containers that there are, by their directories.
pub(crate) fn cgroups() -> BTreeSet<String> {
    fn walk(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().starts_with("brig-") {
                    found.insert(entry.path().display().to_string());
                }
                walk(&entry.path(), found);
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(Path::new("/sys/fs/cgroup"), &mut found);
    // The harness's own.
    found.retain(|path| !path.ends_with("brig-agent.service"));
    found
}

/// systemctl of the person's own systemd.
pub(crate) fn systemctl(machine: &Machine, words: &[&str]) -> String {
    let whose = if machine.is_root() { "--system" } else { "--user" };
    testkit::run(Command::new("systemctl").arg(whose).args(words)).success()
}

// Beside SELinux only as root below: the policy of the tests' machine lets no user reach the bus.
vm_test!(systemd_knows_a_container, [apparmor], [root, user], |machine| {
    let limit = 64 * 1024 * 1024;
    let container = machine.start("known", WAITS, json!({"memory": {"limit": limit}, "pids": {"limit": 40}}));
    let name = container.cgroup().file_name().expect("a scope").to_string_lossy().into_owned();
    assert_eq!(name, "brig-known.scope");
    let shown = systemctl(machine, &["show", "--property=ActiveState,Delegate,MemoryMax,TasksMax", &name]);
    let shown: BTreeSet<&str> = shown.lines().collect();
    let memory = format!("MemoryMax={limit}");
    assert_eq!(shown, BTreeSet::from(["ActiveState=active", "Delegate=yes", "TasksMax=40", &memory]));
    container.ok(&["delete", "--force"]);
    assert_eq!(cgroups(), BTreeSet::new());
    assert_eq!(systemctl(machine, &["list-units", "--all", "--plain", "--no-legend", "brig-known*"]), "");
});

vm_test!(run_takes_a_scope_where_systemd_rules, [apparmor], [root, user], |machine| {
    takes_a_scope(machine);
});

vm_test!(run_takes_a_scope_beside_selinux, [selinux], [root], |machine| {
    takes_a_scope(machine);
});

/// Whether the payload runs in a cgroup.
fn sleeps_in(path: &str) -> bool {
    let is_payload = |pid: &str| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("sleep"))
    };
    fs::read_to_string(format!("{path}/cgroup.procs")).is_ok_and(|text| text.lines().any(is_payload))
}

fn takes_a_scope(machine: &Machine) {
    machine.import_busybox();
    let mut command = machine.command(&["run", "--rm", "-m", "64m", "busybox", "sleep", "1000"]);
    let mut running =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("brig");
    wait_until("the scope", || cgroups().iter().any(|path| path.ends_with(".scope")));
    let path = cgroups().into_iter().next().expect("one");
    let slice = if machine.is_root() { "/sys/fs/cgroup/system.slice/brig-" } else { "/user@1000.service/" };
    assert!(path.contains(slice), "{path}");
    wait_until("its limit", || {
        fs::read_to_string(format!("{path}/memory.max")).is_ok_and(|text| text == "67108864\n")
    });
    wait_until("the container's process", || sleeps_in(&path));
    fs::write(format!("{path}/cgroup.kill"), "1").expect("the container's own cgroup");
    running.wait().expect("its end");
    wait_until("no cgroup", || cgroups().is_empty());
}

vm_test!(nothing_stays_of_twenty_runs, [plain, apparmor], [root, user], |machine| {
    machine.import_busybox();
    for _ in 0..20 {
        machine.ok(&["run", "--rm", "--network", "none", "busybox", "true"]);
    }
    assert_eq!(cgroups(), BTreeSet::new());
    if machine.has_systemd() {
        assert_eq!(
            systemctl(machine, &["list-units", "--all", "--plain", "--no-legend", "brig-*.scope"]),
            ""
        );
    }
});

vm_test!(nothing_stays_of_a_killed_brig, [plain, apparmor], [root, user], |machine| {
    machine.import_busybox();
    let mut command = machine.command(&["run", "--name", "orphan", "busybox", "sleep", "1000"]);
    let mut running =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("brig");
    wait_until("the cgroup", || !cgroups().is_empty());
    let path = cgroups().into_iter().next().expect("one");
    wait_until("the container's process", || sleeps_in(&path));
    running.kill().expect("it is there");
    running.wait().expect("its end");
    machine.ok(&["rm", "--force", "orphan"]);
    wait_until("no cgroup", || cgroups().is_empty());
});

vm_test!(a_container_is_not_in_its_callers_cgroup, [plain, apparmor], [root, user], |machine| {
    let container = machine.start("apart", WAITS, json!({}));
    let own = cgroup_of(i64::from(std::process::id()));
    assert_ne!(*container.cgroup(), own);
    assert!(container.cgroup().join("cgroup.procs").exists());
});
