//! Images from a registry to the store.

use oci::image::{Descriptor, Platform};
use oci::{Digest, Reference};
use registry::{Repository, Target};
use store::{Giver, Received, Store};

use crate::downloads::Downloads;
use crate::error::{Error, Result};

/// An image that was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// What the store has of it.
    pub received: Received,
    /// Digest of what its name means in the registry: its manifest, or the index that this was chosen from.
    pub digest: Digest,
}

/// Pulls an image, and gives it the name `reference`.
///
/// `target` is what is asked for in the repository, which may be a mirror under another name.
///
/// # Errors
/// [`Error::Registry`], [`Error::Store`]. Nothing is visible then; what came stays for the next pull.
pub fn pull(
    store: &Store,
    repository: &Repository,
    target: &Target,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Pulled> {
    let document = repository.manifest(target)?;
    let mut source = Source { repository, downloads: None };
    let name = match reference.digest() {
        Some(digest) => reference.with_digest(*digest),
        None => reference.clone(),
    };
    let received = store.receive(&mut source, &document.descriptor, &document.bytes, &[name], platform)?;
    Ok(Pulled { received, digest: document.descriptor.digest })
}

/// A repository as the store asks it.
struct Source<'a> {
    repository: &'a Repository,
    downloads: Option<Downloads>,
}

impl Giver for Source<'_> {
    type Error = Error;

    fn document(&mut self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        use oci::image::media::{is_index, is_manifest};
        if is_index(&descriptor.media_type) || is_manifest(&descriptor.media_type) {
            return Ok(self.repository.manifest(&Target::Digest(descriptor.digest))?.bytes);
        }
        Ok(self.repository.small_blob(descriptor)?)
    }

    fn begin(&mut self, store: &Store, blobs: &[Descriptor]) -> Result<()> {
        self.downloads = Some(Downloads::begin(store, self.repository, blobs)?);
        Ok(())
    }

    fn wait(&mut self, descriptor: &Descriptor) -> Result<()> {
        match &mut self.downloads {
            Some(downloads) => downloads.wait(descriptor),
            None => Err(Error::Process { reason: "nothing was begun".to_owned() }),
        }
    }
}
