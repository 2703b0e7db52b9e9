//! K4: the `release_agent` of a cgroup v1 hierarchy is a program that the kernel runs on the host, as root.
//!
//! The hierarchy is a fresh one without controllers, whose agent writes a file of the part's own: nothing of the
//! machine's is touched.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::doors::{Door, assert_closed};
use crate::engines::{forget_podman, podman_run};

pub(crate) const ROW: Row = Row {
    id: "K4",
    title: "the release agent of a cgroup, which runs on the host",
    faults: &["CVE-2022-0492"],
    kinds: &[Kind::Inside],
    defence: "seccomp/src/standard/refused.rs: no mounts; container: no CAP_SYS_ADMIN, a user namespace, cgroups \
              read-only",
};

const DOORS: &[Door] = &[
    ("read-only files", "cgroup release_agent"),
    ("calls", "mount"),
    ("calls", "fsopen"),
    ("calls", "open_tree"),
];

/// A named hierarchy of cgroup v1, mounted for the time of the part in a mount namespace of its own: engines that run
/// beside it make cgroups in every hierarchy they see.
struct Hierarchy {
    name: String,
    holder: Child,
    place: PathBuf,
    ran: PathBuf,
    agent: PathBuf,
}

/// Starts the process that holds the mount, and waits until it is there.
fn hold(name: &str, place: &Path) -> Child {
    let script = "mount -t cgroup -o none,name=$0 cgroup \"$1\" && echo mounted && read end";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, name]).arg(place);
    let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "mounted\n");
    holder
}

impl Hierarchy {
    fn new(brig: &Brig) -> Self {
        let name = format!("brig-test-{}", std::process::id());
        let (place, ran) = (brig.directory().join("hierarchy"), brig.directory().join("ran"));
        let agent = brig.directory().join("agent");
        fs::create_dir(&place).unwrap();
        fs::write(&agent, format!("#!/bin/sh\nid -u > {}\n", ran.display())).unwrap();
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
        Self { holder: hold(&name, &place), name, place, ran, agent }
    }

    /// Its root, through the holder's eyes.
    fn root(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.place.strip_prefix("/").unwrap())
    }

    /// What a program inside types: mount it, name the agent, let a cgroup become empty.
    fn script(&self) -> String {
        format!(
            "mkdir -p /tmp/c; mount -t cgroup -o none,name={} cgroup /tmp/c && \
             echo {} > /tmp/c/release_agent && mkdir -p /tmp/c/attack && \
             echo 1 > /tmp/c/attack/notify_on_release && sh -c 'echo $$ > /tmp/c/attack/cgroup.procs'",
            self.name,
            self.agent.display()
        )
    }

    /// Whether the agent ran, and as root: the kernel starts it a moment after the cgroup is empty.
    fn has_run(&self, wait: bool) -> bool {
        for _ in 0..if wait { 200 } else { 20 } {
            if fs::read_to_string(&self.ran).is_ok_and(|text| text == "0\n") {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// The agent that is set, as the host sees it.
    fn set(&self) -> String {
        fs::read_to_string(self.root().join("release_agent")).unwrap().trim().to_owned()
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        drop(fs::write(self.root().join("release_agent"), "\n"));
        // The hierarchy goes with its last mount, a moment later; with a cgroup in it, even one that was just removed,
        // it does not, and has to be unmounted again.
        for _ in 0..20 {
            for entry in fs::read_dir(self.root()).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    drop(fs::remove_dir(entry.path()));
                }
            }
            drop(self.holder.stdin.take());
            drop(self.holder.wait());
            for _ in 0..20 {
                if !fs::read_to_string("/proc/self/cgroup").unwrap().contains(&self.name) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            self.holder = hold(&self.name, &self.place);
        }
    }
}

held!(no_agent_is_set, [root] needs [cgroup_v1("cpu")], |brig| {
    brig.import_busybox();
    let hierarchy = Hierarchy::new(brig);
    // Each of the defences holds without the others.
    let alone: [&[&str]; 6] = [
        &[],
        &["--cap-add=SYS_ADMIN"],
        &["--security-opt=seccomp=unconfined"],
        &["--security-opt=seccomp=unconfined", "--cap-add=ALL"],
        &["--userns=host", "--security-opt=seccomp=unconfined"],
        &["--privileged"],
    ];
    for flags in alone {
        let outcome = brig.shell(flags, &hierarchy.script());
        assert_ne!(outcome.code, 0, "{flags:?}: {outcome}");
        assert_eq!(hierarchy.set(), "", "{flags:?}: {outcome}");
        assert!(!hierarchy.has_run(false), "{flags:?}: {outcome}");
    }
});

held!(no_agent_can_be_written, [root, user, bare], |brig| {
    assert_closed(brig, &[], DOORS);
    assert_closed(brig, &["--cap-add=SYS_ADMIN"], &DOORS[..1]);
    brig.import_busybox();
    // Those that are mounted already, whatever shows them.
    let script = "find /sys /tmp -name release_agent 2>/dev/null | while read f; do \
                  sh -c \"cat $f >> $f\" 2>/dev/null && \
                  echo $f; done; true";
    for flags in [&[][..], &["--cap-add=SYS_ADMIN"], &["--cgroupns=host"]] {
        assert_eq!(brig.shell(flags, script).success(), "", "{flags:?}");
    }
});

control!(
    the_agent_runs_on_the_host,
    Target::Opened("--privileged --userns=host"),
    [root] needs [cgroup_v1("cpu")],
    |brig| {
        brig.import_busybox();
        let hierarchy = Hierarchy::new(brig);
        brig.shell(&["--privileged", "--userns=host"], &hierarchy.script()).success();
        hierarchy.has_run(true)
    }
);

control!(
    podman_with_one_capability,
    Target::Debian("podman", "4.3.1"),
    [root] needs [cgroup_v1("cpu")],
    |brig| {
        let hierarchy = Hierarchy::new(brig);
        let root = brig.directory().join("root");
        testkit::busybox_rootfs(&root);
        drop(podman_run(
            brig,
            root.to_str().unwrap(),
            &["--cap-add=SYS_ADMIN", "--rootfs"],
            &["/bin/sh", "-c", &hierarchy.script()],
        ));
        forget_podman(brig);
        hierarchy.has_run(true)
    }
);
