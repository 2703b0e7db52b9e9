//! The tests of the machines: which there are, each in a machine of its own, and what came out.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use testkit::TempDir;

use super::image::{self, Image};
use super::machine::{Answer, Machine};
use super::recipe::{BUILD_SIZE, Flavour};
use crate::counts::Counts;

/// Of the machine's own time, for one test.
const TEST_LIMIT: Duration = Duration::from_secs(120);
/// What a machine takes of the host, in MiB: its memory and the translated code.
const MACHINE_WEIGHT: u64 = 1_600;
/// How the test program is started inside.
const TEST_COMMAND: &str = "BRIG_BIN=/build/bin/brig BRIG_TEST_BIN=/build/bin/brig-test RUST_BACKTRACE=0 \
    /build/bin/vm --exact --nocapture --test-threads=1";

/// The programs that the machines get.
#[derive(Debug)]
pub(super) struct Programs<'paths> {
    pub(super) brig: &'paths Path,
    pub(super) seams: &'paths Path,
    pub(super) tests: &'paths Path,
}

/// One test: in which machine, as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) flavour: Flavour,
    pub(super) person: String,
}

/// The tests that a test program lists: their names end in the flavour and the person, `...::plain::root`.
pub(super) fn list(program: &Path) -> Result<Vec<Test>, String> {
    let output = Command::new(program)
        .args(["--list", "--format", "terse"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(listing: &str) -> Vec<Test> {
    let names = listing.lines().filter_map(|line| line.strip_suffix(": test"));
    names
        .filter_map(|name| {
            let mut parts = name.rsplit("::");
            let (person, flavour) = (parts.next()?, Flavour::named(parts.next()?)?);
            ["root", "user"].contains(&person).then(|| Test {
                name: name.to_owned(),
                flavour,
                person: person.to_owned(),
            })
        })
        .collect()
}

/// Makes the disk with the programs under test.
pub(super) fn build_disk(programs: &Programs<'_>, scratch: &Path) -> Result<PathBuf, String> {
    let (tree, disk) = (scratch.join("build-tree"), scratch.join("build"));
    let bin = tree.join("bin");
    fs::create_dir_all(&bin).map_err(|error| format!("{}: {error}", bin.display()))?;
    for (name, program) in [("brig", programs.brig), ("brig-test", programs.seams), ("vm", programs.tests)] {
        // Without what only a debugger reads the disk is a tenth of its size.
        let stripped = Command::new("strip").arg("-o").arg(bin.join(name)).arg(program).status();
        if !stripped.is_ok_and(|status| status.success()) {
            fs::copy(program, bin.join(name)).map_err(|error| format!("{}: {error}", program.display()))?;
        }
    }
    symlink("brig", bin.join("brig-runtime")).map_err(|error| error.to_string())?;
    image::make_disk(&disk, BUILD_SIZE, Some(&tree))?;
    fs::remove_dir_all(&tree).map_err(|error| error.to_string())?;
    Ok(disk)
}

/// Runs the tests of one flavour, each in a fresh machine, some machines at a time.
pub(super) fn run(image: &Image, build: &Path, tests: &[Test]) -> Counts {
    let queue = Mutex::new(tests.iter().collect::<VecDeque<_>>());
    let counts = Mutex::new(Counts::default());
    thread::scope(|scope| {
        for _ in 0..machines_at_once().min(tests.len()) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(test) = next else { break };
                    let started = Instant::now();
                    let answer = run_one(image, build, test);
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    report(test, &answer, started.elapsed(), &mut counts);
                }
            });
        }
    });
    counts.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test in a fresh machine. An emulated machine that gives no answer at all is tried once more, aloud; a test that
/// failed is not.
fn run_one(image: &Image, build: &Path, test: &Test) -> Answer {
    let answer = run_once(image, build, test);
    if answer.code.is_some() {
        return answer;
    }
    println!("again {}: the machine gave no answer", test.name);
    run_once(image, build, test)
}

fn run_once(image: &Image, build: &Path, test: &Test) -> Answer {
    let scratch = TempDir::new();
    match Machine::resume(test.flavour, &image.disks, build, scratch.path()) {
        Ok(mut machine) => machine.run(&test.person, TEST_LIMIT, &format!("{TEST_COMMAND} {}", test.name)),
        Err(output) => Answer { code: None, output },
    }
}

fn report(test: &Test, answer: &Answer, took: Duration, counts: &mut Counts) {
    let seconds = took.as_secs_f32();
    let skips: Vec<&str> = answer.output.lines().filter(|line| line.starts_with("skipped: ")).collect();
    // A name that matches no test is a success to libtest.
    let has_run = answer.output.contains("test result: ok. 1 passed");
    if answer.code == Some(0) && !skips.is_empty() {
        counts.skipped += 1;
        println!("skip {} ({seconds:.1} s)\n{}", test.name, skips.join("\n"));
    } else if answer.code == Some(0) && has_run {
        counts.passed += 1;
        println!("ok   {} ({seconds:.1} s)", test.name);
    } else {
        counts.failed += 1;
        println!("FAIL {} ({seconds:.1} s)", test.name);
        for line in answer.output.lines() {
            println!("     {line}");
        }
    }
}

/// As many as the memory and the processors bear.
fn machines_at_once() -> usize {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse::<u64>().ok());
    let by_memory = usize::try_from(available.unwrap_or(0) / 1024 / MACHINE_WEIGHT).unwrap_or(1);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    by_memory.min(processors).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_flavour_and_person() {
        let listing = "limits::memory::plain::root: test\nlimits::memory::apparmor::user: test\n\
            machine::tests::parses: test\nhello::plain::nobody: test\nhello::plain::root: benchmark\n";
        let found: Vec<(String, Flavour, String)> =
            parse(listing).into_iter().map(|test| (test.name, test.flavour, test.person)).collect();
        assert_eq!(
            found,
            [
                ("limits::memory::plain::root".to_owned(), Flavour::Plain, "root".to_owned()),
                ("limits::memory::apparmor::user".to_owned(), Flavour::AppArmor, "user".to_owned()),
            ]
        );
    }
}
