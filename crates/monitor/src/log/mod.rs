//! A container's output on its way to its log files and to other logs.
//!
//! No thread and no waiting: [`Log::take`] does one pipe's worth of work and returns, so that a flood of one container
//! takes nothing from others. Memory is bounded by two buffers that exist while there is output.
//!
//! **A full disk.** A container that writes to a log that cannot grow could be stopped, or its output be dropped.
//! Docker drops it and tells nobody but its own log; we drop it too, since a stopped service is worse than a gap,
//! and count it: [`Lost`] is shown by `logs` and `inspect`. A slow journal or syslog is another matter: it will go
//! on, so the container waits for it, unless `mode=non-blocking` was asked for.

mod file;
mod forward;
mod inbox;
pub mod line;
mod settings;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci::Moment;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{Timespec, nanosleep};

pub use file::{NAME, name, remove_all};
pub use forward::check as check_forward;
pub use inbox::Lost;
pub use settings::{
    Address, CACHE_MAX_FILES, CACHE_MAX_SIZE, DEFAULT_BUFFER, DEFAULT_MAX_FILES, DEFAULT_MAX_SIZE, Format,
    Forward, MAX_FILES, Settings,
};

use file::File;
use forward::Receiver;
use inbox::{Inbox, Position};
use line::{MAX_MESSAGE, Message};

/// Bytes that are looked at together; two messages fit.
const READ: usize = 2 * MAX_MESSAGE;
/// Bytes of finished lines after which they are written.
const WRITE: usize = 16 << 10;
/// Capacity above which the buffer of finished lines is given back: docker's escapes make 96 KiB of 16.
const KEEP: usize = 48 << 10;
/// How often and with how many nanoseconds between a full receiver is asked at the end: five seconds.
const MOST_WAITS: u32 = 500;
/// See [`MOST_WAITS`].
const WAIT: i64 = 10_000_000;
/// Name of the record in the run directory.
const POSITION: &str = "log.position";
/// Name of the file beside the log that says what was lost.
const LOST: &str = "lost";

/// Who is shown output as it comes: attached clients.
pub type Seen<'a> = &'a mut dyn FnMut(&[u8]);

/// One of a container's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; a terminal's as well.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in log files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    fn index(self) -> usize {
        usize::from(self == Self::Stderr)
    }

    fn inbox(self) -> &'static str {
        match self {
            Self::Stdout => "inbox.stdout",
            Self::Stderr => "inbox.stderr",
        }
    }
}

/// The log of one container.
#[derive(Debug)]
pub struct Log {
    settings: Settings,
    run: OwnedFd,
    directory: OwnedFd,
    file: Option<File>,
    receiver: Option<Receiver>,
    inboxes: [Option<Inbox>; 2],
    record: Option<OwnedFd>,
    lost: Lost,
    /// What the file beside the log says; none while there is no such file.
    lost_written: Option<Lost>,
    used_before: [u64; 2],
    /// Nothing came before: inboxes are made by the first output.
    is_new: bool,
    /// Finished lines that are not in the file yet, how many messages they are and of how many bytes.
    lines: Vec<u8>,
    in_lines: (u64, u64),
    packet: Vec<u8>,
    buffer: Vec<u8>,
    stalled: bool,
    waits: u32,
}

impl Log {
    /// Opens a log, or goes on with one whose monitor was killed. `run` is the container's run directory, `directory`
    /// that of its log files.
    ///
    /// # Errors
    /// What the system says of the log's file or the record.
    pub fn open(settings: Settings, run: OwnedFd, directory: OwnedFd) -> Result<Self, Errno> {
        let position = read_position(run.as_fd())?;
        let file = match settings.format {
            Format::None => None,
            Format::Json | Format::K8s => {
                let known = position.map(|position| position.file);
                let directory = rustix::io::fcntl_dupfd_cloexec(&directory, 3)?;
                Some(File::open(directory, settings.max_size, settings.max_files, known)?)
            }
        };
        let is_new = position.is_none();
        let lost = read_lost(directory.as_fd());
        let position = position.unwrap_or(Position { lost: lost.unwrap_or_default(), ..Position::default() });
        Ok(Self {
            is_new,
            receiver: Receiver::new(settings.forward.clone()),
            settings,
            run,
            directory,
            file,
            inboxes: [None, None],
            record: None,
            lost: position.lost,
            lost_written: lost,
            used_before: position.used,
            lines: Vec::new(),
            in_lines: (0, 0),
            packet: Vec::new(),
            buffer: Vec::new(),
            stalled: false,
            waits: 0,
        })
    }

    /// Takes what waits in a stream's fifo, one pipe's worth at most, shows it to `seen` and keeps it. Returns how many
    /// bytes came; 0 says that there were none.
    ///
    /// # Errors
    /// What read(2) says of the fifo. Trouble with the log is counted, see [`Self::lost`].
    pub fn take(
        &mut self,
        stream: Stream,
        fifo: BorrowedFd<'_>,
        seen: Option<Seen<'_>>,
    ) -> Result<usize, Errno> {
        if self.stalled && !self.drops() {
            return Ok(0);
        }
        if self.keeps_nothing() {
            return self.read_past(fifo, seen);
        }
        let room = !self.stalled || self.settings.buffer.is_none_or(|most| self.waiting(stream) < most);
        let moved = match self.inbox(stream) {
            Ok(inbox) if room => inbox.take(fifo),
            Ok(_) => Err(Errno::NOBUFS),
            Err(errno) => Err(errno),
        };
        match moved {
            Ok(moved) => {
                if moved > 0 {
                    self.show(stream, seen);
                    self.keep(stream, false);
                }
                Ok(moved)
            }
            // There is no room to keep it even for a moment.
            Err(errno) => {
                let bytes = self.read_past(fifo, seen)?;
                self.lose(u64::from(bytes > 0), bytes as u64, errno);
                Ok(bytes)
            }
        }
    }

    /// Keeps bytes that were read from a terminal.
    pub fn feed(&mut self, stream: Stream, bytes: &[u8]) {
        if self.keeps_nothing() || bytes.is_empty() {
            return;
        }
        match self.inbox(stream).and_then(|inbox| inbox.add(bytes)) {
            Ok(()) => self.keep(stream, false),
            Err(errno) => self.lose(1, bytes.len() as u64, errno),
        }
    }

    /// Whether a receiver is full: then leave the fifos alone, unless [`Self::drops`], and call [`Self::retry`] in a
    /// tenth of a second.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Whether output that a full receiver does not take is dropped, so that the fifos are to be read on.
    #[must_use]
    pub fn drops(&self) -> bool {
        self.settings.buffer.is_some()
    }

    /// Goes on after a stall, and after a killed monitor with what it had taken already.
    pub fn retry(&mut self) {
        self.stalled = false;
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.keep(stream, false);
        }
    }

    /// Waits for a full receiver, for the last output of a container that has ended. One that takes nothing for long gets
    /// no more.
    pub fn wait(&mut self) {
        while self.stalled && !self.drops() {
            if self.waits >= MOST_WAITS {
                self.settings.buffer = Some(0);
                return;
            }
            self.waits += 1;
            // Only a datagram's receiver can say when, and this one is only asked by sending.
            let _woken = nanosleep(&Timespec { tv_sec: 0, tv_nsec: WAIT });
            self.retry();
        }
    }

    /// Keeps what is left of unfinished lines: the container has ended.
    pub fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            loop {
                self.wait();
                self.stalled = false;
                self.keep(stream, true);
                if !self.stalled || self.drops() {
                    break;
                }
            }
            let left = self.waiting(stream);
            if left > 0 {
                self.lose(1, left, Errno::NOBUFS);
                if let Some(inbox) = &mut self.inboxes[stream.index()] {
                    inbox.used = inbox.length;
                }
            }
        }
        if !self.is_new || self.record.is_some() {
            self.commit();
        }
        self.buffer = Vec::new();
        self.lines = Vec::new();
    }

    /// Output that is in no log.
    #[must_use]
    pub fn lost(&self) -> Lost {
        self.lost
    }

    fn keeps_nothing(&self) -> bool {
        self.file.is_none() && self.receiver.is_none()
    }

    fn inbox(&mut self, stream: Stream) -> Result<&mut Inbox, Errno> {
        let index = stream.index();
        if self.inboxes[index].is_none() {
            self.inboxes[index] =
                Some(Inbox::open(self.run.as_fd(), stream.inbox(), self.used_before[index])?);
        }
        // It was put there just now.
        self.inboxes[index].as_mut().ok_or(Errno::BADF)
    }

    fn waiting(&self, stream: Stream) -> u64 {
        self.inboxes[stream.index()].as_ref().map_or(0, Inbox::waiting)
    }

    fn read_past(&mut self, fifo: BorrowedFd<'_>, seen: Option<Seen<'_>>) -> Result<usize, Errno> {
        self.buffer.resize(READ, 0);
        match rustix::io::read(fifo, &mut self.buffer[..]) {
            Ok(length) => {
                if let Some(seen) = seen {
                    seen(&self.buffer[..length]);
                }
                Ok(length)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(errno) => Err(errno),
        }
    }

    /// Shows what came just now, whole, whatever becomes of it.
    fn show(&mut self, stream: Stream, seen: Option<Seen<'_>>) {
        let Some(inbox) = &mut self.inboxes[stream.index()] else { return };
        if let Some(seen) = seen {
            self.buffer.resize(READ, 0);
            while let Ok(length @ 1..) = inbox.read(inbox.shown, &mut self.buffer) {
                seen(&self.buffer[..length]);
                inbox.shown += length as u64;
            }
        }
        inbox.shown = inbox.length;
    }

    /// Makes messages of what is in an inbox; with `last`, also of a line without an end.
    fn keep(&mut self, stream: Stream, last: bool) {
        let is_empty = self.is_new && self.inboxes[stream.index()].is_none();
        if is_empty || self.stalled || self.keeps_nothing() || self.inbox(stream).is_err() {
            return;
        }
        if self.record.is_none() {
            // Before the first message: who comes after a kill must know that it was not in the file.
            self.write_position();
            // Where a full disk has no room for a new file, it has for other bytes of an old one.
            self.write_lost();
        }
        let time = Moment::now();
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(READ, 0);
        while let Some(inbox) = &mut self.inboxes[stream.index()] {
            let length = match inbox.read(inbox.used, &mut buffer) {
                Ok(length) => length,
                Err(errno) => {
                    let left = inbox.waiting();
                    inbox.used = inbox.length;
                    self.lose(1, left, errno);
                    break;
                }
            };
            let last = last && length < READ;
            let mut used = 0;
            while let Some(message) = line::first(&buffer[used..length], last) {
                if !self.message(stream, &message, time) {
                    self.stalled = true;
                    break;
                }
                used += message.length();
                self.advance(stream, message.length());
                if self.file.as_ref().is_some_and(|file| file.is_full(self.lines.len())) {
                    self.flush();
                    self.commit();
                    self.rotate();
                    self.commit();
                }
            }
            self.flush();
            self.commit();
            if self.stalled || used == 0 || self.waiting(stream) == 0 {
                break;
            }
        }
        self.buffer = buffer;
    }

    fn advance(&mut self, stream: Stream, length: usize) {
        if let Some(inbox) = &mut self.inboxes[stream.index()] {
            inbox.used += length as u64;
        }
    }

    /// One message on its way; `false` where the receiver is full and the container is to wait.
    fn message(&mut self, stream: Stream, message: &Message<'_>, time: Moment) -> bool {
        let bytes = message.length() as u64;
        if let Some(receiver) = &mut self.receiver {
            match receiver.send(stream, message, time, &mut self.packet) {
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::NOBUFS) => return false,
                // It is in the file at least, where there is one.
                Err(errno) => self.lose(1, bytes, errno),
            }
        }
        match self.settings.format {
            Format::None => return true,
            Format::Json => line::json(&mut self.lines, stream, message, time, &self.settings.attributes),
            Format::K8s => line::k8s(&mut self.lines, stream, message, time),
        }
        self.in_lines = (self.in_lines.0 + 1, self.in_lines.1 + bytes);
        if self.lines.len() >= WRITE {
            self.flush();
        }
        true
    }

    /// Writes the finished lines.
    fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && !self.lines.is_empty()
            && let Err(errno) = file.append(&self.lines)
        {
            let (messages, bytes) = self.in_lines;
            self.lose(messages, bytes, errno);
        }
        self.in_lines = (0, 0);
        self.lines.clear();
        if self.lines.capacity() > KEEP {
            self.lines = Vec::new();
        }
    }

    fn rotate(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(errno) = file.rotate()
        {
            // Nothing is lost: the old file goes on, and the next message tries again.
            self.lost.reason = errno.raw_os_error().unsigned_abs();
        }
    }

    fn lose(&mut self, messages: u64, bytes: u64, errno: Errno) {
        let lost = &mut self.lost;
        *lost = Lost {
            messages: lost.messages.saturating_add(messages),
            bytes: lost.bytes.saturating_add(bytes),
            reason: errno.raw_os_error().unsigned_abs(),
        };
    }

    /// Writes down what is done. Messages come first: who is killed in between cuts them off and makes them again.
    fn commit(&mut self) {
        self.write_position();
        let mut again = false;
        for inbox in self.inboxes.iter_mut().flatten() {
            again |= inbox.trim();
        }
        if again {
            self.write_position();
        }
        self.write_lost();
    }

    fn write_position(&mut self) {
        let used = [Stream::Stdout, Stream::Stderr].map(|stream| {
            let index = stream.index();
            self.inboxes[index].as_ref().map_or(self.used_before[index], |inbox| inbox.used)
        });
        let file = self.file.as_ref().map_or((0, 0), File::known);
        let position = Position { used, file, lost: self.lost };
        let done = match &self.record {
            Some(record) => rustix::io::pwrite(record, &position.to_bytes(), 0).map(drop),
            None => {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::openat(&self.run, POSITION, flags, mode).and_then(|record| {
                    rustix::io::pwrite(&record, &position.to_bytes(), 0)?;
                    self.record = Some(record);
                    Ok(())
                })
            }
        };
        if let Err(errno) = done {
            // A kill would now double messages, but lose none.
            self.lost.reason = errno.raw_os_error().unsigned_abs();
        }
    }

    /// Tells readers beside the log what is not in it; after a failure the next call tries again.
    fn write_lost(&mut self) {
        if self.lost_written == Some(self.lost) {
            return;
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let text = self.lost.to_text();
        let written = rustix::fs::openat(&self.directory, LOST, flags, Mode::from_raw_mode(0o600))
            .and_then(|file| rustix::io::pwrite(&file, text.as_bytes(), 0));
        if written.is_ok() {
            self.lost_written = Some(self.lost);
        }
    }
}

impl Lost {
    /// Fixed width, so that one text covers the other.
    fn to_text(self) -> String {
        format!("{:020} {:020} {:010}\n", self.messages, self.bytes, self.reason)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let mut next = || words.next()?.parse().ok();
        Some(Self { messages: next()?, bytes: next()?, reason: u32::try_from(next()?).ok()? })
    }
}

/// What a container's output lost: `run` is its run directory where there is one, `directory` that of its log.
#[must_use]
pub fn lost(run: Option<BorrowedFd<'_>>, directory: BorrowedFd<'_>) -> Lost {
    if let Some(Ok(Some(position))) = run.map(read_position) {
        return position.lost;
    }
    read_lost(directory).unwrap_or_default()
}

fn read_lost(directory: BorrowedFd<'_>) -> Option<Lost> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, LOST, flags, Mode::empty()).ok()?;
    Lost::parse(std::str::from_utf8(&files::read_all(&file, 4096).ok()?).ok()?)
}

fn read_position(run: BorrowedFd<'_>) -> Result<Option<Position>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(run, POSITION, flags, Mode::empty()) {
        Ok(record) => {
            let bytes = files::read_all(&record, 4096).map_err(|_| Errno::IO)?;
            Ok(Position::from_bytes(&bytes))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests;
