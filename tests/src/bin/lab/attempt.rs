//! Trying one check as one person, and what the table says of it.

use std::process::Command;
use std::time::{Duration, Instant};

use tests::Brig;

use crate::check::{Check, Expect, PRELUDE, Way};
use crate::checks::{DOORS, Door, KNOCK};
use crate::limit::{Outcome, within};
use crate::person::Who;
use crate::registry;
use crate::table::Cell;

/// `apt-get` of a dozen packages through a slow mirror, on a machine that others use, too.
const LIMIT: Duration = Duration::from_secs(300);
/// What a typed script leaves its shell with: no shell does so by itself.
const LEFT_BY_HAND: i32 = 7;
/// Answers that mean that the door is closed.
const CLOSED: [&str; 3] = ["EPERM", "ENOSYS", "EAFNOSUPPORT"];

/// Tries `check` as `who`, prints what came of it and how long it took.
pub(crate) fn attempt(brig: &Brig, who: Who, check: &Check) -> Cell {
    let started = Instant::now();
    let (cell, reason) = match judge(brig, who, check) {
        Ok(cell) => (cell, String::new()),
        Err(reason) => (excused(who, check), format!(": {reason}")),
    };
    tell(check.name, &cell, &reason, started);
    cell
}

/// The cell where all is as it should be, or why it is not.
fn judge(brig: &Brig, who: Who, check: &Check) -> Result<Cell, String> {
    let outcome = run(brig, check, &[])?;
    let ended =
        |outcome: &Outcome| outcome.code == Some(if check.way == Way::Typed { LEFT_BY_HAND } else { 0 });
    let text = match check.expect {
        Expect::Works if ended(&outcome) && check.stays_root && who == Who::OneId => {
            "PASS as root".to_owned()
        }
        Expect::Works if ended(&outcome) => "PASS".to_owned(),
        Expect::Works => return Err(outcome.last_words()),
        Expect::Refused(_) if ended(&outcome) => return Err("is not refused".to_owned()),
        Expect::Refused(seen) if !outcome.text.contains(seen) => return Err(outcome.last_words()),
        Expect::Refused(seen) if check.mends_for.contains(&who) => {
            let mended = run(brig, check, check.mend)?;
            if !ended(&mended) {
                return Err(format!("not mended by {}: {}", check.mend.join(" "), mended.last_words()));
            }
            format!("refused: {seen}")
        }
        Expect::Refused(seen) => format!("refused: {seen} (no flag)"),
    };
    Ok(Cell { text, is_expected: true })
}

/// The cell of who was expected to fail, or of a fault.
fn excused(who: Who, check: &Check) -> Cell {
    match check.except.iter().find(|(person, _)| *person == who) {
        Some((_, reason)) => Cell { text: (*reason).to_owned(), is_expected: true },
        None => Cell { text: "FAIL".to_owned(), is_expected: false },
    }
}

/// Tries those of the doors, prints what came of each.
pub(crate) fn knock(brig: &Brig, who: Who, doors: &[&Door]) -> Vec<Cell> {
    let closed = run(brig, &KNOCK, &[]);
    let all: Vec<&Door> =
        DOORS.iter().filter(|door| doors.iter().any(|wanted| wanted.name == door.name)).collect();
    let cells = all.into_iter().map(|door| {
        let started = Instant::now();
        let judged =
            closed.as_ref().map_err(String::clone).and_then(|closed| judge_door(brig, who, door, closed));
        let (cell, reason) = match judged {
            Ok(text) => (Cell { text, is_expected: true }, String::new()),
            Err(reason) => (Cell { text: "FAIL".to_owned(), is_expected: false }, format!(": {reason}")),
        };
        tell(door.name, &cell, &reason, started);
        cell
    });
    cells.collect()
}

fn judge_door(brig: &Brig, who: Who, door: &Door, closed: &Outcome) -> Result<String, String> {
    let answer = answer(door, closed).ok_or_else(|| format!("not tried: {}", closed.last_words()))?;
    if !CLOSED.contains(&&*answer) {
        return Err(answer);
    }
    if !door.mends_for.contains(&who) {
        return Ok(format!("refused: {answer} (no flag)"));
    }
    let open = run(brig, &KNOCK, door.mend)?;
    match self::answer(door, &open) {
        // What the kernel then says of our words is its own affair.
        Some(word) if !CLOSED.contains(&&*word) => Ok(format!("refused: {answer}")),
        word => Err(format!("not mended by {}: {word:?} {}", door.mend.join(" "), open.last_words())),
    }
}

fn answer(door: &Door, outcome: &Outcome) -> Option<String> {
    let line = outcome.text.lines().find_map(|line| line.strip_prefix(door.name)?.strip_prefix(' '));
    line.map(|answer| answer.trim().to_owned())
}

fn tell(name: &str, cell: &Cell, reason: &str, started: Instant) {
    eprintln!("  {name}: {} ({:.1} s){reason}", cell.text, started.elapsed().as_secs_f64());
}

fn run(brig: &Brig, check: &Check, mend: &[&str]) -> Result<Outcome, String> {
    let mut command = brig.command(&["run", "--rm"]);
    command.args(check.flags).args(mend);
    if check.way == Way::Registry {
        command.args(registry::flags());
    }
    command.arg(check.image);
    let script = format!("{PRELUDE}{}", check.script);
    match check.way {
        Way::Typed => return within(LIMIT, &mut on_terminal(command.arg("bash")), check.script),
        Way::Word | Way::Registry if check.script.is_empty() => {}
        Way::Word | Way::Registry => drop(command.args(["sh", "-c", &script])),
    }
    within(LIMIT, &mut command, "")
}

/// The command on a terminal of script(1).
fn on_terminal(command: &Command) -> Command {
    // The person's environment comes from `script`'s own command; here only the words are needed.
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")))
        .collect();
    let mut script = Command::new("script");
    script
        .args(["-qec", &words.join(" "), "/dev/null"])
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        script.current_dir(directory);
    }
    script
}
