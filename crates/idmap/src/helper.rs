//! Running the few host programs that answer for ids: shadow-utils' `newuidmap`, `newgidmap`,
//! `getsubids`, and `getent`.
//!
//! Found by [`sys::program`] (a caller's `PATH` must not choose what runs with set-id bits), started with an
//! empty environment, bounded in time and output.

use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::Error;

/// Longest life of a helper. `newuidmap` takes a millisecond; a directory service may take seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most bytes of output that are kept.
const MAX_OUTPUT: usize = 64 * 1024;

/// A started helper.
#[derive(Debug)]
pub(crate) struct Running {
    program: PathBuf,
    child: Child,
    deadline: Instant,
}

/// How a helper ended, with what it printed.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Whether it exited with 0.
    pub(crate) success: bool,
    /// Standard output, cut at 64 KiB.
    pub(crate) stdout: Vec<u8>,
}

impl Running {
    /// Starts a program with an empty environment and `/` as its directory.
    pub(crate) fn start(program: &Path, arguments: &[String]) -> Result<Self, Error> {
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(program, error.to_string(), &[]))?;
        Ok(Self { program: program.to_owned(), child, deadline: Instant::now() + PATIENCE })
    }

    /// Waits for the end; any failure of the program is an error.
    pub(crate) fn require(self) -> Result<Vec<u8>, Error> {
        let program = self.program.clone();
        let (finished, status, stderr) = self.wait()?;
        if finished.success { Ok(finished.stdout) } else { Err(failed(&program, status, &stderr)) }
    }

    /// Waits for the end; an exit status other than 0 is not an error.
    pub(crate) fn finish(self) -> Result<Finished, Error> {
        self.wait().map(|(finished, _, _)| finished)
    }

    fn wait(mut self) -> Result<(Finished, String, Vec<u8>), Error> {
        let result = self.collect();
        if result.is_err() {
            // Killing or reaping an already dead child fails, and that is the state wanted.
            self.child.kill().ok();
            self.child.wait().ok();
        }
        result
    }

    fn collect(&mut self) -> Result<(Finished, String, Vec<u8>), Error> {
        let program = self.program.clone();
        let error = |status: String| failed(&program, status, &[]);
        let io = |errno: Errno| failed(&program, errno.to_string(), &[]);
        let pid = Pid::from_child(&self.child);
        let end = pidfd_open(pid, PidfdFlags::empty()).map_err(io)?;
        let mut streams: Vec<(Box<dyn Stream>, Vec<u8>)> = Vec::with_capacity(2);
        streams.extend(self.child.stdout.take().map(|pipe| (Box::new(pipe) as Box<dyn Stream>, Vec::new())));
        streams.extend(self.child.stderr.take().map(|pipe| (Box::new(pipe) as Box<dyn Stream>, Vec::new())));
        let mut open = [true; 2];
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(error("timeout".to_owned()));
            }
            let mut ready = Vec::with_capacity(3);
            ready.push(PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN));
            // A closed pipe would report its hang-up for ever: it is left out.
            for (pipe, _) in streams.iter().zip(open).filter_map(|(stream, open)| open.then_some(stream)) {
                ready.push(PollFd::from_borrowed_fd(pipe.descriptor(), PollFlags::IN));
            }
            let timeout = Timespec::try_from(left).map_err(|_| error("timeout".to_owned()))?;
            match poll(&mut ready, Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(io(errno)),
            }
            let ended = !ready[0].revents().is_empty();
            let readable: Vec<bool> = ready[1..].iter().map(|entry| !entry.revents().is_empty()).collect();
            let mut readable = readable.into_iter();
            let mut progress = false;
            for (index, (pipe, bytes)) in streams.iter_mut().enumerate() {
                if open[index] && readable.next() == Some(true) {
                    let mut chunk = [0; 4096];
                    let count = pipe.read(&mut chunk).map_err(|source| error(source.to_string()))?;
                    open[index] = count > 0;
                    progress |= count > 0;
                    let room = MAX_OUTPUT.saturating_sub(bytes.len());
                    bytes.extend_from_slice(&chunk[..count.min(room)]);
                }
            }
            // A grandchild may hold the pipes open for ever: the end of the program is what counts.
            if ended && !progress {
                break;
            }
        }
        let status = self.child.wait().map_err(|source| error(source.to_string()))?;
        let mut outputs = streams.into_iter().map(|(_, bytes)| bytes);
        let (stdout, stderr) = (outputs.next().unwrap_or_default(), outputs.next().unwrap_or_default());
        Ok((Finished { success: status.success(), stdout }, status.to_string(), stderr))
    }
}

impl Drop for Running {
    /// A helper whose sibling failed is not left behind as a process or zombie.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

trait Stream: std::io::Read + std::fmt::Debug {
    fn descriptor(&self) -> BorrowedFd<'_>;
}

impl<T: std::io::Read + AsFd + std::fmt::Debug> Stream for T {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

fn failed(program: &Path, status: String, stderr: &[u8]) -> Error {
    let text = String::from_utf8_lossy(&stderr[..stderr.len().min(400)]);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    let stderr = line.chars().filter(|character| !character.is_control()).collect();
    Error::HelperFailed { program: program.to_owned(), status, stderr }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Running {
        Running::start(Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()]).unwrap()
    }

    #[test]
    fn output_and_status() {
        let finished = shell("echo out; echo err >&2; exit 0").finish().unwrap();
        assert!(finished.success);
        assert_eq!(finished.stdout, b"out\n");
        let error = shell("printf '\\n\\033[1mno range\\n' >&2; exit 3").require().unwrap_err().to_string();
        assert_eq!(error, "`/bin/sh` failed (exit status: 3): [1mno range");
        assert!(!shell("kill -9 $$").finish().unwrap().success);
    }

    #[test]
    fn a_flood_is_cut_and_a_kept_pipe_does_not_hang() {
        let finished = shell("head -c 300000 /dev/zero").finish().unwrap();
        assert_eq!(finished.stdout.len(), MAX_OUTPUT);
        assert!(shell("sleep 1 & exit 0").finish().unwrap().success);
    }

    #[test]
    fn the_environment_is_empty() {
        let finished = shell("echo \"[$HOME$USER$LD_PRELOAD]\"; pwd").finish().unwrap();
        assert_eq!(finished.stdout, b"[]\n/\n");
    }

    #[test]
    fn a_missing_program_says_so() {
        let error = Running::start(Path::new("/nonexistent/newuidmap"), &[]).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/newuidmap"), "{error}");
    }
}
