//! What can go wrong with the journal itself.

use rustix::io::Errno;

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

/// A journal that cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the journal.
    #[error("the journal")]
    Files(#[from] files::Error),
    /// A system call on one of its files.
    #[error("{tried} `{file}` of the journal")]
    System {
        /// What was tried.
        tried: &'static str,
        /// On which file.
        file: String,
        /// What the kernel answered.
        #[source]
        errno: Errno,
    },
    /// All chains were held for longer than an append takes.
    #[error("all chains of the journal are locked by other processes")]
    Busy,
    /// A record that is too long even after its arguments were cut.
    #[error("a record of {bytes} bytes is longer than {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A destination that is none.
    #[error("`{0}` is nothing to forward to: use journald, syslog or syslog:/PATH")]
    Destination(String),
}

impl Error {
    pub(crate) fn system(tried: &'static str, file: impl Into<String>, errno: Errno) -> Self {
        Self::System { tried, file: file.into(), errno }
    }
}
