//! Names of images: `refs/<host>/<repository>/:<tag>`, each a descriptor of a manifest.
//!
//! The colon keeps tags apart from repositories below (`a:b` and `a/b`): no component of a repository
//! has one. `@<digest>` stands for an image that is known by digest. An image whose last name went to
//! another one is kept under `refs/_untagged/@<digest>`, where no host can be, until it is pruned.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};

use files::atomic::{self, Durability};
use files::lock;
use oci::image::{Descriptor, Index, media};
use oci::{Digest, Reference};
use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::layout::{Store, make_directory, names_in};

/// Most bytes of a ref: a descriptor with one annotation.
const MAX_REF: u64 = 64 << 10;
/// Deepest repository: 255 bytes of one-letter components.
const MAX_DEPTH: usize = 130;
/// Annotation that carries the image id (configuration digest), so that ids are found without manifests.
const IMAGE_ID: &str = "brigantine.image.id";
/// Annotation of a ref by digest whose digest is that of an index: which one the manifest was chosen from.
const INDEX: &str = "brigantine.image.index";
/// Where images without a name are.
const UNTAGGED: &str = "_untagged";

/// A name and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name; `None` for an image that lost its last one.
    pub reference: Option<Reference>,
    /// The manifest.
    pub manifest: Descriptor,
    /// Digest of the image's configuration.
    pub id: Digest,
}

impl Store {
    /// What a reference means: the tag's manifest; with a digest, the manifest must have that digest.
    pub(crate) fn read_ref(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        let directory = format!("refs/{}", reference.name());
        let Some(digest) = reference.digest() else {
            let Some(tag) = reference.tag() else { return Ok(None) };
            return self.read_descriptor(&format!("{directory}/:{tag}"));
        };
        if let Some(found) = self.read_descriptor(&format!("{directory}/@{digest}"))? {
            let index = found.annotations.get(INDEX).and_then(|index| index.parse::<Digest>().ok());
            return Ok(Some(found).filter(|found| found.digest == *digest || index == Some(*digest)));
        }
        let Some(opened) = self.open_at(&directory, OFlags::RDONLY | OFlags::DIRECTORY)? else {
            return Ok(None);
        };
        for name in names_in(opened)? {
            if name.starts_with(':')
                && let Some(found) = self.read_descriptor(&format!("{directory}/{name}"))?
                && found.digest == *digest
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Points a name to a manifest; the caller holds the store lock. An image that thereby loses its last name is kept as untagged.
    pub(crate) fn write_ref(&self, reference: &Reference, manifest: &Descriptor, id: &Digest) -> Result<()> {
        let _one_at_a_time = lock::exclusive(lock::open(self.root(), "refs.lock")?)?;
        let before = match reference.digest() {
            None => self.read_ref(reference)?.filter(|before| before.digest != manifest.digest),
            Some(_) => None,
        };
        if let Some(before) = before
            && let Some(old_id) = image_id(&before)
        {
            let others =
                self.names()?.into_iter().filter(|named| named.manifest.digest == before.digest).count();
            if others <= 1 {
                self.write_untagged(&before, &old_id)?;
            }
        }
        files::pause::at("store.before-ref");
        let directory = self.make_path(&reference.name())?;
        let file = file_name(reference)?;
        atomic::write(directory.as_fd(), file, &encode(manifest, id), 0o600, Durability::Durable)?;
        self.remove_untagged(&manifest.digest)?;
        self.write_index()
    }

    /// Keeps an image without a name.
    pub(crate) fn write_untagged(&self, manifest: &Descriptor, id: &Digest) -> Result<()> {
        let directory = self.make_path(UNTAGGED)?;
        let file = format!("@{}", manifest.digest);
        atomic::write(directory.as_fd(), file, &encode(manifest, id), 0o600, Durability::Durable)?;
        Ok(())
    }

    /// Removes a name; `false` when there was none.
    pub(crate) fn remove_ref(&self, reference: &Reference) -> Result<bool> {
        let name = reference.name();
        let path = format!("refs/{name}/{}", file_name(reference)?);
        match rustix::fs::unlinkat(self.root(), &path, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(Error::system("unlink", path, errno)),
        }
        if let Some(directory) = self.open_at(&format!("refs/{name}"), OFlags::RDONLY | OFlags::DIRECTORY)? {
            atomic::fsync_directory(&directory)?;
        }
        // empty directories are not worth an error
        let mut above = name.as_str();
        while rustix::fs::unlinkat(self.root(), format!("refs/{above}"), AtFlags::REMOVEDIR).is_ok() {
            let Some((rest, _)) = above.rsplit_once('/') else { break };
            above = rest;
        }
        Ok(true)
    }

    pub(crate) fn remove_untagged(&self, manifest: &Digest) -> Result<()> {
        match rustix::fs::unlinkat(self.root(), format!("refs/{UNTAGGED}/@{manifest}"), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Error::system("unlink", UNTAGGED, errno)),
        }
    }

    /// All names, sorted, untagged images last.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`]; a damaged ref is left out, see [`Store::check`](crate::Store::check).
    pub fn names(&self) -> Result<Vec<Named>> {
        let mut found: Vec<Named> = Vec::new();
        self.walk_refs(&mut String::from("refs"), 0, &mut |path, descriptor| {
            let Some(manifest) = descriptor else { return };
            let Some(id) = image_id(&manifest) else { return };
            let reference = parse_path(path);
            found.push(Named { reference, manifest, id });
        })?;
        // a crash may leave an image under `_untagged` that has its name still, or again
        let tagged: HashSet<Digest> = found
            .iter()
            .filter(|named| named.reference.is_some())
            .map(|named| named.manifest.digest)
            .collect();
        found.retain(|named| named.reference.is_some() || !tagged.contains(&named.manifest.digest));
        found.sort_by(|a, b| {
            (a.reference.is_none(), &a.reference).cmp(&(b.reference.is_none(), &b.reference))
        });
        Ok(found)
    }

    /// Calls `visit` with the path (below `refs/`) of each ref; `None` for one that cannot be read.
    pub(crate) fn walk_refs(
        &self,
        path: &mut String,
        depth: usize,
        visit: &mut dyn FnMut(&str, Option<Descriptor>),
    ) -> Result<()> {
        let Some(directory) = self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)? else { return Ok(()) };
        for name in names_in(directory)? {
            let length = path.len();
            path.push('/');
            path.push_str(&name);
            if name.starts_with([':', '@']) {
                match self.read_descriptor(path) {
                    Ok(None) => {}
                    Ok(descriptor) => visit(&path["refs/".len()..], descriptor),
                    Err(_) => visit(&path["refs/".len()..], None),
                }
            } else if depth < MAX_DEPTH {
                self.walk_refs(path, depth + 1, visit)?;
            }
            path.truncate(length);
        }
        Ok(())
    }

    fn read_descriptor(&self, path: &str) -> Result<Option<Descriptor>> {
        let Some(bytes) = self.read_file(path, MAX_REF)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Image(oci::image::ImageError::Json { what: "ref", source }))
    }

    /// Rewrites `index.json` from the refs, for other tools: none of ours reads it, so it is not synced.
    pub(crate) fn write_index(&self) -> Result<()> {
        let mut index = Index {
            schema_version: 2,
            media_type: Some(media::INDEX.to_owned()),
            artifact_type: None,
            manifests: Vec::new(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        for named in self.names()? {
            let mut entry = named.manifest;
            entry.annotations.clear();
            if let Some(reference) = named.reference {
                entry
                    .annotations
                    .insert("org.opencontainers.image.ref.name".to_owned(), reference.to_string());
            }
            index.manifests.push(entry);
        }
        let bytes = serde_json::to_vec(&index).expect("an index is made of strings and numbers");
        atomic::write(self.root(), "index.json", &bytes, 0o644, Durability::Volatile)?;
        Ok(())
    }

    /// Makes `refs/<name>` and opens it; new directories are synced with their parents.
    fn make_path(&self, name: &str) -> Result<OwnedFd> {
        let mut path = format!("refs/{name}");
        // the usual case: it is there
        if let Some(directory) = self.open_at(&path, OFlags::RDONLY | OFlags::DIRECTORY)? {
            return Ok(directory);
        }
        path.truncate("refs".len());
        let mut parent = self.directory(&path)?;
        for part in name.split('/') {
            make_directory(parent.as_fd(), part)?;
            atomic::fsync_directory(&parent)?;
            path.push('/');
            path.push_str(part);
            parent = self.directory(&path)?;
        }
        Ok(parent)
    }
}

/// The last component of a ref's path.
fn file_name(reference: &Reference) -> Result<String> {
    match (reference.digest(), reference.tag()) {
        (Some(digest), None) => Ok(format!("@{digest}")),
        (None, Some(tag)) => Ok(format!(":{tag}")),
        _ => Err(Error::NotATag { name: reference.to_string() }),
    }
}

/// The name of a ref by its path below `refs/`; `None` for an untagged image.
pub(crate) fn parse_path(path: &str) -> Option<Reference> {
    let (name, file) = path.rsplit_once('/')?;
    let (registry, repository) = name.split_once('/')?;
    match file.strip_prefix(':') {
        Some(tag) => Reference::new(registry, repository, Some(tag), None).ok(),
        None => {
            let digest = file.strip_prefix('@')?.parse().ok()?;
            Reference::new(registry, repository, None, Some(digest)).ok()
        }
    }
}

fn encode(manifest: &Descriptor, id: &Digest) -> Vec<u8> {
    let mut descriptor = Descriptor::new(&manifest.media_type, manifest.digest, manifest.size);
    descriptor.annotations.insert(IMAGE_ID.to_owned(), id.to_string());
    if let Some(index) = manifest.annotations.get(INDEX) {
        descriptor.annotations.insert(INDEX.to_owned(), index.clone());
    }
    serde_json::to_vec(&descriptor).expect("a descriptor is made of strings and numbers")
}

/// A manifest's descriptor that says which index it was chosen from.
pub(crate) fn chosen_from(mut manifest: Descriptor, index: &Digest) -> Descriptor {
    manifest.annotations.insert(INDEX.to_owned(), index.to_string());
    manifest
}

fn image_id(descriptor: &Descriptor) -> Option<Digest> {
    descriptor.annotations.get(IMAGE_ID)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names() {
        let digest = format!("@{}", Digest::of(b""));
        for (path, expected) in [
            ("docker.io/library/debian/:12", Some("docker.io/library/debian:12".to_owned())),
            ("localhost:5000/a/b/:x", Some("localhost:5000/a/b:x".to_owned())),
            (&format!("quay.io/a/{digest}"), Some(format!("quay.io/a{digest}"))),
            (&format!("_untagged/{digest}"), None),
            ("docker.io/Bad/:12", None),
            ("docker.io/a/:.x", None),
            (":12", None),
        ] {
            assert_eq!(parse_path(path).map(|reference| reference.to_string()), expected, "{path}");
        }
        let both: Reference = format!("a:1{digest}").parse().unwrap();
        assert!(matches!(file_name(&both), Err(Error::NotATag { .. })));
    }
}
