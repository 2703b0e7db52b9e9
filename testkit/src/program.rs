//! The binary under test, and commands whose outcome a test reads.

use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::TempDir;

/// After this long a command counts as hung. It guards the suite; no test asserts a time.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// The `brig` binary: `BRIG_BIN` when set, else built now, once per test process.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn brig() -> &'static Path {
    static BRIG: OnceLock<PathBuf> = OnceLock::new();
    BRIG.get_or_init(|| std::env::var_os("BRIG_BIN").map_or_else(|| build("brig", ""), PathBuf::from))
}

/// Builds a program of `cli` with the target directory and the profile of the running test, which lies at
/// `<target>/<triple>/<profile>/deps/<test>`.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub fn build(program: &str, features: &str) -> PathBuf {
    let test = std::env::current_exe().expect("/proc is mounted");
    let profile = test.parent().and_then(Path::parent).expect("a test lies in `deps`");
    let target = profile.parent().and_then(Path::parent).expect("`<target>/<triple>/<profile>`");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "cli", "--bin", program, "--features", features]);
    command.env("CARGO_TARGET_DIR", target).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().expect("cargo");
    assert!(status.success(), "cargo build --package cli --bin {program}");
    profile.join(program)
}

/// How a command ended and what it wrote.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line, for messages.
    pub line: String,
    /// The exit code; 128+n when signal n ended it, as a shell counts.
    pub code: i32,
    /// Standard output, lossily as text.
    pub stdout: String,
    /// Standard error, lossily as text.
    pub stderr: String,
}

impl Outcome {
    /// Returns standard output of a command that must succeed.
    ///
    /// # Panics
    /// When it did not exit with 0.
    pub fn success(self) -> String {
        assert_eq!(self.code, 0, "{self}");
        self.stdout
    }

    /// Returns standard error of a command that must exit with `code`.
    ///
    /// # Panics
    /// When it exited otherwise.
    pub fn fails_with(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self}");
        self.stderr
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, code, stdout, stderr } = self;
        write!(out, "`{line}` exited with {code}\nstdout: {stdout}\nstderr: {stderr}")
    }
}

/// Runs a command with an empty standard input and gathers its outcome.
///
/// # Panics
/// When it cannot be started, or hangs.
#[must_use]
pub fn run(command: &mut Command) -> Outcome {
    run_with_input(command, b"")
}

/// Runs a command that reads `input`.
///
/// # Panics
/// When it cannot be started, or hangs.
#[must_use]
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Outcome {
    let line = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let (mut stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    thread::scope(|scope| {
        // A command that does not read its input closes it early: EPIPE is no fault of the test.
        scope.spawn(move || drop(stdin.write_all(input)));
        let stdout = scope.spawn(move || text(&mut stdout));
        let stderr = scope.spawn(move || text(&mut stderr));
        let code = wait(&mut child, &line);
        let [stdout, stderr] =
            [stdout, stderr].map(|reader| reader.join().expect("the reader does not panic"));
        Outcome { line: line.clone(), code, stdout, stderr }
    })
}

/// Runs a command that leaves a process behind (`create`, `run --detach`): its streams are files, so that waiting for
/// their end does not mean waiting for that process.
///
/// # Panics
/// When it cannot be started, or hangs.
#[must_use]
pub fn run_detached(command: &mut Command) -> Outcome {
    let line = format!("{command:?}");
    let directory = TempDir::new();
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| directory.join(name));
    let create = |path: &Path| std::fs::File::create(path).expect("file in our own directory");
    command.stdin(Stdio::null()).stdout(create(&stdout)).stderr(create(&stderr));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
    let code = wait(&mut child, &line);
    let [stdout, stderr] = [stdout, stderr].map(|path| std::fs::read_to_string(path).expect("our own file"));
    Outcome { line, code, stdout, stderr }
}

fn text(source: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes).expect("a pipe of ours can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait(child: &mut Child, line: &str) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours can be waited for") {
            return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        }
        if started.elapsed() > HANGS_AFTER {
            child.kill().expect("a child of ours can be killed");
            panic!("`{line}` hangs");
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_apart() {
        for (script, code, stdout, stderr) in
            [("cat; echo b >&2", 0, "a", "b\n"), ("exit 3", 3, "", ""), ("kill -TERM $$", 128 + 15, "", "")]
        {
            let outcome = run_with_input(Command::new("sh").args(["-c", script]), b"a");
            assert_eq!(
                (outcome.code, &*outcome.stdout, &*outcome.stderr),
                (code, stdout, stderr),
                "{script}"
            );
        }
    }
}
