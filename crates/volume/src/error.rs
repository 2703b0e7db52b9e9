//! What can be wrong with a volume.

use rustix::io::Errno;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that no volume is named.
    #[error("`{}` is no volume name: use letters, digits, `_`, `.` and `-`, the first a letter or digit, 255 at most", .0.escape_debug())]
    Name(String),
    /// There is none of that name.
    #[error("no such volume: {0}")]
    Missing(String),
    /// It was made already, with other options.
    #[error("a volume `{0}` exists, with other options")]
    Exists(String),
    /// A container names it, or one is being made that will.
    #[error("volume `{name}` is in use by {users}")]
    InUse {
        /// The volume.
        name: String,
        /// Who names it.
        users: String,
    },
    /// An option of `--opt` that brig does not have.
    #[error("the volume option `{}` {reason}", option.escape_debug())]
    Option {
        /// As given.
        option: String,
        /// What is wrong, as the end of a sentence.
        reason: &'static str,
    },
    /// Its description on disk cannot be read.
    #[error("the description of volume `{name}` is damaged")]
    Damaged {
        /// The volume.
        name: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The system refused something.
    #[error("{action} volume `{name}`")]
    System {
        /// What was tried.
        action: &'static str,
        /// The volume.
        name: String,
        /// Why.
        source: Errno,
    },
    /// What a process in the user's namespace could not do.
    #[error("{action} volume `{name}`: {reason}")]
    Inside {
        /// What was tried.
        action: &'static str,
        /// The volume.
        name: String,
        /// What it said.
        reason: String,
    },
    /// A file of ours.
    #[error("the volume's own files")]
    Files(#[from] files::Error),
    /// It cannot be kept below a size.
    #[error("a volume of a limited size cannot be had")]
    Quota(#[from] files::quota::Error),
    /// It has a size, and nothing keeps it to that.
    #[error("volume `{name}`")]
    Limit {
        /// Its name.
        name: String,
        /// Why.
        source: files::quota::Error,
    },
    /// The user's namespace could not be entered.
    #[error("work as the owner of the volume's files")]
    Ids(#[from] idmap::Error),
}

impl Error {
    pub(crate) fn system(action: &'static str, name: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        let name = name.into();
        move |source| Self::System { action, name, source }
    }

    /// Whether it is that there is no such volume.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    /// What to do next, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) => Some("`brig volume ls` lists what is there"),
            Self::InUse { .. } => Some("remove those containers first: `brig rm CONTAINER`"),
            Self::Exists(_) => Some("remove it first, or use it as it is"),
            Self::Quota(error) | Self::Limit { source: error, .. } => Some(error.hint()),
            _ => None,
        }
    }
}
