//! How far long work has come, on a terminal at standard error.
//!
//! The work waits in many places and for children of its own, so a second process draws: it reads the [`Meter`] that the
//! work writes. It is forked before a store is open, so that it holds none of its locks. No thread could do it, because none
//! may exist before a clone.

use std::fs::File;
use std::io::{IsTerminal, Write, stderr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use files::meter::{Meter, Metered, Reading};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use sys::fork::{Child, fork_closure};

use crate::format::size as words;
use crate::global::{Global, LogFormat};

/// Work that ends sooner shows nothing.
const QUIET: Duration = Duration::from_millis(500);
/// Ten times in a second.
const PERIOD: Duration = Duration::from_millis(100);
/// Columns of a bar.
const BAR: usize = 24;
/// Columns of a terminal that does not say how wide it is.
const WIDTH: u16 = 80;
/// Goes to the first column and erases the line.
const ERASE: &[u8] = b"\r\x1b[2K";

/// A line about the work while this lives; nothing of it is left afterwards.
#[derive(Debug)]
pub(crate) struct Progress {
    watched: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    meter: Arc<Meter>,
    /// Written to, or closed by our death: the end.
    end: OwnedFd,
    drawer: Option<Child>,
}

impl Progress {
    /// Shows how `what` goes on, where standard error is a terminal that can be drawn on and nobody asked for quiet. Where it
    /// cannot be shown the work goes on without.
    pub(crate) fn start(global: &Global, quiet: bool, what: &str) -> Self {
        let is_shown = !quiet && global.log.format == LogFormat::Text && stderr().is_terminal() && !is_dumb();
        let watched = is_shown.then(|| Watched::start(what).ok()).flatten();
        Self { watched }
    }

    /// What the work counts in, if anybody looks.
    pub(crate) fn meter(&self) -> Option<Arc<Meter>> {
        self.watched.as_ref().map(|watched| Arc::clone(&watched.meter))
    }

    /// Begins a step, of `total` bytes where that is known.
    pub(crate) fn begin(&self, step: &str, total: Option<u64>) {
        if let Some(watched) = &self.watched {
            watched.meter.begin(step, total);
        }
    }

    /// A reader or writer whose bytes count for the step.
    pub(crate) fn metered<T>(&self, inner: T) -> Metered<T> {
        Metered::new(inner, self.meter())
    }
}

impl Watched {
    fn start(what: &str) -> rustix::io::Result<Self> {
        let meter = Arc::new(Meter::new()?);
        let (ended, end) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut ours = Some(end);
        let drawer = fork_closure(0, || {
            drop(ours.take());
            draw(&meter, what, ended.as_fd());
            0
        })?;
        let end = ours.ok_or(rustix::io::Errno::PIPE)?;
        Ok(Self { meter, end, drawer: Some(drawer) })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // where the drawer is gone there is nothing to end
        rustix::io::write(&self.end, b".").ok();
        if let Some(drawer) = self.drawer.take() {
            // what we print next comes on a clean line
            drawer.wait().ok();
        }
    }
}

/// The size of a regular file, which is how much there is to read.
pub(crate) fn size(file: &File) -> Option<u64> {
    file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the program that reads the environment for its libraries"
)]
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// The drawer: until the work ends, dies, or a signal comes to the whole group.
fn draw(meter: &Meter, what: &str, ended: BorrowedFd<'_>) {
    let Ok(signals) = sys::signal::block_all_into_descriptor() else { return };
    let terminal = stderr();
    let (mut since, mut last) = (Instant::now(), Instant::now());
    let (mut step, mut wait, mut is_drawn) = (String::new(), QUIET, false);
    while !is_over(ended, signals.as_fd(), wait) {
        wait = PERIOD;
        // a job in the background does not write over what the terminal is used for now
        let foreground = rustix::termios::tcgetpgrp(&terminal);
        if foreground.is_ok_and(|group| group != rustix::process::getpgrp()) {
            continue;
        }
        let reading = meter.read();
        if reading.step != step {
            // it began after we looked last
            (since, step) = (last, reading.step.clone());
        }
        last = Instant::now();
        let columns = rustix::termios::tcgetwinsize(&terminal).map_or(0, |size| size.ws_col);
        // the last column stays free: some terminals go to the next line there
        let width = usize::from(if columns == 0 { WIDTH } else { columns }).saturating_sub(1);
        let text = line(what, &reading, since.elapsed(), width);
        is_drawn = true;
        // nobody is left to look when the terminal is gone
        (&terminal).write_all(&[ERASE, text.as_bytes()].concat()).ok();
    }
    if is_drawn {
        // as above
        (&terminal).write_all(ERASE).ok();
    }
}

/// Waits, and says whether the work is over, or a signal ends it.
fn is_over(ended: BorrowedFd<'_>, signals: BorrowedFd<'_>, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left) else { return true };
        let mut both = [PollFd::new(&ended, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut both, Some(&left)) {
            Ok(0) => return false,
            Ok(_) if !both[0].revents().is_empty() => return true,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return true,
        }
        while let Ok(Some(signal)) = sys::signal::receive(signals) {
            // these end the work too, or stop it; a change of the window's size does not
            if matches!(
                signal.number,
                libc::SIGINT | libc::SIGTERM | libc::SIGQUIT | libc::SIGHUP | libc::SIGTSTP
            ) {
                return true;
            }
        }
    }
}

/// One line of at most `width` columns, ASCII alone and without colour.
fn line(what: &str, reading: &Reading, elapsed: Duration, width: usize) -> String {
    let mut text = format!("{}: {}", what.escape_default(), reading.step.escape_default());
    if text.len() > width {
        text.truncate(width);
        return text;
    }
    let milliseconds = elapsed.as_millis().max(1);
    let rate = u128::from(reading.done) * 1000 / milliseconds;
    let rate = format!("{}/s", words(u64::try_from(rate).unwrap_or(u64::MAX)));
    let (done, mut parts) = (words(reading.done), Vec::new());
    match reading.total {
        Some(total) => {
            // a file may have grown since it was measured
            let part = |of: usize| {
                let part = u128::from(reading.done.min(total)) * of as u128 / u128::from(total);
                usize::try_from(part).unwrap_or(of)
            };
            parts.push(format!(" {:>3}%", part(100)));
            parts.push(format!(" {done}/{}", words(total)));
            parts.push(format!(" {rate}"));
            parts.push(format!(" [{}{}]", "#".repeat(part(BAR)), "-".repeat(BAR - part(BAR))));
        }
        None if reading.done > 0 => parts.extend([format!(" {done}"), format!(" {rate}")]),
        None => {}
    }
    for part in parts {
        if text.len() + part.len() > width {
            break;
        }
        text.push_str(&part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_and_drives_no_terminal() {
        let reading = |done, total| Reading { step: "unpacking layer 3/7".to_owned(), done, total };
        let check = |width, done, total, expected: &str| {
            let text = line("load", &reading(done, total), Duration::from_secs(2), width);
            assert_eq!(text, expected);
        };
        let whole = "load: unpacking layer 3/7  50% 1MB/2MB 500kB/s [############------------]";
        check(79, 1_000_000, Some(2_000_000), whole);
        check(50, 1_000_000, Some(2_000_000), "load: unpacking layer 3/7  50% 1MB/2MB 500kB/s");
        check(32, 1_000_000, Some(2_000_000), "load: unpacking layer 3/7  50%");
        check(10, 1_000_000, Some(2_000_000), "load: unpa");
        check(79, 9, Some(3), "load: unpacking layer 3/7 100% 9B/3B 4B/s [########################]");
        check(79, 1_000_000, None, "load: unpacking layer 3/7 1MB 500kB/s");
        check(79, 0, None, "load: unpacking layer 3/7");
        check(0, 0, None, "");
        let hostile = Reading { step: "\u{1b}[2Jé".to_owned(), done: 0, total: None };
        assert_eq!(line("a\n", &hostile, Duration::ZERO, 79), "a\\n: \\u{1b}[2J\\u{e9}");
    }
}
