//! `brig` as one person uses it, with a store and a run directory of the story's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{Bundle, Outcome, TempDir, User};

use crate::eventually;

/// The person, the binary they run and where it keeps its things.
#[derive(Debug)]
pub struct Brig {
    user: Option<User>,
    program: PathBuf,
    directory: TempDir,
}

impl Brig {
    /// Root, with every right this machine gives it.
    #[must_use]
    pub fn root() -> Self {
        Self { user: None, program: testkit::brig().to_owned(), directory: TempDir::new() }
    }

    /// A fresh user with 65,536 subordinate ids.
    #[must_use]
    pub fn user() -> Self {
        Self::of(User::with_subids())
    }

    /// A fresh user with no id but their own.
    #[must_use]
    pub fn bare() -> Self {
        Self::of(User::without_subids())
    }

    fn of(user: User) -> Self {
        let program = user.install(testkit::brig());
        let directory = TempDir::new();
        user.give(directory.path());
        Self { user: Some(user), program, directory }
    }

    /// The same person with the test build, which has pause points and can leave defences out, and with directories of
    /// its own.
    #[must_use]
    pub fn with_seams(&self) -> Self {
        let mut other = if self.is_root() { Self::root() } else { Self::user() };
        let program = crate::attack::brig_with_seams();
        other.program = other.user.as_ref().map_or_else(|| program.to_owned(), |user| user.install(program));
        other
    }

    /// Whether the person is root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.user.is_none()
    }

    /// The user, when the person is one.
    #[must_use]
    pub fn as_user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// The binary that the person runs.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A directory that the person owns, removed with the story.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the story keeps images and containers.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.directory.join("store")
    }

    /// `program`, as the person runs it.
    #[must_use]
    pub fn other(&self, program: impl AsRef<Path>) -> Command {
        match &self.user {
            Some(user) => user.command(program),
            None => Command::new(program.as_ref()),
        }
    }

    /// `brig` with the story's directories and these arguments.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.other(&self.program);
        command
            .arg("--root")
            .arg(self.store())
            .arg("--runroot")
            .arg(self.directory.join("run"))
            .args(arguments);
        command
    }

    /// Runs `brig` with these arguments.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        testkit::run(&mut self.command(arguments))
    }

    /// Runs `brig` and returns standard output; it must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).success()
    }

    /// Imports the busybox image as `busybox:latest`.
    pub fn import_busybox(&self) {
        let archive = testkit::busybox_tar(self.directory.path());
        self.ok(&["import", archive.to_str().expect("our paths are ASCII"), "busybox"]);
    }

    /// Starts a shell script in a detached busybox container with these flags; its id. It goes with the story.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn detached(&self, flags: &[&str], script: &str) -> String {
        let arguments = [&["run", "-d"], flags, &["busybox", "sh", "-c", script]].concat();
        self.ok(&arguments).trim().to_owned()
    }

    /// The ids of all containers in the story's store.
    #[must_use]
    pub fn containers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.store().join("containers")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// What `name` in a container's directory holds; nothing while it is not there.
    #[must_use]
    pub fn kept(&self, id: &str, name: &str) -> String {
        std::fs::read_to_string(self.store().join("containers").join(id).join(name)).unwrap_or_default()
    }

    /// The two processes that watch a container; waited for, because one makes the other anew.
    ///
    /// # Panics
    /// When there are not two for long.
    #[must_use]
    pub fn monitors(&self, id: &str) -> [i32; 2] {
        eventually("two processes watch it", || self.watchers(id).len() == 2);
        self.watchers(id).try_into().expect("nobody has ended one meanwhile")
    }

    /// The processes that watch a container, however many there are now.
    ///
    /// # Panics
    /// When `/proc` cannot be listed.
    #[must_use]
    pub fn watchers(&self, id: &str) -> Vec<i32> {
        let lock = self.directory.join("run").join("alive").join(id);
        let holds = |pid: &i32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            words.starts_with(b"brig\0monitor\0")
                && open.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|path| path == lock))
        };
        let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(holds).collect()
    }

    /// The text of a container's `life.json`.
    #[must_use]
    pub fn life(&self, id: &str) -> serde_json::Value {
        let path = self.store().join("containers").join(id).join("life.json");
        std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Runs a shell script in a fresh busybox container with these flags of `brig run`.
    #[must_use]
    pub fn shell(&self, flags: &[&str], script: &str) -> Outcome {
        let arguments = [&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat();
        self.run(&arguments)
    }

    /// `brig runtime` with the story's state directory and these arguments.
    ///
    /// `BRIG_TEST_RUNTIME=/usr/sbin/runc` tells the runtime's stories of that program instead: what a story asks
    /// for should be what callers of the OCI command line already get.
    #[must_use]
    pub fn runtime(&self, arguments: &[&str]) -> Command {
        let mut command = match std::env::var_os("BRIG_TEST_RUNTIME") {
            Some(peer) => self.other(PathBuf::from(peer)),
            None => {
                let mut command = self.other(&self.program);
                command.arg("runtime");
                command
            }
        };
        command.arg("--root").arg(self.state()).args(arguments);
        command
    }

    /// A path that other engines can be given as their OCI runtime: our binary under its second name, or the peer's.
    ///
    /// # Panics
    /// When the link cannot be made.
    #[must_use]
    pub fn runtime_path(&self) -> PathBuf {
        if let Some(peer) = std::env::var_os("BRIG_TEST_RUNTIME") {
            return PathBuf::from(peer);
        }
        let link = self.directory.join("brig-runtime");
        if !link.exists() {
            std::os::unix::fs::symlink(&self.program, &link).expect("link in our own directory");
        }
        link
    }

    /// Where the story's `brig runtime` keeps its containers.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// The containers that the story's `brig runtime` keeps; what else it keeps there has a name that no id can have.
    #[must_use]
    pub fn runtime_containers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.state()).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('@')).collect()
    }

    /// Runs `brig runtime` with these arguments.
    #[must_use]
    pub fn runtime_run(&self, arguments: &[&str]) -> Outcome {
        testkit::run(&mut self.runtime(arguments))
    }

    /// Runs `brig runtime` and returns standard output; it must succeed.
    pub fn runtime_ok(&self, arguments: &[&str]) -> String {
        self.runtime_run(arguments).success()
    }

    /// Creates and starts a container that a later command finds running. It goes with the story.
    ///
    /// # Panics
    /// When either command fails.
    pub fn start(&self, id: &str, bundle: &Bundle) {
        let path = bundle.path().to_str().expect("our paths are ASCII");
        testkit::run_detached(&mut self.runtime(&["create", "--bundle", path, id])).success();
        self.runtime_ok(&["start", id]);
    }

    /// A bundle named `name` that the person owns and that they may run: a user's has an id map.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn bundle(&self, name: &str, args: &[&str]) -> Bundle {
        let mut bundle = Bundle::new(&self.directory.join(name), args);
        // Also in the name of its cgroup, so that one that is left behind is seen to be ours. No two stories share one:
        // the first that ends kills what is in it.
        if self.is_root() {
            let story = self.directory.path().file_name().expect("a temporary directory").to_string_lossy();
            bundle.config["linux"]["cgroupsPath"] = format!("/{story}-{name}").into();
            bundle.write();
        }
        if let Some(user) = &self.user {
            bundle.map_ids(&[(0, user.uid(), 1)], &[(0, user.gid(), 1)]);
            bundle.write();
            user.give(bundle.path());
        }
        bundle
    }
}

impl Drop for Brig {
    fn drop(&mut self) {
        // A story that failed half way must not leave its containers running.
        for id in self.containers() {
            drop(self.command(&["rm", "-f", &id]).output());
        }
        for id in self.runtime_containers() {
            let mut command = self.runtime(&["delete", "--force"]);
            drop(command.arg(id).output());
        }
    }
}
