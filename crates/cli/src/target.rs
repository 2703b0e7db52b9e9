//! The file that an archive is written to: whole, or not there.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Failure;

/// What is written to.
#[derive(Debug)]
pub(crate) struct Target {
    file: OwnedFd,
    rename: Option<Rename>,
}

/// A temporary name, removed unless it became the real one.
#[derive(Debug)]
struct Rename {
    directory: OwnedFd,
    from: OsString,
    to: OsString,
}

impl Target {
    /// Opens a file to write, or standard output. What is there and is no regular file, such as a pipe or
    /// `/dev/null`, is written to as it is.
    pub(crate) fn create(path: Option<&OsStr>) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != "-") else {
            let file = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3).map_err(Failure::environment)?;
            return Ok(Self { file, rename: None });
        };
        let path = Path::new(path);
        let failed = |errno: Errno| Failure::user(format!("write `{}`: {errno}", path.display()));
        let seen = rustix::fs::stat(path).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match seen {
            Ok(FileType::RegularFile) | Err(Errno::NOENT) => {}
            Ok(FileType::Directory) => return Err(failed(Errno::ISDIR)),
            Ok(_) => {
                let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
                let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(failed)?;
                return Ok(Self { file, rename: None });
            }
            Err(errno) => return Err(failed(errno)),
        }
        let name = path.file_name().ok_or_else(|| failed(Errno::ISDIR))?;
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, &parent, flags, Mode::empty()).map_err(failed)?;
        let mut from = OsString::from(format!(".brig-{}-", std::process::id()));
        from.push(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(&directory, &from, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
        Ok(Self { file, rename: Some(Rename { directory, from, to: name.to_owned() }) })
    }

    /// The file, to be read back while it is written.
    pub(crate) fn file(&self) -> Result<File, Failure> {
        Ok(File::from(rustix::io::fcntl_dupfd_cloexec(&self.file, 3).map_err(Failure::environment)?))
    }

    /// Gives the file its name.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let Some(rename) = &self.rename else { return Ok(()) };
        rustix::fs::renameat(&rename.directory, &rename.from, &rename.directory, &rename.to)
            .map_err(|errno| Failure::environment(format!("rename to `{}`: {errno}", rename.to.display())))?;
        self.rename = None;
        Ok(())
    }
}

impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(rename) = &self.rename {
            // Half an archive is of no use; where it cannot be removed its name says what it is.
            rustix::fs::unlinkat(&rename.directory, &rename.from, AtFlags::empty()).ok();
        }
    }
}
