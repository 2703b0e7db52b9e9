//! A store with things in it that must outlive every fault.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use testkit::{TempDir, User};

/// After this long a command has come to a stop.
const DEADLOCK: Duration = Duration::from_secs(60);
/// What a volume of the stage holds.
const KEPT: &str = "kept in a volume";

/// A store, a run directory, and what was committed in them before the faults.
#[derive(Debug)]
pub(crate) struct Stage {
    brig: PathBuf,
    /// Whose commands they are, where not root's.
    user: Option<User>,
    pub(crate) directory: TempDir,
}

/// Whose commands are disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Person {
    Root,
    /// A fresh user with subordinate ids.
    User,
}

impl Person {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
        }
    }
}

/// A command that is disturbed: what comes before, what is typed.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) before: &'static [&'static [&'static str]],
    pub(crate) command: &'static [&'static str],
}

/// Where the stage keeps an image as an archive.
pub(crate) const ARCHIVE: &str = "@archive";
/// Where it keeps one as `save` writes it.
const IMAGE: &str = "@image";

/// The commands of issue 4, section 8.
pub(crate) const SCENES: &[Scene] = &[
    Scene { name: "run -d", before: &[], command: &["run", "-d", "--name", "faulty", "base", "true"] },
    Scene {
        name: "stop",
        before: &[&["run", "-d", "--name", "faulty", "base", "sleep", "600"]],
        command: &["stop", "-t", "0", "faulty"],
    },
    Scene {
        name: "rm",
        before: &[&["create", "--name", "faulty", "base", "true"]],
        command: &["rm", "faulty"],
    },
    Scene {
        name: "rm -f",
        before: &[&["run", "-d", "--name", "faulty", "base", "sleep", "600"]],
        command: &["rm", "-f", "faulty"],
    },
    Scene {
        name: "commit",
        before: &[&["run", "--name", "faulty", "base", "sh", "-c", "echo new > /new"]],
        command: &["commit", "faulty", "fresh"],
    },
    Scene { name: "import", before: &[], command: &["import", ARCHIVE, "fresh"] },
    Scene { name: "load", before: &[], command: &["load", "-i", IMAGE] },
    Scene { name: "rmi", before: &[&["import", ARCHIVE, "fresh"]], command: &["rmi", "fresh"] },
    Scene { name: "volume create", before: &[], command: &["volume", "create", "vault"] },
    Scene {
        name: "volume rm",
        before: &[&["volume", "create", "vault"]],
        command: &["volume", "rm", "vault"],
    },
];

impl Stage {
    /// A stage without anything.
    pub(crate) fn empty(brig: &Path, person: Person) -> Self {
        let user = (person == Person::User).then(User::with_subids);
        let brig = user.as_ref().map_or_else(|| brig.to_owned(), |user| user.install(brig));
        let stage = Self { brig, user, directory: TempDir::new() };
        stage.give(stage.directory.path());
        stage
    }

    /// Gives what was made to whoever uses it.
    pub(crate) fn give(&self, path: &Path) {
        if let Some(user) = &self.user {
            user.give(path);
        }
    }

    /// A program as the person starts it.
    pub(crate) fn program(&self, name: &str) -> Command {
        self.user.as_ref().map_or_else(|| Command::new(name), |user| user.command(name))
    }

    /// A stage with all that must be kept.
    pub(crate) fn new(brig: &Path, person: Person) -> Option<Self> {
        let stage = Self::empty(brig, person);
        stage.fill().then_some(stage)
    }

    /// Makes what must be kept.
    pub(crate) fn fill(&self) -> bool {
        let archive = testkit::busybox_tar(self.directory.path());
        let changed = self.directory.join("fresh");
        fs::create_dir_all(&changed).expect("our own directory");
        fs::write(changed.join("only-here"), [7; 100_000]).expect("our own directory");
        let tar =
            Command::new("tar").arg("-C").arg(&changed).arg("-cf").arg(self.archive()).arg(".").status();
        for path in [&archive, &self.archive()] {
            self.give(path);
        }
        let write = format!("echo {KEPT} > /v/file");
        let steps: [&[&str]; 7] = [
            &["import", ARCHIVE, "fresh"],
            &["save", "-o", IMAGE, "fresh"],
            &["rmi", "fresh"],
            &["import", archive.to_str().unwrap_or_default(), "base"],
            &["volume", "create", "kept"],
            &["run", "--rm", "-v", "kept:/v", "base", "sh", "-c", &write],
            &["create", "--name", "kept", "base", "echo", "kept"],
        ];
        tar.is_ok() && steps.iter().all(|words| self.run(words).is_some_and(|output| said(words, &output)))
    }

    fn archive(&self) -> PathBuf {
        self.directory.join("fresh.tar")
    }

    /// The words with the stage's directories.
    pub(crate) fn words(&self, words: &[&str]) -> Vec<String> {
        let path = |name: &str| self.directory.join(name).display().to_string();
        let mut all = vec![
            self.brig.display().to_string(),
            "--root".to_owned(),
            path("store/root"),
            "--runroot".to_owned(),
            path("run"),
        ];
        all.extend(words.iter().map(|word| match *word {
            ARCHIVE => self.archive().display().to_string(),
            IMAGE => path("image.tar"),
            other => other.to_owned(),
        }));
        all
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let words = self.words(words);
        let mut command = self.program(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command
    }

    /// Runs a command; none where it did not end within a minute, which is a deadlock.
    pub(crate) fn run(&self, words: &[&str]) -> Option<Output> {
        let all = self.words(words);
        let mut command = self.program("timeout");
        command.args(["--signal", "KILL", &DEADLOCK.as_secs().to_string()]).args(&all).stdin(Stdio::null());
        let output = command.output().ok()?;
        // `timeout` ends by the signal that it sent; a code of 137 is that of a container which was killed.
        output.status.code().is_some().then_some(output)
    }

    /// What comes before the fault.
    pub(crate) fn prepare(&self, scene: &Scene) -> bool {
        scene.before.iter().all(|words| self.run(words).is_some_and(|output| said(words, &output)))
    }

    /// What is wrong after a fault; whether `--repair` was needed. The stage is as it was before then.
    pub(crate) fn check(&self) -> (bool, Vec<String>) {
        let mut findings = Vec::new();
        let mut was_mended = false;
        let mut must = |words: &[&str], expected: Option<&str>| match self.run(words) {
            None => findings.push(format!("`{}` did not end", words.join(" "))),
            Some(output) if !output.status.success() => {
                findings.push(format!("`{}`: {}", words.join(" "), last_line(&output.stderr)));
            }
            Some(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                if expected.is_some_and(|expected| text.trim() != expected) {
                    findings.push(format!("`{}` says `{}`", words.join(" "), text.trim()));
                }
            }
        };
        match self.run(&["system", "check"]) {
            Some(output) if !output.status.success() => {
                was_mended = true;
                print!("{}", String::from_utf8_lossy(&output.stdout));
                must(&["system", "check", "--repair"], None);
                must(&["system", "check"], None);
            }
            Some(_) => {}
            None => must(&["system", "check"], None),
        }
        must(&["run", "--rm", "-v", "kept:/v", "base", "cat", "/v/file"], Some(KEPT));
        must(&["start", "-a", "kept"], Some("kept"));
        must(&["journal", "verify"], None);
        // What the scenes make goes, whether it was finished or not.
        for words in [&["rm", "-f", "faulty"][..], &["rmi", "-f", "fresh"], &["volume", "rm", "-f", "vault"]]
        {
            if self.run(words).is_none() {
                findings.push(format!("`{}` did not end", words.join(" ")));
            }
        }
        let is_free = |words: &[&str]| self.run(words).is_some_and(|output| output.status.success());
        if is_free(&["start", "faulty"]) {
            findings.push("a container that was removed is there".to_owned());
        }
        if !is_free(&["create", "--name", "faulty", "base", "true"]) || !is_free(&["rm", "faulty"]) {
            findings.push("the name `faulty` is taken for ever".to_owned());
        }
        (was_mended, findings)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Nothing of a stage outlives it, whatever became of it.
        for name in ["faulty", "kept"] {
            drop(self.run(&["rm", "-f", name]));
        }
    }
}

fn said(words: &[&str], output: &Output) -> bool {
    if !output.status.success() {
        println!("faults: `{}`: {}", words.join(" "), last_line(&output.stderr));
    }
    output.status.success()
}

pub(crate) fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let error = text.lines().find(|line| line.starts_with("error:"));
    error.or_else(|| text.lines().last()).unwrap_or("(nothing said)").to_owned()
}
