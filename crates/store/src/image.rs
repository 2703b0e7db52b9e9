//! Images: what a name or id means, and what there is.

use oci::image::{
    self as types, Descriptor, ImageConfiguration, MAX_CONFIGURATION, MAX_MANIFEST, Manifest, chain_ids,
};
use oci::{Algorithm, Digest, Reference};

use crate::error::{Error, Result};
use crate::layout::Store;
use crate::refs::Named;

/// Fewest digits of an id prefix, so that `a` names an image `a`.
const MIN_PREFIX: usize = 4;

/// An image of the store, its manifest and configuration checked against their digests.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest's descriptor.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Manifest,
    /// Digest of the configuration: the image's id.
    pub id: Digest,
    /// The configuration.
    pub configuration: ImageConfiguration,
    /// Chain ids of the layers, lowest first.
    pub layers: Vec<Digest>,
}

/// One line of `images`: a name and its image.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The name; `None` for an image without one.
    pub reference: Option<Reference>,
    /// Digest of the configuration.
    pub id: Digest,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// When the image was made, RFC 3339.
    pub created: Option<String>,
    /// Bytes of all layers, uncompressed.
    pub size: u64,
    /// Labels of the image.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// What `inspect` needs beside the image itself.
#[derive(Clone, Debug)]
pub struct Details {
    /// The image.
    pub image: Image,
    /// All its names.
    pub references: Vec<Reference>,
    /// Bytes of all layers, uncompressed.
    pub size: u64,
}

impl Store {
    /// Finds an image by name. `docker.io/library/x` falls back to this machine's `localhost/x`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Digest`], [`Error::Missing`] and others for a damaged store.
    pub fn resolve(&self, reference: &Reference) -> Result<Image> {
        let mut found = self.read_ref(reference)?;
        if found.is_none()
            && let Some(local) = reference.local_fallback()
        {
            found = self.read_ref(&local)?;
        }
        match found {
            Some(descriptor) => self.image(&descriptor),
            None => Err(Error::NotFound { name: reference.familiar() }),
        }
    }

    /// Finds an image by what a person typed: a name first, then an id or the start of one.
    ///
    /// # Errors
    /// As [`Store::resolve`], and [`Error::Ambiguous`].
    pub fn find(&self, text: &str) -> Result<Image> {
        if let Ok(reference) = text.parse::<Reference>() {
            match self.resolve(&reference) {
                Err(error) if error.is_not_found() => {}
                other => return other,
            }
        }
        match self.find_id(text)? {
            Some(named) => self.image(&named.manifest),
            None => Err(Error::NotFound { name: clip(text) }),
        }
    }

    /// Finds an image by (the start of) the digest of its configuration or manifest.
    pub(crate) fn find_id(&self, text: &str) -> Result<Option<Named>> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        let is_hex = prefix.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hex || !(MIN_PREFIX..=Algorithm::Sha256.hex_len()).contains(&prefix.len()) {
            return Ok(None);
        }
        let mut found: Option<Named> = None;
        for named in self.names()? {
            if named.id.hex().starts_with(prefix) || named.manifest.digest.hex().starts_with(prefix) {
                if found.as_ref().is_some_and(|other| other.id != named.id) {
                    return Err(Error::Ambiguous { prefix: prefix.to_owned() });
                }
                found.get_or_insert(named);
            }
        }
        Ok(found)
    }

    /// Reads an image by its manifest's descriptor: two small files, both checked.
    ///
    /// # Errors
    /// [`Error::Digest`], [`Error::Missing`], [`Error::Image`], [`Error::LayerCount`].
    pub fn image(&self, descriptor: &Descriptor) -> Result<Image> {
        let bytes = self.read_blob("image manifest", descriptor, MAX_MANIFEST)?;
        let manifest = types::parse_manifest(&bytes, Some(&descriptor.media_type))?;
        let bytes = self.read_blob("image configuration", &manifest.config, MAX_CONFIGURATION)?;
        let configuration = types::parse_configuration(&bytes)?;
        Image::new(descriptor.clone(), manifest, configuration)
    }

    /// All images, one entry for each name, sorted by name.
    ///
    /// # Errors
    /// [`Error::System`]; a damaged image is listed with size zero, see [`Store::check`](crate::Store::check).
    pub fn images(&self) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for named in self.names()? {
            let image = self.image(&named.manifest).ok();
            let size = image.as_ref().and_then(|image| self.size(image).ok()).unwrap_or_default();
            let configuration = image.map(|image| image.configuration).unwrap_or_default();
            listed.push(Listed {
                reference: named.reference,
                id: named.id,
                manifest: named.manifest.digest,
                created: configuration.created,
                size,
                labels: configuration.config.labels,
            });
        }
        Ok(listed)
    }

    /// An image with its names and size, found as by [`Store::find`].
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn inspect(&self, text: &str) -> Result<Details> {
        let image = self.find(text)?;
        let references = self
            .names()?
            .into_iter()
            .filter(|named| named.id == image.id)
            .filter_map(|named| named.reference);
        let references = references.collect();
        let size = self.size(&image)?;
        Ok(Details { image, references, size })
    }

    /// Gives an image another name, found as by [`Store::find`].
    ///
    /// # Errors
    /// As [`Store::find`], and [`Error::NotATag`].
    pub fn tag(&self, text: &str, target: &Reference) -> Result<()> {
        let _held = self.shared()?;
        let image = self.find(text)?;
        self.write_ref(target, &image.descriptor, &image.id)
    }

    /// Bytes of all layers, uncompressed.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn size(&self, image: &Image) -> Result<u64> {
        image.layers.iter().try_fold(0_u64, |sum, chain| Ok(sum.saturating_add(self.layer_meta(chain)?.size)))
    }
}

impl Image {
    /// Puts an image together; its manifest and configuration have to agree.
    pub(crate) fn new(
        descriptor: Descriptor,
        manifest: Manifest,
        configuration: ImageConfiguration,
    ) -> Result<Self> {
        let (layers, diff_ids) = (manifest.layers.len(), configuration.rootfs.diff_ids.len());
        if layers != diff_ids {
            return Err(Error::LayerCount { layers, diff_ids });
        }
        let layers = chain_ids(&configuration.rootfs.diff_ids);
        Ok(Self { descriptor, id: manifest.config.digest, manifest, configuration, layers })
    }
}

/// Keeps a hostile value short and printable in a message.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(120).map(|c| if c.is_control() { '?' } else { c }).collect()
}
