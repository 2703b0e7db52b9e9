//! The directory of a store: `docs/disk-layout.md`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use files::atomic::{self, Durability};
use files::lock::{self, Lock};
use files::meter::{Meter, Metered};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::unpack::Ownership;

/// Content of the file `format`.
const FORMAT: &[u8] = b"1\n";
/// Content of the file `oci-layout`: image-spec `image-layout.md`.
const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// Directories every store has.
const DIRECTORIES: [&str; 9] =
    ["blobs", "blobs/sha256", "blobs/sha512", "ingest", "refs", "layers", "containers", "leases", "cache"];

/// An open store.
///
/// It holds the directory's descriptor, no lock and nothing in memory: the files are the database.
#[derive(Debug)]
pub struct Store {
    root: OwnedFd,
    path: PathBuf,
    ownership: Ownership,
    meter: Option<Arc<Meter>>,
}

impl Store {
    /// Opens the store below `path`, and makes it when there is none (parents included, mode 0700).
    ///
    /// `ownership` says how files of images are owned on disk; it has to be the same for the life of a store.
    ///
    /// # Errors
    /// [`Error::NotOurs`], [`Error::Format`], [`Error::System`], [`Error::Files`].
    pub fn open(path: &Path, ownership: Ownership) -> Result<Self> {
        let root = match files::open_directory(path) {
            Err(error) if error.is_missing() => make_root(path)?,
            other => other?,
        };
        let status = rustix::fs::fstat(&root).map_err(|errno| Error::system("stat", path, errno))?;
        let user = rustix::process::geteuid().as_raw();
        if status.st_uid != user {
            return Err(Error::NotOurs { path: path.to_owned(), owner: status.st_uid, user });
        }
        if status.st_mode & 0o7777 != 0o700 {
            // An image's setuid files must be out of other users' reach (CVE-2021-41091).
            rustix::fs::fchmod(&root, Mode::RWXU).map_err(|errno| Error::system("chmod", path, errno))?;
        }
        let store = Self { root, path: path.to_owned(), ownership, meter: None };
        match store.read_file("format", 16)? {
            Some(format) if format == FORMAT => {}
            Some(found) => {
                let found =
                    String::from_utf8_lossy(&found).trim().chars().filter(|c| !c.is_control()).collect();
                return Err(Error::Format { found });
            }
            None => store.make()?,
        }
        Ok(store)
    }

    /// The path the store was opened by, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says how far long work of this store has come from now on.
    pub fn measure(&mut self, meter: Option<Arc<Meter>>) {
        self.meter = meter;
    }

    /// That meter, for work beside the store's.
    #[must_use]
    pub fn meter(&self) -> Option<Arc<Meter>> {
        self.meter.clone()
    }

    /// Begins a step of long work, of `total` bytes where that is known.
    pub(crate) fn begin(&self, step: impl FnOnce() -> String, total: Option<u64>) {
        if let Some(meter) = &self.meter {
            meter.begin(&step(), total);
        }
    }

    /// A reader or writer whose bytes count for the step.
    pub(crate) fn metered<T>(&self, inner: T) -> Metered<T> {
        Metered::new(inner, self.meter.clone())
    }

    /// How files of images are owned on disk.
    #[must_use]
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// The store's root directory, for the crates that keep `containers/`, `volumes/` and `cache/`.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Takes the store lock shared: nothing is collected while it is held.
    ///
    /// Hold it from [`Store::resolve`](crate::Store::resolve) until the container's directory names the
    /// image; never across a download or a user's process. [`Store::remove`](crate::Store::remove) and
    /// [`Store::prune`](crate::Store::prune) wait for it, also when the caller itself holds it.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn shared(&self) -> Result<Lock> {
        Ok(lock::shared(lock::open(&self.root, "lock")?)?)
    }

    pub(crate) fn exclusive(&self) -> Result<Lock> {
        Ok(lock::exclusive(lock::open(&self.root, "lock")?)?)
    }

    /// Everything but `format` is made first: it says that the rest is there. Many may do this at once.
    fn make(&self) -> Result<()> {
        for name in DIRECTORIES {
            make_directory(self.root(), name)?;
        }
        atomic::write(self.root(), "oci-layout", OCI_LAYOUT, 0o444, Durability::Volatile)?;
        let index = br#"{"schemaVersion":2,"manifests":[]}"#;
        match atomic::write_new(self.root(), "index.json", index, 0o644, Durability::Volatile) {
            Err(error) if error.errno() == Some(Errno::EXIST) => {}
            other => other?,
        }
        files::pause::at("store.before-format");
        atomic::write(self.root(), "format", FORMAT, 0o444, Durability::Durable)?;
        Ok(())
    }

    /// Opens a file or directory of the store; a missing one is `None`.
    pub(crate) fn open_at(&self, path: &str, flags: OFlags) -> Result<Option<OwnedFd>> {
        match rustix::fs::openat(&self.root, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
        {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::system("open", path, errno)),
        }
    }

    /// Opens a directory of the store that [`Store::make`] made.
    pub(crate) fn directory(&self, path: &str) -> Result<OwnedFd> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?
            .ok_or_else(|| Error::system("open", path, Errno::NOENT))
    }

    /// Reads a small file of the store.
    pub(crate) fn read_file(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        // O_NONBLOCK: what should be a file may be a fifo by somebody's mistake
        let Some(file) = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK)? else { return Ok(None) };
        Ok(Some(files::read_all(&file, limit)?))
    }

    /// Whether a path exists in the store.
    pub(crate) fn exists(&self, path: &str) -> Result<bool> {
        match rustix::fs::statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::system("stat", path, errno)),
        }
    }
}

fn make_root(path: &Path) -> Result<OwnedFd> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    builder.create(path).map_err(|source| {
        let errno = source.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
        Error::system("make directory", path, errno)
    })?;
    Ok(files::open_directory(path)?)
}

/// Makes one directory, mode 0700; one that is there already is fine.
pub(crate) fn make_directory(parent: BorrowedFd<'_>, name: &str) -> Result<()> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::system("make directory", name, errno)),
    }
}

/// The names in a directory, without `.`, `..` and unfinished files, sorted.
pub(crate) fn names_in(directory: impl AsFd) -> Result<Vec<String>> {
    let failed = |errno| Error::system("read directory", "(directory)", errno);
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // a name that is not UTF-8 is none of ours
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name != "." && name != ".." && !name.starts_with(atomic::TEMPORARY_PREFIX) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
