//! A container of `brig-runtime` that a test holds, and the files of its cgroup.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Bundle, Outcome};

use crate::Machine;

/// The cgroup hierarchy: pure v2 on every machine.
const CGROUPS: &str = "/sys/fs/cgroup";
/// After this long what a test waits for counts as not happening. No test asserts a time.
const NEVER: Duration = Duration::from_secs(60);

/// A program that waits to be killed, and ends when it is asked to.
pub(crate) const WAITS: &[&str] = &["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"];

/// A running container. It goes with the test.
#[derive(Debug)]
pub(crate) struct Container<'machine> {
    machine: &'machine Machine,
    pub(crate) id: String,
    cgroup: PathBuf,
}

impl Machine {
    /// `brig-runtime` with a state directory of the test's own; where systemd runs it makes the scopes.
    pub(crate) fn runtime(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(testkit::brig());
        command.arg("runtime").arg("--root").arg(self.directory().join("state"));
        if self.has_systemd() {
            command.arg("--systemd-cgroup");
        }
        command.args(arguments).current_dir(self.directory());
        command
    }

    /// Runs `brig-runtime` and returns standard output; it must succeed.
    pub(crate) fn runtime_ok(&self, arguments: &[&str]) -> String {
        testkit::run(&mut self.runtime(arguments)).success()
    }

    /// A bundle with these limits that the person may run.
    pub(crate) fn bundle(&self, id: &str, args: &[&str], resources: Value) -> Bundle {
        let mut bundle = Bundle::new(&self.directory().join(id), args);
        if !self.is_root() {
            let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
            bundle.map_ids(&[(0, user, 1)], &[(0, group, 1)]);
        }
        bundle.config["linux"]["resources"] = resources;
        bundle.write();
        bundle
    }

    /// Runs a container to its end, under these limits.
    pub(crate) fn run_limited(&self, id: &str, args: &[&str], resources: Value) -> Outcome {
        let bundle = self.bundle(id, args, resources);
        let path = bundle.path().to_str().expect("our paths are ASCII").to_owned();
        testkit::run(&mut self.runtime(&["run", "--bundle", &path, id]))
    }

    /// Starts a container that runs under these limits.
    pub(crate) fn start(&self, id: &str, args: &[&str], resources: Value) -> Container<'_> {
        self.start_bundle(id, &self.bundle(id, args, resources))
    }

    /// Starts a container of this bundle.
    pub(crate) fn start_bundle(&self, id: &str, bundle: &Bundle) -> Container<'_> {
        let path = bundle.path().to_str().expect("our paths are ASCII").to_owned();
        testkit::run_detached(&mut self.runtime(&["create", "--bundle", &path, id])).success();
        let mut container = Container { machine: self, id: id.to_owned(), cgroup: PathBuf::new() };
        let pid = container.state()["pid"].as_i64().expect("a created container has a process");
        container.cgroup = cgroup_of(pid);
        self.runtime_ok(&["start", id]);
        container
    }
}

/// The cgroup's directory of a process.
pub(crate) fn cgroup_of(pid: i64) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process is there");
    let path = text.trim().strip_prefix("0::/").unwrap_or_else(|| panic!("not pure cgroup v2: {text}"));
    PathBuf::from(CGROUPS).join(path)
}

impl Container<'_> {
    /// What `state` says.
    pub(crate) fn state(&self) -> Value {
        serde_json::from_str(&self.machine.runtime_ok(&["state", &self.id])).expect("state is JSON")
    }

    /// Its cgroup's directory.
    pub(crate) fn cgroup(&self) -> &PathBuf {
        &self.cgroup
    }

    /// A file of its cgroup, without the last line's end.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.cgroup.join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim_end().to_owned()
    }

    /// The number after `key` in a file such as `memory.events`.
    pub(crate) fn count(&self, file: &str, key: &str) -> u64 {
        let text = self.file(file);
        let words = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        words.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no `{key}` in {file}: {text}"))
    }

    /// Runs a command in it.
    pub(crate) fn exec(&self, args: &[&str]) -> Outcome {
        testkit::run(&mut self.machine.runtime(&[&["exec", &self.id], args].concat()))
    }

    /// Runs a command in it and does not wait.
    pub(crate) fn exec_beside(&self, args: &[&str]) -> std::process::Child {
        let mut command = self.machine.runtime(&[&["exec", &self.id], args].concat());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("brig runs")
    }

    /// `brig-runtime` with a command that ends in the container's id.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        self.machine.runtime_ok(&[words, &[self.id.as_str()]].concat())
    }

    /// `update` with a resources object.
    pub(crate) fn update(&self, resources: &Value) -> Outcome {
        let file = self.machine.directory().join("resources.json");
        fs::write(&file, resources.to_string()).expect("file in our own directory");
        let path = file.to_str().expect("our paths are ASCII");
        testkit::run(&mut self.machine.runtime(&["update", "--resources", path, &self.id]))
    }

    /// Waits until the condition holds.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        wait_until(what, || is_so(self));
    }
}

/// Waits until the condition holds.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < NEVER, "{what}: it never came");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Nothing but what the profile allows to reach devices: as engines send it.
pub(crate) fn no_limits() -> Value {
    json!({})
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // The machine ends with the test; this is so that a test may hold two containers one after the other.
        drop(self.machine.runtime(&["delete", "--force", &self.id]).output());
    }
}
