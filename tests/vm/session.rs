//! The ends of sessions and of the machine's life: what a container in the background outlives, and what starts it again.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::container::wait_until;
use crate::engine::IDLE;
use crate::scope::{cgroups, systemctl};
use crate::{Machine, vm_test};

/// A command of the user's in a session of its own, which ends with it. Root types it.
fn as_user(script: &str) -> String {
    let script = format!("export PATH=$PATH:/build/bin; {script}");
    testkit::run_detached(Command::new("su").args(["-l", "user", "-c", &script])).success()
}

/// Root's, for what only an administrator may do.
fn administrator(words: &[&str]) {
    testkit::run(Command::new(words[0]).args(&words[1..])).success();
}

fn status(name: &str) -> String {
    as_user(&format!("brig inspect --format '{{{{.State.Status}}}}' {name}")).trim().to_owned()
}

// With linger the user's service manager stays. Without it, it goes with the last session, and takes its scopes along:
// `brig doctor` and the unit of `generate boot` name loginctl enable-linger.
vm_test!(a_container_outlives_its_session_with_linger, [apparmor], [root], |machine| {
    let archive = testkit::busybox_tar(machine.directory());
    testkit::run(Command::new("chmod").arg("755").arg(machine.directory())).success();
    as_user(&format!("brig import {} busybox", archive.display()));
    as_user(&format!("brig run -d --network=none --name=stays -m 64m busybox sh -c \"{IDLE}\""));
    assert_eq!(status("stays"), "running");
    // The test's own session, too.
    administrator(&["loginctl", "terminate-session", &session_of("user")]);
    wait_until("no session of the user's", || session_of("user").is_empty());
    assert_eq!(cgroups().len(), 1, "{:?}", cgroups());
    assert_eq!(status("stays"), "running");
    assert_eq!(as_user("brig exec stays echo here"), "here\n");
    administrator(&["loginctl", "disable-linger", "user"]);
    wait_until("the user's systemd ends", || !Path::new("/run/user/1000").exists());
    wait_until("no cgroup", || cgroups().is_empty());
    // Who logs in again finds it ended, and nothing lost: it starts again.
    assert_eq!(status("stays"), "exited");
    administrator(&["loginctl", "enable-linger", "user"]);
    wait_until("the user's systemd is there again", || Path::new("/run/user/1000/bus").exists());
    as_user("brig start stays");
    assert_eq!(status("stays"), "running");
    as_user("brig rm -f stays");
    wait_until("no cgroup", || cgroups().is_empty());
});

fn session_of(user: &str) -> String {
    let listed = testkit::run(Command::new("loginctl").args(["list-sessions", "--no-legend"])).success();
    let own = listed.lines().find(|line| line.split_whitespace().any(|word| word == user));
    own.and_then(|line| line.split_whitespace().next()).unwrap_or_default().to_owned()
}

/// Ends everything of `brig`'s as a reboot does: all processes at once, the scopes, the run directory.
fn reboot(machine: &Machine) {
    // Asked first: who looks at a container whose monitor was killed adopts it, and starts it by its policy.
    let run = machine.ok(&["info", "--format", "{{.RunRoot}}"]);
    for path in cgroups() {
        fs::write(format!("{path}/cgroup.freeze"), "1").expect("the container's own cgroup");
    }
    let listed = testkit::run(Command::new("pgrep").args([
        "-U",
        &rustix::process::getuid().as_raw().to_string(),
        "-f",
        "brig monitor",
    ]));
    for signal in ["-STOP", "-KILL"] {
        drop(Command::new("kill").arg(signal).args(listed.stdout.split_whitespace()).output());
    }
    for path in cgroups() {
        fs::write(format!("{path}/cgroup.kill"), "1").expect("the container's own cgroup");
    }
    let is_gone = |pid: &str| !Path::new("/proc").join(pid).join("exe").exists();
    wait_until("no monitor", || listed.stdout.split_whitespace().all(is_gone));
    wait_until("no cgroup", || cgroups().is_empty());
    fs::remove_dir_all(run.trim()).expect("its run directory");
}

vm_test!(the_generated_unit_starts_what_should_run, [apparmor], [root, user], |machine| {
    machine.import_busybox();
    for (name, policy) in
        [("always", "always"), ("unless", "unless-stopped"), ("stopped", "unless-stopped"), ("never", "no")]
    {
        machine.detached(name, &["--restart", policy, "-m", "64m"], IDLE);
    }
    machine.ok(&["stop", "-t", "5", "stopped"]);
    let units = if machine.is_root() {
        "/etc/systemd/system".into()
    } else {
        format!("{}/.config/systemd/user", std::env::var("HOME").expect("a login's"))
    };
    fs::create_dir_all(&units).expect("the units' directory");
    machine.ok(&["generate", "boot", "-o", &format!("{units}/brig-boot.service")]);
    systemctl(machine, &["daemon-reload"]);
    systemctl(machine, &["enable", "brig-boot.service"]);
    reboot(machine);
    systemctl(machine, &["start", "brig-boot.service"]);
    let status = |name: &str| machine.inspect(name)["State"]["Status"].clone();
    for (name, expected) in
        [("always", "running"), ("unless", "running"), ("stopped", "exited"), ("never", "exited")]
    {
        wait_until(name, || status(name) == expected);
    }
    // Beside the unit's own.
    wait_until("both scopes", || cgroups().iter().filter(|path| path.ends_with(".scope")).count() == 2);
    // Stopping the unit stops none of them, and their limits are in scopes of their own.
    systemctl(machine, &["stop", "brig-boot.service"]);
    for name in ["always", "unless"] {
        assert_eq!(status(name), "running");
        let limit = fs::read_to_string(machine.cgroup(name).join("memory.max")).expect("its limit");
        assert_eq!(limit, "67108864\n");
        machine.ok(&["exec", name, "true"]);
    }
    // The policy holds as before: who is killed comes again.
    let pid = machine.inspect("always")["State"]["Pid"].to_string();
    assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill").success());
    wait_until("it is started again", || {
        let state = machine.inspect("always")["State"].clone();
        state["Status"] == "running" && state["Pid"].as_i64() != pid.parse().ok()
    });
});

// `NotifyAccess=main`, as it is by default: who says that it is up is the process that systemd started.
vm_test!(a_unit_of_type_notify_is_up_when_its_container_runs, [apparmor], [root, user], |machine| {
    machine.import_busybox();
    let whose = if machine.is_root() { "--system" } else { "--user" };
    let brig = testkit::brig().display().to_string();
    let words =
        ["--collect", "--unit=noted", "--service-type=notify", brig.as_str(), "run", "-d", "--network=none"];
    let container = ["--name=noted", "--sdnotify=conmon", "busybox", "sh", "-c", IDLE];
    // It returns once the unit is up.
    testkit::run_detached(Command::new("systemd-run").arg(whose).args(words).args(container)).success();
    assert_eq!(machine.inspect("noted")["State"]["Status"], "running");
    let shown = systemctl(machine, &["show", "--property=ActiveState,SubState,MainPID", "noted.service"]);
    assert!(shown.contains("ActiveState=active") && shown.contains("SubState=running"), "{shown}");
    let main = shown.lines().find_map(|line| line.strip_prefix("MainPID=")).expect("a main process");
    let words = fs::read(format!("/proc/{main}/cmdline")).expect("it lives");
    assert!(words.starts_with(b"brig\0monitor\0"), "{shown}");
    machine.ok(&["stop", "-t", "5", "noted"]);
    wait_until("the unit has ended", || {
        !systemctl(machine, &["list-units", "--all", "--plain", "--no-legend", "noted.service"])
            .contains(" active ")
    });
    machine.ok(&["rm", "noted"]);
    wait_until("no cgroup", || cgroups().is_empty());
});

vm_test!(the_journal_of_systemd_is_written_to, [apparmor], [root], |machine| {
    machine.import_busybox();
    machine.detached("told", &["--log-driver", "journald"], "echo to the journal; echo aloud >&2");
    assert_eq!(machine.ok(&["wait", "told"]), "0\n");
    let read = || {
        testkit::run(Command::new("journalctl").args(["-o", "cat", "--no-pager", "CONTAINER_NAME=told"]))
            .success()
    };
    wait_until("the messages", || {
        let mut seen: Vec<String> = read().lines().map(str::to_owned).collect();
        seen.sort();
        seen == ["aloud", "to the journal"]
    });
    // The copy here.
    assert!(machine.ok(&["logs", "told"]).contains("to the journal"));
});
