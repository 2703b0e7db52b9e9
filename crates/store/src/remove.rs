//! Removing names, images, and what nothing needs any more.

use std::collections::HashSet;
use std::os::fd::AsFd;

use oci::{Algorithm, Digest, Reference};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::image::Image;
use crate::ingest::{Session, sweep};
use crate::layout::{Store, names_in};
use crate::lease::Lease;
use crate::refs::Named;

/// Whether an image goes although a container uses it or it has names in several repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Refuse.
    No,
    /// Take its names away; files that a container uses stay until that is removed.
    Yes,
}

/// What was removed, in the order of Docker's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that were taken away.
    pub untagged: Vec<Reference>,
    /// Images (configuration digests), then layers (chain ids, top first).
    pub deleted: Vec<Digest>,
    /// Bytes of blobs and unpacked files that were freed.
    pub freed: u64,
}

/// Digests that something needs.
#[derive(Default)]
struct Needed {
    blobs: HashSet<Digest>,
    layers: HashSet<String>,
}

impl Store {
    /// Removes an image's name, and with its last name the image; by id all of its names.
    ///
    /// Waits for the store lock exclusively: the caller must not hold it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InUse`], [`Error::ManyNames`], [`Error::Ambiguous`].
    pub fn remove(&self, text: &str, force: Force) -> Result<Removed> {
        let alone = self.exclusive()?;
        let names = self.names()?;
        let by_name = self.named(text, &names)?;
        let (id, mut going) = match by_name {
            Some(named) => (named.id, vec![named.clone()]),
            None => {
                let found =
                    self.find_id(text)?.ok_or_else(|| Error::NotFound { name: crate::image::clip(text) })?;
                let all: Vec<Named> = names.iter().filter(|named| named.id == found.id).cloned().collect();
                let mut repositories: Vec<String> =
                    all.iter().filter_map(|named| Some(named.reference.as_ref()?.name())).collect();
                repositories.dedup();
                if repositories.len() > 1 && force == Force::No {
                    return Err(Error::ManyNames { image: found.id.short() });
                }
                (found.id, all)
            }
        };
        let is_last = names.iter().filter(|named| named.id == id).count() == going.len();
        let leases = self.leases()?;
        let user = leases.iter().find(|(_, lease)| lease.id == id);
        if let Some((container, _)) = user
            && is_last
            && force == Force::No
        {
            return Err(Error::InUse { image: crate::image::clip(text), container: container.clone() });
        }
        let mut removed = Removed::default();
        for named in going.drain(..) {
            match &named.reference {
                Some(reference) => {
                    self.remove_ref(reference)?;
                    removed.untagged.push(reference.clone());
                }
                None => self.remove_untagged(&named.manifest.digest)?,
            }
            if is_last && user.is_some() {
                // kept without a name, so that `images` shows what a container still uses
                self.write_untagged(&named.manifest, &named.id)?;
            }
        }
        if is_last && user.is_none() {
            for named in names.iter().filter(|named| named.id == id) {
                // also what a crash between two names left under the first
                self.remove_untagged(&named.manifest.digest)?;
            }
            removed.deleted.push(id);
        }
        self.write_index()?;
        let taken = self.collect(&leases, &mut removed)?;
        drop(alone);
        self.empty(taken)?;
        Ok(removed)
    }

    /// Takes a name from an image, which stays: without any name if this was the last. `false` when nothing had that name.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`].
    pub fn untag(&self, reference: &Reference) -> Result<bool> {
        let _alone = self.exclusive()?;
        let Some(manifest) = self.read_ref(reference)? else { return Ok(false) };
        let names = self.names()?;
        let same: Vec<&Named> =
            names.iter().filter(|named| named.manifest.digest == manifest.digest).collect();
        if let [last] = same.as_slice() {
            // before the name goes: a crash in between leaves both, and both are found
            self.write_untagged(&last.manifest, &last.id)?;
        }
        self.remove_ref(reference)?;
        self.write_index()?;
        Ok(true)
    }

    /// Removes images without a name (with `all`: those that no container uses), and all that nothing needs.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`].
    pub fn prune(&self, all: bool) -> Result<Removed> {
        self.prune_where(all, &|_| true)
    }

    /// As [`Store::prune`], of the images that `select` takes by their configuration.
    ///
    /// # Errors
    /// As [`Store::prune`].
    pub fn prune_where(
        &self,
        all: bool,
        select: &dyn Fn(&oci::image::ImageConfiguration) -> bool,
    ) -> Result<Removed> {
        let alone = self.exclusive()?;
        let leases = self.leases()?;
        let mut removed = Removed::default();
        for named in self.names()? {
            if leases.iter().any(|(_, lease)| lease.id == named.id) {
                continue;
            }
            let configuration =
                self.image(&named.manifest).map(|image| image.configuration).unwrap_or_default();
            if !select(&configuration) {
                continue;
            }
            match &named.reference {
                None => self.remove_untagged(&named.manifest.digest)?,
                Some(reference) if all => {
                    self.remove_ref(reference)?;
                    removed.untagged.push(reference.clone());
                }
                Some(_) => continue,
            }
            if !removed.deleted.contains(&named.id) {
                removed.deleted.push(named.id);
            }
        }
        self.write_index()?;
        let taken = self.collect(&leases, &mut removed)?;
        drop(alone);
        self.empty(taken)?;
        Ok(removed)
    }

    /// Removes the name that was made first of all images that no container uses, one without a name before the others, and
    /// what nothing needs then; `None` where every image is in use.
    ///
    /// # Errors
    /// As [`Store::prune`].
    pub fn prune_oldest(&self) -> Result<Option<Removed>> {
        let alone = self.exclusive()?;
        let leases = self.leases()?;
        let created = |named: &Named| {
            let image = self.image(&named.manifest).ok();
            let text = image.and_then(|image| image.configuration.created).unwrap_or_default();
            // Times of other zones are rare, and near enough.
            (named.reference.is_some(), text)
        };
        let is_free = |named: &Named| leases.iter().all(|(_, lease)| lease.id != named.id);
        let Some(oldest) = self.names()?.into_iter().filter(is_free).min_by_key(created) else {
            return Ok(None);
        };
        let mut removed = Removed::default();
        match &oldest.reference {
            None => self.remove_untagged(&oldest.manifest.digest)?,
            Some(reference) => {
                self.remove_ref(reference)?;
                removed.untagged.push(reference.clone());
            }
        }
        if self.names()?.iter().all(|named| named.id != oldest.id) {
            removed.deleted.push(oldest.id);
        }
        self.write_index()?;
        let taken = self.collect(&leases, &mut removed)?;
        drop(alone);
        self.empty(taken)?;
        Ok(Some(removed))
    }

    /// The ref that a text names, directly or by the fall-back of [`Store::resolve`].
    fn named<'a>(&self, text: &str, names: &'a [Named]) -> Result<Option<&'a Named>> {
        let Ok(reference) = text.parse::<Reference>() else { return Ok(None) };
        for candidate in std::iter::once(reference.clone()).chain(reference.local_fallback()) {
            let Some(found) = self.read_ref(&candidate)? else { continue };
            let of_name = |named: &&Named| {
                named.manifest.digest == found.digest
                    && named.reference.as_ref().is_some_and(|own| match candidate.digest() {
                        None => *own == candidate,
                        Some(_) => own.name() == candidate.name(),
                    })
            };
            if let Some(named) = names.iter().find(of_name) {
                return Ok(Some(named));
            }
        }
        Ok(None)
    }

    /// Moves blobs and layers that no name and no lease needs out of sight; the caller holds the lock alone.
    ///
    /// Renames only: unlinking thousands of files takes some disks half a minute, and `run` waits meanwhile.
    pub(crate) fn collect(&self, leases: &[(String, Lease)], removed: &mut Removed) -> Result<Session<'_>> {
        let needed = self.needed(leases)?;
        let session = Session::create(self)?;
        let take = |path: String, kind: &str, at: usize| {
            let to = format!("{}/{kind}-{at}", session.path());
            match rustix::fs::renameat(self.root(), &path, self.root(), to) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(errno) => Err(Error::system("rename", path, errno)),
            }
        };
        files::pause::at("store.before-collect");
        // layers first, top first: a crash in between leaves no layer without its parent's blob
        let mut unneeded = Vec::new();
        let layers = self.directory("layers")?;
        for name in names_in(&layers)? {
            if !needed.layers.contains(&name) {
                let chain = Digest::from_hex(algorithm_of(&name), &name).ok();
                let meta = chain.as_ref().and_then(|chain| self.layer_meta(chain).ok());
                unneeded.push((name, chain, meta));
            }
        }
        let parents: HashSet<Digest> =
            unneeded.iter().filter_map(|(_, _, meta)| meta.as_ref()?.parent).collect();
        unneeded.sort_by_key(|(_, chain, _)| chain.as_ref().is_some_and(|chain| parents.contains(chain)));
        for (at, (name, chain, meta)) in unneeded.into_iter().enumerate() {
            take(format!("layers/{name}"), "layer", at)?;
            removed.deleted.extend(chain);
            removed.freed += meta.map_or(0, |meta| meta.size);
        }
        files::pause::at("store.layers-renamed");
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let path = format!("blobs/{}", algorithm.as_str());
            let directory = self.directory(&path)?;
            for (at, name) in names_in(&directory)?.into_iter().enumerate() {
                let digest = Digest::from_hex(algorithm, &name).ok();
                if digest.is_some_and(|digest| needed.blobs.contains(&digest)) {
                    continue;
                }
                if let Ok(status) = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    removed.freed += u64::try_from(status.st_size).unwrap_or_default();
                }
                take(format!("{path}/{name}"), algorithm.as_str(), at)?;
            }
        }
        Ok(session)
    }

    /// Removes what was moved out of sight, and what dead processes left; no lock is needed.
    pub(crate) fn empty(&self, taken: Session<'_>) -> Result<()> {
        files::pause::at("store.before-empty");
        taken.remove()?;
        sweep(self, self.directory("ingest")?.as_fd())
    }

    fn needed(&self, leases: &[(String, Lease)]) -> Result<Needed> {
        let mut needed = Needed::default();
        let mut damaged = None;
        let mut unread = None;
        self.walk_refs(&mut String::from("refs"), 0, &mut |path, descriptor| match descriptor {
            Some(manifest) => {
                needed.blobs.insert(manifest.digest);
                match self.image(&manifest) {
                    Ok(image) => needed.add(&image),
                    // not damage but a failure to look: then nothing may be collected
                    Err(error @ (Error::System { .. } | Error::Files(_))) => unread = Some(error),
                    // a damaged image keeps its manifest, and has to be loaded again anyway
                    Err(_) => {}
                }
            }
            None => damaged = Some(path.to_owned()),
        })?;
        if let Some(name) = damaged {
            return Err(Error::Missing { what: "content of the ref", name });
        }
        if let Some(error) = unread {
            return Err(error);
        }
        for (_, lease) in leases {
            needed.blobs.extend([lease.manifest.digest, lease.id]);
            needed.layers.extend(lease.layers.iter().map(Digest::hex));
            if let Ok(image) = self.image(&lease.manifest) {
                needed.add(&image);
            }
        }
        Ok(needed)
    }
}

impl Needed {
    fn add(&mut self, image: &Image) {
        self.blobs.insert(image.descriptor.digest);
        self.blobs.insert(image.id);
        self.blobs.extend(image.manifest.layers.iter().map(|layer| layer.digest));
        self.layers.extend(image.layers.iter().map(Digest::hex));
    }
}

fn algorithm_of(name: &str) -> Algorithm {
    if name.len() == Algorithm::Sha512.hex_len() { Algorithm::Sha512 } else { Algorithm::Sha256 }
}
