//! What can go wrong with a registry.

use oci::Digest;

/// Why a registry did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no answer.
    #[error("{what}")]
    Fetch {
        /// What was asked for.
        what: String,
        /// Why.
        #[source]
        source: fetch::Error,
    },
    /// An address that is not used.
    #[error("address `{address}` is not used: {reason}")]
    Address {
        /// The address, shortened.
        address: String,
        /// Why.
        reason: String,
    },
    /// It has no such thing.
    #[error("{what}: the registry has no such thing{detail}")]
    NotFound {
        /// What was asked for.
        what: String,
        /// What it says of it.
        detail: String,
    },
    /// It lets nobody in, or not these credentials.
    #[error("{what}: the registry refuses {who}{detail}")]
    Denied {
        /// What was asked for.
        what: String,
        /// Whom.
        who: &'static str,
        /// What it says of it.
        detail: String,
    },
    /// It was asked too often.
    #[error("{what}: the registry was asked too often{detail}")]
    TooMany {
        /// What was asked for.
        what: String,
        /// What it says of it.
        detail: String,
    },
    /// Any other status.
    #[error("{what}: the registry answers {status}{detail}")]
    Status {
        /// What was asked for.
        what: String,
        /// The status code.
        status: u16,
        /// What it says of it.
        detail: String,
    },
    /// It breaks the protocol, or tries something.
    #[error("{what}: the registry's answer is not used: {reason}")]
    Hostile {
        /// What was asked for.
        what: String,
        /// Why.
        reason: String,
    },
    /// What it sent is not what was asked for.
    #[error("{what}: the content has digest {found} where {expected} was asked for")]
    Digest {
        /// What was asked for.
        what: String,
        /// The digest that was asked for.
        expected: Box<Digest>,
        /// That of what came.
        found: Box<Digest>,
    },
    /// A document that breaks its specification.
    #[error("{what}")]
    Document {
        /// What was asked for.
        what: String,
        /// Why.
        #[source]
        source: oci::image::ImageError,
    },
    /// A file of a person's or of the administrator's that cannot be read, understood or written.
    #[error("`{path}` cannot be used: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A short name that several registries could have.
    #[error("`{name}` could be {}: give the whole name", .names.join(" or "))]
    Short {
        /// What was typed.
        name: String,
        /// What it could mean.
        names: Vec<String>,
    },
    /// `registries.conf` closes it.
    #[error("`{name}` is not asked for: registries.conf blocks `{prefix}`")]
    Blocked {
        /// The image's name.
        name: String,
        /// What is blocked.
        prefix: String,
    },
    /// A credential helper that does not help.
    #[error("credential helper `{name}`: {reason}")]
    Helper {
        /// Its name, without `docker-credential-`.
        name: String,
        /// Why.
        reason: String,
    },
    /// What is to be sent cannot be read.
    #[error("read what is pushed")]
    Input(#[source] std::io::Error),
}

impl Error {
    /// Whether there is no such thing, rather than no answer.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the same may work a moment later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => source.is_transient(),
            Self::TooMany { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }
}

/// What was asked for, or why not.
pub type Result<T, E = Error> = std::result::Result<T, E>;
