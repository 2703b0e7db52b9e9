//! Images from the store to a registry.

use oci::image::{Descriptor, MAX_MANIFEST};
use oci::{Digest, Reference};
use registry::{Pushed, Repository, Target};
use store::{Image, Store};

use crate::error::Result;

/// An image that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedImage {
    /// Digest of its manifest there.
    pub digest: Digest,
    /// Size of the manifest in bytes.
    pub size: u64,
}

/// Pushes an image under the name `target`. `each` is told of every blob.
///
/// The blobs come first and the manifest last: a registry with half of it has no image.
///
/// # Errors
/// [`crate::Error::Registry`], [`crate::Error::Store`].
pub fn push(
    store: &Store,
    image: &Image,
    repository: &Repository,
    target: &Target,
    registry: &str,
    each: &mut dyn FnMut(&Descriptor, Pushed),
) -> Result<PushedImage> {
    let others = others(store, registry, repository.name())?;
    let blobs = image.manifest.layers.iter().chain([&image.manifest.config]);
    let mut sent: Vec<Digest> = Vec::new();
    for blob in blobs {
        if sent.contains(&blob.digest) {
            continue;
        }
        let from =
            others.iter().find(|(_, layers)| layers.contains(&blob.digest)).map(|(name, _)| name.as_str());
        let mut content = store.open_blob(&blob.digest)?;
        let pushed = repository.push_blob(blob, from, &mut content)?;
        each(blob, pushed);
        sent.push(blob.digest);
    }
    let bytes = store.read_blob("image manifest", &image.descriptor, MAX_MANIFEST)?;
    repository.put_manifest(target, &image.descriptor.media_type, &bytes)?;
    Ok(PushedImage { digest: image.descriptor.digest, size: image.descriptor.size })
}

/// Other repositories of the same registry that images here came from or went to, with the blobs that these have.
fn others(store: &Store, registry: &str, own: &str) -> Result<Vec<(String, Vec<Digest>)>> {
    let mut found = Vec::new();
    let is_other = |name: &Reference| name.registry() == registry && name.repository() != own;
    for named in store.names()? {
        let Some(reference) = named.reference.filter(is_other) else { continue };
        // A damaged one is none to mount from.
        let Ok(image) = store.image(&named.manifest) else { continue };
        let blobs = image.manifest.layers.iter().map(|layer| layer.digest).collect();
        found.push((reference.repository().to_owned(), blobs));
    }
    Ok(found)
}
