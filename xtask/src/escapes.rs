//! `cargo xtask escapes`: the attack suite, its table on standard output and in `docs/escapes.md`.
//!
//! The suite is `tests/escapes/`, one file a row. Each part of a row records what became of it; a row is held when
//! every part that could run here held, and it counts when its attack was also seen to succeed on a control.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::ExitCode;

use serde_json::Value;
use testkit::TempDir;

use crate::{cargo, packages, record, succeeds, test};

/// Rows that must be held with a control shown before the suite is called whole.
const FEWEST_ROWS: usize = 60;

/// How long each brute race goes on, in seconds, unless `BRIG_RACE_SECONDS` says otherwise.
const RACE_SECONDS: &str = "30";

/// Runs the rows whose test names match `filters`; all of them, and `docs/escapes.md` is written, when there is none.
pub(crate) fn run(filters: &[&str]) -> ExitCode {
    packages::install();
    let Some((brig, seams)) = test::brig_binary().zip(test::brig_with_seams()) else {
        return ExitCode::FAILURE;
    };
    let scratch = TempDir::new();
    let records = scratch.join("records");
    let mut command = cargo();
    command
        .args(["nextest", "run", "--package", "tests", "--test", "escapes", "--no-fail-fast"])
        .args(filters);
    command.env("BRIG_BIN", brig).env("BRIG_TEST_BIN", seams).env("BRIG_ESCAPES", &records);
    if std::env::var_os("BRIG_RACE_SECONDS").is_none() {
        command.env("BRIG_RACE_SECONDS", RACE_SECONDS);
    }
    let has_passed = succeeds(&mut command);
    let rows = rows(&fs::read_to_string(&records).unwrap_or_default());
    let mut out = std::io::stdout().lock();
    for row in rows.values() {
        if writeln!(out, "{}", row.line()).is_err() {
            break;
        }
    }
    let counted = rows.values().filter(|row| row.counts()).count();
    let broken: Vec<&str> = rows.values().filter(|row| row.is_broken()).map(|row| row.id.as_str()).collect();
    println!(
        "{} rows: {counted} held with a control shown, {} broken {}",
        rows.len(),
        broken.len(),
        broken.join(" ")
    );
    if !filters.is_empty() {
        return if has_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Err(error) = record::replace("docs/escapes.md", "escapes", &table(&rows)) {
        println!("docs/escapes.md: {error}");
        return ExitCode::FAILURE;
    }
    if has_passed && counted == rows.len() && counted >= FEWEST_ROWS {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One row with what became of its parts.
#[derive(Debug, Default)]
struct Row {
    id: String,
    title: String,
    faults: Vec<String>,
    kinds: Vec<String>,
    defence: String,
    parts: BTreeMap<(String, String, String), Part>,
}

#[derive(Debug)]
struct Part {
    who: String,
    target: Option<String>,
    result: String,
    seconds: f64,
}

impl Row {
    /// Whether the attack reached something in any part of the product, or a part did not end.
    fn is_broken(&self) -> bool {
        self.parts.values().any(|part| part.target.is_none() && part.result == "BROKEN")
    }

    /// Who it held for.
    fn held(&self) -> Vec<&str> {
        distinct(self.parts.values().filter(|part| part.result == "held").map(|part| part.who.as_str()))
    }

    /// What the attack was seen to succeed on.
    fn shown(&self) -> Vec<&str> {
        let shown = self.parts.values().filter(|part| part.result == "shown");
        distinct(shown.filter_map(|part| part.target.as_deref()))
    }

    fn counts(&self) -> bool {
        let failed = self.parts.values().any(|part| matches!(&*part.result, "BROKEN" | "not shown"));
        !failed && !self.held().is_empty() && !self.shown().is_empty()
    }

    fn line(&self) -> String {
        let state = if self.is_broken() { "BROKEN" } else { "held" };
        let seconds: f64 = self.parts.values().map(|part| part.seconds).sum();
        let shown = self.shown();
        let control = if shown.is_empty() { "NOT SHOWN".to_owned() } else { shown.join("; ") };
        let mut line = format!(
            "{:4} {state:6} {:14} {seconds:6.1} s  {}  [control: {control}]",
            self.id,
            self.held().join(" "),
            self.title
        );
        for part in self.parts.values().filter(|part| part.result.starts_with("skipped")) {
            line.push_str(&format!("  ({} {})", part.who, part.result));
        }
        line
    }
}

fn distinct<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found: Vec<&str> = Vec::new();
    for word in words {
        if !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

/// Reads the records; of one part the last counts. Keyed so that R2 comes before R10.
fn rows(records: &str) -> BTreeMap<(String, u32), Row> {
    let mut rows: BTreeMap<(String, u32), Row> = BTreeMap::new();
    for line in records.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let list = |name: &str| {
            let values = line[name].as_array().into_iter().flatten();
            values.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let id = text("id");
        let (letter, number) = id.split_at(id.len().min(1));
        let row = rows.entry((letter.to_owned(), number.parse().unwrap_or(0))).or_default();
        (row.id, row.title, row.defence) = (id, text("title"), text("defence"));
        (row.faults, row.kinds) = (list("faults"), list("kinds"));
        let target = line["target"].as_str().map(str::to_owned);
        let part = Part {
            who: text("who"),
            target: target.clone(),
            result: text("result"),
            seconds: line["seconds"].as_f64().unwrap_or(0.0),
        };
        row.parts.insert((text("part"), text("who"), target.unwrap_or_default()), part);
    }
    rows
}

fn table(rows: &BTreeMap<(String, u32), Row>) -> String {
    let mut text = format!(
        "{}\n\n| row | what is tried | published as | how | held as | succeeds on | what ends it |\n\
         |---|---|---|---|---|---|---|\n",
        record::stamp("cargo xtask escapes")
    );
    for row in rows.values() {
        let cells = [
            row.id.clone(),
            row.title.clone(),
            row.faults.join(" "),
            row.kinds.join(" "),
            if row.is_broken() { "**broken**".to_owned() } else { row.held().join(", ") },
            row.shown().join("; "),
            row.defence.clone(),
        ];
        text.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(part: &str, target: Option<&str>, result: &str) -> String {
        let target = target.map_or("null".to_owned(), |target| format!("\"{target}\""));
        format!(
            "{{\"id\":\"R2\",\"title\":\"t\",\"faults\":[],\"kinds\":[],\"defence\":\"d\",\"part\":\"{part}\",\"who\":\"root\",\
             \"target\":{target},\"result\":\"{result}\",\"seconds\":1.0}}\n"
        )
    }

    #[test]
    fn a_row_counts_when_it_held_and_its_control_was_shown() {
        let (held, shown) = (record("a", None, "held"), record("b", Some("runc"), "shown"));
        let check = |records: &str| {
            let rows = rows(records);
            let row = rows.values().next().unwrap();
            (row.counts(), row.is_broken())
        };
        assert_eq!(check(&format!("{held}{shown}")), (true, false));
        assert_eq!(check(&held), (false, false));
        assert_eq!(check(&shown), (false, false));
        assert_eq!(check(&format!("{held}{}", record("b", Some("runc"), "not shown"))), (false, false));
        // A part that was killed has its first line only.
        assert_eq!(check(&format!("{held}{shown}{}", record("c", None, "BROKEN"))), (false, true));
        assert_eq!(check(&format!("{}{held}{shown}", record("a", None, "BROKEN"))), (true, false));
        assert_eq!(
            check(&format!("{held}{shown}{}", record("c", None, "skipped: needs kvm"))),
            (true, false)
        );
    }

    #[test]
    fn rows_are_in_the_order_of_their_numbers() {
        let records = record("a", None, "held");
        let text = records.replace("R2", "R10") + &records;
        assert_eq!(rows(&text).values().map(|row| row.id.clone()).collect::<Vec<_>>(), ["R2", "R10"]);
    }
}
