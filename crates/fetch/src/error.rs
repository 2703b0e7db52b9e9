//! What can go wrong between a request and its answer.

use std::net::IpAddr;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no absolute `http` or `https` URL, or a header holds what none may.
    #[error("`{url}` cannot be asked for: {reason}")]
    Address {
        /// The address, shortened.
        url: String,
        /// Why.
        reason: String,
    },
    /// No address for a name.
    #[error("no address for `{host}`: {reason}")]
    Name {
        /// The name.
        host: String,
        /// What the resolver has to say.
        reason: String,
    },
    /// The name leads into a network that this request must not reach.
    #[error("`{host}` is at {address}, which only a registry there may lead to")]
    Reach {
        /// The name.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// No connection, or one that broke.
    #[error("talk to `{host}`")]
    Connection {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The other side is not who it should be, or speaks no TLS.
    #[error("`{host}` has no TLS that can be trusted: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// What rustls has to say.
        reason: String,
    },
    /// It took longer than it may.
    #[error("`{host}` did not answer in time: {what}")]
    Timeout {
        /// The host.
        host: String,
        /// What was waited for.
        what: String,
    },
    /// The other side does not speak HTTP as it should.
    #[error("`{host}` does not speak HTTP as it should: {reason}")]
    Protocol {
        /// The host.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// A proxy that cannot be used.
    #[error("proxy `{proxy}` cannot be used: {reason}")]
    Proxy {
        /// The proxy as it was given, without its password.
        proxy: String,
        /// Why.
        reason: String,
    },
    /// Certificates or keys that cannot be used.
    #[error("certificates of `{path}` cannot be used: {reason}")]
    Certificates {
        /// Where they came from.
        path: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// Whether the same request may have an answer a moment later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Timeout { .. } | Self::Name { .. })
    }
}

/// An answer or why there is none.
pub type Result<T, E = Error> = std::result::Result<T, E>;
