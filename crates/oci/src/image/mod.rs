//! Images: image-spec 1.1.1, and the Docker forms of the same documents.
//!
//! The `parse_*` functions are the only way in for bytes that came from outside: they bound size and
//! counts and refuse documents that two readers could read in two ways (GHSA-77vh-xpmg-72qh).

mod archive;
mod configuration;
mod descriptor;
mod manifest;
pub mod media;

pub use archive::{DockerArchiveImage, MAX_ARCHIVE_IMAGES, parse_docker_archive};
pub use configuration::{
    Config, Healthcheck, History, ImageConfiguration, RootFs, chain_ids, parse_configuration,
};
pub use descriptor::{Descriptor, Platform};
pub use manifest::{Document, Index, Manifest, parse_document, parse_index, parse_manifest};

/// Most bytes of a manifest, index or docker-archive `manifest.json`; registries refuse larger ones.
pub const MAX_MANIFEST: usize = 4 << 20;
/// Most bytes of an image configuration.
pub const MAX_CONFIGURATION: usize = 8 << 20;
/// Most layers of an image. Docker stops at 127; an overlay takes at most 500 lower directories.
pub const MAX_LAYERS: usize = 512;
/// Most entries of an index.
pub const MAX_INDEX_ENTRIES: usize = 4096;

/// Why a document is not used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// More bytes than a document of its kind may have.
    #[error("{what} has {size} bytes: the limit is {limit}")]
    TooLarge {
        /// Kind of document.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// More entries in a list than allowed.
    #[error("{what} has {count} {of}: the limit is {limit}")]
    TooMany {
        /// Kind of document.
        what: &'static str,
        /// What is counted.
        of: &'static str,
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Not JSON, or a field is missing or of the wrong type.
    #[error("{what} is not valid")]
    Json {
        /// Kind of document.
        what: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The document holds fields of both a manifest and an index.
    #[error("document has fields of both a manifest and an index")]
    Ambiguous,
    /// The document says it is something else than what it was fetched or listed as.
    #[error("document is listed as `{listed}` but says it is `{own}`")]
    MediaTypeMismatch {
        /// Media type of the descriptor or the transport.
        listed: String,
        /// The document's own `mediaType`.
        own: String,
    },
    /// A media type that is none of an image's.
    #[error("media type `{0}` is not one of an image")]
    UnknownMediaType(String),
    /// A schema version that is not 2.
    #[error("schema version {0} is not supported: only 2 is, save or push the image again with a newer tool")]
    SchemaVersion(u64),
    /// The root file system is no list of layers.
    #[error("root file system of type `{0}` is not supported: only `layers` is")]
    RootFsType(String),
}

pub(crate) fn bounded(what: &'static str, bytes: &[u8], limit: usize) -> Result<(), ImageError> {
    if bytes.len() > limit {
        return Err(ImageError::TooLarge { what, size: bytes.len(), limit });
    }
    Ok(())
}

pub(crate) fn at_most(
    what: &'static str,
    of: &'static str,
    count: usize,
    limit: usize,
) -> Result<(), ImageError> {
    if count > limit {
        return Err(ImageError::TooMany { what, of, count, limit });
    }
    Ok(())
}
