//! What can go wrong, by what the caller can do about it.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed file operation, with the object it was tried on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that no [`RelPath`](crate::RelPath) or file name may be.
    #[error("path `{}` {reason}", .path.display())]
    BadPath {
        /// The refused path.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        reason: &'static str,
    },
    /// The kernel refused.
    #[error("{operation} `{}`", .path.display())]
    System {
        /// What was tried: the system call's name, or a verb.
        operation: &'static str,
        /// The object it was tried on, as the caller named it.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// A file is longer than its reader accepts.
    #[error("`{}` is longer than the limit of {limit} bytes", .path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// An object has another type than this operation can work on.
    #[error("`{}` is {found}, not {wanted}", .path.display())]
    WrongType {
        /// The object.
        path: PathBuf,
        /// What was wanted, with an article.
        wanted: &'static str,
        /// What was found, with an article.
        found: &'static str,
    },
    /// The tree changed under our hands more often than an honest neighbour would change it.
    #[error("`{}` kept changing while it was being opened", .path.display())]
    Raced {
        /// The path that was being resolved.
        path: PathBuf,
    },
    /// Something below `/proc` is not what the kernel's own procfs shows there.
    #[error("`{}` is not the kernel's own procfs: {reason}", .path.display())]
    NotProcfs {
        /// The path below `/proc`.
        path: PathBuf,
        /// Which check failed.
        reason: &'static str,
    },
}

impl Error {
    pub(crate) fn system(operation: &'static str, path: impl AsRef<Path>, errno: Errno) -> Self {
        Self::System { operation, path: path.as_ref().to_owned(), errno }
    }

    /// The kernel's answer, where there was one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::System { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether the object does not exist (`ENOENT`).
    pub fn is_missing(&self) -> bool {
        self.errno() == Some(Errno::NOENT)
    }

    /// The path the failed operation was tried on.
    pub fn path(&self) -> &Path {
        match self {
            Self::BadPath { path, .. }
            | Self::System { path, .. }
            | Self::TooLong { path, .. }
            | Self::WrongType { path, .. }
            | Self::Raced { path }
            | Self::NotProcfs { path, .. } => path,
        }
    }
}

/// An error and its causes on one line, joined by `: `, as messages and pipes between our processes carry it. A cause that its
/// parent quotes is not repeated.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
