//! `cargo xtask vm`: virtual machines for what the machine at hand lacks, and the tests that need them.
//!
//! A machine is made once: Debian's packages become a disk, the disk is booted, and memory and devices are written to
//! a file when root and a user are logged in. From there a fresh machine is a second away, and each test has its own.
//! See `docs/vm.md`.

mod image;
mod machine;
mod recipe;
mod suite;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use testkit::TempDir;

use crate::counts::Counts;
use crate::test;
pub(crate) use image::make_disk;
use recipe::Flavour;
use suite::{Programs, Test};

const USAGE: &str = "usage: cargo xtask vm [FLAVOUR...] [WORD...]      run the tests of these flavours whose names hold a word
       cargo xtask vm do FLAVOUR PERSON COMMAND...  run a shell command in a fresh machine
       cargo xtask vm make [FLAVOUR...]             make the machines, if they are not made yet
flavours: plain, apparmor, selinux; persons: root, user";

/// The test program, as nextest names it; its tests are ours to run.
pub(crate) const TESTS: &str = "tests::vm";

/// The same for libtest, which knows tests only by their names.
pub(crate) fn skips() -> impl Iterator<Item = String> {
    Flavour::ALL.into_iter().map(|flavour| format!("--skip=::{}::", flavour.name()))
}

/// How long a command by hand may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(600);

/// Runs the chore.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let done = match words {
        ["do", flavour, person @ ("root" | "user"), command @ ..] if !command.is_empty() => {
            Flavour::named(flavour).map(|flavour| by_hand(flavour, person, &command.join(" ")))
        }
        ["make", flavours @ ..] => {
            let chosen: Option<Vec<Flavour>> = flavours.iter().map(|name| Flavour::named(name)).collect();
            chosen.map(|chosen| prepare(&or_all(chosen)).map(|_| true))
        }
        ["do" | "-h" | "--help", ..] => None,
        words => Some(run_chosen(words)),
    };
    match done {
        Some(Ok(true)) => ExitCode::SUCCESS,
        Some(Ok(false)) => ExitCode::FAILURE,
        Some(Err(error)) => {
            eprintln!("vm: {error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn or_all(flavours: Vec<Flavour>) -> Vec<Flavour> {
    if flavours.is_empty() { Flavour::ALL.to_vec() } else { flavours }
}

fn run_chosen(words: &[&str]) -> Result<bool, String> {
    let flavours = or_all(words.iter().filter_map(|word| Flavour::named(word)).collect());
    let parts: Vec<&str> = words.iter().copied().filter(|word| Flavour::named(word).is_none()).collect();
    let built = build().ok_or("the programs could not be built")?;
    let is_chosen = |test: &Test| {
        flavours.contains(&test.flavour)
            && (parts.is_empty() || parts.iter().any(|part| test.name.contains(part)))
    };
    let tests: Vec<Test> = suite::list(&built.tests)?.into_iter().filter(is_chosen).collect();
    if tests.is_empty() {
        return Err("no test has such a name".to_owned());
    }
    let counts = run_tests(&built.programs(), &tests)?;
    let Counts { passed, failed, skipped } = counts;
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    Ok(failed == 0)
}

/// Runs all tests of the machines, for `cargo xtask test`. What cannot run here is counted as skipped, each with its reason.
pub(crate) fn count(counts: &mut Counts, brig: &Path, seams: &Path) {
    println!("== vm");
    let ran = test_program().ok_or_else(|| "the tests could not be built".to_owned()).and_then(|tests| {
        let listed = suite::list(&tests)?;
        run_tests(&Programs { brig, seams, tests: &tests }, &listed)
    });
    match ran {
        Ok(Counts { passed, failed, skipped }) => {
            counts.passed += passed;
            counts.failed += failed;
            counts.skipped += skipped;
        }
        Err(error) => {
            println!("FAILED: vm: {error}");
            counts.check(false);
        }
    }
}

fn run_tests(programs: &Programs<'_>, tests: &[Test]) -> Result<Counts, String> {
    let scratch = TempDir::new();
    let build = suite::build_disk(programs, scratch.path())?;
    let mut counts = Counts::default();
    let wanted = |flavour: &Flavour| tests.iter().any(|test| test.flavour == *flavour);
    let is_strict = std::env::var_os("BRIG_TEST_STRICT").is_some_and(|value| value == "1");
    let mut able = Vec::new();
    for flavour in Flavour::ALL.into_iter().filter(wanted) {
        let Some(lack) = image::lacks(flavour) else {
            able.push(flavour);
            continue;
        };
        for test in tests.iter().filter(|test| test.flavour == flavour) {
            println!("skipped: {}: needs {lack}", test.name);
            if is_strict { counts.failed += 1 } else { counts.skipped += 1 }
        }
    }
    let images = prepare(&able)?;
    for (flavour, image) in able.iter().zip(&images) {
        let own: Vec<Test> = tests.iter().filter(|test| test.flavour == *flavour).cloned().collect();
        let started = Instant::now();
        let Counts { passed, failed, skipped } = suite::run(image, &build, &own);
        let seconds = started.elapsed().as_secs_f32();
        println!("{}: {passed} passed, {failed} failed, {skipped} skipped in {seconds:.0} s", flavour.name());
        counts.passed += passed;
        counts.failed += failed;
        counts.skipped += skipped;
    }
    Ok(counts)
}

/// The flavours' snapshots; what has to be made is made side by side.
fn prepare(flavours: &[Flavour]) -> Result<Vec<image::Image>, String> {
    std::thread::scope(|scope| {
        let makers: Vec<_> = flavours.iter().map(|flavour| scope.spawn(|| image::open(*flavour))).collect();
        makers
            .into_iter()
            .map(|maker| maker.join().unwrap_or_else(|_| Err("a maker panicked".to_owned())))
            .collect()
    })
}

fn by_hand(flavour: Flavour, person: &str, command: &str) -> Result<bool, String> {
    let built = build().ok_or("the programs could not be built")?;
    let image = image::open(flavour)?;
    let scratch = TempDir::new();
    let build = suite::build_disk(&built.programs(), scratch.path())?;
    let mut machine = machine::Machine::resume(flavour, &image.disks, &build, scratch.path())?;
    let answer = machine.run(person, COMMAND_LIMIT, command);
    print!("{}", answer.output);
    if let Some(code) = answer.code.filter(|code| *code != 0) {
        println!("exit code {code}");
    }
    Ok(answer.code == Some(0))
}

struct Built {
    brig: PathBuf,
    seams: PathBuf,
    tests: PathBuf,
}

impl Built {
    fn programs(&self) -> Programs<'_> {
        Programs { brig: &self.brig, seams: &self.seams, tests: &self.tests }
    }
}

fn build() -> Option<Built> {
    let given = |name: &str| std::env::var_os(name).map(PathBuf::from);
    Some(Built {
        brig: given("BRIG_BIN").or_else(test::brig_binary)?,
        seams: given("BRIG_TEST_BIN").or_else(test::brig_with_seams)?,
        tests: test_program()?,
    })
}

fn test_program() -> Option<PathBuf> {
    test::build(&["test", "--no-run", "--package", "tests", "--test", "vm"])
}
