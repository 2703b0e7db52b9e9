//! Why an archive was refused.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A refused archive, or a tree that would not take it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input could not be read or decompressed.
    #[error("read archive")]
    Read(#[source] io::Error),
    /// The archive could not be written.
    #[error("write archive")]
    Write(#[source] io::Error),
    /// The input is compressed in a way we do not read.
    #[error("archive is compressed with {0}, which is not supported: use gzip or zstd")]
    Compression(&'static str),
    /// The archive's structure is broken, or says two things at once.
    #[error("archive is malformed at byte {offset}: {reason}")]
    Malformed {
        /// Where in the uncompressed stream the offending block starts.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The archive ends within an entry.
    #[error("archive is truncated at byte {offset}")]
    Truncated {
        /// How many uncompressed bytes there were.
        offset: u64,
    },
    /// A limit was reached; see [`Limits`](crate::Limits).
    #[error("archive exceeds the limit of {limit} {what}")]
    Limit {
        /// What is limited, in the plural.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// One entry asks for what no honest archive does.
    #[error("archive entry `{}` {reason}", .path.display())]
    Entry {
        /// The entry, as the archive names it.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        reason: &'static str,
    },
    /// The kernel refused.
    #[error("{operation} `{}`", .path.display())]
    System {
        /// What was tried.
        operation: &'static str,
        /// The entry it was tried for.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// Removing what an entry replaces failed.
    #[error("replace `{}`", .path.display())]
    Replace {
        /// The entry.
        path: PathBuf,
        /// Why.
        #[source]
        source: files::Error,
    },
}

impl Error {
    pub(crate) fn entry(path: &[u8], reason: &'static str) -> Self {
        Self::Entry { path: display_path(path), reason }
    }

    pub(crate) fn system(operation: &'static str, path: &[u8], errno: Errno) -> Self {
        Self::System { operation, path: display_path(path), errno }
    }

    /// The kernel's answer, where there was one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::System { errno, .. } => Some(*errno),
            Self::Replace { source, .. } => source.errno(),
            _ => None,
        }
    }

    /// A limit travels through [`io::Read`] inside an [`io::Error`]; this takes it out again.
    pub(crate) fn from_read(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => Self::Read(error),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// The start of a path, enough for a message: a hostile one may be a mebibyte long.
pub(crate) fn display_path(path: &[u8]) -> PathBuf {
    OsStr::from_bytes(&path[..path.len().min(512)]).into()
}
