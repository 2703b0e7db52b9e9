//! `commit`: an image of a container.

use std::fs::File;

use oci::image::{Config, Descriptor, History, media};
use oci::{Digest, Moment, Reference};

use crate::changes;
use crate::error::Result;
use crate::image::Image;
use crate::import::stage_image;
use crate::ingest::Ingest;
use crate::layout::Store;
use crate::lease::Lease;

/// What the new image says beside its files.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// The image's name; without one it is kept under its id.
    pub reference: Option<Reference>,
    /// The configuration that the container ran with; the image's own if unset.
    pub config: Option<Config>,
    /// Dockerfile instructions on top of it.
    pub changes: Vec<String>,
    /// Who made it.
    pub author: Option<String>,
    /// A remark for the history.
    pub message: Option<String>,
    /// Whether what `write` writes is the whole tree, which then is the image's only layer.
    pub squash: bool,
    /// The container's program, for the history.
    pub created_by: Option<String>,
}

impl Store {
    /// Makes an image of the image that a container holds and of one more layer, which `write` puts into a file: a tar
    /// archive. A container that changed nothing gets an empty layer, as in docker.
    ///
    /// # Errors
    /// [`Error::Change`] before anything is written, [`Error::Child`] with what `write` answers, and as
    /// [`Store::import`].
    pub fn commit(
        &self,
        base: &Lease,
        options: &CommitOptions,
        write: impl FnOnce(&File) -> std::result::Result<(), String>,
    ) -> Result<Image> {
        // The base image stays while we look: its container may be removed meanwhile.
        let _held = self.shared()?;
        let base = self.image(&base.manifest)?;
        let mut configuration = base.configuration;
        if let Some(config) = &options.config {
            configuration.config = config.clone();
        }
        changes::apply_to(&mut configuration.config, &options.changes)?;
        let mut ingest = Ingest::begin(self)?;
        let (blob, size) = ingest.written(write)?;
        let mut below = std::mem::take(&mut configuration.rootfs.diff_ids);
        let mut layers: Vec<Descriptor> = base.manifest.layers.into_iter().map(into_oci).collect();
        if options.squash {
            below.clear();
            layers.clear();
            // Each of its steps that made files would name a layer.
            configuration.history.clear();
        }
        let diff_id: Digest = ingest.layer(&blob, &below, None)?;
        configuration.rootfs.diff_ids = [below, vec![diff_id]].concat();
        let created = Some(Moment::now().fixed());
        configuration.created.clone_from(&created);
        configuration.author = options.author.clone().or(configuration.author);
        configuration.history.push(History {
            created,
            created_by: options.created_by.clone(),
            author: options.author.clone(),
            comment: options.message.clone(),
            ..History::default()
        });
        layers.push(Descriptor::new(media::LAYER, blob, size));
        let image = stage_image(&mut ingest, configuration, layers)?;
        ingest.commit()?;
        match &options.reference {
            Some(reference) => self.write_ref(reference, &image.descriptor, &image.id)?,
            None => self.keep_untagged(&image)?,
        }
        Ok(image)
    }

    /// Keeps an image without a name, unless it has one.
    fn keep_untagged(&self, image: &Image) -> Result<()> {
        if !self.names()?.iter().any(|named| named.manifest.digest == image.descriptor.digest) {
            self.write_untagged(&image.descriptor, &image.id)?;
            self.write_index()?;
        }
        Ok(())
    }
}

/// The layer under its OCI name: docker's manifests have their own for the same bytes.
fn into_oci(mut layer: Descriptor) -> Descriptor {
    let kind = match layer.media_type.as_str() {
        "application/vnd.docker.image.rootfs.diff.tar" => media::LAYER,
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => media::LAYER_GZIP,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => media::LAYER_ZSTD,
        _ => return layer,
    };
    kind.clone_into(&mut layer.media_type);
    layer
}
