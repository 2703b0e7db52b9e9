//! The page `docs/benchmarks.md`: machine, command, tables, targets.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::statistics::Row;
use crate::target::{Rows, Target, compare};

/// One person's results and what the page says of them.
#[derive(Debug)]
pub(crate) struct Part {
    title: String,
    rows: Vec<(String, Row)>,
    failed: Vec<(String, String)>,
    pub(crate) targets: Vec<Target>,
}

impl Part {
    /// Reads a worker's answer; the rows keep the order of `names`.
    pub(crate) fn new(title: &str, names: &[String], answer: &Value) -> Self {
        let rows: Rows = answer["rows"]
            .as_object()
            .map(|rows| rows.iter().map(|(name, row)| (name.clone(), Row::from_json(row))).collect())
            .unwrap_or_default();
        let failed = answer["failed"].as_object().into_iter().flatten();
        let mut targets = compare(&rows);
        for (name, crowd) in answer["crowds"].as_object().into_iter().flatten() {
            targets.push(crowd_target(name, crowd));
        }
        for (name, result) in answer["left"].as_object().into_iter().flatten() {
            targets.push(left_target(name, result));
        }
        Self {
            title: title.to_owned(),
            rows: names.iter().filter_map(|name| Some((name.clone(), *rows.get(name)?))).collect(),
            failed: failed
                .map(|(name, why)| (name.clone(), why.as_str().unwrap_or_default().to_owned()))
                .collect(),
            targets,
        }
    }

    /// The part as Markdown.
    pub(crate) fn page(&self) -> String {
        let mut page = format!("## {}\n\n", self.title);
        page.push_str("| | wall p10 | wall median | CPU p10 | CPU median | peak memory | failures |\n");
        page.push_str("|---|---:|---:|---:|---:|---:|---:|\n");
        for (name, row) in &self.rows {
            let Row { starts, failures, wall_p10, wall_median, cpu_p10, cpu_median, peak } = row;
            line(
                &mut page,
                format_args!(
                    "| {name} | {wall_p10:.2} | {wall_median:.2} | {cpu_p10:.2} | {cpu_median:.2} | {peak} | {failures}/{starts} |"
                ),
            );
        }
        for (name, why) in &self.failed {
            line(&mut page, format_args!("\nNot measured: {name} ({why})"));
        }
        page.push_str("\n| target | measured | |\n|---|---|---|\n");
        for target in &self.targets {
            line(&mut page, format_args!("| {} | {} | {} |", target.text, target.measured, target.verdict()));
        }
        page.push('\n');
        page
    }
}

fn crowd_target(name: &str, crowd: &Value) -> Target {
    let seconds = |field: &str| crowd[field].as_f64().unwrap_or(0.0);
    let (sequential, parallel, failures) =
        (seconds("sequential"), seconds("parallel"), crowd["failures"].as_u64().unwrap_or(u64::MAX));
    Target {
        text: format!("`{name}`: 100 starts at once at least 0.9 times as fast as one by one, none fails"),
        measured: format!(
            "{sequential:.2} s / {parallel:.2} s = {:.2}, {failures} failures",
            sequential / parallel.max(1e-9)
        ),
        met: Some(failures == 0 && sequential / parallel.max(1e-9) >= 0.9),
    }
}

fn left_target(name: &str, result: &Value) -> Target {
    let left: Vec<&str> = result["left"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    Target {
        text: format!("`{name}`: {} starts in a row leave nothing behind", result["starts"]),
        measured: if left.is_empty() { "nothing".to_owned() } else { left.join("; ") },
        met: Some(left.is_empty()),
    }
}

/// The head of the page: how to read it, where and when it was measured.
pub(crate) fn head(rounds: usize) -> String {
    let date = output("date", &["-u", "+%Y-%m-%d"]);
    let kernel = output("uname", &["-sr"]);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown processor");
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor\t")).count();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let versions: Vec<String> = ["crun", "runc", "bwrap", "podman", "docker", "youki"]
        .iter()
        .filter(|name| testkit::find_program(name).is_some())
        .map(|name| output(name, &["--version"]))
        .collect();
    format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench start`. All subjects are started in turn within one run, {rounds} rounds, on the same\n\
         busybox root file system, running `true`. Times in milliseconds: wall from before fork to the command's end; CPU user\n\
         and system of the command and of everything it left behind. Peak memory in KiB is the largest process; about 2 MiB of\n\
         it is the measuring program's own, seen before exec. Noise on shared machines is large: compare within a table only.\n\n\
         `floor` is a program of ours that does the least a container needs: one clone3 with the same namespaces, the same mounts\n\
         and devices, pivot_root, exec, wait; no cgroup, filter, masks, capabilities or state. Runtimes get the bundle of\n\
         `runc spec` without its cgroup mount, with 8 capabilities and, unless it says *no filter*, podman's default profile.\n\
         As root they make a cgroup; a user's bundle maps one id and has none. `brig run` has its own defaults: a user\n\
         namespace, its own filter, the read-back. Where cgroup v1 and v2 are mixed, root's\n\
         crun and all of the user's subjects run in a mount namespace without the v2 one, because crun refuses the mixture.\n\n\
         Measured {date}, {cores} x {model}, {kernel}, load {load} at the end. {}.\n\n",
        versions.join(", ")
    )
}

/// The head of the part on the engine.
pub(crate) fn engine_head(rounds: usize) -> String {
    let date = output("date", &["-u", "+%Y-%m-%d"]);
    let kernel = output("uname", &["-sr"]);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    format!(
        "Written by `cargo xtask bench engine`, as root. Each command in turn on every engine, {rounds} rounds; containers of the same\n\
         busybox image without a network; docker's daemon is started by hand in namespaces of its own; what runs is kept on a tmpfs, as `/run` is. Times are medians of the wall time, in\n\
         parentheses of the command's own processor time (docker's and podman's helpers not counted). Memory is proportional (PSS), of everything that runs\n\
         beside the containers' own processes and came with them, so without docker's standing daemons.\n\n\
         Measured {date}, {kernel}, load {load} at the end. {}, {}.\n",
        output("podman", &["--version"]),
        output("docker", &["--version"]),
    )
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("writing to a string does not fail");
}
