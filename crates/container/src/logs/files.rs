//! The files of a log as one stream of lines, oldest first, while they are written and rotated.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use monitor::log::{MAX_FILES, name};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Bytes that one read asks for.
const READ: usize = 32 << 10;
/// Longest accepted line: 16 KiB of output, six bytes each in JSON, and attributes. A longer one is skipped.
const MAX_LINE: usize = 1 << 20;

/// Lines of a log.
#[derive(Debug)]
pub(super) struct Files {
    directory: OwnedFd,
    /// The file that is read, and those after it.
    open: VecDeque<File>,
    /// Bytes that were read and not given out, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    /// A log of one file, which starts again where others are rotated.
    is_single: bool,
    /// Within a line that is too long.
    skipping: bool,
    /// Lines that were too long.
    pub(super) skipped: u64,
}

#[derive(Debug)]
struct File {
    descriptor: OwnedFd,
    inode: u64,
    position: u64,
}

impl Files {
    /// Opens what is there. With `tail`, only the last lines are read.
    pub(super) fn open(directory: OwnedFd, tail: Option<u64>, is_single: bool) -> Result<Self, Errno> {
        let mut open = newer_than(directory.as_fd(), None)?;
        if let Some(lines) = tail {
            keep_last(&mut open, lines)?;
        }
        Ok(Self { directory, open, is_single, buffer: Vec::new(), start: 0, skipping: false, skipped: 0 })
    }

    /// The next line without its end; none where there is none yet.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Errno> {
        let mut searched = self.start;
        loop {
            if let Some(found) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let (start, end) = (self.start, searched + found);
                self.start = end + 1;
                if std::mem::take(&mut self.skipping) {
                    searched = self.start;
                    continue;
                }
                return Ok(Some(&self.buffer[start..end]));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            if self.buffer.len() > MAX_LINE {
                self.buffer.clear();
                self.skipped += u64::from(!self.skipping);
                self.skipping = true;
            }
            searched = self.buffer.len();
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    /// Reads more; false where there is no more yet.
    fn read(&mut self) -> Result<bool, Errno> {
        loop {
            if self.open.is_empty() {
                self.open = newer_than(self.directory.as_fd(), None)?;
            }
            let Some(file) = self.open.front_mut() else { return Ok(false) };
            let inode = file.inode;
            if file.read(&mut self.buffer, self.is_single)? {
                return Ok(true);
            }
            if self.open.len() == 1 {
                let newer = newer_than(self.directory.as_fd(), Some(inode))?;
                if newer.is_empty() {
                    return Ok(false);
                }
                self.open.extend(newer);
                // It was written until it was rotated, perhaps after we had come to its end.
                continue;
            }
            // A line that a full disk cut has no end and no rest.
            self.buffer.clear();
            self.start = 0;
            self.skipping = false;
            self.open.pop_front();
        }
    }
}

impl File {
    fn read(&mut self, buffer: &mut Vec<u8>, is_single: bool) -> Result<bool, Errno> {
        let before = buffer.len();
        buffer.resize(before + READ, 0);
        let read = loop {
            match rustix::io::pread(&self.descriptor, &mut buffer[before..], self.position) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        buffer.truncate(before + read.unwrap_or(0));
        self.position += read? as u64;
        if buffer.len() == before {
            let length = u64::try_from(rustix::fs::fstat(&self.descriptor)?.st_size).unwrap_or(0);
            if length < self.position {
                // Started again; or a monitor was killed, and the next one cuts off what it had not finished.
                self.position = if is_single { 0 } else { length };
                return Ok(self.position < length && self.read(buffer, is_single)?);
            }
            return Ok(false);
        }
        Ok(true)
    }
}

/// The files that are newer than the one with this inode, or all, oldest first. Opened newest first, so that a rotation in
/// between shows a file twice and hides none.
fn newer_than(directory: BorrowedFd<'_>, inode: Option<u64>) -> Result<VecDeque<File>, Errno> {
    let mut open: VecDeque<File> = VecDeque::new();
    for age in 0..=MAX_FILES {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let descriptor = match rustix::fs::openat(directory, name(age), flags, Mode::empty()) {
            Ok(descriptor) => descriptor,
            // Between the two steps of a rotation there is no newest one.
            Err(Errno::NOENT) if age == 0 => continue,
            Err(Errno::NOENT) => break,
            Err(errno) => return Err(errno),
        };
        let found = rustix::fs::fstat(&descriptor)?.st_ino;
        if inode == Some(found) {
            return Ok(open);
        }
        if open.front().is_none_or(|newer| newer.inode != found) {
            open.push_front(File { descriptor, inode: found, position: 0 });
        }
    }
    Ok(open)
}

/// Leaves only the last `lines` lines of the files to be read.
fn keep_last(open: &mut VecDeque<File>, lines: u64) -> Result<(), Errno> {
    let mut left = lines;
    for at in (0..open.len()).rev() {
        let file = &mut open[at];
        let length = u64::try_from(rustix::fs::fstat(&file.descriptor)?.st_size).unwrap_or(0);
        if let Some(position) = start_of(&file.descriptor, length, &mut left)? {
            file.position = position;
            open.drain(..at);
            return Ok(());
        }
    }
    Ok(())
}

/// Where the last `left` lines of a file start; none where it has fewer, which are then taken off.
fn start_of(file: &OwnedFd, length: u64, left: &mut u64) -> Result<Option<u64>, Errno> {
    if *left == 0 {
        return Ok(Some(length));
    }
    let mut end = length;
    let mut block = vec![0; READ];
    while end > 0 {
        let start = end.saturating_sub(READ as u64);
        let part = &mut block[..usize::try_from(end - start).unwrap_or(READ)];
        let mut filled = 0;
        while filled < part.len() {
            match rustix::io::pread(file, &mut part[filled..], start + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        for at in (0..filled).rev() {
            let position = start + at as u64;
            // The end of the file's last line starts none.
            if part[at] == b'\n' && position + 1 != length {
                *left -= 1;
                if *left == 0 {
                    return Ok(Some(position + 1));
                }
            }
        }
        end = start;
    }
    // Its first line has no end before it.
    if length > 0 {
        *left -= 1;
        if *left == 0 {
            return Ok(Some(0));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;

    fn directory(path: &Path) -> OwnedFd {
        files::open_directory(path).unwrap()
    }

    fn append(path: &Path, text: &str) {
        let mut file = std::fs::File::options().create(true).append(true).open(path.join(name(0))).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rotate(path: &Path, last: u32) {
        for age in (0..last).rev() {
            std::fs::rename(path.join(name(age)), path.join(name(age + 1))).ok();
        }
    }

    fn all(files: &mut Files) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = files.next().unwrap() {
            lines.push(String::from_utf8_lossy(line).into_owned());
        }
        lines
    }

    #[test]
    fn rotated_files_are_one_stream() {
        let base = testkit::TempDir::new();
        let path = base.path();
        let mut files = Files::open(directory(path), None, false).unwrap();
        assert_eq!(all(&mut files), [""; 0]);
        append(path, "1\n2\n3");
        assert_eq!(all(&mut files), ["1", "2"]);
        append(path, "\n");
        rotate(path, 2);
        append(path, "4\n");
        assert_eq!(all(&mut files), ["3", "4"]);
        append(path, "5\n");
        rotate(path, 2);
        append(path, "6\n");
        rotate(path, 2);
        append(path, "7\n");
        assert_eq!(all(&mut files), ["5", "6", "7"]);
        assert_eq!(all(&mut Files::open(directory(path), None, false).unwrap()), ["4", "5", "6", "7"]);
        // So often that ours is gone: what is there is given out.
        for number in 8..12 {
            rotate(path, 2);
            append(path, &format!("{number}\n"));
        }
        assert_eq!(all(&mut files), ["9", "10", "11"]);
    }

    #[test]
    fn the_only_file_starts_again() {
        let base = testkit::TempDir::new();
        append(base.path(), "1\n2\n");
        let mut files = Files::open(directory(base.path()), None, true).unwrap();
        assert_eq!(all(&mut files), ["1", "2"]);
        std::fs::File::options().write(true).open(base.path().join(name(0))).unwrap().set_len(0).unwrap();
        append(base.path(), "3\n");
        assert_eq!(all(&mut files), ["3"]);
    }

    #[test]
    fn the_last_lines() {
        let base = testkit::TempDir::new();
        append(base.path(), "1\n2\n");
        rotate(base.path(), 2);
        append(base.path(), "3\n\n5\n");
        for (tail, expected) in [
            (0, &[][..]),
            (1, &["5"]),
            (2, &["", "5"]),
            (3, &["3", "", "5"]),
            (4, &["2", "3", "", "5"]),
            (5, &["1", "2", "3", "", "5"]),
            (99, &["1", "2", "3", "", "5"]),
        ] {
            let mut files = Files::open(directory(base.path()), Some(tail), false).unwrap();
            assert_eq!(all(&mut files), expected, "{tail}");
            append(base.path(), "");
        }
        let long = "x".repeat(READ);
        append(base.path(), &format!("{long}\n{long}\n"));
        assert_eq!(all(&mut Files::open(directory(base.path()), Some(1), false).unwrap()), [long.as_str()]);
        let mut files = Files::open(directory(base.path()), Some(3), false).unwrap();
        assert_eq!(all(&mut files), ["5", &long, &long]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let base = testkit::TempDir::new();
        append(base.path(), &"x".repeat(4 << 20));
        append(base.path(), "\nafter\n");
        let mut files = Files::open(directory(base.path()), None, true).unwrap();
        assert_eq!(all(&mut files), ["after"]);
        assert_eq!(files.skipped, 1);
        assert!(files.buffer.capacity() < 3 << 20);
    }
}
