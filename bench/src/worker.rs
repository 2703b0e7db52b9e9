//! The half that runs as the person: starts the subjects in turn, then many at once, then many in a row.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};
use testkit::Hygiene;

use crate::measure::{Sample, Subject, adopt_orphans, settle};
use crate::statistics::Row;

/// As many starts at once, and as many one after the other to compare with.
const CROWD: usize = 100;

/// Reads the task from standard input and answers the results as JSON.
pub(crate) fn work() -> io::Result<Value> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let task: Value = serde_json::from_str(&text)?;
    let number = |name: &str| usize::try_from(task[name].as_u64().unwrap_or(0)).unwrap_or(0);
    let subjects: Vec<Subject> = task["subjects"]
        .as_array()
        .map(|list| list.iter().map(Subject::from_json).collect())
        .unwrap_or_default();
    adopt_orphans()?;

    let mut failed = serde_json::Map::new();
    let mut able = Vec::new();
    for subject in subjects {
        match first(&subject)? {
            None => able.push(subject),
            Some(reason) => {
                failed.insert(subject.name, json!(reason));
            }
        }
    }
    let mut samples: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
    for round in 0..number("rounds") {
        for subject in &able {
            samples.entry(&subject.name).or_default().push(subject.start(round)?);
        }
    }
    let rows: serde_json::Map<String, Value> =
        samples.iter().map(|(name, samples)| ((*name).to_owned(), Row::of(samples).to_json())).collect();

    let mut crowds = serde_json::Map::new();
    let mut left = serde_json::Map::new();
    for name in ["brig-runtime", "brig run"] {
        if let Some(subject) = able.iter().find(|subject| subject.name == name) {
            crowds.insert(name.to_owned(), crowd(subject)?);
            left.insert(name.to_owned(), in_a_row(subject, number("in_a_row"), &task["must_stay_empty"])?);
        }
    }
    Ok(json!({"rows": rows, "failed": failed, "crowds": crowds, "left": left}))
}

/// Starts a subject once, unmeasured: warms what it caches, and tells why it does not work here.
fn first(subject: &Subject) -> io::Result<Option<String>> {
    let output = subject.command(1_000_000)?.stdout(Stdio::null()).stderr(Stdio::piped()).output();
    settle()?;
    Ok(match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
            Some(format!("{}: {line}", output.status))
        }
        Err(error) => Some(error.to_string()),
    })
}

/// Wall time of many starts one by one and of as many at once.
fn crowd(subject: &Subject) -> io::Result<Value> {
    let mut failures = 0;
    let started = Instant::now();
    for number in 0..CROWD {
        failures += usize::from(!subject.command(2_000_000 + number)?.status()?.success());
    }
    let sequential = started.elapsed();
    let started = Instant::now();
    let mut children = Vec::with_capacity(CROWD);
    for number in 0..CROWD {
        children.push(subject.command(3_000_000 + number)?.spawn()?);
    }
    for mut child in children {
        failures += usize::from(!child.wait()?.success());
    }
    let parallel = started.elapsed();
    Ok(
        json!({"sequential": sequential.as_secs_f64(), "parallel": parallel.as_secs_f64(), "failures": failures}),
    )
}

/// Starts many in a row and answers what they left behind.
fn in_a_row(subject: &Subject, starts: usize, must_stay_empty: &Value) -> io::Result<Value> {
    let before = Hygiene::capture();
    let mut left = Vec::new();
    for number in 0..starts {
        if !subject.command(4_000_000 + number)?.status()?.success() {
            left.push(format!("start {number} failed"));
        }
    }
    left.extend(before.left_behind());
    for directory in must_stay_empty.as_array().into_iter().flatten().filter_map(Value::as_str) {
        for entry in std::fs::read_dir(Path::new(directory)).into_iter().flatten() {
            let entry = entry?;
            // What no container id can be named is a cache, kept on purpose.
            if !entry.file_name().to_string_lossy().starts_with('@') {
                left.push(format!("file {}", entry.path().display()));
            }
        }
    }
    left.truncate(20);
    Ok(json!({"starts": starts, "left": left}))
}
