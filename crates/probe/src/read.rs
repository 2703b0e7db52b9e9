//! Reading small kernel files: bounded, never blocking, errors as errno.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Most bytes of one file: a host has a few thousand mounts at most.
const MAX_BYTES: usize = 4 << 20;

/// Whole text of a file.
pub(crate) fn text(path: &str) -> Result<String, Errno> {
    let file = rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
    )?;
    let mut bytes = vec![0; 4096];
    let mut length = 0;
    while length < MAX_BYTES {
        if length == bytes.len() {
            bytes.resize(bytes.len() * 2, 0);
        }
        match rustix::io::read(&file, &mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    bytes.truncate(length);
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// First line of a file, trimmed.
pub(crate) fn line(path: &str) -> Result<String, Errno> {
    text(path).map(|text| text.trim_start().lines().next().unwrap_or_default().trim().to_owned())
}

/// The value of a `Name:` line, as in `/proc/self/status`.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
