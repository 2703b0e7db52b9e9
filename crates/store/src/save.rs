//! `save`: images as an archive or a directory that other tools read, and [`Store::load`] reads again.
//!
//! A docker-archive is written as docker has done since release 25: an OCI layout with docker's `manifest.json` beside it,
//! so that both kinds of readers find what they know. Blobs go out as they lie in the store, each checked against its
//! digest once more on the way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;

use files::lock::Lock;
use oci::image::{Descriptor, DockerArchiveImage, Index, media};
use oci::{Digest, Hasher, Reference};
use rustix::fs::{Mode, OFlags};

use crate::blob;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::layout::{Store, make_directory};

/// Blobs that are held open instead of the store's lock: an open file stays whatever is removed meanwhile.
const MAX_OPEN: usize = 512;
/// First line of the file `version` in containers/image's `dir:` layout.
pub(crate) const DIRECTORY_VERSION: &[u8] = b"Directory Transport Version: 1.1\n";
/// Content of `oci-layout`.
const OCI_LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveFormat {
    /// A tar archive that docker loads, and every reader of OCI archives.
    DockerArchive,
    /// A tar archive of an OCI image layout.
    OciArchive,
    /// An OCI image layout.
    OciDirectory,
    /// The `dir:` layout of skopeo and podman: one image.
    DockerDirectory,
}

/// Images that are ready to be written.
#[derive(Debug)]
pub struct Saving {
    images: Vec<(Image, Vec<Reference>)>,
    blobs: BTreeMap<Digest, Blob>,
    /// Held where there are too many blobs to hold open.
    _held: Option<Lock>,
}

#[derive(Debug)]
struct Blob {
    size: u64,
    file: Option<File>,
}

impl Store {
    /// Finds images by name or id and makes sure that they stay until they are written. One that is named by its id has
    /// no name in the archive, as in docker.
    ///
    /// # Errors
    /// As [`Store::find`], and [`Error::Missing`] for a blob that is not there.
    pub fn prepare_save(&self, names: &[String]) -> Result<Saving> {
        let held = self.shared()?;
        let mut images: Vec<(Image, Vec<Reference>)> = Vec::new();
        for text in names {
            let named = text.parse::<Reference>().ok().filter(|reference| reference.digest().is_none());
            let found = named.map(|reference| (self.resolve(&reference), reference));
            let (image, reference) = match found {
                Some((Ok(image), reference)) => (image, Some(reference)),
                Some((Err(error), _)) if !error.is_not_found() => return Err(error),
                _ => (self.find(text)?, None),
            };
            let same =
                images.iter_mut().find(|(known, _)| known.descriptor.digest == image.descriptor.digest);
            match same {
                Some((_, references)) => {
                    references.extend(reference.filter(|reference| !references.contains(reference)));
                }
                None => images.push((image, reference.into_iter().collect())),
            }
        }
        let mut blobs = BTreeMap::new();
        for (image, _) in &images {
            let all = [&image.descriptor, &image.manifest.config].into_iter().chain(&image.manifest.layers);
            for descriptor in all {
                blobs.insert(descriptor.digest, Blob { size: descriptor.size, file: None });
            }
        }
        let few = blobs.len() <= MAX_OPEN;
        for (digest, blob) in &mut blobs {
            let file = self.open_blob(digest)?;
            blob.file = Some(file).filter(|_| few);
        }
        Ok(Saving { images, blobs, _held: Some(held).filter(|_| !few) })
    }

    /// Writes images as a tar archive.
    ///
    /// # Errors
    /// [`Error::Archive`] for what cannot be written, [`Error::Digest`] and [`Error::Size`] for a damaged blob.
    pub fn save_archive(&self, saving: &Saving, format: SaveFormat, out: impl Write) -> Result<()> {
        let limits = archive::Limits::default();
        self.begin(|| "writing".to_owned(), Some(saving.blobs.values().map(|blob| blob.size).sum()));
        let mut pack = archive::Pack::new(self.metered(out), archive::Mounts::Stay, &limits);
        for (name, bytes) in documents(saving, format) {
            pack.member(name.as_bytes(), bytes.len() as u64, &mut bytes.as_slice())?;
        }
        for (digest, blob) in &saving.blobs {
            let mut checked = self.checked(digest, blob)?;
            pack.member(blob::path(digest).as_bytes(), blob.size, &mut checked)?;
            checked.finish(digest, blob.size)?;
        }
        pack.finish()?;
        Ok(())
    }

    /// Writes images into an empty directory.
    ///
    /// # Errors
    /// [`Error::NotOne`] for several images in a format of one, [`Error::System`], [`Error::Digest`], [`Error::Size`].
    pub fn save_directory(
        &self,
        saving: &Saving,
        format: SaveFormat,
        directory: BorrowedFd<'_>,
    ) -> Result<()> {
        let is_layout = format != SaveFormat::DockerDirectory;
        if !is_layout && saving.images.len() != 1 {
            return Err(Error::NotOne { images: saving.images.len() });
        }
        if is_layout {
            for name in ["blobs", "blobs/sha256", "blobs/sha512"] {
                if name != "blobs/sha512"
                    || saving.blobs.keys().any(|d| d.algorithm() == oci::Algorithm::Sha512)
                {
                    make_directory(directory, name)?;
                }
            }
        }
        self.begin(|| "writing".to_owned(), Some(saving.blobs.values().map(|blob| blob.size).sum()));
        for (digest, blob) in &saving.blobs {
            let manifest = &saving.images[0].0.descriptor;
            let name = match is_layout {
                true => blob::path(digest),
                // the manifest has a name of its own there
                false if *digest == manifest.digest => "manifest.json".to_owned(),
                false => digest.hex(),
            };
            let mut checked = self.checked(digest, blob)?;
            std::io::copy(&mut checked, &mut self.metered(create(directory, &name)?))
                .map_err(Error::Input)?;
            checked.finish(digest, blob.size)?;
        }
        // last: a directory without them is none of its kind
        for (name, bytes) in documents(saving, format) {
            files::write_all(&create(directory, &name)?, &bytes)?;
        }
        Ok(())
    }

    fn checked(&self, digest: &Digest, blob: &Blob) -> Result<Checked> {
        let file = match &blob.file {
            Some(file) => file.try_clone().map_err(Error::Input)?,
            None => self.open_blob(digest)?,
        };
        Ok(Checked { file, hasher: Hasher::new(digest.algorithm()), offset: 0 })
    }
}

/// A blob that is hashed while it is read.
struct Checked {
    file: File,
    hasher: Hasher,
    offset: u64,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = rustix::io::pread(&self.file, &mut *buffer, self.offset)?;
        self.hasher.update(&buffer[..count]);
        self.offset += count as u64;
        Ok(count)
    }
}

impl Checked {
    fn finish(self, expected: &Digest, size: u64) -> Result<()> {
        let found = self.hasher.finish();
        if self.offset != size {
            return Err(Error::Size { digest: Box::new(*expected), expected: size, found: self.offset });
        }
        if found != *expected {
            let (expected, found) = (Box::new(*expected), Box::new(found));
            return Err(Error::Digest { what: "blob of the store", expected, found });
        }
        Ok(())
    }
}

fn create(directory: BorrowedFd<'_>, name: &str) -> Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644))
        .map(File::from)
        .map_err(|errno| Error::system("create", name, errno))
}

/// The files beside the blobs.
fn documents(saving: &Saving, format: SaveFormat) -> Vec<(String, Vec<u8>)> {
    if format == SaveFormat::DockerDirectory {
        return vec![("version".to_owned(), DIRECTORY_VERSION.to_vec())];
    }
    let index = Index {
        schema_version: 2,
        media_type: Some(media::INDEX.to_owned()),
        artifact_type: None,
        manifests: saving.images.iter().flat_map(|(image, names)| entries(image, names)).collect(),
        subject: None,
        annotations: BTreeMap::new(),
    };
    const PLAIN: &str = "strings and numbers";
    let index = serde_json::to_vec(&index).expect(PLAIN);
    let mut documents = vec![("index.json".to_owned(), index)];
    if format == SaveFormat::DockerArchive {
        let images: Vec<DockerArchiveImage> = saving.images.iter().map(docker_image).collect();
        documents.push(("manifest.json".to_owned(), serde_json::to_vec(&images).expect(PLAIN)));
    }
    documents.push(("oci-layout".to_owned(), OCI_LAYOUT.to_vec()));
    documents
}

/// One entry for each name, or one without.
fn entries(image: &Image, names: &[Reference]) -> Vec<Descriptor> {
    let plain = Descriptor::new(&image.descriptor.media_type, image.descriptor.digest, image.descriptor.size);
    if names.is_empty() {
        return vec![plain];
    }
    let named = |reference: &Reference| {
        let mut entry = plain.clone();
        let name = reference.to_string();
        // containerd and docker read the first, podman, skopeo and umoci the second
        entry.annotations.insert("io.containerd.image.name".to_owned(), name.clone());
        entry.annotations.insert("org.opencontainers.image.ref.name".to_owned(), name);
        entry
    };
    names.iter().map(named).collect()
}

fn docker_image((image, names): &(Image, Vec<Reference>)) -> DockerArchiveImage {
    DockerArchiveImage {
        config: blob::path(&image.id),
        repo_tags: names.iter().map(Reference::familiar).collect(),
        layers: image.manifest.layers.iter().map(|layer| blob::path(&layer.digest)).collect(),
    }
}
