//! One start: its wall time, the processor time of everything it started, its largest process.
#![allow(unsafe_code, reason = "wait4 with its resource usage is in neither std nor rustix")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

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
            // SAFETY: setns and chdir are async-signal-safe and touch no memory but the borrowed path.
            unsafe {
                command.pre_exec(move || {
                    if libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) != 0
                        || libc::chdir(home.as_ptr()) != 0
                    {
                        return Err(io::Error::last_os_error());
                    }
                    Ok(())
                });
            }
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
        while let Some((pid, status, usage)) = wait(if ended.is_none() { 0 } else { libc::WNOHANG })? {
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
            sample.cpu += time(usage.ru_utime) + time(usage.ru_stime);
            sample.peak = sample.peak.max(u64::try_from(usage.ru_maxrss).unwrap_or(0));
        }
        Ok(sample)
    }
}

/// Waits, for a bounded time, for what an unmeasured start left behind: it must not be counted to the next.
pub(crate) fn settle() -> io::Result<()> {
    let started = Instant::now();
    while let Some((pid, _, _)) = wait(libc::WNOHANG)? {
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
fn wait(options: i32) -> io::Result<Option<(i32, i32, libc::rusage)>> {
    let mut status = 0;
    // SAFETY: rusage is a plain structure of integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the types that wait4 fills.
    let pid = unsafe { libc::wait4(-1, &raw mut status, options, &raw mut usage) };
    match pid {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::ECHILD) => Ok(None),
            error if error.kind() == io::ErrorKind::Interrupted => Ok(Some((0, 0, usage))),
            error => Err(error),
        },
        pid => Ok(Some((pid, status, usage))),
    }
}

fn exit_code(status: i32) -> i32 {
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
}

fn time(value: libc::timeval) -> Duration {
    let seconds = u64::try_from(value.tv_sec).unwrap_or(0);
    let micros = u64::try_from(value.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// Adopts what commands leave behind, so that its processor time is counted.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}
