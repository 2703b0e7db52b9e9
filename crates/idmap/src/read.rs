//! Reading the small text files under `/etc` and `/proc`, bounded and without following surprises.

use std::io::Read as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

use crate::Error;

/// Most bytes of a file that is read here: 1 MiB.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// Most lines of a file that is read here.
pub(crate) const MAX_LINES: usize = 65_536;

/// The bytes of a file, or `None` where there is none.
///
/// Opened non-blocking and checked to be a regular file: a FIFO in its place must not hang the caller.
pub(crate) fn optional(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let fail = |what, errno| Error::Io { what, path: path.to_owned(), errno };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(fail("open", errno)),
    };
    let stat = rustix::fs::fstat(&file).map_err(|errno| fail("stat", errno))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::NotRegular { path: path.to_owned() });
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| {
        fail("read", rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))
    })?;
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooBig { file: path.display().to_string(), limit: MAX_BYTES, unit: "bytes" });
    }
    Ok(Some(bytes))
}

/// The lines of a text with their numbers from 1, or the error that there are too many bytes or lines.
pub(crate) fn lines<'a>(
    text: &'a [u8],
    file: &str,
) -> Result<impl Iterator<Item = (usize, &'a [u8])> + use<'a>, Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::TooBig { file: file.to_owned(), limit: MAX_BYTES, unit: "bytes" });
    }
    if text.iter().filter(|&&byte| byte == b'\n').count() > MAX_LINES {
        return Err(Error::TooBig { file: file.to_owned(), limit: MAX_LINES, unit: "lines" });
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    Ok(body.split(|&byte| byte == b'\n').enumerate().map(|(index, line)| (index + 1, line)))
}
