//! Running a command within a time limit, so that one that hangs costs its own row only.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use testkit::TempDir;

const LOOKS_EVERY: Duration = Duration::from_millis(10);
/// How long `brig` may take to end after its container was killed.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code; `None` when a signal or the time limit ended it.
    pub(crate) code: Option<i32>,
    /// Both streams, in the order they came.
    pub(crate) text: String,
    /// Time limit that was exceeded.
    pub(crate) exceeded: Option<Duration>,
}

impl Outcome {
    /// The end of what was said, on one line.
    pub(crate) fn last_words(&self) -> String {
        let lines: Vec<&str> = self
            .text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("warning:"))
            .collect();
        let end = match (self.exceeded, self.code) {
            (Some(limit), _) => format!("killed after {} s: ", limit.as_secs()),
            (None, Some(code)) => format!("code {code}: "),
            (None, None) => "killed: ".to_owned(),
        };
        end + &lines[lines.len().saturating_sub(6)..].join(" | ")
    }
}

/// Runs `command` with `typed` as its input, and kills its containers when they take longer than `limit`.
pub(crate) fn within(limit: Duration, command: &mut Command, typed: &str) -> Result<Outcome, String> {
    let failed = |error: std::io::Error| format!("{command:?}: {error}");
    // A file, not a pipe: what a container leaves running could hold a pipe open for ever.
    let scratch = TempDir::new();
    let path = scratch.join("output");
    let output = File::create(&path).map_err(failed)?;
    let both = output.try_clone().map_err(failed)?;
    let input = if typed.is_empty() { Stdio::null() } else { Stdio::piped() };
    let child = command.stdin(input).stdout(output).stderr(both).spawn();
    // The command keeps its streams until it is given others.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.map_err(|error| format!("{command:?}: {error}"))?;
    if let Some(mut keyboard) = child.stdin.take() {
        keyboard.write_all(typed.as_bytes()).map_err(|error| format!("type: {error}"))?;
    }
    let (status, exceeded) = match wait(&mut child, limit) {
        Some(status) => (Some(status), None),
        None => (end(&mut child), Some(limit)),
    };
    let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Outcome {
        code: status.filter(|_| exceeded.is_none()).and_then(|status| status.code()),
        text: String::from_utf8_lossy(&text).into_owned(),
        exceeded,
    })
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if started.elapsed() < limit => sleep(LOOKS_EVERY),
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Kills the containers first, so that `brig` takes down what it set up; what stays is killed, too.
fn end(child: &mut Child) -> Option<ExitStatus> {
    let own = namespace(std::process::id());
    let all = descendants(child.id());
    kill(all.iter().filter(|pid| namespace(**pid) != own));
    let ended = wait(child, ENDS_WITHIN);
    if ended.is_none() {
        kill(descendants(child.id()).iter().chain([&child.id()]));
        return wait(child, ENDS_WITHIN);
    }
    ended
}

fn kill<'a>(pids: impl Iterator<Item = &'a u32>) {
    for pid in pids.filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
        // One that ended meanwhile is as good as killed.
        kill_process(pid, Signal::KILL).unwrap_or_default();
    }
}

fn namespace(pid: u32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

fn descendants(pid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|word| word.parse().ok()) {
                if found.insert(child) {
                    next.push(child);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::tests::Brig;
    use testkit::{Hygiene, needs};

    #[test]
    fn a_container_that_hangs_is_killed_and_taken_down() {
        needs!(root, program("busybox"));
        // What outlives its parent becomes ours, so that it is seen below.
        drop(Hygiene::capture());
        let brig = Brig::root();
        brig.import_busybox();
        let mut hangs = brig.command(&[
            "run",
            "--rm",
            "--network=none",
            "busybox",
            "sh",
            "-c",
            "echo here; trap '' TERM; sleep 1000",
        ]);
        let outcome = within(Duration::from_secs(2), &mut hangs, "").unwrap();
        assert_eq!((outcome.code, outcome.exceeded), (None, Some(Duration::from_secs(2))));
        assert_eq!(outcome.text, "here\n");
        let own = std::process::id();
        assert!(descendants(own).iter().all(|pid| namespace(*pid) == namespace(own)));
        let containers = fs::read_dir(brig.store().join("containers")).unwrap();
        assert_eq!(containers.count(), 0);
    }

    #[test]
    fn what_is_typed_is_read() {
        let outcome =
            within(Duration::from_secs(100), Command::new("sh").arg("-s"), "echo in; exit 3\n").unwrap();
        assert_eq!((outcome.code, outcome.text.as_str()), (Some(3), "in\n"));
    }
}
