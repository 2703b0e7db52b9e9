//! What a monitor is told: lines of `key value` in a memory file, read without a parser library.

use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::MemfdFlags;
use rustix::io::Errno;

use crate::health::Schedule;
use crate::{Life, log};

/// Longest accepted settings in bytes.
const MAX: u64 = 1 << 20;

/// Everything about the container that the loop needs. The descriptors are its own.
#[derive(Debug)]
pub struct Settings {
    /// The container's id.
    pub id: String,
    /// The store and the run directory, for the command that takes the container down.
    pub root: PathBuf,
    /// See [`Self::root`].
    pub runroot: PathBuf,
    /// What `life.json` says while it runs.
    pub life: Life,
    /// When its process started, in clock ticks after boot.
    pub start_time: u64,
    /// Whether its standard input ends with the first client's, as of `run -i`.
    pub stdin_once: bool,
    /// Milliseconds between its last end and its next start, where its restart policy starts it.
    pub pause: u32,
    /// Seconds after which it is killed.
    pub timeout: Option<u32>,
    /// When its health is checked, if it is.
    pub health: Option<Schedule>,
    /// How its log is kept.
    pub log: log::Settings,
    /// The lock that says that it is watched.
    pub lock: OwnedFd,
    /// Pidfd of its first process; none between its end and its next start.
    pub process: Option<OwnedFd>,
    /// Its directory in the store.
    pub directory: OwnedFd,
    /// Its directory with the fifos and the socket.
    pub streams: OwnedFd,
    /// The socket that clients connect to.
    pub listener: OwnedFd,
    /// Fifo of its standard output; none with a terminal.
    pub stdout: Option<OwnedFd>,
    /// Fifo of its standard error.
    pub stderr: Option<OwnedFd>,
    /// Fifo of its standard input, if that is open.
    pub stdin: Option<OwnedFd>,
    /// Master of its terminal, if it has one.
    pub master: Option<OwnedFd>,
    /// `memory.events` of its cgroup, where that goes with its last process: a scope of systemd's.
    pub memory: Option<OwnedFd>,
    /// The same file of the cgroup around it.
    pub memory_around: Option<OwnedFd>,
    /// The socket that the container says by that it is up.
    pub notify: Option<OwnedFd>,
    /// The service manager who is told then: an address of [`crate::notify`].
    pub notify_to: String,
    /// A client that is connected from the start. What it said first is heard before any output is read.
    pub client: Option<OwnedFd>,
}

impl Settings {
    /// Writes the settings for a program that is executed next, and lets their descriptors live over exec. The memory file's
    /// number is its argument.
    ///
    /// # Errors
    /// What the system says.
    pub fn hand_over(&self) -> Result<OwnedFd, Errno> {
        // What the caller had open beside its streams, a lock or a pipe, is not held for as long as the container lives.
        sys::exec::close_on_exec_from(3)?;
        let mut text = String::new();
        line(&mut text, "id", &self.id);
        line(&mut text, "root", escape(&self.root)?);
        line(&mut text, "runroot", escape(&self.runroot)?);
        line(&mut text, "start-time", self.start_time);
        line(&mut text, "pause", self.pause);
        line(&mut text, "stdin-once", u8::from(self.stdin_once));
        if let Some(seconds) = self.timeout {
            line(&mut text, "timeout", seconds);
        }
        if crate::notify::is_address(&self.notify_to) {
            line(&mut text, "notify-to", &self.notify_to);
        }
        if let Some(health) = self.health {
            line(&mut text, "health", health.to_text());
        }
        let all = [
            ("lock", Some(&self.lock)),
            ("process", self.process.as_ref()),
            ("directory", Some(&self.directory)),
            ("streams", Some(&self.streams)),
            ("listener", Some(&self.listener)),
            ("stdout", self.stdout.as_ref()),
            ("stderr", self.stderr.as_ref()),
            ("stdin", self.stdin.as_ref()),
            ("master", self.master.as_ref()),
            ("memory", self.memory.as_ref()),
            ("memory-around", self.memory_around.as_ref()),
            ("notify", self.notify.as_ref()),
            ("client", self.client.as_ref()),
        ];
        for (key, descriptor) in all {
            let Some(descriptor) = descriptor else { continue };
            keep(descriptor)?;
            line(&mut text, key, descriptor.as_raw_fd());
        }
        text.push_str(&self.log.to_lines());
        line(&mut text, "life", self.life.to_json().trim_end());
        let file = rustix::fs::memfd_create(c"brig-monitor", MemfdFlags::CLOEXEC)?;
        files::write_all(&file, text.as_bytes()).map_err(|error| error.errno().unwrap_or(Errno::IO))?;
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
        keep(&file)?;
        Ok(file)
    }

    /// Takes over what [`Self::hand_over`] of the program before left.
    ///
    /// # Errors
    /// `EINVAL` where a setting is missing; what the system says.
    pub fn take_over(number: i32) -> Result<Self, Errno> {
        let file = sys::exec::inherited(number)?;
        let bytes = files::read_all(&file, MAX).map_err(|error| error.errno().unwrap_or(Errno::INVAL))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Errno::INVAL)?;
        let find = |key: &str| {
            text.lines()
                .find_map(|line| line.split_once(' ').filter(|(found, _)| *found == key))
                .map(|(_, value)| value)
        };
        let descriptor = |key: &str| match find(key) {
            Some(number) => sys::exec::inherited(number.parse().map_err(|_| Errno::INVAL)?).map(Some),
            None => Ok(None),
        };
        let needed = |key: &str| descriptor(key)?.ok_or(Errno::INVAL);
        let path = |key: &str| find(key).map(unescape).ok_or(Errno::INVAL);
        Ok(Self {
            id: find("id").ok_or(Errno::INVAL)?.to_owned(),
            root: path("root")?,
            runroot: path("runroot")?,
            life: find("life").and_then(Life::parse).ok_or(Errno::INVAL)?,
            start_time: find("start-time").and_then(|text| text.parse().ok()).ok_or(Errno::INVAL)?,
            pause: find("pause").and_then(|text| text.parse().ok()).unwrap_or_default(),
            stdin_once: find("stdin-once") == Some("1"),
            timeout: find("timeout").and_then(|text| text.parse().ok()),
            health: find("health").and_then(Schedule::parse),
            log: log::Settings::parse(text),
            lock: needed("lock")?,
            process: descriptor("process")?,
            directory: needed("directory")?,
            streams: needed("streams")?,
            listener: needed("listener")?,
            stdout: descriptor("stdout")?,
            stderr: descriptor("stderr")?,
            stdin: descriptor("stdin")?,
            master: descriptor("master")?,
            memory: descriptor("memory")?,
            memory_around: descriptor("memory-around")?,
            notify: descriptor("notify")?,
            notify_to: find("notify-to").unwrap_or_default().to_owned(),
            client: descriptor("client")?,
        })
    }
}

fn keep(descriptor: &OwnedFd) -> Result<(), Errno> {
    files::clear_cloexec(descriptor.as_fd()).map_err(|error| error.errno().unwrap_or(Errno::BADF))
}

fn line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _written = writeln!(text, "{key} {value}");
}

/// A path on one line.
fn escape(path: &std::path::Path) -> Result<String, Errno> {
    let text = path.to_str().ok_or(Errno::ILSEQ)?;
    Ok(text.replace('\\', "\\\\").replace('\n', "\\n"))
}

fn unescape(text: &str) -> PathBuf {
    let mut path = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next() == Some('n') => path.push('\n'),
            '\\' => path.push('\\'),
            other => path.push(other),
        }
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_on_their_line() {
        for path in ["/var/lib/brig", "/a b/\\n", "/a\nb\\", "/\\\\n"] {
            let text = escape(path.as_ref()).unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(unescape(&text), PathBuf::from(path));
        }
    }
}
