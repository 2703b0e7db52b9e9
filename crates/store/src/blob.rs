//! Blobs: content named by its digest, `blobs/<algorithm>/<hex>`, mode 0444.

use std::fs::File;

use files::weaken::{Defence, is_off};
use oci::Digest;
use oci::image::Descriptor;
use rustix::fs::OFlags;

use crate::error::{Error, Result};
use crate::layout::Store;

/// Path of a blob below the root of a store or of any OCI image layout.
pub(crate) fn path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

impl Store {
    /// Whether a blob is in the store.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn has_blob(&self, digest: &Digest) -> Result<bool> {
        self.exists(&path(digest))
    }

    /// Opens a blob to read. Its digest was checked when it came in, and is not again.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::System`].
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        self.open_at(&path(digest), OFlags::RDONLY)?
            .map(File::from)
            .ok_or_else(|| Error::Missing { what: "blob", name: digest.to_string() })
    }

    /// Reads a small blob (manifest, configuration) and checks its digest, on the run path too.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Digest`], [`Error::Size`], [`Error::Limit`].
    pub fn read_blob(&self, what: &'static str, descriptor: &Descriptor, limit: usize) -> Result<Vec<u8>> {
        if descriptor.size > limit as u64 {
            return Err(Error::Limit { what, limit: limit as u64 });
        }
        let bytes = self
            .read_file(&path(&descriptor.digest), limit as u64)?
            .ok_or_else(|| Error::Missing { what, name: descriptor.digest.to_string() })?;
        check(what, descriptor, &bytes)?;
        Ok(bytes)
    }
}

/// Checks size and digest of content in memory.
pub(crate) fn check(what: &'static str, descriptor: &Descriptor, bytes: &[u8]) -> Result<()> {
    let found = bytes.len() as u64;
    if found != descriptor.size {
        return Err(Error::Size { digest: Box::new(descriptor.digest), expected: descriptor.size, found });
    }
    if !descriptor.digest.matches(bytes) && !is_off(Defence::BlobDigests) {
        return Err(Error::Digest {
            what,
            expected: Box::new(descriptor.digest),
            found: Box::new(Digest::of(bytes)),
        });
    }
    Ok(())
}
