//! R40: a container is joined while it is being set up: until its root is pivoted its first process sees the host's files.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use testkit::Outcome;
use tests::attack::Paused;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, attack, control, held};

pub(crate) const ROW: Row = Row {
    id: "R40",
    title: "`exec`, `cp` or a shared namespace into a container that is being set up reaches the host's files",
    faults: &[],
    kinds: &[Kind::Race],
    defence: "runtime/src/state.rs: who makes a container, and then its process up to exec, hold a lock; it cannot be joined before",
};

/// A file of the host that anybody may read and no image here has.
const HOST_FILE: &str = "/etc/os-release";

/// Does something to the container `half` while the host's mounts are still around its first process; then lets that go on.
fn half_made(brig: &Brig, attack: impl FnOnce(&Brig)) -> Brig {
    let seams = brig.with_seams();
    attack::image(&seams, "base", &[], |_| {});
    let words =
        ["run", "-d", "--name", "half", "--network", "none", "--ipc", "shareable", "base", "sleep", "60"];
    let paused = Paused::at(&mut seams.command(&words), "set-up", &brig.directory().join("pause"));
    attack(&seams);
    let (code, _, error) = paused.go();
    assert_eq!(code, Some(0), "{error}");
    seams
}

fn read_host(brig: &Brig, weaken: &str) -> Outcome {
    testkit::run(brig.command(&["exec", "half", "/bin/cat", HOST_FILE]).env("BRIG_WEAKEN", weaken))
}

held!(nobody_joins_what_is_being_set_up, [root, user, bare], |brig| {
    let file = brig.directory().join("file");
    fs::write(&file, "x").unwrap();
    let seams = half_made(brig, |seams| {
        let refused = |outcome: Outcome| {
            assert!(outcome.code != 0 && outcome.stdout.is_empty(), "{outcome}");
            outcome.stderr
        };
        let said = refused(read_host(seams, ""));
        assert!(said.contains("is not running"), "{said}");
        refused(testkit::run(&mut seams.command(&["cp", "half:/etc/os-release", "-"])));
        refused(testkit::run(&mut seams.command(&["cp", file.to_str().unwrap(), "half:/brig-was-here"])));
        for flag in ["--network", "--ipc", "--pid", "--uts"] {
            let words = ["run", "--rm", flag, "container:half", "base", "true"];
            let said = refused(testkit::run(&mut seams.command(&words)));
            assert!(said.contains("half") || said.contains("running"), "{flag}: {said}");
        }
    });
    assert!(!fs::exists("/brig-was-here").unwrap());
    // It is the container's own from then on.
    let outcome = read_host(&seams, "");
    assert!(outcome.code != 0 && outcome.stderr.contains("No such file"), "{outcome}");
    seams.ok(&["exec", "half", "true"]);
    seams.ok(&["rm", "-f", "half"]);
});

// Who made it is killed: its process tells by itself when it is whole.
held!(a_start_whose_maker_is_killed_is_whole_later, [root, user], |brig| {
    let seams = brig.with_seams();
    attack::image(&seams, "base", &[], |_| {});
    let words = ["run", "-d", "--name", "half", "--network", "none", "base", "sleep", "60"];
    let paused = Paused::at(&mut seams.command(&words), "execute", &brig.directory().join("pause"));
    let pid = seams.ok(&["inspect", "--format", "{{.State.Pid}}", "half"]);
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
    let maker = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
    kill_process(Pid::from_raw(maker).unwrap(), Signal::KILL).unwrap();
    let outcome = read_host(&seams, "");
    assert!(outcome.code != 0 && outcome.stderr.contains("is not running"), "{outcome}");
    drop(paused.go());
    tests::eventually("it runs", || testkit::run(&mut seams.command(&["exec", "half", "true"])).code == 0);
    seams.ok(&["rm", "-f", "half"]);
});

control!(it_is_joined_half_made, Target::Weakened("half-made"), [root, user], |brig| {
    let mut read = String::new();
    let seams = half_made(brig, |seams| read = read_host(seams, "half-made").stdout);
    seams.ok(&["rm", "-f", "half"]);
    println!("{read}");
    read == fs::read_to_string(HOST_FILE).unwrap()
});
