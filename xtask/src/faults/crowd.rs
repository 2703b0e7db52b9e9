//! Fifty processes doing random commands on one store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::stage::{ARCHIVE, Person, Stage, last_line};
use super::{Random, Tally};

/// How many do something at the same time.
const PEOPLE: usize = 50;
/// What they do; `N` is one of few names, so that they meet.
const DEEDS: &[&[&str]] = &[
    &["run", "--rm", "base", "true"],
    &["run", "-d", "--name", "N", "base", "sleep", "1"],
    &["create", "--name", "N", "base", "true"],
    &["start", "N"],
    &["stop", "-t", "0", "N"],
    &["kill", "N"],
    &["rm", "-f", "N"],
    &["rm", "N"],
    &["wait", "N"],
    &["rename", "N", "O"],
    &["exec", "N", "true"],
    &["logs", "N"],
    &["import", ARCHIVE, "i-N"],
    &["tag", "base", "i-N"],
    &["rmi", "i-N"],
    &["images"],
    &["info"],
    &["volume", "create", "v-N"],
    &["volume", "rm", "v-N"],
    &["volume", "ls"],
    &["run", "--rm", "-v", "v-N:/v", "base", "true"],
    &["commit", "N", "i-O"],
];
/// Parts of what is said where a serial run could say it, too: another one was faster.
const EXPECTED: &[&str] = &[
    "no container",
    "No such",
    "no such",
    "no image",
    "no volume",
    "is not here",
    "not found",
    "belongs to container",
    "already",
    "in use",
    "uses it",
    "runs",
    "running",
    "is used",
    "being",
    "ended",
    "is gone",
    "removed",
    "more than one",
    "several names",
    // Another one is at its commit.
    "is paused",
];

/// Runs them until the time is over.
pub(crate) fn run(brig: &Path, person: Person, time: Duration) -> Tally {
    let until = Instant::now() + time;
    let mut tally = Tally::default();
    let Some(stage) = Stage::new(brig, person) else {
        tally.findings.push("the stage could not be made".to_owned());
        return tally;
    };
    let (made, odd) = (Mutex::new(0_usize), Mutex::new(BTreeMap::<String, usize>::new()));
    std::thread::scope(|scope| {
        for person in 0..PEOPLE {
            let (stage, made, odd) = (&stage, &made, &odd);
            scope.spawn(move || {
                let mut random = Random(u64::try_from(person).unwrap_or(0) + 3);
                while Instant::now() < until {
                    let deed = DEEDS[random.below(DEEDS.len())];
                    let (name, other) = (random.below(8), random.below(8));
                    let words: Vec<String> = deed
                        .iter()
                        .map(|word| word.replace('N', &format!("n{name}")).replace('O', &format!("n{other}")))
                        .collect();
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    let wrong = match stage.run(&words) {
                        None => Some(format!("{}: did not end within a minute", words.join(" "))),
                        Some(output) if output.status.success() => None,
                        Some(output) => Some(last_line(&output.stderr))
                            .filter(|line| !EXPECTED.iter().any(|part| line.contains(part))),
                    };
                    *made.lock().expect("no thread panics") += 1;
                    // A process that was killed by another's `kill` or `stop` says nothing itself.
                    if let Some(line) = wrong.filter(|line| line != "(nothing said)") {
                        let line = format!("`{}`: {line}", deed.join(" "));
                        *odd.lock().expect("no thread panics").entry(line).or_insert(0) += 1;
                    }
                }
            });
        }
    });
    tally.made = made.into_inner().expect("no thread panics");
    for (line, times) in odd.into_inner().expect("no thread panics") {
        println!("{times} times {line}");
        tally.findings.push(format!("{times} times {line}"));
    }
    for number in 0..8 {
        for words in [["rm", "-f", "n"], ["rmi", "-f", "i-n"], ["volume", "rm", "v-n"]] {
            let words = words.map(|word| match word {
                "n" | "i-n" | "v-n" => format!("{word}{number}"),
                other => other.to_owned(),
            });
            drop(stage.run(&words.each_ref().map(String::as_str)));
        }
    }
    let (was_mended, findings) = stage.check();
    tally.mended = usize::from(was_mended);
    tally.findings.extend(findings.into_iter().map(|finding| format!("after the crowd: {finding}")));
    tally
}
