//! `import`: a plain root file system archive becomes an image of one layer.

use std::io::Read;

use oci::image::{Descriptor, History, ImageConfiguration, Manifest, Platform, RootFs, media};
use oci::{Moment, Reference};

use crate::changes;
use crate::error::Result;
use crate::image::Image;
use crate::ingest::Ingest;
use crate::layout::Store;

/// What the image says beside its files.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Dockerfile instructions for the configuration, such as `CMD ["bash"]` or `ENV A=b`.
    pub changes: Vec<String>,
    /// A remark for the history.
    pub message: Option<String>,
    /// Platform of the image; the host's when unset.
    pub platform: Option<Platform>,
}

impl Store {
    /// Makes an image of a root file system archive: tar, plain or packed with gzip or zstd.
    ///
    /// The archive is kept as it came. The store lock is taken at the end only: the stream may be as slow
    /// as its writer.
    ///
    /// # Errors
    /// [`Error::Change`](crate::Error::Change) before anything is read; [`Error::Input`](crate::Error::Input),
    /// [`Error::Archive`](crate::Error::Archive), [`Error::System`](crate::Error::System).
    pub fn import(
        &self,
        reader: &mut dyn Read,
        reference: &Reference,
        options: &ImportOptions,
    ) -> Result<Image> {
        let config = changes::apply(&options.changes)?;
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let mut ingest = Ingest::begin(self)?;
        let (blob, size) = ingest.blob("layer", reader, None)?;
        let compression = archive_kind(&ingest, &blob)?;
        let diff_id = ingest.layer(&blob, &[], None)?;
        let created = Moment::now().fixed();
        let configuration = ImageConfiguration {
            created: Some(created.clone()),
            author: None,
            architecture: platform.architecture,
            os: platform.os,
            variant: platform.variant,
            config,
            rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
            history: vec![History {
                created: Some(created),
                created_by: Some("brig import".to_owned()),
                comment: options.message.clone(),
                ..History::default()
            }],
        };
        let layer = Descriptor::new(compression, blob, size);
        let image = stage_image(&mut ingest, configuration, vec![layer])?;
        let _held = self.shared()?;
        ingest.commit()?;
        self.write_ref(reference, &image.descriptor, &image.id)?;
        Ok(image)
    }
}

/// Stages configuration and manifest of a new image.
pub(crate) fn stage_image(
    ingest: &mut Ingest<'_>,
    configuration: ImageConfiguration,
    layers: Vec<Descriptor>,
) -> Result<Image> {
    let bytes = serde_json::to_vec(&configuration).expect("a configuration is strings and numbers");
    let config = ingest.bytes(media::CONFIGURATION, &bytes)?;
    stage_manifest(ingest, config, configuration, layers)
}

/// Stages the manifest of an image whose configuration is staged.
pub(crate) fn stage_manifest(
    ingest: &mut Ingest<'_>,
    config: Descriptor,
    configuration: ImageConfiguration,
    layers: Vec<Descriptor>,
) -> Result<Image> {
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::MANIFEST.to_owned()),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    };
    let bytes = serde_json::to_vec(&manifest).expect("a manifest is strings and numbers");
    let descriptor = ingest.bytes(media::MANIFEST, &bytes)?;
    Image::new(descriptor, manifest, configuration)
}

/// The media type of a staged layer by its first bytes.
pub(crate) fn archive_kind(ingest: &Ingest<'_>, blob: &oci::Digest) -> Result<&'static str> {
    let mut start = [0; 4];
    let mut file = ingest.open(blob)?;
    let mut length = 0;
    while length < start.len() {
        match file.read(&mut start[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) => return Err(crate::Error::Input(error)),
        }
    }
    Ok(match &start[..length] {
        [0x1f, 0x8b, ..] => media::LAYER_GZIP,
        [0x28, 0xb5, 0x2f, 0xfd] => media::LAYER_ZSTD,
        _ => media::LAYER,
    })
}
