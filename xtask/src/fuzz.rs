//! `cargo xtask fuzz`: builds the targets of `fuzz/`, runs them, and says what they did.
//!
//! A stable compiler does: libFuzzer needs instrumented code, which is an LLVM pass and a few of its options. That is
//! all that `cargo fuzz` adds, the address sanitizer aside, which needs a nightly compiler and would look at the little
//! code that is not safe Rust. Without it the targets run several times as often in the same time.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use testkit::{TempDir, find_program};

use crate::counts::Counts;
use crate::{packages, record, test};

/// What `cargo fuzz` gives the compiler.
const FLAGS: &[&str] = &[
    "--cfg fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];
/// How many targets run at once.
const JOBS: usize = 2;
/// Seconds for each target where none are given, and in the suite.
const SECONDS: u64 = 20;
/// Memory that a target may take, in MiB, and seconds that one input may take: more is a finding.
const MEMORY: u32 = 512;
const TIMEOUT: u32 = 5;
/// Most bytes that one target's committed inputs grow to, and how many one run adds at most.
const CORPUS: u64 = 96 << 10;
const INPUTS: u32 = 100;

/// Where the table of figures stands.
const PAGE: &str = "docs/reliability.md";

const USAGE: &str = "usage: cargo xtask fuzz [--minutes N | --seconds N] [--minimise] [--record] [TARGET...]";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    seconds: u64,
    minimise: bool,
    record: bool,
    targets: Vec<String>,
}

/// What a target did.
#[derive(Debug, Default)]
struct Figures {
    name: String,
    promise: String,
    executions: u64,
    per_second: u64,
    edges: u64,
    memory: u64,
    seconds: u64,
    crashes: Vec<String>,
    has_ended: bool,
}

/// Runs the targets that are named, or all.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let Some(request) = request(words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    packages::install();
    let Some(programs) = build() else { return ExitCode::FAILURE };
    let unknown: Vec<&String> = request.targets.iter().filter(|name| !has(&programs, name)).collect();
    if !unknown.is_empty() {
        eprintln!("fuzz: no such target: {unknown:?}");
        return ExitCode::from(2);
    }
    let chosen: Vec<_> = programs
        .into_iter()
        .filter(|(name, _)| request.targets.is_empty() || request.targets.contains(name))
        .collect();
    let figures = run_all(&chosen, request.seconds);
    if request.minimise {
        for (name, program) in &chosen {
            minimise(name, program);
        }
    }
    let mut has_failed = figures.iter().any(|figures| !figures.is_good());
    if request.record
        && let Err(error) = write_table(&figures)
    {
        eprintln!("{PAGE}: {error}");
        has_failed = true;
    }
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// As a part of the suite: one check for each target.
pub(crate) fn check(counts: &mut Counts) {
    println!("== fuzz, each target for {SECONDS} seconds");
    if find_program("c++").is_none() {
        println!("skipped: fuzz: needs a C++ compiler");
        counts.skipped += 1;
        return;
    }
    match build() {
        Some(programs) => {
            for figures in run_all(&programs, SECONDS) {
                counts.check(figures.is_good());
            }
        }
        None => counts.check(false),
    }
}

fn request(words: &[&str]) -> Option<Request> {
    let mut request = Request { seconds: SECONDS, minimise: false, record: false, targets: Vec::new() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--minutes" => request.seconds = words.next()?.parse::<u64>().ok()?.checked_mul(60)?,
            "--seconds" => request.seconds = words.next()?.parse().ok()?,
            "--minimise" => request.minimise = true,
            "--record" => request.record = true,
            word if word.starts_with('-') => return None,
            name => request.targets.push(name.to_owned()),
        }
    }
    Some(request)
}

fn has(programs: &[(String, PathBuf)], name: &str) -> bool {
    programs.iter().any(|(known, _)| known == name)
}

/// Where instrumented programs, new inputs, logs and findings lie: apart from everything else that is built.
fn place() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| crate::root().join("target")).join("fuzz")
}

/// A cargo command for the fuzz crate, which is no member of the workspace.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = crate::cargo();
    command.args(words).args(["--manifest-path", "fuzz/Cargo.toml"]).env("CARGO_TARGET_DIR", place());
    command
}

/// Builds every target and answers their programs in order.
fn build() -> Option<Vec<(String, PathBuf)>> {
    println!("== build the fuzz targets");
    let mut command = cargo(&["build", "--release", "--bins", "--message-format", "json-render-diagnostics"]);
    // libFuzzer is C++, whose runtime is shared: `crt-static` of the workspace is not among these flags.
    command.env("RUSTFLAGS", FLAGS.join(" ")).env_remove("CARGO_ENCODED_RUSTFLAGS");
    if let Some(directory) = test::libseccomp() {
        command.args(["--features", "oracle"]);
        command.env("LIBSECCOMP_LINK_TYPE", "static").env("LIBSECCOMP_LIB_PATH", directory);
    }
    let output = command.stderr(Stdio::inherit()).output().ok()?;
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut programs: Vec<(String, PathBuf)> = messages
        .lines()
        .filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            let program = PathBuf::from(message["executable"].as_str()?);
            let name = message["target"]["name"].as_str()?.to_owned();
            target_file(&name).is_file().then_some((name, program))
        })
        .collect();
    programs.sort();
    (output.status.success() && !programs.is_empty()).then_some(programs)
}

fn target_file(name: &str) -> PathBuf {
    crate::root().join("fuzz/fuzz_targets").join(name).with_extension("rs")
}

/// Runs the targets, some at once, and prints a line for each when it ends.
fn run_all(programs: &[(String, PathBuf)], seconds: u64) -> Vec<Figures> {
    let queue: Mutex<VecDeque<_>> = Mutex::new(programs.iter().collect());
    let done = Mutex::new(Vec::new());
    // Targets end without cleaning up; the memory file system is many times as fast for the one that unpacks.
    let memory = Path::new("/dev/shm");
    let scratch = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((name, program)) = next else { return };
                    let figures = run_one(name, program, seconds, scratch.path());
                    println!("{}", figures.line());
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(figures);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by(|one, other| one.name.cmp(&other.name));
    done
}

fn run_one(name: &str, program: &Path, seconds: u64, scratch: &Path) -> Figures {
    let (promise, longest) = describe(name);
    let mut figures = Figures { name: name.to_owned(), promise, seconds, ..Figures::default() };
    let below = |what: &str| place().join(what).join(name);
    let (found, findings, log) = (below("found"), below("findings"), below("log").with_extension("txt"));
    let made = [&found, &findings, &place().join("log")].into_iter().try_for_each(fs::create_dir_all);
    let streams = made.and_then(|()| File::create(&log)).and_then(|file| Ok((file.try_clone()?, file)));
    let (out, err) = match streams {
        Ok(streams) => streams,
        Err(error) => {
            figures.crashes.push(format!("{}: {error}", log.display()));
            return figures;
        }
    };
    let mut command = Command::new(program);
    command
        .args([&found, &corpus(name)])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={longest}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-timeout={TIMEOUT}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .args(["-print_final_stats=1", "-reload=0"])
        .env("TMPDIR", scratch)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err);
    let dictionary = crate::root().join("fuzz/dictionaries").join(name).with_extension("txt");
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    figures.has_ended = command.status().is_ok_and(|status| status.success());
    figures
        .read(&fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default());
    if !figures.has_ended {
        println!("FAILED: fuzz {name}: see {}", log.display());
        for input in &figures.crashes {
            println!("  {} {input}", program.display());
        }
    }
    figures
}

fn corpus(name: &str) -> PathBuf {
    crate::root().join("fuzz/corpus").join(name)
}

/// A target's promise, in the first line of its file, and the length of its longest input.
fn describe(name: &str) -> (String, u64) {
    let text = fs::read_to_string(crate::root().join("fuzz/src").join(name).with_extension("rs"));
    described(&text.unwrap_or_default())
}

fn described(text: &str) -> (String, u64) {
    let promise = text.lines().next().and_then(|line| line.strip_prefix("//! ")).unwrap_or_default();
    let length =
        text.lines().find_map(|line| line.strip_prefix("pub const MAX_LEN: usize = ")?.strip_suffix(';'));
    let length = length.unwrap_or_default();
    let (number, shift) = length.split_once(" << ").unwrap_or((length, "0"));
    let number: u64 = number.parse().unwrap_or(4096);
    (promise.to_owned(), number << shift.parse::<u32>().unwrap_or(0))
}

impl Figures {
    fn is_good(&self) -> bool {
        self.has_ended && self.crashes.is_empty() && self.executions > 0
    }

    /// Takes what libFuzzer said.
    fn read(&mut self, log: &str) {
        for line in log.lines() {
            if let Some((name, value)) = line.strip_prefix("stat::").and_then(|line| line.split_once(':')) {
                let value = value.trim().parse().unwrap_or(0);
                match name {
                    "number_of_executed_units" => self.executions = value,
                    "average_exec_per_sec" => self.per_second = value,
                    "peak_rss_mb" => self.memory = value,
                    _ => {}
                }
            }
            if let Some((_, rest)) = line.split_once(" cov: ") {
                self.edges = rest.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(self.edges);
            }
            if let Some((_, path)) = line.split_once("Test unit written to ") {
                self.crashes.push(path.to_owned());
            }
        }
    }

    fn line(&self) -> String {
        let Self { name, executions, per_second, edges, memory, seconds, crashes, .. } = self;
        format!(
            "{name:16} {executions:>10} executions {per_second:>7}/s {edges:>6} edges {memory:>4} MiB {seconds:>5} s {} findings",
            crashes.len()
        )
    }

    fn row(&self, stamp: &str) -> String {
        let Self { name, promise, executions, edges, memory, seconds, crashes, .. } = self;
        let minutes = seconds.div_ceil(60);
        format!(
            "| {name} | {promise} | {executions} | {minutes} | {edges} | {memory} | {} | {stamp} |",
            crashes.len()
        )
    }
}

/// Adds to the committed inputs some of the new ones that reach more, as long as there is room.
fn minimise(name: &str, program: &Path) {
    let scratch = TempDir::new();
    let kept = scratch.join("kept");
    if fs::create_dir(&kept).is_err() {
        return;
    }
    let (committed, found) = (corpus(name), place().join("found").join(name));
    for (path, _) in sizes(&committed) {
        // A merge only adds to what its first directory has.
        if let Some(file) = path.file_name()
            && let Err(error) = fs::copy(&path, kept.join(file))
        {
            println!("{}: {error}", path.display());
            return;
        }
    }
    let (_, longest) = describe(name);
    let merged = Command::new(program)
        .args(["-set_cover_merge=1", &format!("-max_len={longest}"), &format!("-rss_limit_mb={MEMORY}")])
        .args([&kept, &found])
        .env("TMPDIR", scratch.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !merged.is_ok_and(|status| status.success()) {
        println!("minimise {name}: the merge failed");
        return;
    }
    let mut total: u64 = sizes(&committed).iter().map(|(_, size)| size).sum();
    let mut added = 0;
    let mut new = sizes(&kept);
    // Names are digests: an order in which the small ones do not all come first.
    new.sort();
    for (path, size) in new {
        let Some(file) = path.file_name() else { continue };
        if committed.join(file).exists() || total + size > CORPUS || added == INPUTS {
            continue;
        }
        if fs::copy(&path, committed.join(file)).is_ok() {
            (total, added) = (total + size, added + 1);
        }
    }
    println!("minimise {name}: {added} inputs more, {total} bytes in all");
}

/// The files of a directory with their sizes, the smallest first.
fn sizes(directory: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut sizes: Vec<_> =
        entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len()))).collect();
    sizes.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
    sizes
}

/// Writes the rows of these targets; those of others stay.
fn write_table(figures: &[Figures]) -> std::io::Result<()> {
    let page = fs::read_to_string(crate::root().join(PAGE))?;
    record::replace(PAGE, "fuzz", &table(&page, figures, &record::when()))
}

fn table(page: &str, figures: &[Figures], stamp: &str) -> String {
    let old = page.split("<!-- fuzz -->").nth(1).and_then(|rest| rest.split("<!-- /fuzz -->").next());
    let name = |row: &str| row.split('|').nth(1).map(|name| name.trim().to_owned()).unwrap_or_default();
    let mut rows: Vec<String> = old
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| target |"))
        .filter(|line| !figures.iter().any(|figures| figures.name == name(line)))
        .map(str::to_owned)
        .chain(figures.iter().map(|figures| figures.row(stamp)))
        .collect();
    rows.sort();
    let head = "| target | promise | executions | minutes | edges | MiB | findings left | when and where |";
    format!("{head}\n|---|---|---:|---:|---:|---:|---:|---|\n{}\n", rows.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let parse = |line: &str| request(&line.split_whitespace().collect::<Vec<_>>());
        let found = parse("--minutes 10 --record tar layer").unwrap();
        assert_eq!((found.seconds, found.record, found.minimise), (600, true, false));
        assert_eq!(found.targets, ["tar", "layer"]);
        assert_eq!(parse("").unwrap().seconds, SECONDS);
        for bad in ["--minutes", "--minutes x", "--seconds -1", "--fast"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_libfuzzer_says() {
        let log = "#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 30Mb\n\
            #900\tDONE   cov: 25 ft: 40 corp: 3/9b lim: 8 exec/s: 90 rss: 40Mb\n\
            stat::number_of_executed_units: 900\nstat::average_exec_per_sec:     90\nstat::peak_rss_mb: 41\n";
        let mut figures = Figures { name: "tar".to_owned(), has_ended: true, ..Figures::default() };
        figures.read(log);
        assert_eq!(
            (figures.executions, figures.per_second, figures.edges, figures.memory),
            (900, 90, 25, 41)
        );
        assert!(figures.is_good());
        figures.read("artifact_prefix='/f/'; Test unit written to /f/crash-1\n");
        assert_eq!(figures.crashes, ["/f/crash-1"]);
        assert!(!figures.is_good());
    }

    #[test]
    fn promises_and_lengths() {
        assert_eq!(described("//! A.\n\npub const MAX_LEN: usize = 8 << 10;\n"), ("A.".to_owned(), 8192));
        assert_eq!(described("pub const MAX_LEN: usize = 700;"), (String::new(), 700));
        for entry in fs::read_dir(crate::root().join("fuzz/fuzz_targets")).unwrap() {
            let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
            assert!(describe(&name).0.ends_with('.'), "{name} does not say what it promises");
        }
    }

    #[test]
    fn rows_of_other_targets_stay() {
        let page =
            "x\n<!-- fuzz -->\n| target | a |\n|---|\n| a | old | 1 |\n| b | old | 2 |\n<!-- /fuzz -->\n";
        let figures = [Figures { name: "b".to_owned(), executions: 7, ..Figures::default() }];
        let new = table(page, &figures, "now");
        let rows: Vec<&str> = new.lines().skip(2).collect();
        assert_eq!(rows, ["| a | old | 1 |", "| b |  | 7 | 0 | 0 | 0 | 0 | now |"]);
    }
}
