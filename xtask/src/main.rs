//! The house's chores, as `cargo xtask <chore>`: what a shell script would do, where a script would need logic.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore's output is for the person who ran it"
)]

mod aarch64;
mod counts;
mod escapes;
mod faults;
mod floors;
mod fuzz;
mod lab;
mod man;
mod packages;
mod record;
mod test;
mod vm;

use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask <chore>
  test          install what the tests need (as root), run everything that can run, print the counts
  escapes [NAME...]  attack the core by every published class of escapes, and write docs/escapes.md
  fuzz [--minutes N | --seconds N] [--minimise] [--record] [TARGET...]
                put made-up bytes to every parser of what comes from outside
  faults [--minutes N | --seconds N] [--record]
                kill commands at every step, fill the disk, let fifty processes run; then check the store
  floors        check that every crate depends only on lower floors and that only `sys` is unsafe
  man           write docs/man of what `--help` prints
  lab [--record] [--as PERSON] [DIR] [NAME...]
                try what people run in containers under the default profile (minutes; needs a Debian mirror)
  vm [FLAVOUR]  run the tests that need cgroup v2, systemd, AppArmor or SELinux in virtual machines
  aarch64       build for the other instruction set and run it in an emulated machine (root; minutes; needs a Debian mirror)
  bench start   measure how long and how much a container's start takes, against its peers
  bench engine  measure what a person does all day with an engine, against podman and docker";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::run(),
        ["escapes", rest @ ..] => escapes::run(rest),
        ["faults", rest @ ..] => faults::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["floors"] => {
            report(&floors::faults().iter().map(|fault| format!("floors: {fault}")).collect::<Vec<_>>())
        }
        ["man"] => match test::brig_binary().map(|brig| man::write(&brig)) {
            Some(Ok(())) => ExitCode::SUCCESS,
            Some(Err(error)) => report(&[format!("man: {error}")]),
            None => ExitCode::FAILURE,
        },
        ["lab", rest @ ..] => lab::run(rest),
        ["aarch64"] => aarch64::run(),
        ["vm", rest @ ..] => vm::run(rest),
        ["bench", rest @ ..] => bench(rest),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn report(faults: &[String]) -> ExitCode {
    for fault in faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bench(arguments: &[&str]) -> ExitCode {
    // What is measured is what people run: the release build of the product, not the one of the tests.
    let built = succeeds(cargo().args(["build", "--release", "--package", "cli", "--bin", "brig"]))
        && succeeds(cargo().args(["build", "--release", "--package", "bench", "--bins"]));
    let run = ["run", "--release", "--quiet", "--package", "bench", "--bin", "bench", "--"];
    if built && succeeds(cargo().args(run).args(arguments)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// A cargo command, in the root of the repository.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command with our standard streams.
fn succeeds(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("{command:?}: {error}");
            false
        }
    }
}
