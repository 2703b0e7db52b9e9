//! What is measured for one person: their root file system, bundles, images, and the command line of each subject.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Bundle, CAPABILITIES, TempDir, User, find_program};

use crate::measure::Subject;
use crate::profile;

/// What `runc spec` masks and makes read-only.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// The hard limits of the build machines are below what podman 4.3 asks for.
const PODMAN_LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];

/// One person's half of the benchmark.
#[derive(Debug)]
pub(crate) struct Stage {
    /// `None` is root.
    pub(crate) user: Option<User>,
    directory: TempDir,
    /// On a tmpfs, as `/run` is for people: what every runtime keeps of a running container.
    running: TempDir,
    brig: PathBuf,
    floor: PathBuf,
    pub(crate) subjects: Vec<Subject>,
}

impl Stage {
    /// Prepares everything for root (`None`) or for a user.
    pub(crate) fn new(user: Option<User>, brig: &Path, floor: &Path) -> Self {
        let directory = TempDir::new();
        let running = TempDir::new_in(Path::new("/dev/shm"));
        let (brig, floor) = match &user {
            Some(user) => (user.install(brig), user.install(floor)),
            None => (brig.to_owned(), floor.to_owned()),
        };
        let mut stage = Self { user, directory, running, brig, floor, subjects: Vec::new() };
        stage.make_bundles();
        if let Some(user) = &stage.user {
            user.give(stage.directory.path());
            user.give(stage.running.path());
        }
        stage.add_floor_and_ours();
        stage.add_runtimes();
        stage.add_engines();
        stage
    }

    /// Directories in which a finished start must have left nothing.
    pub(crate) fn must_stay_empty(&self) -> Vec<PathBuf> {
        let kept = ["store/containers", "store/names", "store/leases"].map(|name| self.directory.join(name));
        let running = ["state", "run/c"].map(|name| self.running.join(name));
        kept.into_iter().chain(running).collect()
    }

    fn make_bundles(&self) {
        for with_filter in [false, true] {
            let name = if with_filter { "filtered" } else { "bare" };
            let mut bundle = Bundle::new(&self.directory.join(name), &["true"]);
            let config = &mut bundle.config;
            let mounts = config["mounts"].as_array_mut().expect("our own shape");
            mounts.push(json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
                               "options": ["nosuid", "noexec", "nodev"]}));
            mounts.push(json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
                               "options": ["nosuid", "noexec", "nodev", "ro"]}));
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("our own shape");
            namespaces.extend([json!({"type": "network"}), json!({"type": "cgroup"})]);
            config["linux"]["maskedPaths"] = json!(MASKED);
            config["linux"]["readonlyPaths"] = json!(READ_ONLY);
            if with_filter && let Some(profile) = peer_profile() {
                config["linux"]["seccomp"] = profile::resolve(&profile, &CAPABILITIES);
            }
            if let Some(user) = &self.user {
                bundle.map_ids(&[(0, user.uid(), 1)], &[(0, user.gid(), 1)]);
            }
            bundle.write();
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn running(&self, name: &str) -> String {
        self.running.join(name).display().to_string()
    }

    fn add(&mut self, name: &str, line: &[&str]) {
        let line = line.iter().map(|word| (*word).to_owned()).collect();
        self.subjects.push(Subject { name: name.to_owned(), line, mounts: None });
    }

    fn add_floor_and_ours(&mut self) {
        let (brig, floor) = (self.brig.display().to_string(), self.floor.display().to_string());
        let rootfs = self.path("bare/rootfs");
        let mut line = vec![floor.as_str(), &rootfs, "/bin/true"];
        if self.user.is_some() {
            line.push("user");
        }
        self.add("floor", &line);
        let (state, bare, filtered) = (self.running("state"), self.path("bare"), self.path("filtered"));
        let runtime = [brig.as_str(), "runtime", "--root", &state, "run", "--bundle"];
        self.add("brig-runtime, no filter", &[&runtime[..], &[&bare, "{}"]].concat());
        self.add("brig-runtime", &[&runtime[..], &[&filtered, "{}"]].concat());

        let (store, run) = (self.path("store"), self.running("run"));
        let engine = [brig.as_str(), "--root", &store, "--runroot", &run];
        let archive = testkit::busybox_tar(self.directory.path()).display().to_string();
        self.prepare(&[&engine[..], &["import", &archive, "busybox"]].concat());
        let run = [&engine[..], &["run", "--rm"]].concat();
        self.add("brig run", &[&run[..], &["--network", "none", "busybox", "true"]].concat());
        self.add("brig run hello", &[&run[..], &["hello"]].concat());
        self.add(
            "brig run --dry-run",
            &[&run[..], &["--dry-run", "--network", "none", "busybox", "true"]].concat(),
        );
        self.add("brig version", &[&engine[..], &["version"]].concat());
    }

    fn add_runtimes(&mut self) {
        let is_root = self.user.is_none();
        for (name, before) in [
            ("crun", if is_root { &[][..] } else { &["--cgroup-manager=disabled"] }),
            ("runc", &[]),
            ("youki", &[]),
        ] {
            let Some(program) = find_program(name) else { continue };
            let (program, state) = (program.display().to_string(), self.path(&format!("state-{name}")));
            let (bare, filtered) = (self.path("bare"), self.path("filtered"));
            let start = [&[program.as_str()], before, &["--root", &state, "run", "--bundle"]].concat();
            self.add(&format!("{name}, no filter"), &[&start[..], &[&bare, "{}"]].concat());
            self.add(name, &[&start[..], &[&filtered, "{}"]].concat());
        }
        if let Some(program) = find_program("bwrap") {
            let (program, rootfs) = (program.display().to_string(), self.path("bare/rootfs"));
            let mut line = vec![program.as_str(), "--unshare-all", "--bind", &rootfs, "/", "--proc", "/proc"];
            line.extend(["--dev", "/dev", "--chdir", "/", "/bin/true"]);
            self.add("bwrap", &line);
        }
    }

    fn add_engines(&mut self) {
        let archive = self.path("busybox.tar");
        if let Some(program) = find_program("podman") {
            let (program, graph, run) =
                (program.display().to_string(), self.path("podman"), self.path("podman-run"));
            let temporary = self.path("podman-tmp");
            let mut engine =
                vec![program.as_str(), "--root", &graph, "--runroot", &run, "--tmpdir", &temporary];
            engine.extend([
                "--cgroup-manager",
                "cgroupfs",
                "--runtime",
                "/usr/sbin/runc",
                "--events-backend",
                "file",
            ]);
            self.prepare(&[&engine[..], &["import", "--quiet", &archive, "busybox"]].concat());
            let run = [&engine[..], &["run", "--rm", "--net=none"], &PODMAN_LIMITS].concat();
            self.add("podman run", &[&run[..], &["busybox", "true"]].concat());
        }
        // Only root's daemon is measured, and only if it runs.
        if self.user.is_none()
            && let Some(program) = find_program("docker")
            && Command::new(&program).arg("info").output().is_ok_and(|output| output.status.success())
        {
            let program = program.display().to_string();
            self.prepare(&[&program, "import", &archive, "brig-bench-busybox"]);
            self.add(
                "docker run",
                &[&program, "run", "--rm", "--network", "none", "brig-bench-busybox", "true"],
            );
        }
    }

    /// Ends what a peer leaves running: rootless podman keeps a process that holds its user namespace. The user was
    /// made for this run, so every process of his is one of it.
    fn end_processes(&self) {
        let Some(user) = &self.user else { return };
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let is_his = entry.metadata().is_ok_and(|metadata| metadata.uid() == user.uid());
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(pid) = pid.filter(|_| is_his).and_then(rustix::process::Pid::from_raw) {
                // It may have ended by itself.
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
    }

    /// Runs what comes before the measurement; a failure shows when the subject is first started.
    fn prepare(&self, line: &[&str]) {
        let mut command = self.command(line[0]);
        command.args(&line[1..]);
        let outcome = testkit::run(&mut command);
        if outcome.code != 0 {
            crate::say(&format!("preparing: {outcome}"));
        }
    }

    /// A program as this person runs it.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        match &self.user {
            Some(user) => user.command(program),
            None => Command::new(program.as_ref()),
        }
    }
}

fn peer_profile() -> Option<Value> {
    let text = fs::read_to_string("/usr/share/containers/seccomp.json").ok()?;
    serde_json::from_str(&text).ok()
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.end_processes();
    }
}
