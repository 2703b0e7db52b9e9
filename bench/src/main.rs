//! Measures a container's start against the least the kernel needs and against its peers, in one run.
//!
//! `bench start [--rounds N] [--in-a-row N] [--only SUBSTRING] [--root-only] [--dry]` prints the tables and writes
//! `docs/benchmarks.md` (not with `--dry`). `bench engine [--rounds N] [--dry]` does the same for what a person does all day with
//! an engine, and writes its own part of that page. `bench worker` is the half that runs as the person who is measured.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod engine;
mod measure;
mod profile;
mod report;
mod stage;
mod statistics;
mod target;
mod worker;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use serde_json::{Value, json};
use testkit::{Need, User};

use crate::report::Part;
use crate::stage::Stage;

#[derive(Debug)]
struct Options {
    rounds: usize,
    in_a_row: usize,
    only: Option<String>,
    is_root_only: bool,
    is_dry: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("start") => options(&arguments[1..]).and_then(|options| start(&options)),
        Some("engine") => options(&arguments[1..]).and_then(|options| engine(&options)),
        Some("worker") => worker::work().map(|answer| println!("{answer}")),
        _ => Err(io::Error::other(
            "usage: bench start [--rounds N] [--in-a-row N] [--only TEXT] [--root-only] [--dry] | engine [--rounds N] [--dry]",
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Progress and faults, apart from the results.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

fn options(words: &[String]) -> io::Result<Options> {
    let mut options = Options { rounds: 30, in_a_row: 1000, only: None, is_root_only: false, is_dry: false };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| io::Error::other(format!("`{word}` wants a value")));
        match word.as_str() {
            "--rounds" => options.rounds = value()?.parse().map_err(io::Error::other)?,
            "--in-a-row" => options.in_a_row = value()?.parse().map_err(io::Error::other)?,
            "--only" => options.only = Some(value()?.clone()),
            "--root-only" => options.is_root_only = true,
            "--dry" => options.is_dry = true,
            _ => return Err(io::Error::other(format!("unknown option `{word}`"))),
        }
    }
    Ok(options)
}

/// Where the part of `bench engine` begins; the rest of the page is above it.
const ENGINE: &str = "# The engine\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md")
}

fn engine(options: &Options) -> io::Result<()> {
    if !Need::Root.is_met() {
        return Err(io::Error::other("`bench engine` is for root: docker's daemon is"));
    }
    let table = engine::measure(options.rounds.min(15))?;
    let text = format!("{ENGINE}\n{}\n{table}", report::engine_head(options.rounds.min(15)));
    println!("{text}");
    if !options.is_dry {
        let old = std::fs::read_to_string(page())?;
        let kept = old.split(ENGINE).next().unwrap_or_default().trim_end().to_owned();
        std::fs::write(page(), format!("{kept}\n\n{text}"))?;
    }
    Ok(())
}

fn start(options: &Options) -> io::Result<()> {
    let own = std::env::current_exe()?;
    let (brig, floor) = (own.with_file_name("brig"), own.with_file_name("floor"));
    for program in [&brig, &floor] {
        if !program.exists() {
            return Err(io::Error::other(format!(
                "`{}` is not built: use `cargo xtask bench start`",
                program.display()
            )));
        }
    }
    let mut page = report::head(options.rounds);
    let mut missed = 0;
    let mut people = Vec::new();
    if Need::Root.is_met() {
        people.push(("As root", None));
    }
    if !options.is_root_only && Need::UserWithSubids.is_met() && Need::Userns.is_met() {
        people.push(("As a user", Some(User::with_subids())));
    }
    for (title, user) in people {
        say(&format!("preparing: {title}"));
        let mut stage = Stage::new(user, &brig, &floor);
        let crun_mounts = without_unified(&stage)?;
        for subject in &mut stage.subjects {
            if subject.name.starts_with("crun") {
                subject.mounts = crun_mounts.as_ref().map(Holder::namespace);
            }
        }
        let part = measure_as(&stage, title, options, &own)?;
        let text = part.page();
        println!("{text}");
        page.push_str(&text);
        missed += part.targets.iter().filter(|target| target.met == Some(false)).count();
    }
    println!("{missed} targets missed");
    if !options.is_dry {
        let path = crate::page();
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        let engine = old.find(ENGINE).map(|at| old[at..].to_owned()).unwrap_or_default();
        std::fs::write(&path, format!("{}\n\n{engine}", page.trim_end()).trim_end().to_owned() + "\n")?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

fn measure_as(stage: &Stage, title: &str, options: &Options, own: &Path) -> io::Result<Part> {
    let subjects: Vec<_> = stage
        .subjects
        .iter()
        .filter(|subject| options.only.as_ref().is_none_or(|only| subject.name.contains(only.as_str())))
        .collect();
    let names: Vec<String> = subjects.iter().map(|subject| subject.name.clone()).collect();
    let task = json!({
        "rounds": options.rounds,
        "in_a_row": options.in_a_row,
        "subjects": subjects.iter().map(|subject| subject.to_json()).collect::<Value>(),
        "must_stay_empty": stage.must_stay_empty(),
    });
    say(&format!("measuring: {title}, {} rounds of {}", options.rounds, names.join(", ")));
    let program = match &stage.user {
        Some(user) => user.install(own),
        None => PathBuf::from(own),
    };
    let mut command = stage.command(program);
    if stage.user.is_some() && Need::Root.is_met() && is_hybrid() {
        command = hide_unified(&command);
    }
    let mut child = command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().expect("piped").write_all(task.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{title}: the measuring half ended with {}", output.status)));
    }
    Ok(Part::new(title, &names, &serde_json::from_slice(&output.stdout)?))
}

/// The hierarchy beside v1 that makes crun refuse a machine as "hybrid".
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// A process that holds a mount namespace without [`UNIFIED`], for root's crun.
#[derive(Debug)]
struct Holder(Child);

impl Holder {
    fn namespace(&self) -> String {
        format!("/proc/{}/ns/mnt", self.0.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It ends with its standard input, which is closed here.
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

fn is_hybrid() -> bool {
    Path::new(UNIFIED).join("cgroup.procs").exists()
}

fn without_unified(stage: &Stage) -> io::Result<Option<Holder>> {
    if stage.user.is_some() || !is_hybrid() {
        return Ok(None);
    }
    let mut child = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            "umount \"$0\" && echo ready && exec cat",
            UNIFIED,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ready = [0; 6];
    io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut ready)?;
    Ok(Some(Holder(child)))
}

/// The same command in a mount namespace without [`UNIFIED`]: a user cannot join one for crun alone, and has no
/// writable cgroup on such a machine either way.
fn hide_unified(command: &Command) -> Command {
    let mut hidden = Command::new("unshare");
    hidden.args(["--mount", "--propagation", "private", "sh", "-c", "umount \"$0\" && exec \"$@\"", UNIFIED]);
    hidden.arg(command.get_program()).args(command.get_args());
    hidden.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        hidden.current_dir(directory);
    }
    hidden
}
