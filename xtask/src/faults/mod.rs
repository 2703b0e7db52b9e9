//! `cargo xtask faults`: kill the engine's commands at every step that changes something and at random moments, fill its disk,
//! let fifty processes do what they like; then ask whether the store is whole and nothing that was committed is lost.

mod crowd;
mod full;
mod kill;
mod stage;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use testkit::{Need, find_program};

use self::stage::Person;

use crate::{record, test};

/// What a part of the harness did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Faults that were made.
    made: usize,
    /// After how many the store needed `system check --repair`.
    mended: usize,
    /// What must not have happened.
    findings: Vec<String>,
}

impl Tally {
    fn row(&self, name: &str, what: &str, person: Person) -> String {
        format!(
            "| {name} | {what} | {} | {} | {} | {} |\n",
            person.name(),
            self.made,
            self.mended,
            self.findings.len()
        )
    }
}

/// A part of the harness.
struct Part {
    /// As `--only` names it.
    word: &'static str,
    fault: &'static str,
    at: &'static str,
    /// Its part of the time.
    share: u64,
    run: fn(&Path, Person, Duration) -> Tally,
}

const PARTS: [Part; 4] = [
    Part {
        word: "steps",
        fault: "SIGKILL",
        at: "each write, rename, sync, link, mount, clone",
        share: 2,
        run: kill::steps,
    },
    Part { word: "moments", fault: "SIGKILL", at: "random moments", share: 2, run: kill::moments },
    Part { word: "full", fault: "full disk", at: "with less and less room", share: 1, run: full::run },
    Part {
        word: "crowd",
        fault: "50 processes",
        at: "random commands on one store",
        share: 3,
        run: crowd::run,
    },
];

/// Runs the harness for so many minutes (`--minutes`, else one), or one part of it (`--only`), and writes its counts
/// with `--record`.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let (mut seconds, mut is_recorded, mut is_inside, mut only) = (60, false, false, None);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut number = || rest.next().and_then(|value| value.parse::<u64>().ok());
        match *word {
            "--minutes" => seconds = number().unwrap_or(1) * 60,
            "--seconds" => seconds = number().unwrap_or(60),
            "--only" => only = rest.next().copied(),
            "--record" => is_recorded = true,
            "--inside" => is_inside = true,
            _ => return crate::report(&[format!("faults: `{word}` is not known")]),
        }
    }
    if let Some(only) = only.filter(|only| PARTS.iter().all(|part| part.word != *only)) {
        return crate::report(&[format!(
            "faults: `--only {only}` is none of {}",
            PARTS.map(|part| part.word).join(", ")
        )]);
    }
    if let Some(lack) = lack() {
        return crate::report(&[format!("faults: {lack}")]);
    }
    let Some(brig) = test::brig_binary() else { return ExitCode::FAILURE };
    // The small disks are mounted where nobody else sees them, and go with us.
    if !is_inside {
        let mut again = Command::new("unshare");
        again.args(["--mount", "--propagation", "private"]).arg(program());
        again.arg("faults").args(words).arg("--inside");
        return if crate::succeeds(&mut again) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut table = String::from(
        "| fault | at | as | made | mended by `--repair` | findings |\n|---|---|---|---:|---:|---:|\n",
    );
    let mut findings = Vec::new();
    let with_subids = Need::UserWithSubids.is_met();
    let people = if with_subids { vec![Person::Root, Person::User] } else { vec![Person::Root] };
    if !with_subids {
        println!("faults as a user: skipped: no subordinate ids here");
    }
    let chosen: Vec<&Part> = PARTS.iter().filter(|part| only.is_none_or(|only| only == part.word)).collect();
    let all: u64 = chosen.iter().map(|part| part.share).sum();
    for part in chosen {
        for person in &people {
            println!("== faults as {}: {}, {}", person.name(), part.fault, part.at);
            let share = seconds * part.share / all.max(1) / u64::try_from(people.len()).unwrap_or(1);
            let tally = (part.run)(&brig, *person, Duration::from_secs(share));
            table.push_str(&tally.row(part.fault, part.at, *person));
            findings.extend(tally.findings);
        }
    }
    print!("{table}");
    if is_recorded {
        let stamp = record::stamp(&format!("cargo xtask faults --seconds {seconds}"));
        if let Err(error) = record::replace("docs/reliability.md", "faults", &format!("{table}\n{stamp}")) {
            findings.push(format!("docs/reliability.md: {error}"));
        }
    }
    crate::report(&findings)
}

/// What this machine lacks for the harness.
pub(crate) fn lack() -> Option<String> {
    if !Need::Root.is_met() {
        return Some("needs root, which mounts the small disks".to_owned());
    }
    let missing =
        ["strace", "unshare", "mount", "busybox"].into_iter().find(|name| find_program(name).is_none());
    missing.map(|name| format!("needs {name}"))
}

/// This program.
pub(crate) fn program() -> PathBuf {
    std::env::current_exe().expect("/proc is mounted")
}

/// Numbers that look random and are the same each time.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // Knuth's MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }
}
