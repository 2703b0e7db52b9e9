//! D3: an engine listens, for everybody or for a container, while it runs or afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};

use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::engines::podman_over;

pub(crate) const ROW: Row = Row {
    id: "D3",
    title: "an engine that listens",
    faults: &["CVE-2021-4024", "CVE-2026-33414"],
    kinds: &[Kind::Shape, Kind::Inside],
    defence: "ARCHITECTURE.md: no daemon; no socket is made for the engine's own sake",
};

/// Moves this thread, and what it starts, to a network namespace in which nothing else opens and closes sockets.
fn alone() {
    sys::namespace::unshare(sys::clone::flags::NEWNET).unwrap();
    sys::network::bring_up_loopback().unwrap();
}

/// What listens in this network namespace: TCP and UDP ports by address, sockets by path.
fn listening() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6", "packet"] {
        let Ok(text) = fs::read_to_string(format!("/proc/thread-self/net/{table}")) else { continue };
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            // 0A is TCP_LISTEN, 07 what the others have without a peer.
            if table == "packet" || fields.get(3).is_some_and(|state| matches!(*state, "0A" | "07")) {
                found.insert(format!("{table} {}", fields.get(1).unwrap_or(&"")));
            }
        }
    }
    let text = fs::read_to_string("/proc/thread-self/net/unix").unwrap();
    for line in text.lines().skip(1) {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        // __SO_ACCEPTCON
        if u32::from_str_radix(fields[3], 16).is_ok_and(|flags| flags & 0x1_0000 != 0) {
            found.insert(format!("unix {}", fields.get(7).unwrap_or(&"unnamed")));
        }
    }
    found
}

/// What listens now and did not before. Sockets with a path are of the whole machine: only a story's count.
fn new_since(before: &BTreeSet<String>, brig: &Brig) -> Vec<String> {
    let ours = |line: &&String| {
        let path = line.strip_prefix("unix ");
        path.is_none_or(|path| path.contains(brig.directory().to_str().unwrap()) || path.contains("brig."))
    };
    listening().difference(before).filter(ours).cloned().collect()
}

/// Waits until the container has told that it runs.
fn wait_for(path: &std::path::Path) {
    let there = (0..2000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        path.exists()
    });
    assert!(there, "{} is not made", path.display());
}

fn running(brig: &Brig, flags: &[&str]) -> (Child, std::path::PathBuf) {
    let shared = brig.directory().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let volume = format!("{}:/mnt", shared.display());
    let script = "touch /mnt/runs; while [ ! -e /mnt/end ]; do sleep 0.1; done";
    let words = [&["run", "--rm", "-v", &volume], flags, &["busybox", "sh", "-c", script]].concat();
    let child = brig.command(&words).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    wait_for(&shared.join("runs"));
    (child, shared)
}

held!(nothing_listens_during_and_after_a_run, [root, user] needs [::testkit::constructors::root()], |brig| {
    alone();
    brig.import_busybox();
    let before = listening();
    let (mut child, shared) = running(brig, &["--network", "host"]);
    let during = new_since(&before, brig);
    // Before anything fails: the container must not stay.
    fs::write(shared.join("end"), "").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(during, Vec::<String>::new());
    assert_eq!(new_since(&before, brig), Vec::<String>::new());
});

held!(no_call_makes_a_listener, [root, user] needs [program("strace")], |brig| {
    brig.import_busybox();
    let bundle = brig.bundle("bundle", &["true"]);
    let container = brig.command(&["run", "--rm", "busybox", "true"]);
    let runtime = brig.runtime(&["run", "--bundle", crate::bundles::at(&bundle), "brig-test-listen"]);
    for command in [container, runtime] {
        let (outcome, trace) = tests::shape::trace(&command, brig.program(), brig.directory());
        outcome.success();
        assert!(trace.calls().len() > 50, "the trace is empty");
        let listens = |name: &str| matches!(name, "bind" | "listen" | "accept" | "accept4");
        let found: Vec<_> = trace.calls().iter().filter(|call| listens(&call.name)).map(|call| call.line()).collect();
        // Netlink sockets are bound to their own number; nobody else can connect to them.
        let found: Vec<_> = found.into_iter().filter(|line| !line.contains("AF_NETLINK")).collect();
        assert_eq!(found, Vec::<String>::new());
    }
});

control!(a_socket_that_is_opened_is_seen, Target::Unconfined("a program that listens"), [root], |brig| {
    alone();
    let before = listening();
    let _port = TcpListener::bind("127.0.0.1:0").unwrap();
    let _path = UnixListener::bind(brig.directory().join("brig.sock")).unwrap();
    let seen = new_since(&before, brig);
    seen.iter().any(|line| line.starts_with("tcp ")) && seen.iter().any(|line| line.starts_with("unix "))
});

control!(podman_listens, Target::Debian("podman", "4.3.1"), [root], |brig| {
    alone();
    let before = listening();
    let socket = format!("unix://{}/podman.sock", brig.directory().display());
    let mut command = podman_over("runc", brig, &["system", "service", "--time", "60", &socket]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&brig.directory().join("podman.sock"));
    let seen = new_since(&before, brig);
    child.kill().unwrap();
    child.wait().unwrap();
    seen.iter().any(|line| line.contains("podman.sock"))
});
