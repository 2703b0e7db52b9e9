//! What can go wrong between a store and a registry.

/// Why an image did not come or go.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry.
    #[error("cannot get on with the registry")]
    Registry(#[from] registry::Error),
    /// The store.
    #[error("cannot get on with the store")]
    Store(#[from] store::Error),
    /// A process that receives layers could not be started, or did not end well.
    #[error("receive layers beside this process: {reason}")]
    Process {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// Whether the registry has no such image.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_not_found())
    }
}

/// What was wanted, or why not.
pub type Result<T, E = Error> = std::result::Result<T, E>;
