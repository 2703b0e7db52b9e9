//! The lab: does what people run in containers work under the default profile, and is what must be refused refused?
//!
//! `lab [DIR]` makes the images (in DIR, where they are kept and found again), runs every check as root, as a user
//! with subordinate ids and as one without, and prints a table. It needs a Debian mirror and takes minutes, so it is
//! no part of the tests: `cargo xtask lab`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is for the person who ran it")]

mod checks;
mod images;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use testkit::{Hygiene, Need, TempDir};
use tests::Brig;

use checks::{CHECKS, Check, Expect, REFUSED};

/// A line of the table: its name, and per person what came of it.
type Row = (String, Vec<Cell>);

/// A person: the column's name, how to become them, what that needs, and whether they have only one id inside.
struct Person {
    name: &'static str,
    become_them: fn() -> Brig,
    need: Need,
    has_one_id: bool,
}

const PEOPLE: [Person; 3] = [
    Person { name: "root", become_them: Brig::root, need: Need::Root, has_one_id: false },
    Person { name: "rootless", become_them: Brig::user, need: Need::UserWithSubids, has_one_id: false },
    Person {
        name: "rootless, one id",
        become_them: Brig::bare,
        need: Need::UserWithoutSubids,
        has_one_id: true,
    },
];

/// What came of a check for one person.
#[derive(Clone, Debug)]
struct Cell {
    text: String,
    is_expected: bool,
}

fn main() -> ExitCode {
    let missing: Vec<&str> =
        images::PROGRAMS.into_iter().filter(|name| testkit::find_program(name).is_none()).collect();
    if !missing.is_empty() {
        eprintln!("the lab needs {}", missing.join(", "));
        return ExitCode::from(2);
    }
    let before = Hygiene::capture();
    let outcome = measure(std::env::args_os().nth(1).map(PathBuf::from));
    let (people, rows) = match outcome {
        Ok(measured) => measured,
        Err(reason) => {
            eprintln!("lab: {reason}");
            return ExitCode::FAILURE;
        }
    };
    // What carries another process's number belongs to tests that run at the same time.
    let own = format!("brig-test-{}-", std::process::id());
    let mut left = before.left_behind();
    left.retain(|line| !line.contains("brig-test-") || line.contains(&own));
    print_table(&people, &rows);
    for line in &left {
        println!("left behind: {line}");
    }
    let failed = rows.iter().flat_map(|(_, cells)| cells).filter(|cell| !cell.is_expected).count();
    println!("{failed} not as expected, {} left behind", left.len());
    if failed == 0 && left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every check as everybody; the columns' names and the rows.
fn measure(kept: Option<PathBuf>) -> Result<(Vec<&'static str>, Vec<Row>), String> {
    let scratch = TempDir::new();
    let directory = kept.unwrap_or_else(|| scratch.path().to_owned());
    let directory = std::path::absolute(directory).map_err(|error| format!("images: {error}"))?;
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    images::make(&directory)?;
    open_to_all(&directory)?;

    let mut columns = Vec::new();
    let mut rows: Vec<Row> = Vec::new();
    for person in PEOPLE.iter().filter(|person| person.need.is_met()) {
        eprintln!("== {}", person.name);
        let column = column(&(person.become_them)(), person.has_one_id, &directory)?;
        columns.push(person.name);
        if rows.is_empty() {
            rows = column.iter().map(|(check, _)| (check.clone(), Vec::new())).collect();
        }
        for ((_, cells), (_, cell)) in rows.iter_mut().zip(column) {
            cells.push(cell);
        }
    }
    Ok((columns, rows))
}

/// Every check as one person.
fn column(brig: &Brig, has_one_id: bool, directory: &Path) -> Result<Vec<(String, Cell)>, String> {
    images::bring(brig, directory)?;
    let mut column = vec![("run -it, apt-get in bash".to_owned(), told("run -it", interactive(brig)))];
    for check in CHECKS {
        if check.expect == Expect::Refused {
            let answers = output(brig, check)?;
            column.extend(REFUSED.iter().map(|name| ((*name).to_owned(), refused(name, &answers))));
        } else {
            let outcome = output(brig, check)
                .and_then(|output| if output.status.success() { Ok(()) } else { Err(last_words(&output)) });
            let may_fail = has_one_id && check.expect == Expect::WorksWithIds;
            let cell = match outcome {
                Err(reason) if may_fail => {
                    eprintln!("  {}: needs more ids: {reason}", check.name);
                    Cell { text: "needs ids".to_owned(), is_expected: true }
                }
                outcome => told(check.name, outcome),
            };
            column.push((check.name.to_owned(), cell));
        }
    }
    Ok(column)
}

fn told(name: &str, outcome: Result<(), String>) -> Cell {
    match outcome {
        Ok(()) => {
            eprintln!("  {name}: PASS");
            Cell { text: "PASS".to_owned(), is_expected: true }
        }
        Err(reason) => {
            eprintln!("  {name}: FAIL: {reason}");
            Cell { text: "FAIL".to_owned(), is_expected: false }
        }
    }
}

fn refused(name: &str, answers: &Output) -> Cell {
    let answers = String::from_utf8_lossy(&answers.stdout);
    let answer = answers.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let is_expected = matches!(answer, Some("EPERM" | "ENOSYS" | "EAFNOSUPPORT"));
    let text = match answer {
        Some(errno) if is_expected => format!("refused: {errno}"),
        Some(answer) => format!("FAIL: {answer}"),
        None => "FAIL: not tried".to_owned(),
    };
    eprintln!("  {name}: {text}");
    Cell { text, is_expected }
}

fn output(brig: &Brig, check: &Check) -> Result<Output, String> {
    let mut command = brig.command(&["run", "--rm"]);
    command.args(check.flags).arg(check.image);
    if !check.script.is_empty() {
        command.args(["sh", "-c", check.script]);
    }
    command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))
}

/// `brig run --rm -it debian:12 bash` on a terminal of script(1): what a person types, and the code they leave with.
fn interactive(brig: &Brig) -> Result<(), String> {
    let run = brig.command(&["run", "--rm", "-it", "--network", "host", "debian:12", "bash"]);
    // The person's environment comes from `script`'s own command; here only the words are needed.
    let words: Vec<String> = std::iter::once(run.get_program())
        .chain(run.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")))
        .collect();
    let line = words.join(" ");
    let mut script = Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = run.get_current_dir() {
        script.current_dir(directory);
    }
    let child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| format!("script: {error}"))?;
    let typed = b"tty\necho 'APT::Sandbox::User \"root\";' >/etc/apt/apt.conf.d/one-id\n\
        apt-get -qq update && apt-get -qq -y install less >/dev/null 2>&1 && less --version | head -n 1; exit 7\n";
    child.stdin.take().ok_or("no pipe")?.write_all(typed).map_err(|error| format!("type: {error}"))?;
    let output = child.wait_with_output().map_err(|error| format!("script: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let is_right =
        output.status.code() == Some(7) && text.contains("/dev/pts/0") && text.contains("less 590");
    if is_right { Ok(()) } else { Err(format!("{}: {}", output.status, last_words(&output))) }
}

/// The end of what a command said, on one line.
fn last_words(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("warning:"))
        .collect();
    lines[lines.len().saturating_sub(6)..].join(" | ")
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", last_words(&output))) }
}

/// Lets other users read the images.
fn open_to_all(directory: &Path) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", directory.display());
    for entry in std::fs::read_dir(directory).map_err(failed)?.flatten() {
        std::fs::set_permissions(entry.path(), PermissionsExt::from_mode(0o644)).map_err(failed)?;
    }
    Ok(())
}

fn print_table(people: &[&str], rows: &[Row]) {
    println!("| check | {} |\n|---|{}", people.join(" | "), "---|".repeat(people.len()));
    for (name, cells) in rows {
        let cells: Vec<&str> = cells.iter().map(|cell| &*cell.text).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}
