//! `load`: images from an OCI layout, an oci-archive or a docker-archive.
//!
//! Everything in there is hostile: each blob's digest and size, and each layer's diff id, is checked while
//! it is staged; nothing is visible before all of it was good.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use oci::image::{
    self as types, Descriptor, ImageConfiguration, MAX_CONFIGURATION, MAX_MANIFEST, Manifest, Platform,
    chain_ids, media,
};
use oci::{Algorithm, Digest, Reference};
use rustix::fs::{FileType, Mode, OFlags};

use crate::blob;
use crate::error::{Error, Result};
use crate::image::{Image, clip};
use crate::import::{archive_kind, stage_manifest};
use crate::ingest::Ingest;
use crate::layout::Store;
use crate::search::{Search, words};
use crate::source::Source;

/// Most images of one archive.
const MAX_IMAGES: usize = 1024;

/// What the archive itself does not say.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Repository for images of an OCI layout that have a tag and no name, such as those of umoci.
    pub name: Option<Reference>,
    /// Platform to choose from an index; the host's when unset.
    pub platform: Option<Platform>,
}

/// One image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its names; empty for an image without one, which is kept as untagged.
    pub references: Vec<Reference>,
    /// Digest of its configuration.
    pub id: Digest,
}

impl Store {
    /// Loads all images of a directory (OCI layout) or file (oci-archive, docker-archive, also packed).
    ///
    /// # Errors
    /// [`Error::NotAnArchive`], [`Error::Digest`], [`Error::Size`], [`Error::Missing`], [`Error::Platform`],
    /// [`Error::Image`], [`Error::Archive`]; nothing was added then.
    pub fn load(&self, path: &Path, options: &LoadOptions) -> Result<Vec<Loaded>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| Error::system("open", path, errno))?;
        let status = rustix::fs::fstat(&file).map_err(|errno| Error::system("stat", path, errno))?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                let _held = self.shared()?;
                self.load_source(Ingest::begin(self)?, &Source::Directory(file), options)
            }
            FileType::RegularFile => {
                let mut ingest = Ingest::begin(self)?;
                let source = Source::file(&mut ingest, File::from(file))?;
                let _held = self.shared()?;
                self.load_source(ingest, &source, options)
            }
            _ => {
                // a pipe: it may be as slow as it likes, so no lock yet
                let flags =
                    rustix::fs::fcntl_getfl(&file).map_err(|errno| Error::system("fcntl", path, errno))?;
                rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)
                    .map_err(|errno| Error::system("fcntl", path, errno))?;
                self.load_stream(&mut File::from(file), options)
            }
        }
    }

    /// Loads all images of an archive that comes as a stream; it is spooled first.
    ///
    /// # Errors
    /// As [`Store::load`], and [`Error::Input`].
    pub fn load_stream(&self, reader: &mut dyn Read, options: &LoadOptions) -> Result<Vec<Loaded>> {
        let mut ingest = Ingest::begin(self)?;
        let source = Source::stream(&mut ingest, reader, None)?;
        let _held = self.shared()?;
        self.load_source(ingest, &source, options)
    }

    /// The caller holds the store lock: what is there now is there at the end.
    fn load_source(
        &self,
        mut ingest: Ingest<'_>,
        source: &Source,
        options: &LoadOptions,
    ) -> Result<Vec<Loaded>> {
        let images = if is_directory_of_skopeo(source)? {
            load_directory(&mut ingest, source)?
        } else if source.read("oci-layout", 4096)?.is_some() {
            load_layout(&mut ingest, source, options)?
        } else if let Some(bytes) = source.read("manifest.json", MAX_MANIFEST as u64)? {
            load_docker_archive(&mut ingest, source, &bytes)?
        } else if source.read("repositories", MAX_MANIFEST as u64)?.is_some() {
            let reason =
                "it was made by Docker before 1.10: save the image again with a newer one".to_owned();
            return Err(Error::NotAnArchive { reason });
        } else {
            let reason =
                "neither `oci-layout` nor `manifest.json` in it: for a root file system use `import`";
            return Err(Error::NotAnArchive { reason: reason.to_owned() });
        };
        ingest.commit()?;
        let mut loaded = Vec::with_capacity(images.len());
        for (image, references) in images {
            for reference in &references {
                self.write_ref(reference, &image.descriptor, &image.id)?;
            }
            if references.is_empty() && !self.names()?.iter().any(|named| named.id == image.id) {
                self.write_untagged(&image.descriptor, &image.id)?;
            }
            loaded.push(Loaded { references, id: image.id });
        }
        Ok(loaded)
    }
}

type Images = Vec<(Image, Vec<Reference>)>;

fn load_layout(ingest: &mut Ingest<'_>, source: &Source, options: &LoadOptions) -> Result<Images> {
    let missing = || Error::Missing { what: "file", name: "index.json".to_owned() };
    let bytes = source.read("index.json", MAX_MANIFEST as u64)?.ok_or_else(missing)?;
    let index = types::parse_index(&bytes, None)?;
    let wanted = options.platform.clone().unwrap_or_else(Platform::host);
    let mut images: Images = Vec::new();
    let mut seen: HashMap<Digest, usize> = HashMap::new();
    let mut read = |entry: &Descriptor| read_blob(source, "image manifest", entry, MAX_MANIFEST);
    let mut search = Search::new(&mut read, &wanted);
    for entry in &index.manifests {
        if let Some(platform) = entry.platform.as_ref().filter(|platform| !platform.runs_on(&wanted)) {
            search.pass_over(words(platform));
            continue;
        }
        let known = search.known.get(&entry.digest).and_then(|found| seen.get(found.as_ref()?));
        let at = if let Some(at) = known {
            *at
        } else {
            let Some((descriptor, manifest, bytes)) = search.choose(entry, 1)? else { continue };
            match seen.get(&descriptor.digest) {
                Some(at) => *at,
                None if images.len() == MAX_IMAGES => {
                    return Err(Error::Limit { what: "number of images", limit: MAX_IMAGES as u64 });
                }
                None => {
                    let image = stage_from_layout(ingest, source, descriptor, manifest, &bytes)?;
                    seen.insert(image.descriptor.digest, images.len());
                    images.push((image, Vec::new()));
                    images.len() - 1
                }
            }
        };
        images[at].1.extend(name_of(entry, options)?);
    }
    if images.is_empty() {
        return Err(search.nothing());
    }
    Ok(images)
}

/// The `dir:` layout of skopeo and podman says so in a file.
fn is_directory_of_skopeo(source: &Source) -> Result<bool> {
    let version = source.read("version", 4096)?;
    Ok(version.is_some_and(|version| version.starts_with(b"Directory Transport Version: 1.")))
}

/// One image without a name: its manifest, and blobs by their bare digits.
fn load_directory(ingest: &mut Ingest<'_>, source: &Source) -> Result<Images> {
    let bytes = source.read("manifest.json", MAX_MANIFEST as u64)?;
    let bytes = bytes.ok_or_else(|| Error::Missing { what: "file", name: "manifest.json".to_owned() })?;
    let manifest = types::parse_manifest(&bytes, None)?;
    let kind = manifest.media_type.clone().unwrap_or_else(|| media::MANIFEST.to_owned());
    let descriptor = Descriptor::new(&kind, Digest::of(&bytes), bytes.len() as u64);
    let image = stage(ingest, source, Digest::hex, descriptor, manifest, &bytes)?;
    Ok(vec![(image, Vec::new())])
}

fn stage_from_layout(
    ingest: &mut Ingest<'_>,
    source: &Source,
    descriptor: Descriptor,
    manifest: Manifest,
    bytes: &[u8],
) -> Result<Image> {
    stage(ingest, source, blob::path, descriptor, manifest, bytes)
}

/// Stages an image whose blobs lie where `place` says.
fn stage(
    ingest: &mut Ingest<'_>,
    source: &Source,
    place: fn(&Digest) -> String,
    descriptor: Descriptor,
    manifest: Manifest,
    bytes: &[u8],
) -> Result<Image> {
    let config = read_blob_at(source, place, "image configuration", &manifest.config, MAX_CONFIGURATION)?;
    let configuration = types::parse_configuration(&config)?;
    ingest.bytes_as(manifest.config.digest, &config)?;
    ingest.bytes_as(descriptor.digest, bytes)?;
    let image = Image::new(descriptor, manifest, configuration)?;
    for (at, layer) in image.manifest.layers.iter().enumerate() {
        ingest.at_layer(at, image.manifest.layers.len());
        if media::layer_compression(&layer.media_type).is_none() {
            return Err(types::ImageError::UnknownMediaType(clip(&layer.media_type)).into());
        }
        if !ingest.has_blob(&layer.digest)? {
            let mut content = source
                .open(&place(&layer.digest))?
                .ok_or_else(|| Error::Missing { what: "layer", name: layer.digest.to_string() })?;
            ingest.reading(Some(layer.size));
            ingest.blob("layer", &mut content, Some(layer))?;
        }
        ingest.settle(&image, at)?;
    }
    Ok(image)
}

fn load_docker_archive(ingest: &mut Ingest<'_>, source: &Source, manifest: &[u8]) -> Result<Images> {
    let mut images = Images::new();
    let mut blobs: HashMap<String, (Digest, u64)> = HashMap::new();
    for entry in types::parse_docker_archive(manifest)? {
        let missing = |what, name: &str| Error::Missing { what, name: clip(name) };
        let bytes = source
            .read(&entry.config, MAX_CONFIGURATION as u64)?
            .ok_or_else(|| missing("image configuration", &entry.config))?;
        let id = Digest::of(&bytes);
        if let Some(expected) = digest_in(&entry.config).filter(|expected| *expected != id) {
            return Err(Error::Digest {
                what: "image configuration",
                expected: Box::new(expected),
                found: Box::new(id),
            });
        }
        let configuration: ImageConfiguration = types::parse_configuration(&bytes)?;
        let config = ingest.bytes(media::CONFIGURATION, &bytes)?;
        let diff_ids = configuration.rootfs.diff_ids.clone();
        if diff_ids.len() != entry.layers.len() {
            return Err(Error::LayerCount { layers: entry.layers.len(), diff_ids: diff_ids.len() });
        }
        let chain = chain_ids(&diff_ids);
        let mut layers = Vec::with_capacity(diff_ids.len());
        for (at, member) in entry.layers.iter().enumerate() {
            ingest.at_layer(at, entry.layers.len());
            let (blob, size) = match (blobs.get(member), ingest.stored_blob(&chain[at])?) {
                (Some(known), _) => *known,
                (None, Some(stored)) => stored,
                (None, None) => {
                    let mut content = source.open(member)?.ok_or_else(|| missing("layer", member))?;
                    ingest.reading(content.size());
                    let staged = ingest.blob("layer", &mut content, None)?;
                    blobs.insert(member.clone(), staged);
                    staged
                }
            };
            if !ingest.has_layer(&chain[at])? {
                ingest.layer(&blob, &diff_ids[..at], Some(&diff_ids[at]))?;
            }
            layers.push(Descriptor::new(archive_kind(ingest, &blob)?, blob, size));
        }
        let references = entry
            .repo_tags
            .iter()
            .map(|tag| tag.parse().map_err(|error| bad_name(tag, &error)))
            .collect::<Result<Vec<Reference>>>()?;
        images.push((stage_manifest(ingest, config, configuration, layers)?, references));
    }
    if images.is_empty() {
        return Err(Error::NotAnArchive { reason: "it has no image".to_owned() });
    }
    Ok(images)
}

/// The digest that a docker-archive puts into the name of a configuration.
fn digest_in(member: &str) -> Option<Digest> {
    let name = member.rsplit('/').next().unwrap_or(member);
    Digest::from_hex(Algorithm::Sha256, name.strip_suffix(".json").unwrap_or(name)).ok()
}

/// The name of an image in `index.json`: containerd's annotation, else image-spec's, which may be a tag only.
fn name_of(entry: &Descriptor, options: &LoadOptions) -> Result<Option<Reference>> {
    if let Some(name) = entry.annotations.get("io.containerd.image.name") {
        return name.parse().map(Some).map_err(|error| bad_name(name, &error));
    }
    let Some(name) = entry.annotations.get("org.opencontainers.image.ref.name") else { return Ok(None) };
    if name.contains(['/', ':']) {
        return name.parse().map(Some).map_err(|error| bad_name(name, &error));
    }
    match &options.name {
        Some(base) => base.with_tag(name).map(Some).map_err(|error| bad_name(name, &error)),
        None => Ok(None),
    }
}

fn bad_name(name: &str, error: &oci::ReferenceError) -> Error {
    Error::NotAnArchive { reason: format!("bad image name `{}`: {error}", clip(name)) }
}

fn read_blob(source: &Source, what: &'static str, descriptor: &Descriptor, limit: usize) -> Result<Vec<u8>> {
    read_blob_at(source, blob::path, what, descriptor, limit)
}

fn read_blob_at(
    source: &Source,
    place: fn(&Digest) -> String,
    what: &'static str,
    descriptor: &Descriptor,
    limit: usize,
) -> Result<Vec<u8>> {
    if descriptor.size > limit as u64 {
        return Err(Error::Limit { what, limit: limit as u64 });
    }
    let bytes = source
        .read(&place(&descriptor.digest), limit as u64)?
        .ok_or_else(|| Error::Missing { what, name: descriptor.digest.to_string() })?;
    blob::check(what, descriptor, &bytes)?;
    Ok(bytes)
}
