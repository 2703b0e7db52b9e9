//! D1: a container is given the socket by which an engine takes orders, under whatever name.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;

use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::engines::{forget_podman, podman_import, podman_run};

pub(crate) const ROW: Row = Row {
    id: "D1",
    title: "an engine's socket given to a container",
    faults: &["CVE-2020-15257"],
    kinds: &[Kind::Static],
    defence: "container/src/guard.rs: a socket is no directory of data, whatever its name",
};

/// A program that gives orders to everybody who connects, at a place like that of an engine.
struct Engine {
    directory: PathBuf,
    greeter: Option<JoinHandle<()>>,
}

const GREETING: &str = "at your command";

impl Engine {
    fn new(brig: &Brig) -> Self {
        let directory = brig.directory().join("user");
        fs::create_dir_all(directory.join("podman")).unwrap();
        let listener = UnixListener::bind(directory.join("podman/podman.sock")).unwrap();
        for (path, mode) in [("podman/podman.sock", 0o666), ("podman", 0o755), ("", 0o755)] {
            fs::set_permissions(directory.join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        let greeter = std::thread::spawn(move || {
            use std::io::Write as _;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if stream.write_all(GREETING.as_bytes()).is_err() {
                    continue;
                }
                let mut answer = [0; 4];
                if std::io::Read::read(&mut stream, &mut answer)
                    .is_ok_and(|count| &answer[..count] == b"stop")
                {
                    return;
                }
            }
        });
        Self { directory, greeter: Some(greeter) }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("podman/podman.sock")
    }

    /// The ways to it: what is mounted, and where the socket is then.
    fn ways(&self) -> Vec<(PathBuf, &'static str)> {
        let socket = self.socket();
        let place = |name: &str| self.directory.join(name);
        fs::hard_link(&socket, place("harmless")).unwrap();
        symlink("podman/podman.sock", place("link")).unwrap();
        symlink("podman", place("parent-link")).unwrap();
        symlink("link", place("link-to-link")).unwrap();
        vec![
            (socket, "/mnt"),
            (place("harmless"), "/mnt"),
            (place("link"), "/mnt"),
            (place("link-to-link"), "/mnt"),
            (place("podman/../harmless"), "/mnt"),
            (place("podman"), "/mnt/podman.sock"),
            (place("parent-link"), "/mnt/podman.sock"),
            (self.directory.clone(), "/mnt/podman/podman.sock"),
        ]
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        use std::io::{Read as _, Write as _};
        let mut stream = std::os::unix::net::UnixStream::connect(self.socket()).unwrap();
        let mut greeting = vec![0; GREETING.len()];
        stream.read_exact(&mut greeting).unwrap();
        stream.write_all(b"stop").unwrap();
        drop(self.greeter.take().unwrap().join());
    }
}

/// Talks to what is there.
fn talk(place: &str) -> String {
    // Without something to send, `nc` would end before the answer.
    format!("sleep 1 | timeout 5 nc local:{place} 2>&1 || ls -l {place}")
}

held!(it_is_refused_on_every_way, [root, user], |brig| {
    brig.import_busybox();
    let engine = Engine::new(brig);
    for (source, place) in engine.ways() {
        for flag in [
            format!("--volume={}:/mnt", source.display()),
            format!("--volume={}:/mnt:ro", source.display()),
            format!("--mount=type=bind,src={},dst=/mnt", source.display()),
        ] {
            let outcome = brig.shell(&[&flag], &talk(place));
            let said = outcome.fails_with(125);
            assert!(said.contains("--allow-host-path"), "{flag}: {said}");
        }
    }
});

held!(there_is_no_socket_of_ours, [root, user], |brig| {
    brig.import_busybox();
    let outcome = brig.shell(&["--network", "host"], "cat /proc/net/unix");
    let listening = outcome.success();
    let own = brig.directory().to_str().unwrap();
    assert!(listening.contains("Inode"), "{listening}");
    assert!(!listening.lines().any(|line| line.contains(own) || line.contains("@brig")), "{listening}");
    let found =
        std::process::Command::new("find").arg(brig.directory()).args(["-type", "s"]).output().unwrap();
    assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
});

control!(opened_by_the_flag, Target::Opened("--allow-host-path"), [root], |brig| {
    brig.import_busybox();
    let engine = Engine::new(brig);
    let socket = engine.socket();
    let path = socket.to_str().unwrap();
    let volume = format!("{path}:/mnt");
    let flags = ["--userns=host", "--allow-host-path", path, "-v", &volume];
    stat_or_talk(&brig.shell(&flags, &talk("/mnt")))
});

control!(podman_mounts_it, Target::Debian("podman", "4.3.1"), [root], |brig| {
    tests::attack::image(brig, "socket", &[], |_| {});
    podman_import(brig, "socket", &[]);
    let engine = Engine::new(brig);
    let shown = engine.ways().iter().all(|(source, place)| {
        let volume = format!("{}:/mnt", source.display());
        stat_or_talk(&podman_run(brig, "socket", &["-v", &volume], &["sh", "-c", &talk(place)]))
    });
    forget_podman(brig);
    shown
});

/// Whether the socket is there: this busybox may lack `nc` for it.
fn stat_or_talk(outcome: &testkit::Outcome) -> bool {
    outcome.stdout.contains(GREETING) || outcome.stdout.lines().any(|line| line.starts_with('s'))
}
