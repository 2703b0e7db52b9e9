//! Blobs on their way in: `ingest/<algorithm>-<hex>.part`, which outlive whoever receives them.
//!
//! Who comes next goes on where the last one was cut off, after it hashed what is there: bytes of a file that nobody synced
//! are not believed. A part is locked by the process that writes it; one that nobody asked for in a week is swept.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use files::lock::{self, Lock};
use oci::image::Descriptor;
use oci::{Digest, Hasher};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::layout::Store;

/// What the names of parts end in.
const SUFFIX: &str = ".part";
/// How long one is kept that nobody asks for.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// The file name of a blob's part.
pub(crate) fn name(digest: &Digest) -> String {
    format!("{}-{}{SUFFIX}", digest.algorithm().as_str(), digest.hex())
}

/// Content from a byte on, and which byte that is: whoever gives it may not be able to begin in the middle.
pub type Opened = io::Result<(Box<dyn Read>, u64)>;

/// A blob that is being received by this process.
#[derive(Debug)]
pub struct Part<'a> {
    store: &'a Store,
    descriptor: Descriptor,
    file: File,
    _held: Lock,
    size: u64,
    hasher: Hasher,
}

impl Store {
    /// Opens the part of a blob, and hashes what is there of it. Waits while another process receives the same.
    /// `None` where that one has made it part of the store since.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`].
    pub fn part(&self, descriptor: &Descriptor) -> Result<Option<Part<'_>>> {
        let all = self.directory("ingest")?;
        let name = name(&descriptor.digest);
        loop {
            if self.has_blob(&descriptor.digest)? {
                return Ok(None);
            }
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let opened = rustix::fs::openat(&all, &name, flags, Mode::RUSR | Mode::WUSR)
                .map_err(|errno| Error::system("open", &name, errno))?;
            let held = lock::exclusive(opened)?;
            if !is_still_there(all.as_fd(), &name, held.as_fd())? {
                // It was finished, or swept.
                continue;
            }
            let file = File::from(
                rustix::io::fcntl_dupfd_cloexec(&held, 3)
                    .map_err(|errno| Error::system("duplicate", &name, errno))?,
            );
            let mut part = Part {
                store: self,
                descriptor: descriptor.clone(),
                file,
                _held: held,
                size: 0,
                hasher: Hasher::new(descriptor.digest.algorithm()),
            };
            part.look()?;
            return Ok(Some(part));
        }
    }
}

impl Part<'_> {
    /// Hashes what is there; more than there may be is thrown away.
    fn look(&mut self) -> Result<()> {
        let failed = |error: io::Error| given(&self.descriptor, error);
        let length = self.file.metadata().map_err(failed)?.len();
        if length > self.descriptor.size {
            return self.restart();
        }
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = self.file.read(&mut buffer).map_err(|error| given(&self.descriptor, error))?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..count]);
            self.size += count as u64;
        }
    }

    fn restart(&mut self) -> Result<()> {
        let failed = |error: io::Error| given(&self.descriptor, error);
        self.file.set_len(0).map_err(failed)?;
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.hasher = Hasher::new(self.descriptor.digest.algorithm());
        self.size = 0;
        Ok(())
    }

    /// Bytes that are here.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Receives what is missing. `open` gives it from a byte on. What came before an error stays for the next try.
    ///
    /// # Errors
    /// [`Error::Given`] where it cannot be had; [`Error::Size`], [`Error::Digest`] where it is something else, of which nothing
    /// stays.
    pub fn receive(&mut self, open: &mut dyn FnMut(u64) -> Opened) -> Result<()> {
        if self.size < self.descriptor.size || self.size == 0 {
            let (mut reader, begins) = open(self.size).map_err(|error| given(&self.descriptor, error))?;
            if begins != self.size {
                self.restart()?;
            }
            self.take(&mut self.store.metered(&mut *reader))?;
        }
        let expected = self.descriptor.digest;
        let found = std::mem::replace(&mut self.hasher, Hasher::new(expected.algorithm())).finish();
        if found == expected {
            return Ok(());
        }
        self.restart()?;
        Err(Error::Digest { what: "blob", expected: Box::new(expected), found: Box::new(found) })
    }

    fn take(&mut self, reader: &mut dyn Read) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(given(&self.descriptor, error)),
            };
            let (digest, expected) = (Box::new(self.descriptor.digest), self.descriptor.size);
            if self.size + count as u64 > expected {
                self.restart()?;
                return Err(Error::Size { digest, expected, found: expected + 1 });
            }
            self.file.write_all(&buffer[..count]).map_err(|error| {
                let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
                Error::system("write", name(&digest), errno)
            })?;
            self.hasher.update(&buffer[..count]);
            self.size += count as u64;
        }
        if self.size == self.descriptor.size {
            return Ok(());
        }
        let cut = io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ends after {} bytes", self.size));
        Err(given(&self.descriptor, cut))
    }
}

/// Removes the part of that name if nobody asked for it for long and nobody writes it.
pub(crate) fn sweep(all: BorrowedFd<'_>, name: &str) -> Result<()> {
    if !name.ends_with(SUFFIX) {
        return Ok(());
    }
    let Some(opened) = open(all, name)? else { return Ok(()) };
    let modified = File::from(opened).metadata().and_then(|data| data.modified());
    let is_old =
        modified.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age > KEPT));
    if is_old { remove(all, name).map(drop) } else { Ok(()) }
}

/// Removes a part unless somebody writes it; the bytes that are free by it.
pub(crate) fn remove(all: BorrowedFd<'_>, name: &str) -> Result<u64> {
    let Some(opened) = open(all, name)? else { return Ok(0) };
    let Some(held) = lock::try_exclusive(opened)? else { return Ok(0) };
    let size = rustix::fs::fstat(&held).map_err(|errno| Error::system("stat", name, errno))?.st_size;
    match rustix::fs::unlinkat(all, name, AtFlags::empty()) {
        Ok(()) => Ok(u64::try_from(size).unwrap_or(0)),
        Err(Errno::NOENT) => Ok(0),
        Err(errno) => Err(Error::system("unlink", name, errno)),
    }
}

fn open(all: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match rustix::fs::openat(all, name, flags, Mode::empty()) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::system("open", name, errno)),
    }
}

/// Whether a name still means the file that was opened by it.
fn is_still_there(all: BorrowedFd<'_>, name: &str, file: BorrowedFd<'_>) -> Result<bool> {
    let failed = |errno| Error::system("stat", name, errno);
    let own = rustix::fs::fstat(file).map_err(failed)?;
    match rustix::fs::statat(all, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => Ok((there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(failed(errno)),
    }
}

fn given(descriptor: &Descriptor, error: io::Error) -> Error {
    Error::Given { what: format!("blob `{}`", descriptor.digest), source: Box::new(error) }
}
