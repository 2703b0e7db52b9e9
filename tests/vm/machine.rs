//! The machine that a test runs in, as the person sees it who is logged in.

use std::path::Path;
use std::process::Command;

use testkit::{Outcome, TempDir};

/// One person on one machine, with a directory of the test's own and the store where `brig` puts it by itself.
#[derive(Debug)]
pub(crate) struct Machine {
    flavour: &'static str,
    is_root: bool,
    directory: TempDir,
}

impl Machine {
    /// The machine and the person that this process has.
    pub(crate) fn of(flavour: &'static str, person: &str) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        assert_eq!(is_root, person == "root", "`cargo xtask vm` runs the test as the person it names");
        Self { flavour, is_root, directory: TempDir::new() }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.is_root
    }

    /// Whether systemd manages the machine.
    pub(crate) fn has_systemd(&self) -> bool {
        self.flavour != "plain"
    }

    /// A directory that the person owns, removed with the test.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `brig` as the person types it: nothing is set, the login's environment is kept.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(testkit::brig());
        command.args(arguments).current_dir(self.directory());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        testkit::run(&mut self.command(arguments))
    }

    /// Runs `brig` and returns standard output; it must succeed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).success()
    }

    /// Imports the busybox image as `busybox`.
    pub(crate) fn import_busybox(&self) {
        let archive = testkit::busybox_tar(self.directory());
        self.ok(&["import", archive.to_str().expect("our paths are ASCII"), "busybox"]);
    }

    /// Runs a shell script in a fresh busybox container with these flags of `brig run`.
    pub(crate) fn shell(&self, flags: &[&str], script: &str) -> Outcome {
        self.run(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat())
    }
}
