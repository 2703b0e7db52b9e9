//! One start: its wall time, the processor time of everything it started, its largest process.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use serde_json::{Value, json};
use sys::process::Ended;

/// Helpers of a peer that outlive its command (conmon's clean-up) are waited for; what lives longer is not of this start.
const STRAGGLERS_GET: Duration = Duration::from_millis(1500);

/// What one start cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// From before fork to the command's end.
    pub(crate) wall: Duration,
    /// User and system time of the command and all its descendants, also those that it left behind.
    pub(crate) cpu: Duration,
    /// Largest resident set of one process among them, in KiB.
    pub(crate) peak: u64,
    /// The command's exit code, 128+n for a signal.
    pub(crate) code: i32,
}

/// A command that is measured.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// Its row in the table.
    pub(crate) name: String,
    /// Program and arguments; `{}` becomes a name that is fresh for each start.
    pub(crate) line: Vec<String>,
    /// A mount namespace to run it in.
    pub(crate) mounts: Option<String>,
}

impl Subject {
    pub(crate) fn to_json(&self) -> Value {
        json!({"name": self.name, "line": self.line, "mounts": self.mounts})
    }

    pub(crate) fn from_json(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            name: text(&value["name"]),
            line: value["line"].as_array().map(|words| words.iter().map(text).collect()).unwrap_or_default(),
            mounts: value["mounts"].as_str().map(str::to_owned),
        }
    }

    /// The command of start number `number`.
    pub(crate) fn command(&self, number: usize) -> io::Result<Command> {
        let fresh = format!("bench{}x{number}", std::process::id());
        let mut words = self.line.iter().map(|word| word.replace("{}", &fresh));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(path) = &self.mounts {
            let namespace = File::open(path)?;
            let home = CString::new(std::env::current_dir()?.as_os_str().as_encoded_bytes())?;
            sys::namespace::enter_at_exec(&mut command, namespace, home);
        }
        Ok(command)
    }

    /// Starts it once and waits for it and for what it leaves behind.
    pub(crate) fn start(&self, number: usize) -> io::Result<Sample> {
        let mut command = self.command(number)?;
        let started = Instant::now();
        let child = command.spawn()?;
        let main = i32::try_from(child.id()).map_err(io::Error::other)?;
        let mut sample = Sample { wall: Duration::ZERO, cpu: Duration::ZERO, peak: 0, code: 0 };
        let mut ended = None;
        // While the command runs, sleep in the kernel; afterwards its orphans get a bounded time.
        while let Some(Ended { pid, status, cpu, peak }) = wait(ended.is_none())? {
            if pid == 0 {
                if ended.is_some_and(|ended: Instant| ended.elapsed() > STRAGGLERS_GET) {
                    break;
                }
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            if pid == main {
                ended = Some(Instant::now());
                sample.wall = started.elapsed();
                sample.code = exit_code(status);
            }
            sample.cpu += cpu;
            sample.peak = sample.peak.max(peak);
        }
        Ok(sample)
    }
}

/// Waits, for a bounded time, for what an unmeasured start left behind: it must not be counted to the next.
pub(crate) fn settle() -> io::Result<()> {
    let started = Instant::now();
    while let Some(Ended { pid, .. }) = wait(false)? {
        if started.elapsed() > STRAGGLERS_GET {
            break;
        }
        if pid == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    Ok(())
}

/// Waits for any child: `None` when there is none; process 0 when none has ended yet.
fn wait(blocks: bool) -> io::Result<Option<Ended>> {
    match sys::process::wait_with_usage(-1, !blocks) {
        Err(Errno::CHILD) => Ok(None),
        Err(Errno::INTR) => Ok(Some(Ended::default())),
        result => Ok(result.map(Some)?),
    }
}

fn exit_code(status: i32) -> i32 {
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
}

/// Adopts what commands leave behind, so that its processor time is counted.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}
