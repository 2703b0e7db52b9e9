//! `cargo xtask test`: everything that can run here, and honest counts of what could not.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use testkit::{Hygiene, TempDir, find_program};

use crate::counts::Counts;
use crate::{aarch64, cargo, faults, fuzz, packages, vm};

/// How long an ended orphan may wait for us, and whoever waits for its process namespace to end with it.
const REAPS_EVERY: Duration = Duration::from_millis(50);

/// Crates that the bans of `clippy.toml` do not hold for, each with its reason.
const MAY_USE_BANNED: &[(&str, &str)] = &[
    ("cli", "reads the environment so that no library has to"),
    ("testkit", "works on directories of its own"),
    ("tests", "works on directories of its own"),
    ("bench", "works on directories of its own"),
    ("xtask", "works on directories of its own"),
];

/// Runs the whole suite; success when nothing failed.
///
/// # Panics
/// When the file of skips cannot be made.
pub(crate) fn run() -> ExitCode {
    packages::install();
    let scratch = TempDir::new();
    let skips = scratch.join("skips");
    fs::write(&skips, "").expect("file in our own directory");

    let mut counts = Counts::default();
    check(&mut counts, "rustfmt", cargo().args(["fmt", "--all", "--check"]));
    check(&mut counts, "floors", cargo().args(["xtask", "floors"]));
    tool(&mut counts, "typos", &["typos"], &[]);
    tool(&mut counts, "cargo-deny", &["cargo-deny"], &["--offline", "check", "licenses", "bans", "sources"]);
    check(
        &mut counts,
        "clippy",
        cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
    );

    let mut apart = fuzz::cargo(&["clippy", "--quiet", "--no-default-features", "--all-targets"]);
    check(&mut counts, "clippy, fuzz", apart.args(["--", "--deny", "warnings"]));
    check(&mut counts, "rustfmt, fuzz", fuzz::cargo(&["fmt", "--check"]).env_remove("RUSTFLAGS"));

    match aarch64::lack_of_build() {
        None => {
            let mut other = cargo();
            other.args(["clippy", "--quiet", "--package", "cli"]);
            check(
                &mut counts,
                "clippy, aarch64",
                aarch64::for_target(&mut other).args(["--", "--deny", "warnings"]),
            );
        }
        Some(lack) => {
            println!("== clippy, aarch64: skipped: {lack}");
            counts.skipped += 1;
        }
    }

    let mut bans = cargo();
    bans.args(["clippy", "--quiet", "--no-deps", "--workspace", "--lib", "--bins"]);
    for (name, _) in MAY_USE_BANNED {
        bans.args(["--exclude", name]);
    }
    check(&mut counts, "bans", bans.args(["--", "--deny", "clippy::disallowed_methods"]));

    let built = brig_binary().zip(brig_with_seams());
    counts.check(built.is_some());
    if let Some((brig, seams)) = built {
        let before = Hygiene::capture();
        tests(&mut counts, &brig, &seams, &skips);
        vm::count(&mut counts, &brig, &seams);
        fuzz::check(&mut counts);
        match faults::lack() {
            None => check(
                &mut counts,
                "faults",
                Command::new(faults::program()).args(["faults", "--seconds", "80"]),
            ),
            Some(lack) => {
                println!("== faults: skipped: {lack}");
                counts.skipped += 1;
            }
        }
        let left = before.left_behind();
        for line in &left {
            println!("left behind: {line}");
        }
        counts.check(left.is_empty());
    }

    let needs = counts.move_skipped(&fs::read_to_string(&skips).expect("the file of skips"));
    if !needs.is_empty() {
        println!("skipped for which need:");
        for (need, number) in &needs {
            println!("  {number:4}  {need}");
        }
    }
    let Counts { passed, failed, skipped } = counts;
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check(counts: &mut Counts, name: &str, command: &mut Command) {
    println!("== {name}");
    let has_passed = crate::succeeds(command);
    if !has_passed {
        println!("FAILED: {name}");
    }
    counts.check(has_passed);
}

/// A check by a program that takes long to build: run where it is installed, and its absence counted.
fn tool(counts: &mut Counts, name: &str, programs: &[&str], arguments: &[&str]) {
    let Some(program) =
        programs.iter().find_map(|program| find_program(program).or_else(|| cargo_program(program)))
    else {
        println!("== {name}: not installed, skipped (cargo install {name})");
        counts.skipped += 1;
        return;
    };
    check(counts, name, Command::new(program).args(arguments).current_dir(crate::root()));
}

fn cargo_program(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    Some(home.join("bin").join(name)).filter(|path| path.is_file())
}

/// Builds the binary under test and answers where it is.
pub(crate) fn brig_binary() -> Option<PathBuf> {
    build(&["build", "--package", "cli", "--bin", "brig"])
}

/// Builds the binary of the attack tests, which can leave defences out, and answers where it is.
pub(crate) fn brig_with_seams() -> Option<PathBuf> {
    build(&["build", "--package", "cli", "--bin", "brig-test", "--features", "test-pauses,test-weaken"])
}

/// Builds one program with this cargo command, which names it after `--bin` or `--test`, and answers where it is.
pub(crate) fn build(words: &[&str]) -> Option<PathBuf> {
    build_by(&mut cargo(), words)
}

/// As [`build`], by a cargo that was told more.
pub(crate) fn build_by(cargo: &mut Command, words: &[&str]) -> Option<PathBuf> {
    println!("== cargo {}", words.join(" "));
    let output = cargo
        .args(words)
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .ok()?;
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut paths = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        // A package's tests have its programs built along.
        let is_it = message["target"]["name"].as_str().is_some_and(|name| words.contains(&name));
        Some(PathBuf::from(message["executable"].as_str()?)).filter(|_| is_it)
    });
    paths.next_back().filter(|_| output.status.success())
}

/// Where the static libseccomp lies, which the oracle of `seccomp` links: a static program cannot load the shared one.
pub(crate) fn libseccomp() -> Option<PathBuf> {
    let output = Command::new("pkg-config").args(["--variable=libdir", "libseccomp"]).output().ok()?;
    let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    directory.join("libseccomp.a").exists().then_some(directory)
}

fn tests(counts: &mut Counts, brig: &Path, seams: &Path, skips: &Path) {
    let (mut features, libseccomp) = ("files/test-pauses".to_owned(), libseccomp());
    if libseccomp.is_some() {
        features.push_str(",seccomp/oracle");
    } else {
        println!("skipped: seccomp::oracle: needs libseccomp-dev");
        counts.skipped += 1;
    }
    let cargo = |words: &[&str]| {
        println!("== cargo {}", words.join(" "));
        let mut command = cargo();
        command.args(words);
        // A feature can be named only where its package is among those that are built.
        if words.contains(&"--workspace") {
            command.args(["--features", &features]);
        }
        command.env("BRIG_BIN", brig).env("BRIG_TEST_BIN", seams).env("BRIG_TEST_SKIPS", skips);
        if let Some(directory) = &libseccomp {
            command.env("LIBSECCOMP_LINK_TYPE", "static").env("LIBSECCOMP_LIB_PATH", directory);
        }
        command
    };
    count(counts, &mut fuzz::cargo(&["test", "--no-default-features"]));
    let alone = single_threaded();
    let has_nextest = find_program("cargo-nextest").or_else(|| cargo_program("cargo-nextest")).is_some();
    if has_nextest {
        // nextest asks every binary for a list of its tests, which these cannot give.
        let mut filter = format!("not (binary_id({})", vm::TESTS);
        for (name, test, _) in &alone {
            filter.push_str(&format!(" + binary_id({name}::{test})"));
        }
        filter.push(')');
        count(counts, &mut cargo(&["nextest", "run", "--workspace", "--no-fail-fast", "-E", &filter]));
        for (name, test, needed) in &alone {
            count(counts, &mut cargo(&["test", "--package", name, "--test", test, "--features", needed]));
        }
        count(counts, &mut cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]));
    } else {
        // Without nextest all tests of a binary share a process: the stories' processes would see each other.
        count(counts, cargo(&["test", "--workspace", "--no-fail-fast", "--"]).args(vm::skips()));
    }
}

/// Runs a test command and counts; one that broke before it could count is a failure too.
fn count(counts: &mut Counts, command: &mut Command) {
    let failed_before = counts.failed;
    let succeeded = relay(command, |line| counts.add_line(line));
    if !succeeded && counts.failed == failed_before {
        counts.check(false);
    }
}

/// Package, name and required features of each test program without a harness. libtest starts threads, and a process with threads must not
/// fork: such programs run their tests one by one and end with `<name>: <n> tests ran`.
fn single_threaded() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(crate::root().join("crates")).into_iter().flatten().flatten() {
        let Ok(manifest) = fs::read_to_string(entry.path().join("Cargo.toml")) else { continue };
        for section in manifest.split("\n[[test]]").skip(1) {
            let section = section.split("\n[").next().unwrap_or_default();
            let name = section.lines().find_map(|line| line.strip_prefix("name = "));
            let needed = section.lines().find_map(|line| line.strip_prefix("required-features = "));
            let needed = needed.unwrap_or_default().replace(['[', ']', '"', ' '], "");
            if let Some(name) = name.filter(|_| section.contains("harness = false")) {
                let package = entry.file_name().to_string_lossy().into_owned();
                found.push((package, name.trim_matches('"').to_owned(), needed));
            }
        }
    }
    found.sort();
    found
}

/// Runs a command, passing its output on line by line, and is the init of what its processes leave behind.
fn relay(command: &mut Command, mut each: impl FnMut(&str)) -> bool {
    // One pipe for both streams keeps their order.
    let Ok((reader, writer)) = std::io::pipe() else { return false };
    let Ok(copy) = writer.try_clone() else { return false };
    let child = command.stdin(Stdio::null()).stdout(writer).stderr(copy).spawn();
    let Ok(mut child) = child else { return false };
    // The command holds our two ends of the pipe until it is given others.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let id = child.id();
    let mut stdout = std::io::stdout().lock();
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.recv_timeout(REAPS_EVERY) == Err(RecvTimeoutError::Timeout) {
                Hygiene::reap_orphans(id);
            }
        });
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            each(&line);
            if writeln!(stdout, "{line}").is_err() {
                break;
            }
        }
        drop(done);
    });
    child.wait().is_ok_and(|status| status.success())
}
