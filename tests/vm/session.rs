//! The ends of sessions and of the machine's life: what a container in the background outlives, and what starts it again.

use std::path::Path;
use std::process::Command;

use crate::container::wait_until;
use crate::engine::IDLE;
use crate::scope::cgroups;
use crate::vm_test;

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
