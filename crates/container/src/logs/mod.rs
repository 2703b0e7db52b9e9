//! What containers said: `brig logs`.
//!
//! A [`Reader`] gives out the entries of one container's log, over all rotated files, and waits for more with inotify(7).
//! It writes nothing: a monitor need not live for a log to be read.

mod entry;
mod files;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci::Moment;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

pub use entry::{Entry, parse};
pub use monitor::log::{Lost, Stream, lost};

use crate::error::{Error, Result};
use crate::start::LOG;

/// Which entries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// The last so many; all where it is none.
    pub tail: Option<u64>,
    /// Not those before.
    pub since: Option<Moment>,
    /// Not those after.
    pub until: Option<Moment>,
    /// Whether the log has one file, `max-file=1`, which starts again when it is full.
    pub is_single: bool,
}

/// Reads one container's log.
#[derive(Debug)]
pub struct Reader {
    files: files::Files,
    request: Request,
    past: bool,
    damaged: u64,
    notifier: Option<OwnedFd>,
}

impl Reader {
    /// Opens the log in a container's directory. One without a log has no entries.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn open(container: BorrowedFd<'_>, request: Request) -> Result<Self> {
        let directory = log_directory(container)?;
        let files = files::Files::open(directory, request.tail, request.is_single)
            .map_err(fail("read", "container.log"))?;
        Ok(Self { files, request, past: false, damaged: 0, notifier: None })
    }

    /// The next entry; none where there is none yet, or, after `until`, none any more.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn entry(&mut self) -> Result<Option<Entry>> {
        while !self.past {
            let Some(line) = self.files.next().map_err(fail("read", "container.log"))? else {
                return Ok(None);
            };
            let Some(entry) = entry::parse(line) else {
                self.damaged += 1;
                continue;
            };
            if self.request.since.is_some_and(|since| entry.time < since) {
                continue;
            }
            if self.request.until.is_some_and(|until| entry.time > until) {
                self.past = true;
                break;
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }

    /// Whether no entry can come any more: `until` was reached.
    #[must_use]
    pub fn is_past(&self) -> bool {
        self.past || self.request.until.is_some_and(|until| Moment::now() > until)
    }

    /// Lines that were no entries.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.damaged + self.files.skipped
    }

    /// Starts to notice when the log or the container's life changes.
    ///
    /// # Errors
    /// [`Error::System`]: inotify(7) has a limit for each user.
    pub fn notice(&mut self, container: BorrowedFd<'_>) -> Result<()> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        let notifier = inotify::init(flags).map_err(fail("use", "inotify(7)"))?;
        let directory = log_directory(container)?;
        let watched = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        for descriptor in [container, directory.as_fd()] {
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&descriptor));
            inotify::add_watch(&notifier, &path, watched).map_err(fail("watch", path))?;
        }
        self.notifier = Some(notifier);
        Ok(())
    }

    /// Readable when something was noticed.
    #[must_use]
    pub fn notices(&self) -> Option<BorrowedFd<'_>> {
        self.notifier.as_ref().map(AsFd::as_fd)
    }

    /// Empties [`Self::notices`], before the next look.
    pub fn forget_notices(&self) {
        let Some(notifier) = &self.notifier else { return };
        let mut buffer = [0; 4096];
        while rustix::io::read(notifier, &mut buffer).is_ok_and(|length| length > 0) {}
    }
}

/// The directory of a container's log files, made where it is missing.
///
/// # Errors
/// [`Error::System`].
pub fn log_directory(container: BorrowedFd<'_>) -> Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    match rustix::fs::mkdirat(container, LOG, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(fail("make directory", LOG)(errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(container, LOG, flags, Mode::empty()).map_err(fail("open", LOG))
}

fn fail(action: &'static str, object: impl Into<std::path::PathBuf>) -> impl FnOnce(Errno) -> Error {
    let path = object.into();
    move |source| Error::System { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_choose_entries() {
        let base = testkit::TempDir::new();
        std::fs::create_dir(base.path().join(LOG)).unwrap();
        let lines: String =
            (0..5).map(|second| format!("2000-02-29T00:00:0{second}Z stdout F {second}\n")).collect();
        std::fs::write(base.path().join(LOG).join("container.log"), format!("{lines}nonsense\n")).unwrap();
        let directory = ::files::open_directory(base.path()).unwrap();
        let at = |second: i64| Some(Moment { seconds: 951_782_400 + second, nanoseconds: 0 });
        for (request, expected, damaged) in [
            (Request::default(), "0\n1\n2\n3\n4\n", 1),
            (Request { since: at(3), ..Request::default() }, "3\n4\n", 1),
            (Request { until: at(1), ..Request::default() }, "0\n1\n", 0),
            (Request { since: at(1), until: at(2), ..Request::default() }, "1\n2\n", 0),
            // As docker: the last lines first, then the times.
            (Request { tail: Some(3), until: at(3), ..Request::default() }, "3\n", 0),
        ] {
            let mut reader = Reader::open(directory.as_fd(), request).unwrap();
            let mut text = Vec::new();
            while let Some(entry) = reader.entry().unwrap() {
                text.extend(entry.text);
            }
            assert_eq!(String::from_utf8(text).unwrap(), expected, "{request:?}");
            assert_eq!(reader.damaged(), damaged, "{request:?}");
        }
    }
}
