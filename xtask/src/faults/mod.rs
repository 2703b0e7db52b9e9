//! `cargo xtask faults`: kill the engine's commands at every step that changes something and at random moments, fill its disk,
//! let fifty processes do what they like; then ask whether the store is whole and nothing that was committed is lost.

mod crowd;
mod full;
mod kill;
mod stage;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use testkit::find_program;

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
    fn row(&self, name: &str, what: &str) -> String {
        format!("| {name} | {what} | {} | {} | {} |\n", self.made, self.mended, self.findings.len())
    }
}

/// Runs the harness for so many minutes (`--minutes`, else one), and writes its counts with `--record`.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let (mut seconds, mut is_recorded, mut is_inside) = (60, false, false);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut number = || rest.next().and_then(|value| value.parse::<u64>().ok());
        match *word {
            "--minutes" => seconds = number().unwrap_or(1) * 60,
            "--seconds" => seconds = number().unwrap_or(60),
            "--record" => is_recorded = true,
            "--inside" => is_inside = true,
            _ => return crate::report(&[format!("faults: `{word}` is not known")]),
        }
    }
    for program in ["strace", "unshare", "mount", "busybox"] {
        if find_program(program).is_none() {
            return crate::report(&[format!("faults: needs {program}")]);
        }
    }
    let Some(brig) = test::brig_binary() else { return ExitCode::FAILURE };
    // The small disks are mounted where nobody else sees them, and go with us.
    if !is_inside {
        let mut again = Command::new("unshare");
        again.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap_or_default());
        again.arg("faults").args(words).arg("--inside");
        return if crate::succeeds(&mut again) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let share = |part: u64| Instant::now() + Duration::from_secs(seconds * part / 10);
    let mut table =
        String::from("| fault | at | made | mended by `--repair` | findings |\n|---|---|---:|---:|---:|\n");
    let mut findings = Vec::new();
    let mut parts: Vec<(&str, &str, Tally)> = Vec::new();
    println!("== faults: SIGKILL at each step");
    parts.push((
        "SIGKILL",
        "each write, rename, sync, link, mount, clone",
        kill::steps(&brig, Duration::from_secs(seconds * 4 / 10)),
    ));
    println!("== faults: SIGKILL at random moments");
    parts.push(("SIGKILL", "random moments", kill::moments(&brig, share(2), 500)));
    println!("== faults: full disk");
    parts.push(("full disk", "with less and less room", full::run(&brig, share(2))));
    println!("== faults: fifty processes");
    parts.push(("50 processes", "random commands on one store", crowd::run(&brig, share(2))));
    for (name, what, tally) in parts {
        table.push_str(&tally.row(name, what));
        findings.extend(tally.findings);
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

/// Numbers that look random and are the same each time.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // Knuth's MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }
}
