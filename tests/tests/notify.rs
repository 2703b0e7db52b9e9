//! What a service manager is told by sd_notify(3): a socket of the story's stands for the manager's.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use tests::{Brig, story};

/// Longest wait for a message that must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a busybox that says nothing runs.
const IDLE: &str = "trap 'exit 7' TERM; while :; do sleep 1; done";

/// The manager's end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(brig: &Brig) -> Self {
        let path = brig.directory().join("manager");
        let socket = UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path: path.to_str().unwrap().to_owned() }
    }

    /// Runs `brig run` as a service of it; standard output.
    fn run(&self, brig: &Brig, flags: &[&str], script: &str) -> String {
        let words = [&["run", "--network=none"], flags, &["busybox", "sh", "-c", script]].concat();
        testkit::run(brig.command(&words).env("NOTIFY_SOCKET", &self.path)).success().trim().to_owned()
    }

    /// The next message.
    fn hear(&self) -> String {
        let mut bytes = [0; 8192];
        let length = self.socket.recv(&mut bytes).expect("a message");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Asserts that nothing was said.
    fn heard_nothing(&self) {
        self.socket.set_nonblocking(true).unwrap();
        assert_eq!(self.socket.recv(&mut [0; 8192]).unwrap_err().kind(), ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).unwrap();
    }
}

fn is_monitor(brig: &Brig, id: &str, pid: &str) -> bool {
    brig.monitors(id).contains(&pid.parse().unwrap())
}

story!(brig_says_that_a_container_is_up, [root, user], |brig| {
    brig.import_busybox();
    let manager = Manager::new(brig);
    let id = manager.run(brig, &["-d", "--sdnotify=conmon"], IDLE);
    let message = manager.hear();
    let pid = message.strip_prefix("READY=1\nMAINPID=").unwrap_or_else(|| panic!("{message:?}"));
    assert!(is_monitor(brig, &id, pid), "{message:?}");
    // A later start by another service is said to that one, and one by hand to nobody.
    brig.ok(&["stop", "-t", "5", &id]);
    testkit::run(brig.command(&["start", &id]).env("NOTIFY_SOCKET", &manager.path)).success();
    assert!(manager.hear().starts_with("READY=1\nMAINPID="));
    brig.ok(&["restart", "-t", "5", &id]);
    brig.ok(&["rm", "-f", &id]);
    // In the foreground, too.
    assert_eq!(manager.run(brig, &["--rm", "--sdnotify=conmon"], "echo ${NOTIFY_SOCKET:-none}"), "none");
    assert!(manager.hear().starts_with("READY=1\nMAINPID="));
    // A start that fails is not up.
    let words = ["run", "-d", "--network=none", "--sdnotify=conmon", "busybox", "/no/such/program"];
    let failed = testkit::run(brig.command(&words).env("NOTIFY_SOCKET", &manager.path));
    assert_eq!(failed.code, 127, "{failed}");
    manager.heard_nothing();
    // Unasked nothing is said, and nothing is handed on, whatever else is.
    for flags in [&["--rm"][..], &["--rm", "--sdnotify=ignore"], &["--rm", "--env-host"]] {
        assert_eq!(manager.run(brig, flags, "echo ${NOTIFY_SOCKET:-none}"), "none", "{flags:?}");
    }
    manager.heard_nothing();
    let refused = brig.run(&["run", "--sdnotify=healthy", "busybox", "true"]).fails_with(125);
    assert!(refused.contains("conmon, container or ignore"), "{refused}");
});

// busybox has no program that sends such datagrams but `logger`, which puts its own words before the first line.
story!(a_container_says_that_it_is_up, [root, user], |brig| {
    brig.import_busybox();
    let manager = Manager::new(brig);
    let script = format!(
        "ln -s $NOTIFY_SOCKET /dev/log; say() {{ logger \"$(printf \"$@\")\"; }}; say 'x\\nMAINPID=1\\nFDSTORE=1'; \
         say 'x\\nSTATUS=READY=1'; say 'x\\nREADY=1\\n%8000d' 1; say 'x\\nMAINPID=1\\nREADY=1\\nSTATUS=up'; \
         say 'x\\nREADY=1'; touch /tmp/said; {IDLE}"
    );
    let id = manager.run(brig, &["-d", "--sdnotify=container"], &script);
    let mut messages = [manager.hear(), manager.hear()];
    messages.sort();
    let [main, ready] = &messages;
    let pid = main.strip_prefix("MAINPID=").unwrap_or_else(|| panic!("{messages:?}"));
    assert!(is_monitor(brig, &id, pid), "{messages:?}");
    assert_eq!(ready, "READY=1");
    tests::eventually("all is said", || brig.run(&["exec", &id, "test", "-e", "/tmp/said"]).code == 0);
    // The socket is all that it got of the host, and it cannot put another in its place.
    assert_eq!(brig.ok(&["exec", &id, "ls", "/run/notify"]), "notify.sock\n");
    assert_ne!(brig.run(&["exec", &id, "rm", "/run/notify/notify.sock"]).code, 0);
    manager.heard_nothing();
    brig.ok(&["stop", "-t", "5", &id]);
    assert_eq!(brig.ok(&["wait", &id]), "7\n");
    // By hand there is nobody to tell; the container runs as before.
    brig.ok(&["start", &id]);
    brig.ok(&["rm", "-f", &id]);
    manager.heard_nothing();
    assert!(brig.containers().is_empty());
});
