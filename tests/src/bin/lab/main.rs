//! The lab: does what people run in containers work under the default profile, and is what must be refused refused?
//!
//! `lab [--everybody] [--as PERSON] [DIR] [NAME...]` makes the images (in DIR, an argument with a `/`, where they are kept and found
//! again), runs the checks whose names contain a NAME, or all, as root, as a user with subordinate ids and as one
//! without, and prints a table on standard output. With `--everybody` who cannot try is an error. It needs a Debian
//! mirror and takes minutes, so it is no part of the tests: `cargo xtask lab`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is for the person who ran it")]

mod attempt;
mod check;
mod checks;
mod images;
mod limit;
mod person;
mod registry;
mod table;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use testkit::{Hygiene, TempDir};

use check::Check;
use checks::{DOORS, Door, KNOCK};
use person::Who;
use table::{Cell, Row};

/// What the command line asks for.
#[derive(Debug, Default)]
struct Wanted {
    /// Whether nobody may be skipped.
    everybody: bool,
    /// The only person who tries; none for all.
    only: Option<Who>,
    /// Where images are kept.
    directory: Option<PathBuf>,
    /// Parts of names; none for all.
    names: Vec<String>,
}

impl Wanted {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--everybody" => wanted.everybody = true,
                "--as" => {
                    let who = words.next().and_then(|word| Who::from_word(&word));
                    wanted.only = Some(who.ok_or("`--as` is one of root, rootless, one-id")?);
                }
                flag if flag.starts_with('-') => return Err(format!("unknown flag `{flag}`")),
                directory if directory.contains('/') => wanted.directory = Some(directory.into()),
                _ => wanted.names.push(word),
            }
        }
        Ok(wanted)
    }

    fn names(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| name.contains(part.as_str()))
    }
}

fn main() -> ExitCode {
    let missing: Vec<&str> =
        images::PROGRAMS.into_iter().filter(|name| testkit::find_program(name).is_none()).collect();
    if !missing.is_empty() {
        eprintln!("the lab needs {}", missing.join(", "));
        return ExitCode::from(2);
    }
    match Wanted::parse(std::env::args().skip(1)).and_then(|wanted| lab(&wanted)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("lab: {reason}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is as expected.
fn lab(wanted: &Wanted) -> Result<bool, String> {
    let started = Instant::now();
    let before = Hygiene::capture();
    let (people, rows) = measure(wanted)?;
    let mut left = before.left_behind();
    left.retain(|line| !is_others(line));

    let table = table::markdown(&people, &rows);
    print!("{table}");
    for line in &left {
        println!("left behind: {line}");
    }
    let cells = || rows.iter().flat_map(|row| &row.cells);
    let number = |is_one: &dyn Fn(&Cell) -> bool| cells().filter(|cell| is_one(cell)).count();
    let failed = number(&|cell| !cell.is_expected);
    println!(
        "{} checks, {} people, {} s: {} pass, {} refused as meant, {} cannot, {failed} not as expected, {} left behind",
        rows.len(),
        people.len(),
        started.elapsed().as_secs(),
        number(&|cell| cell.text.starts_with("PASS")),
        number(&|cell| cell.text.starts_with("refused")),
        number(&|cell| cell.is_expected && cell.text.starts_with("needs")),
        left.len()
    );
    Ok(failed == 0 && left.is_empty())
}

/// Whether it belongs to tests or fuzz targets that run at the same time: they have numbers or names of their own.
fn is_others(line: &str) -> bool {
    let own = format!("brig-test-{}-", std::process::id());
    let is_of_tests = line.contains("brig-test-") && !line.contains(&own);
    is_of_tests || line.contains("/brig-fuzz") || line.contains("/brig-differential")
}

/// Runs the checks as everybody.
fn measure(wanted: &Wanted) -> Result<(Vec<Who>, Vec<Row>), String> {
    let scratch = TempDir::new();
    let directory = wanted.directory.as_deref().unwrap_or(scratch.path());
    let directory = std::path::absolute(directory).map_err(|error| format!("images: {error}"))?;
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;

    let checks: Vec<&Check> = checks::all().filter(|check| wanted.names(check.name)).collect();
    let doors: Vec<&Door> = DOORS.iter().filter(|door| wanted.names(door.name)).collect();
    let mut names: BTreeSet<&str> = checks.iter().map(|check| check.image).collect();
    if !doors.is_empty() {
        names.insert(KNOCK.image);
    }
    images::make(&directory, &names)?;
    open_to_all(&directory)?;

    let row = |name, mend: &[&str]| Row { name, cells: Vec::new(), mend: mend.join(" ") };
    let mut rows: Vec<Row> = checks.iter().map(|check| row(check.name, check.mend)).collect();
    rows.extend(doors.iter().map(|door| row(door.name, door.mend)));
    if rows.is_empty() {
        return Err("no check has such a name".to_owned());
    }
    let mut people = Vec::new();
    std::thread::scope(|removals| {
        for who in Who::ALL.into_iter().filter(|who| wanted.only.is_none_or(|only| only == *who)) {
            if !who.need().is_met() {
                let skipped = format!("skipped: {}: needs {:?}", who.name(), who.need());
                if wanted.everybody {
                    return Err(skipped);
                }
                eprintln!("{skipped}");
                continue;
            }
            eprintln!("== {}", who.name());
            let brig = who.brig();
            images::bring(&brig, &directory, &names)?;
            let mut column: Vec<Cell> =
                checks.iter().map(|check| attempt::attempt(&brig, who, check)).collect();
            if !doors.is_empty() {
                column.extend(attempt::knock(&brig, who, &doors));
            }
            for (row, cell) in rows.iter_mut().zip(column) {
                row.cells.push(cell);
            }
            people.push(who);
            // Removing gigabytes of small files takes minutes on some disks; the next person need not wait.
            removals.spawn(move || drop(brig));
        }
        Ok(())
    })?;
    Ok((people, rows))
}

/// Lets other users read the images.
fn open_to_all(directory: &Path) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", directory.display());
    for entry in std::fs::read_dir(directory).map_err(failed)?.flatten() {
        std::fs::set_permissions(entry.path(), PermissionsExt::from_mode(0o644)).map_err(failed)?;
    }
    Ok(())
}
