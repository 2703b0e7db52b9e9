//! What attack tests share: a canary that must not change, hostile probes, and the test build of `brig`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// A directory tree outside every root file system, as it was: content, modes, owners, inodes, times.
#[derive(Debug)]
pub struct Canary {
    directory: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

impl Canary {
    /// Makes one named `name` in `directory`, that everybody may write to: only the engine keeps it whole.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(directory: &Path, name: &str) -> Self {
        let directory = directory.join(name);
        fs::create_dir(&directory).expect("directory in our own directory");
        for (file, text) in [("secret", "canary\n"), ("ptmx", "no device\n"), ("core_pattern", "core\n")] {
            fs::write(directory.join(file), text).expect("file in our own directory");
            fs::set_permissions(directory.join(file), fs::Permissions::from_mode(0o666)).expect("mode");
        }
        fs::create_dir(directory.join("empty")).expect("directory in our own directory");
        for path in [&directory, &directory.join("empty")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("mode");
        }
        let before = facts(&directory);
        Self { directory, before }
    }

    /// The same, with everything a user's own.
    #[must_use]
    pub fn given_to(mut self, user: &testkit::User) -> Self {
        for path in self.before.keys() {
            user.give(path);
        }
        self.before = facts(&self.directory);
        self
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// What is different now, one line each.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let now = facts(&self.directory);
        let changed = now.iter().filter(|(path, fact)| self.before.get(*path) != Some(fact));
        let gone = self.before.keys().filter(|path| !now.contains_key(*path));
        changed
            .map(|(path, fact)| format!("{}: {fact}", path.display()))
            .chain(gone.map(|path| format!("{} is gone", path.display())))
            .collect()
    }

    /// Fails the test when anything changed.
    ///
    /// # Panics
    /// When something did.
    pub fn assert_untouched(&self, attack: impl fmt::Display) {
        let changes = self.changes();
        assert!(changes.is_empty(), "{attack} reached the host:\n{}", changes.join("\n"));
    }
}

fn facts(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(stat) = fs::symlink_metadata(&path) else { continue };
        let content = if stat.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        let (mode, owner, group, inode) = (stat.mode(), stat.uid(), stat.gid(), stat.ino());
        let links = stat.nlink();
        let fact = format!(
            "{mode:o} {owner}:{group} inode {inode} links {links} {}.{:09} {} bytes {:?}",
            stat.mtime(),
            stat.mtime_nsec(),
            content.len(),
            String::from_utf8_lossy(&content[..content.len().min(64)])
        );
        if stat.is_dir() {
            todo.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        found.insert(path, fact);
    }
    found
}

/// The build of `brig` with pause points and defences that can be left out: `BRIG_TEST_BIN` when set, else built
/// now, once per test process, beside the ordinary one.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn brig_with_seams() -> &'static Path {
    static BRIG: OnceLock<PathBuf> = OnceLock::new();
    BRIG.get_or_init(|| {
        std::env::var_os("BRIG_TEST_BIN")
            .map_or_else(|| testkit::build("brig-test", "test-pauses,test-weaken"), PathBuf::from)
    })
}

/// A static program that makes hostile calls from inside a container, compiled once per test process. Needs
/// `c_compiler`. What it can do is told in its source.
///
/// # Panics
/// When it cannot be compiled.
#[must_use]
pub fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let test = std::env::current_exe().expect("/proc is mounted");
        let directory = test.parent().expect("a test lies in `deps`");
        // Two test processes may compile at once: each to a name of its own, then renamed.
        let (own, program) =
            (directory.join(format!("attack-{}", std::process::id())), directory.join("attack-probe"));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/probe.c");
        let compiled = Command::new("cc")
            .args(["-static", "-O1", "-w", "-o"])
            .arg(&own)
            .arg(source)
            .status()
            .expect("cc");
        assert!(compiled.success(), "cc {source}");
        fs::rename(&own, &program).expect("rename in our own directory");
        program
    })
}

/// Imports an image named `name`: busybox, what `change` does to it, and these Dockerfile instructions.
///
/// # Panics
/// When it cannot be imported.
pub fn image(brig: &crate::Brig, name: &str, instructions: &[&str], change: impl FnOnce(&Path)) {
    let (root, archive) =
        (brig.directory().join(format!("{name}-root")), brig.directory().join(format!("{name}.tar")));
    testkit::busybox_rootfs(&root);
    change(&root);
    testkit::tar(&root, &archive);
    let mut arguments = vec!["import"];
    arguments.extend(instructions.iter().flat_map(|instruction| ["-c", instruction]));
    arguments.extend([archive.to_str().expect("our paths are ASCII"), name]);
    brig.ok(&arguments);
    fs::remove_dir_all(&root).expect("our own directory");
}

/// Puts the probe into a root as `/bin/probe`.
///
/// # Panics
/// When it cannot be copied.
pub fn install_probe(root: &Path) {
    fs::copy(probe(), root.join("bin/probe")).expect("copy the probe");
    fs::set_permissions(root.join("bin/probe"), fs::Permissions::from_mode(0o755)).expect("mode");
}

/// A command stopped at a pause point of the test build.
#[derive(Debug)]
pub struct Paused {
    child: std::process::Child,
    directory: PathBuf,
    point: String,
}

impl Paused {
    /// Starts `command`, a command of the test build, and waits until it stops at `point` (`name` or `name:path`).
    ///
    /// `directory` is where the two sides meet, one for each pause.
    ///
    /// # Panics
    /// When it ends or hangs before it gets there.
    #[must_use]
    pub fn at(command: &mut Command, point: &str, directory: &Path) -> Self {
        fs::create_dir_all(directory).expect("directory in our own directory");
        fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).expect("mode");
        command.env("BRIG_PAUSE_AT", point).env("BRIG_PAUSE_DIR", directory);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let name = point.split(':').next().unwrap_or(point).to_owned();
        let mut paused =
            Self { child: child.expect("the test build runs"), directory: directory.to_owned(), point: name };
        let reached = paused.directory.join(format!("{}.reached", paused.point));
        for _ in 0..6000 {
            if fs::metadata(&reached).is_ok_and(|file| file.len() > 0) {
                return paused;
            }
            if let Some(status) = paused.child.try_wait().expect("a child of ours") {
                let output = paused.child.wait_with_output().expect("a child of ours");
                panic!("{status} before `{point}`: {}", String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        paused.child.kill().expect("a child of ours");
        panic!("`{point}` is not reached");
    }

    /// Kills it where it stands.
    ///
    /// # Panics
    /// When it is gone already.
    pub fn kill(mut self) {
        self.child.kill().expect("a child of ours");
        self.child.wait().expect("a child of ours");
    }

    /// The process that stopped there, where it said its number: the command or one that it made.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn pid(&self) -> rustix::process::Pid {
        let reached = self.directory.join(format!("{}.reached", self.point));
        let number = fs::read_to_string(reached).ok().and_then(|text| text.trim().parse().ok());
        number.and_then(rustix::process::Pid::from_raw).expect("a pause that tells its process")
    }

    /// Lets it go on, and waits for its end: exit code, standard output and error.
    ///
    /// # Panics
    /// When the go cannot be given.
    #[must_use]
    pub fn go(self) -> (Option<i32>, String, String) {
        fs::write(self.directory.join(format!("{}.go", self.point)), "1").expect("file in our own directory");
        let output = self.child.wait_with_output().expect("a child of ours");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}
