//! Repair: what can be made good again from what is there.
//!
//! Content is never taken for granted: a layer is unpacked again from its blob, whose digest and diff id are checked on
//! the way. What would lose an image, or something that is not ours, is only told.

use std::collections::HashSet;
use std::os::fd::AsFd;

use oci::Digest;

use crate::blob;
use crate::check::{Depth, Finding};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::ingest::{Ingest, Session, sweep};
use crate::layout::Store;
use crate::remove::Removed;

/// What became of a finding.
#[derive(Debug)]
pub struct Repaired {
    /// The finding.
    pub finding: Finding,
    /// What was done, or why nothing was.
    pub outcome: std::result::Result<&'static str, String>,
}

impl Store {
    /// Mends what [`Store::check`] finds, as far as that loses nothing.
    ///
    /// # Errors
    /// [`Error::System`] and [`Error::Files`] for what cannot be looked at.
    pub fn repair(&self, depth: Depth) -> Result<Vec<Repaired>> {
        sweep(self, self.directory("ingest")?.as_fd())?;
        let mut repaired = Vec::new();
        let mut unneeded = Vec::new();
        let findings = self.check(depth)?;
        let rotten: HashSet<Digest> = findings
            .iter()
            .filter_map(|finding| match finding {
                Finding::DamagedBlob { digest } => Some(*digest),
                _ => None,
            })
            .collect();
        for finding in findings {
            let outcome = match &finding {
                Finding::MissingLayer { chain, .. } => self.unpack_again(chain, &rotten),
                Finding::Layer { name } => match Digest::from_hex(oci::Algorithm::Sha256, name) {
                    Ok(chain) => self.set_aside(name).and_then(|()| self.unpack_again(&chain, &rotten)),
                    Err(_) => Err("its name is no digest of ours".to_owned()),
                },
                Finding::Unneeded { .. } => {
                    unneeded.push(finding);
                    continue;
                }
                Finding::Stray { .. } => Err("it is not ours: look at it, and remove it by hand".to_owned()),
                Finding::Ref { .. }
                | Finding::MissingBlob { .. }
                | Finding::Image { .. }
                | Finding::Ownership { .. }
                | Finding::DamagedBlob { .. } => Err("its content has to come from elsewhere".to_owned()),
            };
            repaired.push(Repaired { finding, outcome });
        }
        if !unneeded.is_empty() {
            let collected = self.collect_unneeded();
            repaired.extend(unneeded.into_iter().map(|finding| Repaired {
                finding,
                outcome: match &collected {
                    Ok(_) => Ok("removed"),
                    Err(error) => Err(error.to_string()),
                },
            }));
        }
        Ok(repaired)
    }

    /// Removes blobs and layers that nothing needs, and no image.
    fn collect_unneeded(&self) -> Result<Removed> {
        let alone = self.exclusive()?;
        let leases = self.leases()?;
        let mut removed = Removed::default();
        let taken = self.collect(&leases, &mut removed)?;
        drop(alone);
        self.empty(taken)?;
        Ok(removed)
    }

    /// Moves a damaged layer out of sight, to be removed.
    fn set_aside(&self, name: &str) -> std::result::Result<(), String> {
        let failed = |error: Error| error.to_string();
        let alone = self.exclusive().map_err(failed)?;
        let session = Session::create(self).map_err(failed)?;
        let to = format!("{}/damaged", session.path());
        rustix::fs::renameat(self.root(), format!("layers/{name}"), self.root(), to)
            .map_err(|errno| format!("rename: {errno}"))?;
        drop(alone);
        session.remove().map_err(failed)
    }

    /// Unpacks a layer from its blob, and those below it that are missing too.
    fn unpack_again(
        &self,
        chain: &Digest,
        rotten: &HashSet<Digest>,
    ) -> std::result::Result<&'static str, String> {
        let image = self.image_of(chain).map_err(|error| error.to_string())?;
        let image = image.ok_or_else(|| "no image has it any more".to_owned())?;
        let work = || -> Result<()> {
            let mut ingest = Ingest::begin(self)?;
            let diff_ids = &image.configuration.rootfs.diff_ids;
            for (at, layer) in image.manifest.layers.iter().enumerate() {
                if ingest.has_layer(&image.layers[at])? {
                    continue;
                }
                if rotten.contains(&layer.digest) {
                    return Err(Error::Missing { what: "whole blob", name: blob::path(&layer.digest) });
                }
                ingest.layer(&layer.digest, &diff_ids[..at], Some(&diff_ids[at]))?;
                if image.layers[at] == *chain {
                    break;
                }
            }
            let _held = self.shared()?;
            ingest.commit()
        };
        work().map(|()| "unpacked again").map_err(|error| error.to_string())
    }

    /// An image that has a layer.
    fn image_of(&self, chain: &Digest) -> Result<Option<Image>> {
        let names = self.names()?.into_iter().map(|named| named.manifest);
        let held = self.leases()?.into_iter().map(|(_, lease)| lease.manifest);
        for manifest in names.chain(held) {
            if let Ok(image) = self.image(&manifest)
                && image.layers.contains(chain)
            {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    /// Bytes that the unpacked layers and the blobs of the store take, and how many layers there are.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        let mut shared = std::collections::HashMap::<Digest, (u64, usize)>::new();
        let leases = self.leases()?;
        let mut seen = HashSet::new();
        for named in self.names()? {
            if !seen.insert(named.id) {
                continue;
            }
            let Ok(image) = self.image(&named.manifest) else { continue };
            let users = leases.iter().filter(|(_, lease)| lease.id == named.id).count();
            usage.images += 1;
            usage.used += usize::from(users > 0);
            for chain in &image.layers {
                let size = self.layer_meta(chain).map_or(0, |meta| meta.size);
                let entry = shared.entry(*chain).or_insert((size, 0));
                entry.1 += users;
            }
        }
        usage.bytes = shared.values().map(|(size, _)| size).sum();
        usage.reclaimable = shared.values().filter(|(_, users)| *users == 0).map(|(size, _)| size).sum();
        Ok(usage)
    }
}

/// What images take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many images there are.
    pub images: usize,
    /// How many of them containers use.
    pub used: usize,
    /// Bytes of their layers, each counted once.
    pub bytes: u64,
    /// Bytes of layers that no container uses.
    pub reclaimable: u64,
}
