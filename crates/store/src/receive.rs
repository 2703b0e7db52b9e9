//! Images from elsewhere: documents that are asked for, blobs that arrive.

use std::collections::HashSet;

use oci::image::{self as types, Descriptor, MAX_CONFIGURATION, MAX_MANIFEST, Platform, media};
use oci::{Digest, Reference};

use crate::blob;
use crate::error::{Error, Result};
use crate::image::{Image, clip};
use crate::ingest::Ingest;
use crate::layout::Store;
use crate::refs::chosen_from;
use crate::search::Search;

/// Whoever has the content of an image: a registry.
pub trait Giver {
    /// Why it has none.
    type Error: std::error::Error + Send + Sync + 'static;

    /// A document whole. It is checked again.
    ///
    /// # Errors
    /// Its own.
    fn document(&mut self, descriptor: &Descriptor) -> std::result::Result<Vec<u8>, Self::Error>;

    /// Begins to receive blobs as parts ([`Store::part`]), which will be waited for in this order.
    ///
    /// # Errors
    /// Its own.
    fn begin(&mut self, store: &Store, blobs: &[Descriptor]) -> std::result::Result<(), Self::Error>;

    /// Waits until a blob's part is whole and its digest was checked.
    ///
    /// # Errors
    /// Its own.
    fn wait(&mut self, descriptor: &Descriptor) -> std::result::Result<(), Self::Error>;
}

/// An image that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Digest of its configuration.
    pub id: Digest,
    /// Its manifest.
    pub manifest: Descriptor,
    /// What it runs on, by its own word.
    pub platform: Platform,
    /// Whether anything had to be fetched for it, or its name had another meaning before.
    pub is_new: bool,
}

impl Store {
    /// Receives an image and gives it names. `top` is its manifest, or an index that one for `platform` is chosen from.
    ///
    /// Nothing is visible before all of it was checked; what was fetched before an error stays as parts.
    ///
    /// # Errors
    /// [`Error::Given`], [`Error::Digest`], [`Error::Platform`], [`Error::Image`], [`Error::Archive`] and others.
    pub fn receive<G: Giver>(
        &self,
        giver: &mut G,
        top: &Descriptor,
        bytes: &[u8],
        references: &[Reference],
        platform: Option<&Platform>,
    ) -> Result<Received> {
        blob::check("image manifest", top, bytes)?;
        let host = Platform::host();
        let wanted = platform.unwrap_or(&host);
        let mut ingest = Ingest::begin(self)?;
        let mut read = |entry: &Descriptor| {
            if entry.digest == top.digest {
                return Ok(bytes.to_vec());
            }
            document(giver, "image manifest", entry, MAX_MANIFEST)
        };
        let mut search = Search::new(&mut read, wanted);
        let Some((descriptor, manifest, manifest_bytes)) = search.choose(top, 1)? else {
            return Err(search.nothing());
        };
        for layer in &manifest.layers {
            if media::layer_compression(&layer.media_type).is_none() {
                return Err(types::ImageError::UnknownMediaType(clip(&layer.media_type)).into());
            }
        }
        let is_known = self.has_blob(&manifest.config.digest)?;
        let config = if is_known {
            self.read_blob("image configuration", &manifest.config, MAX_CONFIGURATION)?
        } else {
            document(giver, "image configuration", &manifest.config, MAX_CONFIGURATION)?
        };
        let configuration = types::parse_configuration(&config)?;
        ingest.bytes_as(manifest.config.digest, &config)?;
        ingest.bytes_as(descriptor.digest, &manifest_bytes)?;
        let platform = Platform {
            architecture: configuration.architecture.clone(),
            os: configuration.os.clone(),
            variant: configuration.variant.clone(),
            ..Platform::default()
        };
        let image = Image::new(descriptor, manifest, configuration)?;
        let mut is_new = self.receive_layers(&mut ingest, giver, &image)?;
        let manifest = match top.digest == image.descriptor.digest {
            true => image.descriptor.clone(),
            false => chosen_from(image.descriptor.clone(), &top.digest),
        };
        let _held = self.shared()?;
        if !ingest.has_all(&image)? {
            return Err(Error::Removed);
        }
        ingest.commit()?;
        for reference in references {
            let before = self.read_ref(reference)?;
            is_new |= before.is_none_or(|before| before.digest != manifest.digest);
            self.write_ref(reference, &manifest, &image.id)?;
        }
        if references.is_empty() && !self.names()?.iter().any(|named| named.id == image.id) {
            self.write_untagged(&manifest, &image.id)?;
        }
        Ok(Received { id: image.id, manifest: image.descriptor, platform, is_new })
    }

    /// Unpacks each layer as it is there; whether any had to come.
    fn receive_layers<G: Giver>(
        &self,
        ingest: &mut Ingest<'_>,
        giver: &mut G,
        image: &Image,
    ) -> Result<bool> {
        let layers = &image.manifest.layers;
        let mut wanted: Vec<Descriptor> = Vec::new();
        let mut seen = HashSet::new();
        for layer in layers {
            if seen.insert(layer.digest) && !self.has_blob(&layer.digest)? {
                wanted.push(Descriptor::new(&layer.media_type, layer.digest, layer.size));
            }
        }
        if !wanted.is_empty() {
            giver.begin(self, &wanted).map_err(|error| given("the layers".to_owned(), error))?;
        }
        let mut coming: HashSet<Digest> = wanted.iter().map(|descriptor| descriptor.digest).collect();
        for (at, layer) in layers.iter().enumerate() {
            ingest.at_layer(at, layers.len());
            if coming.remove(&layer.digest) {
                giver.wait(layer).map_err(|error| given(format!("layer `{}`", layer.digest), error))?;
                ingest.take_part(&layer.digest)?;
            }
            ingest.settle(image, at)?;
        }
        Ok(!wanted.is_empty())
    }
}

fn document<G: Giver>(
    giver: &mut G,
    what: &'static str,
    descriptor: &Descriptor,
    limit: usize,
) -> Result<Vec<u8>> {
    if descriptor.size > limit as u64 {
        return Err(Error::Limit { what, limit: limit as u64 });
    }
    let bytes = giver
        .document(descriptor)
        .map_err(|error| given(format!("{what} `{}`", descriptor.digest), error))?;
    blob::check(what, descriptor, &bytes)?;
    Ok(bytes)
}

fn given(what: String, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Given { what, source: Box::new(error) }
}
