//! Consistency: what `system check` shows.

use std::collections::HashSet;

use oci::{Algorithm, Digest};

use crate::blob;
use crate::error::{Error, Result};
use crate::layout::{Store, names_in};

/// How far a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Whether everything that is named is there: reads small files only.
    Names,
    /// Also hashes every blob.
    Contents,
}

/// One inconsistency.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Finding {
    /// A ref that is no descriptor.
    #[error("ref `{path}` cannot be read: tag or pull the image again")]
    Ref {
        /// Path below `refs/`.
        path: String,
    },
    /// A blob that an image needs is not there.
    #[error("{what} `{digest}` of image `{image}` is missing: load or pull the image again")]
    MissingBlob {
        /// Which kind of content.
        what: &'static str,
        /// The blob.
        digest: Digest,
        /// Manifest of the image.
        image: Digest,
    },
    /// Manifest or configuration is damaged.
    #[error("image `{image}` is damaged ({reason}): load or pull it again")]
    Image {
        /// Manifest of the image.
        image: Digest,
        /// What is wrong.
        reason: String,
    },
    /// An unpacked layer is not there.
    #[error("layer `{chain}` of image `{image}` is missing: load or pull the image again")]
    MissingLayer {
        /// Chain id.
        chain: Digest,
        /// Manifest of the image.
        image: Digest,
    },
    /// A layer without readable facts, or with those of another layer.
    #[error("layer `{name}` is damaged: remove the images that use it, and load them again")]
    Layer {
        /// Name below `layers/`.
        name: String,
    },
    /// A layer whose files were given other ids on disk than this user has now.
    #[error(
        "layer `{name}` was unpacked with other subordinate ids: remove the images that use it, and load them again"
    )]
    Ownership {
        /// Name below `layers/`.
        name: String,
    },
    /// A blob whose content is not what its name says.
    #[error("blob `{digest}` is damaged: its content has another digest")]
    DamagedBlob {
        /// The blob.
        digest: Digest,
    },
    /// Something that is not ours.
    #[error("`{path}` is not part of a store")]
    Stray {
        /// Path below the store's root.
        path: String,
    },
    /// Content that nothing needs; removed by the next `rmi` or `prune`.
    #[error("`{path}` is not needed by any image: `brig image prune` frees it")]
    Unneeded {
        /// Path below the store's root.
        path: String,
    },
}

impl Store {
    /// Looks for inconsistencies, sorted; changes nothing.
    ///
    /// # Errors
    /// [`Error::System`] and [`Error::Files`] for what cannot be looked at.
    pub fn check(&self, depth: Depth) -> Result<Vec<Finding>> {
        let _held = self.shared()?;
        let mut findings = Vec::new();
        let mut manifests = HashSet::new();
        let mut descriptors = Vec::new();
        self.walk_refs(&mut String::from("refs"), 0, &mut |path, descriptor| match descriptor {
            Some(descriptor) => {
                if manifests.insert(descriptor.digest) {
                    descriptors.push(descriptor);
                }
            }
            None => findings.push(Finding::Ref { path: path.to_owned() }),
        })?;
        for (_, lease) in self.leases()? {
            if manifests.insert(lease.manifest.digest) {
                descriptors.push(lease.manifest);
            }
        }
        let mut blobs: HashSet<Digest> = manifests;
        let mut layers = HashSet::new();
        for descriptor in descriptors {
            let manifest = descriptor.digest;
            let image = match self.image(&descriptor) {
                Ok(image) => image,
                Err(error @ (Error::System { .. } | Error::Files(_))) => return Err(error),
                Err(error) => {
                    findings.push(Finding::Image { image: manifest, reason: error.to_string() });
                    continue;
                }
            };
            blobs.insert(image.id);
            for layer in &image.manifest.layers {
                if blobs.insert(layer.digest) && !self.has_blob(&layer.digest)? {
                    findings.push(Finding::MissingBlob {
                        what: "layer",
                        digest: layer.digest,
                        image: manifest,
                    });
                }
            }
            for chain in image.layers {
                if layers.insert(chain.hex()) && !self.has_layer(&chain)? {
                    findings.push(Finding::MissingLayer { chain, image: manifest });
                }
            }
        }
        self.check_layers(&layers, &mut findings)?;
        self.check_blobs(&blobs, depth, &mut findings)?;
        findings.sort();
        Ok(findings)
    }

    fn check_layers(&self, needed: &HashSet<String>, findings: &mut Vec<Finding>) -> Result<()> {
        for name in names_in(self.directory("layers")?)? {
            let digest = [Algorithm::Sha256, Algorithm::Sha512]
                .into_iter()
                .find_map(|algorithm| Digest::from_hex(algorithm, &name).ok());
            let Some(chain) = digest else {
                findings.push(Finding::Stray { path: format!("layers/{name}") });
                continue;
            };
            let meta = self.layer_meta(&chain).ok().filter(|meta| {
                let own = match meta.parent {
                    None => meta.diff_id,
                    Some(below) => Digest::of(format!("{below} {}", meta.diff_id).as_bytes()),
                };
                own == chain
            });
            let Some(meta) = meta.filter(|_| self.open_layer(&chain).is_ok()) else {
                findings.push(Finding::Layer { name });
                continue;
            };
            if meta.ownership != self.ownership().describe() {
                findings.push(Finding::Ownership { name: name.clone() });
            }
            if !needed.contains(&name) {
                findings.push(Finding::Unneeded { path: format!("layers/{name}") });
            }
        }
        Ok(())
    }

    fn check_blobs(&self, needed: &HashSet<Digest>, depth: Depth, findings: &mut Vec<Finding>) -> Result<()> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let directory = format!("blobs/{}", algorithm.as_str());
            for name in names_in(self.directory(&directory)?)? {
                let Ok(digest) = Digest::from_hex(algorithm, &name) else {
                    findings.push(Finding::Stray { path: format!("{directory}/{name}") });
                    continue;
                };
                if !needed.contains(&digest) {
                    findings.push(Finding::Unneeded { path: blob::path(&digest) });
                }
                if depth == Depth::Contents {
                    let mut file = self.open_blob(&digest)?;
                    let (found, _) = Digest::of_reader(algorithm, &mut file).map_err(Error::Input)?;
                    if found != digest {
                        findings.push(Finding::DamagedBlob { digest });
                    }
                }
            }
        }
        Ok(())
    }
}
