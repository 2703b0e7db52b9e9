//! `cargo xtask lab`: what people run in containers, under the default profile, as root and rootless.

use std::io::{BufRead, BufReader};
use std::process::{ExitCode, Stdio};

use crate::{cargo, record, report, test};

const PAGE: &str = "docs/compatibility.md";

/// Builds the product and runs `tests/src/bin/lab` with it. `arguments`: `--record` to write the table into the
/// documentation, `--as root|rootless|one-id`, a directory that keeps the images, parts of the names of checks.
pub(crate) fn run(arguments: &[&str]) -> ExitCode {
    let (flags, words): (Vec<&str>, Vec<&str>) = arguments.iter().partition(|word| **word == "--record");
    let is_recorded = !flags.is_empty();
    if is_recorded && words.iter().any(|word| !word.contains('/')) {
        return report(&[
            "lab: `--record` writes the whole table of everybody: name only a directory".to_owned()
        ]);
    }
    let Some(brig) = test::brig_binary() else { return ExitCode::FAILURE };
    let mut command = cargo();
    command
        .args(["run", "--quiet", "--package", "tests", "--bin", "lab", "--"])
        .args(words)
        .env("BRIG_BIN", brig);
    if is_recorded {
        command.arg("--everybody");
    }
    let mut lab = match command.stdout(Stdio::piped()).spawn() {
        Ok(lab) => lab,
        Err(error) => return report(&[format!("{command:?}: {error}")]),
    };
    let mut table = String::new();
    for line in
        lab.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok)
    {
        println!("{line}");
        if line.starts_with('|') {
            table.push_str(&line);
            table.push('\n');
        }
    }
    if !lab.wait().is_ok_and(|status| status.success()) {
        return ExitCode::FAILURE;
    }
    if is_recorded {
        let text = format!("{}\n\n{table}", record::stamp("cargo xtask lab --record DIR"));
        if let Err(error) = record::replace(PAGE, "lab", &text) {
            return report(&[format!("{PAGE}: {error}")]);
        }
    }
    ExitCode::SUCCESS
}
