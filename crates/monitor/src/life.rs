//! Where in its life a container is: `life.json` in its directory, written by whoever watches it.

use std::fmt::Write as _;
use std::os::fd::{AsFd, BorrowedFd};

use files::atomic::{self, Durability};

use oci::Moment;

/// The time now, as it is written here.
#[must_use]
pub fn now() -> String {
    Moment::now().to_string()
}

/// Its name in a container's directory.
pub(crate) const FILE: &str = "life.json";
/// Longest accepted file in bytes.
const MAX: u64 = 64 << 10;

/// What a container does, as far as is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Made, and never started.
    #[default]
    Created,
    /// Its first process lives.
    Running,
    /// It ended, and is started again in a moment.
    Restarting,
    /// It ended.
    Exited,
    /// It ended, and could not be taken down in full.
    Dead,
}

impl Status {
    /// The word in the file, which is docker's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Created, Self::Running, Self::Restarting, Self::Exited, Self::Dead]
            .into_iter()
            .find(|status| status.name() == text)
    }
}

/// What is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// What it does.
    pub status: Status,
    /// Its first process as the host sees it; 0 where there is none.
    pub pid: i32,
    /// When it was started last, RFC 3339; empty if never.
    pub started: String,
    /// When it ended last, RFC 3339; empty if never.
    pub finished: String,
    /// Its exit code, or 128 and the signal that ended it.
    pub exit_code: u8,
    /// Whether the kernel killed a process of it for want of memory.
    pub oom_killed: bool,
    /// Why it could not be started.
    pub error: String,
    /// How often it was started again by its restart policy.
    pub restart_count: u32,
    /// Whether a person ended it: then it stays so, whatever its restart policy.
    pub stopped_by_user: bool,
}

impl Life {
    /// Reads it from a container's directory; `None` where it is missing or cannot be read: a container without one was
    /// never started.
    #[must_use]
    pub fn read(directory: BorrowedFd<'_>) -> Option<Self> {
        let bytes = files::read_own(directory, FILE, MAX).ok()??;
        Self::parse(std::str::from_utf8(&bytes).ok()?)
    }

    /// Writes it into a container's directory: whole for every reader.
    ///
    /// # Errors
    /// [`files::Error`].
    pub fn write(&self, directory: BorrowedFd<'_>) -> Result<(), files::Error> {
        atomic::write(directory.as_fd(), FILE, self.to_json().as_bytes(), 0o600, Durability::Volatile)
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut error = String::new();
        for character in self.error.chars().take(4096) {
            match character {
                '"' | '\\' => error.extend(['\\', character]),
                _ if u32::from(character) < 0x20 => {
                    // Writing to a String cannot fail.
                    let _written = write!(error, "\\u{:04x}", u32::from(character));
                }
                _ => error.push(character),
            }
        }
        format!(
            concat!(
                "{{\"status\":\"{}\",\"pid\":{},\"startedAt\":\"{}\",\"finishedAt\":\"{}\",\"exitCode\":{},",
                "\"oomKilled\":{},\"error\":\"{}\",\"restartCount\":{},\"stoppedByUser\":{}}}\n"
            ),
            self.status.name(),
            self.pid,
            self.started,
            self.finished,
            self.exit_code,
            self.oom_killed,
            error,
            self.restart_count,
            self.stopped_by_user,
        )
    }

    /// Reads [`Self::to_json`]: a flat object of strings, numbers and booleans. Other keys are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut life = Self::default();
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?;
        while !rest.trim_start().is_empty() {
            let (key, after) = string(rest.trim_start())?;
            let after = after.trim_start().strip_prefix(':')?.trim_start();
            let (value, after) = if after.starts_with('"') {
                string(after)?
            } else {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            };
            match key.as_str() {
                "status" => life.status = Status::parse(&value)?,
                "pid" => life.pid = value.parse().ok()?,
                "startedAt" => life.started = value,
                "finishedAt" => life.finished = value,
                "exitCode" => life.exit_code = value.parse().ok()?,
                "oomKilled" => life.oom_killed = value == "true",
                "error" => life.error = value,
                "restartCount" => life.restart_count = value.parse().ok()?,
                "stoppedByUser" => life.stopped_by_user = value == "true",
                _ => {}
            }
            rest = after.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        Some(life)
    }
}

/// A JSON string at the start of `text`, and what follows it.
fn string(text: &str) -> Option<(String, &str)> {
    let body = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &body[at + 1..])),
            '\\' => match characters.next()?.1 {
                'u' => {
                    let digits = body.get(at + 2..at + 6)?;
                    value.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                    characters.nth(3)?;
                }
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let life = Life {
            status: Status::Exited,
            pid: 7,
            started: "2026-11-23T03:00:00.000000000Z".into(),
            finished: now(),
            exit_code: 137,
            oom_killed: true,
            error: "exec \"x\\y\": no such\nfile ü".into(),
            restart_count: 3,
            stopped_by_user: true,
        };
        assert_eq!(Life::parse(&life.to_json()).unwrap(), life);
        assert_eq!(Life::parse(&Life::default().to_json()).unwrap(), Life::default());
    }

    #[test]
    fn damaged_files_are_none() {
        for text in
            ["", "{", "[]", "{\"status\":\"new\"}", "{\"status", "{\"pid\":x}", "{\"error\":\"\\u12\"}"]
        {
            assert_eq!(Life::parse(text), None, "{text}");
        }
        assert_eq!(Life::parse("{ \"later\": 1, \"exitCode\": 2 }").unwrap().exit_code, 2);
    }
}
