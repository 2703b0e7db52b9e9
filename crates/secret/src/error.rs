//! What can be wrong with a secret.

use rustix::io::Errno;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// The errors of this crate. None holds a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that no secret is named.
    #[error("`{}` is no secret's name: use letters, digits, `_`, `.` and `-`, the first a letter or digit, 253 at most", .0.escape_debug())]
    Name(String),
    /// There is none of that name or id.
    #[error("no such secret: {}", .0.escape_debug())]
    Missing(String),
    /// One of that name exists.
    #[error("a secret `{0}` exists")]
    Exists(String),
    /// A value that no secret has.
    #[error("a secret holds 1 to {limit} bytes, this has {length}")]
    Length {
        /// Its bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Its file cannot be read as a secret.
    #[error("the file of secret `{0}` is damaged")]
    Damaged(String),
    /// It was sealed under another key, or changed.
    #[error("secret `{0}` cannot be opened with the key of this store")]
    Sealed(String),
    /// The key's file is not as we made it.
    #[error("the key in `secrets/.key` {0}")]
    Key(&'static str),
    /// The system refused something.
    #[error("{action} the secrets")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: Errno,
    },
    /// A file of ours.
    #[error("the secret's file")]
    Files(#[from] files::Error),
}

impl Error {
    pub(crate) const fn system(action: &'static str) -> impl FnOnce(Errno) -> Self {
        move |source| Self::System { action, source }
    }

    /// Whether it is that there is no such secret.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    /// What to do next, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing(_) => Some("`brig secret ls` lists what is there"),
            Self::Exists(_) => Some("`brig secret create --replace` gives it another value"),
            Self::Sealed(_) => {
                Some("bring back the key that it was made with, or `brig secret create --replace` it")
            }
            _ => None,
        }
    }
}
