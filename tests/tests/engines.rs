//! Other engines use `brig-runtime` in runc's place, unchanged: containerd, Docker, podman as root and as a user.
//!
//! Each engine lives in a process, mount and network namespace of its own with an empty `/run`: what a story starts or
//! mounts ends with the first process there, also when the story fails half way.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::{Outcome, run};
use tests::Brig;

/// The first process of an engine's world: it says when the world is ready, then only reaps.
const FIRST: &str = r#"
mount -t tmpfs -o mode=755 tmpfs /run || exit 1
if [ -e "$1" ]; then mount --bind "$1" /etc/subuid && mount --bind "$1" /etc/subgid || exit 1; fi
echo ready
while sleep 1; do :; done
"#;

/// After this long a daemon that does not answer fails its story.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// A world with an engine's files, daemon and containers.
#[derive(Debug)]
struct World {
    brig: Brig,
    holder: Child,
    first: String,
    daemons: Vec<Child>,
    cgroup: String,
    client: Vec<String>,
}

impl World {
    fn new(brig: Brig) -> Self {
        let subids = brig.directory().join("subids");
        // For podman's `--userns=auto` as root.
        if brig.is_root() && Path::new("/etc/subuid").exists() {
            fs::write(&subids, "containers:1700000000:65536\n").unwrap();
        }
        let mut holder = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc"])
            .args(["--kill-child", "sh", "-c", FIRST, "sh"])
            .arg(&subids)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It complains of the signal that ends it.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let id = holder.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let first = children.trim().to_owned();
        let name = brig.directory().file_name().unwrap().to_str().unwrap().to_owned();
        let world =
            Self { brig, holder, first, daemons: Vec::new(), cgroup: format!("/{name}"), client: Vec::new() };
        assert_eq!(line, "ready\n", "the world of {name}");
        world
    }

    fn path(&self, name: &str) -> String {
        self.brig.directory().join(name).to_str().unwrap().to_owned()
    }

    fn runtime(&self) -> String {
        self.brig.runtime_path().to_str().unwrap().to_owned()
    }

    /// A program in the world, as the story's person.
    fn command(&self, words: &[&str]) -> Command {
        let inner = self.brig.other(words[0]);
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--pid", "--net", "--"]);
        if !self.brig.is_root() {
            command.env_clear();
        }
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.arg(inner.get_program()).args(inner.get_args()).args(&words[1..]);
        command.current_dir("/");
        command
    }

    /// Starts a daemon and waits until the client's `question` is answered.
    fn start(&mut self, daemon: &[&str], question: &[&str]) {
        let log = fs::File::create(self.path("log")).unwrap();
        let mut command = self.command(daemon);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.daemons.push(command.spawn().unwrap());
        let started = Instant::now();
        while self.run(question).code != 0 {
            let log = fs::read_to_string(self.path("log")).unwrap();
            assert!(started.elapsed() < ANSWERS_WITHIN, "{daemon:?} does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn words<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        self.client.iter().map(String::as_str).chain(arguments.iter().copied()).collect()
    }

    /// The engine's client with these arguments.
    fn run(&self, arguments: &[&str]) -> Outcome {
        // A client whose container stays must not keep pipes of ours open: its streams are files.
        testkit::run_detached(&mut self.command(&self.words(arguments)))
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).success()
    }

    /// The client must fail with `code` and say `words`.
    fn refuses(&self, arguments: &[&str], code: i32, words: &str) {
        let outcome = self.run(arguments);
        let said = format!("{}{}", outcome.stdout, outcome.stderr).to_lowercase();
        assert!(outcome.code == code && said.contains(words), "{code}, `{words}`: {outcome}");
    }

    /// The client on a terminal of 33 rows and 77 columns.
    fn on_terminal(&self, arguments: &[&str]) -> Outcome {
        let quoted: Vec<String> =
            self.words(arguments).iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        let line = format!("stty rows 33 cols 77; exec {}", quoted.join(" "));
        run(&mut self.command(&["script", "-qec", &line, "/dev/null"]))
    }

    /// A busybox image as `docker save` writes it: every engine loads it without help of other programs.
    fn image(&self) -> String {
        let directory = self.brig.directory();
        let layer = testkit::busybox_tar(directory);
        let sum = run(Command::new("sha256sum").arg(&layer)).success();
        let (digest, layer_name) =
            (sum.split(' ').next().unwrap(), layer.file_name().unwrap().to_str().unwrap());
        let config = serde_json::json!({
            "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "os": "linux",
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
            "history": [{"created_by": "brig's tests"}],
        });
        let manifest = serde_json::json!([
            {"Config": "config.json", "RepoTags": ["docker.io/library/bb:latest"], "Layers": [layer_name]}
        ]);
        fs::write(directory.join("config.json"), config.to_string()).unwrap();
        fs::write(directory.join("manifest.json"), manifest.to_string()).unwrap();
        let archive = self.path("image.tar");
        let mut tar = Command::new("tar");
        tar.args(["-cf", &archive, "-C"]).arg(directory).args(["manifest.json", "config.json", layer_name]);
        run(&mut tar).success();
        archive
    }

    /// The directories of containers' cgroups that are there, in any hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let hierarchies = mounts.lines().filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            right.starts_with("cgroup").then(|| left.split(' ').nth(4).map(PathBuf::from))?
        });
        hierarchies
            .flat_map(|mount| fs::read_dir(mount.join(&self.cgroup[1..])).into_iter().flatten().flatten())
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            // podman's monitor has one too, which goes with it.
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with("conmon"))
            .map(|entry| entry.path())
            .collect()
    }

    /// No container's cgroup or state is left once the engine removed them all.
    fn nothing_is_left(&self, state: &str) {
        assert_eq!(self.cgroups(), Vec::<PathBuf>::new());
        let listed = self.command(&["ls", state]);
        let left: Vec<String> = { listed }
            .output()
            .map(|output| String::from_utf8(output.stdout).unwrap())
            .unwrap()
            .lines()
            .filter(|name| !name.starts_with('@'))
            .map(str::to_owned)
            .collect();
        assert_eq!(left, Vec::<String>::new(), "{state}");
    }

    /// Removes the story's cgroup everywhere, children first; true when nothing is left of it.
    fn remove_cgroups(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        mounts.lines().filter_map(|line| line.split_once(" - ")).all(|(left, right)| {
            let mount = left.split(' ').nth(4).filter(|_| right.starts_with("cgroup"));
            mount.is_none_or(|mount| remove_directories(&Path::new(mount).join(&self.cgroup[1..])))
        })
    }
}

fn remove_directories(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_directories(&entry.path());
        }
    }
    // Busy until its last process is reaped.
    fs::remove_dir(path).ok();
    !path.exists()
}

impl Drop for World {
    fn drop(&mut self) {
        // The end of the first process is complete when all others of its namespace are gone.
        drop(Command::new("kill").args(["-KILL", &self.first]).status());
        drop(self.holder.wait());
        for daemon in &mut self.daemons {
            drop(daemon.wait());
        }
        let started = Instant::now();
        while !self.remove_cgroups() {
            if started.elapsed() > ANSWERS_WITHIN {
                assert!(std::thread::panicking(), "cgroup {} stays", self.cgroup);
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A payload that ends with 3 when it is asked to.
const WAITS: &str = "echo started; trap 'echo asked; exit 3' TERM; while :; do sleep 0.05; done";
/// A payload that shows its terminal; engines set the size just after the start. podman's client may lose what is
/// written just before the end, also with runc.
const TERMINAL: &str = "until [ \"$(stty size)\" = '33 77' ]; do sleep 0.05; done 2>/dev/null; \
    tty; stty size; sleep 0.3; exit 6";

fn shows_its_terminal(outcome: &Outcome) {
    // script(1) shows the end of its input somewhere between.
    let shown = outcome.stdout.contains("/dev/pts/0") && outcome.stdout.contains("33 77");
    assert!(outcome.code == 6 && shown, "{outcome}");
}

/// Asks again until the answer has `words`: engines learn of an end a moment later.
fn until(words: &str, mut ask: impl FnMut() -> String) {
    let started = Instant::now();
    loop {
        let answer = ask();
        if answer.contains(words) {
            return;
        }
        assert!(started.elapsed() < ANSWERS_WITHIN, "no `{words}` in {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn containerd() {
    testkit::needs!(root, program("busybox"), program("containerd"), program("ctr"), program("nsenter"));
    let mut world = World::new(Brig::root());
    let (socket, config) = (world.path("socket"), world.path("containerd.toml"));
    let [root, state] = ["root", "run"].map(|name| world.path(name));
    let text = format!(
        "version = 2\nroot = '{root}'\nstate = '{state}'\noom_score = 0\n\
         disabled_plugins = ['io.containerd.grpc.v1.cri']\n[grpc]\naddress = '{socket}'\n"
    );
    fs::write(&config, text).unwrap();
    world.client = ["ctr", "--address", &socket].map(str::to_owned).to_vec();
    world.start(&["containerd", "--config", &config], &["version"]);
    world.ok(&["image", "import", &world.image()]);
    let runtime = world.runtime();
    let container = |flags: &[&str], id: &str, args: &[&str]| -> Vec<String> {
        let cgroup = format!("{}/{id}", world.cgroup);
        let words = ["run", "--runc-binary", &runtime, "--cgroup", &cgroup];
        let image = ["docker.io/library/bb:latest", id];
        [&words, flags, &image, args].concat().into_iter().map(str::to_owned).collect()
    };
    let start = |flags: &[&str], id: &str, args: &[&str]| {
        let words = container(flags, id, args);
        world.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };

    let outcome =
        start(&["--rm", "--seccomp", "--read-only"], "one", &["sh", "-c", "id -u; touch /x; exit 7"]);
    assert!(outcome.code == 7 && outcome.stdout == "0\n", "{outcome}");
    assert!(outcome.stderr.contains("Read-only file system"), "{outcome}");
    let outcome = start(&["--rm"], "none", &["/nonexistent"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("no such file or directory"), "{outcome}");
    let words = container(&["--rm", "--tty"], "terminal", &["sh", "-c", TERMINAL]);
    shows_its_terminal(&world.on_terminal(&words.iter().map(String::as_str).collect::<Vec<_>>()));

    start(&["--detach", "--memory-limit", "67108864"], "two", &["sh", "-c", WAITS]).success();
    world.refuses(&["task", "exec", "--exec-id", "a", "two", "sh", "-c", "echo in; exit 4"], 4, "in\n");
    shows_its_terminal(&world.on_terminal(&[
        "task",
        "exec",
        "-t",
        "--exec-id",
        "b",
        "two",
        "sh",
        "-c",
        TERMINAL,
    ]));
    world.ok(&["task", "exec", "--detach", "--exec-id", "c", "two", "sleep", "1000"]);
    assert!(world.ok(&["task", "ps", "two"]).contains("ExecID:c"));
    world.ok(&["task", "kill", "--exec-id", "c", "--signal", "KILL", "two"]);
    let metrics = world.ok(&["task", "metrics", "two"]);
    assert!(metrics.contains("pids.current") || metrics.contains("pids"), "{metrics}");
    world.ok(&["task", "pause", "two"]);
    assert!(world.ok(&["task", "ls"]).contains("PAUSED"));
    world.ok(&["task", "resume", "two"]);
    assert!(world.ok(&["task", "ls"]).contains("RUNNING"));
    world.refuses(&["task", "checkpoint", "two"], 1, "`checkpoint` is not supported");
    world.ok(&["task", "kill", "--signal", "TERM", "two"]);
    until("STOPPED", || world.ok(&["task", "ls"]));
    drop(world.run(&["task", "delete", "two"]));
    world.ok(&["container", "delete", "two"]);
    assert_eq!(world.ok(&["container", "ls", "--quiet"]), "");
    world.nothing_is_left("/run/containerd/runc/default");
}

#[test]
fn docker() {
    testkit::needs!(root, program("busybox"), program("dockerd"), program("docker"), program("nsenter"));
    let mut world = World::new(Brig::root());
    let socket = format!("unix://{}", world.path("socket"));
    let [data, exec, pid] = ["data", "exec", "pid"].map(|name| world.path(name));
    let runtime = format!("brig={}", world.runtime());
    let cgroup = world.cgroup.clone();
    world.client = ["docker", "--host", &socket].map(str::to_owned).to_vec();
    let daemon = [
        "dockerd",
        "--data-root",
        &data,
        "--exec-root",
        &exec,
        "--pidfile",
        &pid,
        "--host",
        &socket,
        "--oom-score-adjust=0",
        "--iptables=false",
        "--bridge=none",
        "--add-runtime",
        &runtime,
        "--cgroup-parent",
        &cgroup,
    ];
    world.start(&daemon, &["version"]);
    world.ok(&["load", "--input", &world.image()]);
    let container = |flags: &[&'static str], args: &[&'static str]| -> Vec<&'static str> {
        [&["run", "--runtime", "brig", "--network", "none"], flags, &["bb"], args].concat()
    };

    let script = "touch /x; touch /t/a && id -u; grep Seccomp: /proc/self/status; exit 7";
    let outcome = world.run(&container(&["--rm", "--read-only", "--tmpfs", "/t"], &["sh", "-c", script]));
    assert!(outcome.code == 7 && outcome.stdout == "0\nSeccomp:\t2\n", "{outcome}");
    world.refuses(&container(&["--rm"], &["/nonexistent"]), 127, "no such file or directory");
    world.refuses(&container(&["--rm"], &["nonexistent"]), 127, "executable file not found in $path");
    world.refuses(&container(&["--rm"], &["/etc"]), 126, "permission denied");
    shows_its_terminal(&world.on_terminal(&container(&["--rm", "-it"], &["sh", "-c", TERMINAL])));

    world.ok(&container(&["--detach", "--name", "two", "--memory", "64m"], &["sh", "-c", WAITS]));
    until("started", || world.ok(&["logs", "two"]));
    world.refuses(&["exec", "two", "sh", "-c", "echo in; exit 4"], 4, "in\n");
    shows_its_terminal(&world.on_terminal(&["exec", "-it", "two", "sh", "-c", TERMINAL]));
    assert!(world.ok(&["top", "two"]).contains("sleep 0.05"));
    assert!(world.ok(&["stats", "--no-stream", "two"]).contains("/ 64MiB"));
    world.ok(&["pause", "two"]);
    assert!(world.ok(&["ps"]).contains("(Paused)"));
    world.ok(&["unpause", "two"]);
    world.ok(&["update", "--memory", "128m", "--memory-swap", "128m", "--pids-limit", "77", "two"]);
    assert!(world.ok(&["stats", "--no-stream", "two"]).contains("/ 128MiB"));
    world.ok(&["stop", "two"]);
    assert!(world.ok(&["logs", "two"]).contains("asked"));
    assert_eq!(world.ok(&["inspect", "--format", "{{.State.ExitCode}}", "two"]), "3\n");
    world.ok(&["start", "two"]);
    world.ok(&["kill", "two"]);
    assert_eq!(world.ok(&["wait", "two"]), "137\n");
    world.ok(&["rm", "two"]);
    world.nothing_is_left("/run/docker/runtime-runc/moby");
}

/// podman with everything below the story's directory.
fn podman(brig: Brig) -> World {
    let mut world = World::new(brig);
    let conf = world.path("containers.conf");
    // Its default limits are more than root may set on some machines.
    fs::write(&conf, "[containers]\ndefault_ulimits = ['nofile=1024:1024', 'nproc=1024:1024']\n").unwrap();
    let conf = format!("CONTAINERS_CONF={conf}");
    let [root, runroot, temporary] = ["podman", "podman-run", "podman-tmp"].map(|name| world.path(name));
    world.client = [
        &["env", &conf, "podman", "--root", &root, "--runroot", &runroot, "--tmpdir", &temporary][..],
        &["--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", &world.runtime()],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect();
    world.ok(&["load", "--input", &world.image()]);
    world
}

/// What root and a user do alike.
fn podman_story(world: &World, state: &str) {
    // Without a cgroup of his own a user's parent would not be used.
    let parent: &[&str] = if world.brig.is_root() { &["--cgroup-parent", &world.cgroup] } else { &[] };
    let container = |flags: &[&'static str], args: &[&'static str]| -> Vec<&str> {
        [&["run", "--network", "none"], parent, flags, &["bb"], args].concat()
    };
    let volume = world.path("volume");
    fs::create_dir(&volume).unwrap();
    if let Some(user) = world.brig.as_user() {
        user.give(Path::new(&volume));
    }
    let volume = format!("{volume}:/v");

    let script = "touch /x; touch /t/a /v/b && id -u; grep -E 'Seccomp:|CapEff' /proc/self/status; exit 7";
    let mut words = container(
        &["--rm", "--read-only", "--tmpfs", "/t", "--cap-drop", "ALL", "--cap-add", "SYS_TIME"],
        &["sh", "-c", script],
    );
    words.splice(3..3, ["--volume", &volume]);
    let outcome = world.run(&words);
    let expected = "0\nCapEff:\t0000000002000000\nSeccomp:\t2\n";
    assert!(outcome.code == 7 && outcome.stdout == expected, "{outcome}");
    // What the runtime has to say is no output of the payload.
    assert_eq!(outcome.stderr, "touch: /x: Read-only file system\n");
    world.refuses(&container(&["--rm"], &["/nonexistent"]), 127, "no such file or directory");
    world.refuses(&container(&["--rm"], &["nonexistent"]), 127, "executable file not found in $path");
    world.refuses(&container(&["--rm"], &["/etc"]), 126, "permission denied");
    shows_its_terminal(&world.on_terminal(&container(&["--rm", "-it"], &["sh", "-c", TERMINAL])));

    world.ok(&container(
        &["--detach", "--name", "two", "--health-cmd", "test -e /tmp/ok", "--health-interval", "disable"],
        &["sh", "-c", WAITS],
    ));
    until("started", || world.ok(&["logs", "two"]));
    // The payload's output alone: engines hand a runtime's standard error on.
    let outcome = world.run(&["exec", "two", "sh", "-c", "echo in; exit 4"]);
    assert!(outcome.code == 4 && outcome.stdout == "in\n" && outcome.stderr.is_empty(), "{outcome}");
    world.refuses(&["exec", "two", "/nonexistent"], 127, "no such file or directory");
    shows_its_terminal(&world.on_terminal(&["exec", "-it", "two", "sh", "-c", TERMINAL]));
    assert!(world.ok(&["top", "two"]).contains("sleep 0.05"));
    assert_eq!(world.run(&["healthcheck", "run", "two"]).code, 1);
    world.ok(&["exec", "two", "touch", "/tmp/ok"]);
    world.ok(&["healthcheck", "run", "two"]);
    let joined = ["run", "--rm", "--network", "container:two", "--pid", "container:two", "bb", "ps"];
    let joined = [&joined[..2], parent, &joined[2..]].concat();
    assert!(world.ok(&joined).contains("1 root     sh -c echo started"));
    world.ok(&["stop", "two"]);
    assert!(world.ok(&["logs", "two"]).contains("asked"));
    assert_eq!(world.ok(&["inspect", "--format", "{{.State.ExitCode}}", "two"]), "3\n");
    world.ok(&["start", "two"]);
    world.ok(&["kill", "two"]);
    assert_eq!(world.ok(&["wait", "two"]), "137\n");
    world.ok(&["rm", "two"]);

    let pod = ["pod", "create", "--name", "pod", "--network", "none", "--share", "ipc,net,pid,uts"];
    let first = ["--infra-image", "bb", "--infra-command", "sleep 1000"];
    world.ok(&[&pod, parent, &first].concat());
    world.ok(&["create", "--name", "member", "--pod", "pod", "bb", "ps"]);
    world.ok(&["pod", "start", "pod"]);
    until("1 root     sleep 1000", || world.ok(&["logs", "member"]));
    world.ok(&["pod", "rm", "--force", "--time", "0", "pod"]);
    assert_eq!(world.ok(&["ps", "--all", "--quiet"]), "");
    if world.brig.is_root() {
        // The pod's own cgroup is podman's to remove, and stays a moment longer.
        until("[]", || format!("{:?}", world.cgroups()));
    }
    world.nothing_is_left(state);
}

#[test]
fn podman_as_root() {
    testkit::needs!(root, program("busybox"), program("podman"), program("conmon"), program("nsenter"));
    let world = podman(Brig::root());
    let parent = world.cgroup.clone();
    let run = ["run", "--rm", "--network", "none", "--cgroup-parent", &parent];
    let map = world.ok(&[&run[..], &["--userns", "auto", "bb", "cat", "/proc/self/uid_map"]].concat());
    assert_eq!(map.split_whitespace().nth(1), Some("1700000000"), "{map}");
    world.ok(&[&run[..], &["--detach", "--name", "paused", "--memory", "64m", "bb", "sleep", "1000"]].concat());
    world.ok(&["pause", "paused"]);
    assert_eq!(world.ok(&["inspect", "--format", "{{.State.Status}}", "paused"]), "paused\n");
    world.ok(&["unpause", "paused"]);
    assert!(world.ok(&["stats", "--no-stream", "paused"]).contains("/ 67.11MB"));
    world.ok(&["rm", "--force", "--time", "0", "paused"]);
    podman_story(&world, "/run/brig-runtime");
}

#[test]
fn podman_as_a_user() {
    testkit::needs!(
        root,
        user_with_subids,
        userns,
        newuidmap,
        program("busybox"),
        program("podman"),
        program("conmon"),
        program("nsenter")
    );
    let world = podman(Brig::user());
    let user = world.brig.as_user().unwrap();
    let run = ["run", "--rm", "--network", "none"];
    let ids = world.ok(&[&run[..], &["--userns", "keep-id", "bb", "id", "-u"]].concat());
    assert_eq!(ids, format!("{}\n", user.uid()));
    // Images expect the directories of cgroups to be there, also where a user has none of his own.
    world.ok(&[&run[..], &["--systemd", "always", "bb", "ls", "/sys/fs/cgroup"]].concat());
    let state = user.runtime_dir().join("brig-runtime");
    podman_story(&world, state.to_str().unwrap());
}
