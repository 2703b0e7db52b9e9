//! Unpacked layers: `layers/<chain id>/{fs,meta.json}`.
//!
//! A layer's directory appears by one rename when all of it is on the disk, so a layer that is there is whole.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use oci::Digest;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::layout::Store;

/// Most bytes of `meta.json`.
const MAX_META: u64 = 16 << 10;

/// Facts about an unpacked layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerMeta {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Chain id of the layer below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// The archive as it came, compressed or not.
    pub blob: Digest,
    /// Bytes of the uncompressed archive.
    pub size: u64,
    /// Entries of the archive.
    pub entries: u64,
    /// How files are owned on disk: [`Ownership::describe`](crate::Ownership::describe).
    pub ownership: String,
    /// The first of the things that were left out, such as device nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// Protections that were not in force in the process that unpacked it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unconfined: Vec<String>,
}

/// Path of a layer below the store's root. SHA-256 and SHA-512 values differ in length, so they never collide.
pub(crate) fn path(chain: &Digest) -> String {
    format!("layers/{}", chain.hex())
}

impl Store {
    /// Whether an unpacked layer is in the store.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn has_layer(&self, chain: &Digest) -> Result<bool> {
        self.exists(&path(chain))
    }

    /// Where the root directory of an unpacked layer is.
    #[must_use]
    pub fn layer_path(&self, chain: &Digest) -> PathBuf {
        self.path().join(path(chain)).join("fs")
    }

    /// Opens the root directory of an unpacked layer with `O_PATH`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::System`].
    pub fn open_layer(&self, chain: &Digest) -> Result<OwnedFd> {
        self.open_at(&format!("{}/fs", path(chain)), OFlags::PATH | OFlags::DIRECTORY)?
            .ok_or_else(|| Error::Missing { what: "layer", name: chain.to_string() })
    }

    /// Reads the facts about an unpacked layer.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Image`], [`Error::System`].
    pub fn layer_meta(&self, chain: &Digest) -> Result<LayerMeta> {
        let bytes = self
            .read_file(&format!("{}/meta.json", path(chain)), MAX_META)?
            .ok_or_else(|| Error::Missing { what: "layer", name: chain.to_string() })?;
        serde_json::from_slice(&bytes)
            .map_err(|source| Error::Image(oci::image::ImageError::Json { what: "layer facts", source }))
    }
}
