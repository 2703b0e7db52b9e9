//! One operation that adds to the store: everything is staged in `ingest/<name>/`, then committed.
//!
//! The directory is locked for the life of its process; what a dead one left is swept by the next. Commit
//! is one `syncfs(2)`, then renames: whoever dies before leaves nothing visible, whoever dies after leaves
//! blobs and layers that nothing names yet, which the next removal collects.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use files::atomic;
use files::lock::{self, Lock};
use files::meter::Metered;
use files::weaken::{Defence, is_off};
use oci::image::{Descriptor, MAX_LAYERS, chain_ids};
use oci::{Algorithm, Digest, Hasher};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

use crate::error::{Error, Result};
use crate::image::Image;
use crate::layer::LayerMeta;
use crate::layout::{Store, make_directory, names_in};
use crate::unpack::{self, Job, Unpacked};
use crate::{blob, layer, part};

/// Largest blob in bytes: what a hostile archive can make us store, not what anybody needs.
const MAX_BLOB: u64 = 64 << 30;
/// Bytes that all layers of an operation may have beside 200 for each byte they came as: a manifest that names one small
/// layer hundreds of times is a bomb that no bound on a layer sees.
const SPARE_BYTES: u64 = 256 << 20;
/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// A directory `ingest/<name>` that is locked for the life of its process, and removed with it.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    store: &'a Store,
    name: String,
    directory: Lock,
}

impl<'a> Session<'a> {
    /// Makes a new directory.
    pub(crate) fn create(store: &'a Store) -> Result<Self> {
        let all = store.directory("ingest")?;
        loop {
            let mut random = [0; 8];
            rustix::rand::getrandom(&mut random[..], GetRandomFlags::empty())
                .map_err(|errno| Error::system("getrandom", "ingest", errno))?;
            let name = format!("{:016x}", u64::from_ne_bytes(random));
            make_directory(all.as_fd(), &name)?;
            // a sweeper may take it before we hold the lock: then it is gone, and we take another
            let Some(opened) = open_directory(all.as_fd(), &name)? else { continue };
            let Some(directory) = lock::try_exclusive(opened)? else { continue };
            let status =
                rustix::fs::fstat(&directory).map_err(|errno| Error::system("stat", &name, errno))?;
            if status.st_nlink > 0 {
                return Ok(Self { store, name, directory });
            }
        }
    }

    /// Path below the store's root.
    pub(crate) fn path(&self) -> String {
        format!("ingest/{}", self.name)
    }

    /// Removes the directory with all that is in it, and says if that failed.
    pub(crate) fn remove(self) -> Result<()> {
        let all = self.store.directory("ingest")?;
        remove_session(self.store, all.as_fd(), &self.name)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // what cannot be removed now is swept later: the lock ends with us
        if let Ok(all) = self.store.directory("ingest") {
            drop(remove_session(self.store, all.as_fd(), &self.name));
        }
    }
}

/// Staged blobs and layers of one operation.
#[derive(Debug)]
pub(crate) struct Ingest<'a> {
    store: &'a Store,
    session: Session<'a>,
    blobs: Vec<(Digest, String)>,
    layers: Vec<(Digest, String)>,
    /// Blobs that were unpacked.
    unpacked: HashSet<Digest>,
    /// Bytes of those, each counted once.
    packed_bytes: u64,
    /// Bytes of what they became, each time they were unpacked.
    unpacked_bytes: u64,
    next: u32,
    /// The layer that is worked on, in words for who watches: empty, or such as ` layer 3/7`.
    layer: String,
}

impl<'a> Ingest<'a> {
    /// Sweeps what dead processes left and makes a new directory.
    pub(crate) fn begin(store: &'a Store) -> Result<Self> {
        sweep(store, store.directory("ingest")?.as_fd())?;
        let session = Session::create(store)?;
        Ok(Self {
            store,
            session,
            blobs: Vec::new(),
            layers: Vec::new(),
            unpacked: HashSet::new(),
            packed_bytes: 0,
            unpacked_bytes: 0,
            next: 0,
            layer: String::new(),
        })
    }

    /// Goes on to a layer of an image, which the steps that are watched then name.
    pub(crate) fn at_layer(&mut self, at: usize, of: usize) {
        self.layer = format!(" layer {}/{of}", at + 1);
    }

    /// Begins to read something of `total` bytes, where that is known.
    pub(crate) fn reading(&self, total: Option<u64>) {
        self.store.begin(|| format!("reading{}", self.layer), total);
    }

    /// A reader whose bytes count for the step.
    pub(crate) fn metered<R>(&self, reader: R) -> Metered<R> {
        self.store.metered(reader)
    }

    /// Stages a blob from a stream; with a descriptor, its size and digest have to match.
    pub(crate) fn blob(
        &mut self,
        what: &'static str,
        reader: &mut dyn Read,
        expected: Option<&Descriptor>,
    ) -> Result<(Digest, u64)> {
        let algorithm = expected.map_or(Algorithm::Sha256, |descriptor| descriptor.digest.algorithm());
        let limit = expected.map_or(MAX_BLOB, |descriptor| descriptor.size.min(MAX_BLOB));
        let (name, mut file) = self.file()?;
        let (digest, size) =
            copy_hashed(&mut self.store.metered(reader), &mut file, algorithm, limit, expected)?;
        if let Some(descriptor) = expected {
            if size != descriptor.size {
                return Err(Error::Size {
                    digest: Box::new(descriptor.digest),
                    expected: descriptor.size,
                    found: size,
                });
            }
            if is_off(Defence::BlobDigests) {
                self.stage(descriptor.digest, name, &file)?;
                return Ok((descriptor.digest, size));
            }
            if digest != descriptor.digest {
                return Err(Error::Digest {
                    what,
                    expected: Box::new(descriptor.digest),
                    found: Box::new(digest),
                });
            }
        }
        self.stage(digest, name, &file)?;
        Ok((digest, size))
    }

    /// Stages a blob that came as a part, whole and checked by whoever received it.
    pub(crate) fn take_part(&mut self, digest: &Digest) -> Result<()> {
        let name = self.name_next("part");
        let all = self.store.directory("ingest")?;
        let part = part::name(digest);
        match rustix::fs::renameat(&all, &part, &self.session.directory, &name) {
            Ok(()) => {}
            // Another process that wanted the same was faster.
            Err(Errno::NOENT) if self.store.has_blob(digest)? => return Ok(()),
            Err(errno) => return Err(Error::system("rename", part, errno)),
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.session.directory, &name, flags, Mode::empty())
            .map_err(|errno| Error::system("open", &name, errno))?;
        self.stage(*digest, name, &File::from(file))
    }

    /// Whether all of an image is staged or in the store; the caller holds the store lock.
    pub(crate) fn has_all(&self, image: &Image) -> Result<bool> {
        for digest in image.manifest.layers.iter().map(|layer| &layer.digest).chain([&image.id]) {
            if !self.has_blob(digest)? {
                return Ok(false);
            }
        }
        image.layers.iter().try_fold(true, |all, chain| Ok(all && self.has_layer(chain)?))
    }

    /// Stages a blob that `write` puts into a file.
    pub(crate) fn written(
        &mut self,
        write: impl FnOnce(&File) -> std::result::Result<(), String>,
    ) -> Result<(Digest, u64)> {
        let (name, mut file) = self.file()?;
        write(&file).map_err(|message| Error::Child { message })?;
        file.seek(SeekFrom::Start(0)).map_err(Error::Input)?;
        let (digest, size) = Digest::of_reader(Algorithm::Sha256, &mut file).map_err(Error::Input)?;
        if size > MAX_BLOB {
            return Err(Error::Limit { what: "size of a blob", limit: MAX_BLOB });
        }
        self.stage(digest, name, &file)?;
        Ok((digest, size))
    }

    /// Stages a small blob from memory.
    pub(crate) fn bytes(&mut self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let digest = Digest::of(bytes);
        self.bytes_as(digest, bytes)?;
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    /// Stages a small blob whose digest the caller has checked.
    pub(crate) fn bytes_as(&mut self, digest: Digest, bytes: &[u8]) -> Result<()> {
        if !self.is_staged(&digest) {
            let (name, file) = self.file()?;
            files::write_all(&file, bytes)?;
            self.stage(digest, name, &file)?;
        }
        Ok(())
    }

    /// A new file of this operation that is no blob, such as a spooled archive; removed with it.
    pub(crate) fn scratch(&mut self) -> Result<File> {
        Ok(self.file()?.1)
    }

    /// Opens a blob that is staged or in the store.
    pub(crate) fn open(&self, digest: &Digest) -> Result<File> {
        let Some((_, name)) = self.blobs.iter().find(|(staged, _)| staged == digest) else {
            return self.store.open_blob(digest);
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.session.directory, name, flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| Error::system("open", name, errno))
    }

    pub(crate) fn is_staged(&self, digest: &Digest) -> bool {
        self.blobs.iter().any(|(staged, _)| staged == digest)
    }

    /// Unpacks a blob as the layer on top of `below` (diff ids, lowest first) and stages it.
    ///
    /// With `expected`, the uncompressed archive has to have that digest. Returns the true one.
    pub(crate) fn layer(
        &mut self,
        blob: &Digest,
        below: &[Digest],
        expected: Option<&Digest>,
    ) -> Result<Digest> {
        if below.len() >= MAX_LAYERS {
            return Err(Error::Limit { what: "number of layers", limit: MAX_LAYERS as u64 });
        }
        let below = chain_ids(below);
        let name = self.name_next("layer");
        make_directory(self.session.directory.as_fd(), &name)?;
        let directory = self.subdirectory(&name)?;
        make_directory(directory.as_fd(), "fs")?;
        let target = open_directory(directory.as_fd(), "fs")?
            .ok_or_else(|| Error::system("open", "fs", Errno::NOENT))?;
        let parent = below.last().copied();
        let beneath = parent.map(|chain| self.open_layer(&chain)).transpose()?;
        inherit_mode(&target, beneath.as_ref())?;
        let packed = self.open(blob)?;
        let packed_bytes = packed.metadata().map_err(Error::Input)?.len();
        self.store.begin(|| format!("unpacking{}", self.layer), Some(packed_bytes));
        let job = Job { blob: self.store.metered(packed), target: target.as_fd(), below: beneath };
        let unpacked = unpack::unpack(self.store.ownership(), job)?;
        let Unpacked { diff_id, size, entries, is_whole, skipped, unconfined } = unpacked;
        if let Some(expected) =
            expected.filter(|expected| **expected != diff_id && !is_off(Defence::BlobDigests))
        {
            return Err(Error::Digest {
                what: "uncompressed layer",
                expected: Box::new(*expected),
                found: Box::new(diff_id),
            });
        }
        if expected.is_none() && !is_whole {
            let reason = "it ends without the two empty blocks of tar: it was cut short".to_owned();
            return Err(Error::NotAnArchive { reason });
        }
        self.count(blob, packed_bytes, size)?;
        let ownership = self.store.ownership().describe();
        let meta = LayerMeta { diff_id, parent, blob: *blob, size, entries, ownership, skipped, unconfined };
        let bytes = serde_json::to_vec(&meta).expect("facts are strings and numbers");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&directory, "meta.json", flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| Error::system("create", "meta.json", errno))?;
        files::write_all(&file, &bytes)?;
        let chain = match parent {
            None => diff_id,
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        };
        self.layers.push((chain, name));
        Ok(diff_id)
    }

    /// Unpacks a layer of an image whose blob is here, unless that is done; of one that is here from another blob, sees that
    /// this one unpacks to the same.
    pub(crate) fn settle(&mut self, image: &Image, at: usize) -> Result<()> {
        let (layer, chain) = (&image.manifest.layers[at], &image.layers[at]);
        let diff_ids = &image.configuration.rootfs.diff_ids;
        if !self.has_layer(chain)? {
            return self.layer(&layer.digest, &diff_ids[..at], Some(&diff_ids[at])).map(drop);
        }
        if self.is_known(chain, &layer.digest)? {
            return Ok(());
        }
        let found = self.diff_id(&layer.digest)?;
        if found == diff_ids[at] {
            return Ok(());
        }
        Err(Error::Digest {
            what: "uncompressed layer",
            expected: Box::new(diff_ids[at]),
            found: Box::new(found),
        })
    }

    /// Bounds what all layers of this operation become together.
    fn count(&mut self, blob: &Digest, packed: u64, unpacked: u64) -> Result<()> {
        if self.unpacked.insert(*blob) {
            self.packed_bytes = self.packed_bytes.saturating_add(packed);
        }
        self.unpacked_bytes = self.unpacked_bytes.saturating_add(unpacked);
        let ratio = archive::Limits::default().ratio;
        let limit = self.packed_bytes.saturating_mul(ratio).saturating_add(SPARE_BYTES);
        if self.unpacked_bytes > limit && !is_off(Defence::UnpackRatio) {
            return Err(Error::Limit { what: "uncompressed bytes of all layers", limit });
        }
        Ok(())
    }

    /// Whether a blob is staged or in the store.
    pub(crate) fn has_blob(&self, digest: &Digest) -> Result<bool> {
        Ok(self.is_staged(digest) || self.store.has_blob(digest)?)
    }

    /// Whether a layer of the store was unpacked from this very blob.
    pub(crate) fn is_known(&self, chain: &Digest, blob: &Digest) -> Result<bool> {
        if self.layers.iter().any(|(staged, _)| staged == chain) {
            // staged from one of this operation's blobs, but not necessarily this one
            return Ok(false);
        }
        Ok(self.store.layer_meta(chain)?.blob == *blob)
    }

    /// The blob that a layer of the store came from, with its size, if both are there.
    pub(crate) fn stored_blob(&self, chain: &Digest) -> Result<Option<(Digest, u64)>> {
        if !self.store.has_layer(chain)? {
            return Ok(None);
        }
        let blob = self.store.layer_meta(chain)?.blob;
        match self.store.open_blob(&blob) {
            Ok(file) => Ok(Some((blob, file.metadata().map_err(Error::Input)?.len()))),
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The digest of a blob without its compression.
    pub(crate) fn diff_id(&self, blob: &Digest) -> Result<Digest> {
        unpack::diff_id(self.store.ownership(), self.open(blob)?)
    }

    /// Whether a layer is staged or in the store.
    pub(crate) fn has_layer(&self, chain: &Digest) -> Result<bool> {
        Ok(self.layers.iter().any(|(staged, _)| staged == chain) || self.store.has_layer(chain)?)
    }

    /// Makes everything staged part of the store; the caller holds the store lock.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.store.begin(|| "writing to disk".to_owned(), None);
        files::pause::at("store.before-sync");
        rustix::fs::syncfs(&self.session.directory)
            .map_err(|errno| Error::system("syncfs", self.session.path(), errno))?;
        files::pause::at("store.before-blobs");
        let mut changed = vec!["layers"];
        for (digest, name) in std::mem::take(&mut self.blobs) {
            self.publish(&name, &blob::path(&digest))?;
            let directory = match digest.algorithm() {
                Algorithm::Sha256 => "blobs/sha256",
                Algorithm::Sha512 => "blobs/sha512",
            };
            if !changed.contains(&directory) {
                changed.push(directory);
            }
        }
        files::pause::at("store.before-layers");
        for (chain, name) in std::mem::take(&mut self.layers) {
            self.publish(&name, &layer::path(&chain))?;
        }
        for directory in changed {
            atomic::fsync_directory(self.store.directory(directory)?)?;
        }
        files::pause::at("store.after-commit");
        Ok(())
    }

    /// Moves something staged to its place, unless another process was first.
    fn publish(&self, name: &str, path: &str) -> Result<()> {
        let (from, to) = (&self.session.directory, self.store.root());
        match rustix::fs::renameat_with(from, name, to, path, RenameFlags::NOREPLACE) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(Error::system("rename", path, errno)),
        }
    }

    fn stage(&mut self, digest: Digest, name: String, file: &File) -> Result<()> {
        let mode = Mode::RUSR | Mode::RGRP | Mode::ROTH;
        rustix::fs::fchmod(file, mode).map_err(|errno| Error::system("chmod", &name, errno))?;
        if !self.is_staged(&digest) {
            self.blobs.push((digest, name));
        }
        Ok(())
    }

    fn file(&mut self) -> Result<(String, File)> {
        let name = self.name_next("part");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.session.directory, &name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| Error::system("create", &name, errno))?;
        Ok((name, file.into()))
    }

    fn name_next(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}-{}", self.next)
    }

    fn subdirectory(&self, name: &str) -> Result<OwnedFd> {
        open_directory(self.session.directory.as_fd(), name)?
            .ok_or_else(|| Error::system("open", name, Errno::NOENT))
    }

    /// Opens the file system of a layer that is staged or in the store.
    fn open_layer(&self, chain: &Digest) -> Result<OwnedFd> {
        match self.layers.iter().find(|(staged, _)| staged == chain) {
            Some((_, name)) => self.subdirectory(&format!("{name}/fs")),
            None => self
                .store
                .open_at(&format!("{}/fs", layer::path(chain)), OFlags::RDONLY | OFlags::DIRECTORY)?
                .ok_or_else(|| Error::Missing { what: "layer", name: chain.to_string() }),
        }
    }
}

/// Removes what dead processes left in `ingest/`.
pub(crate) fn sweep(store: &Store, all: BorrowedFd<'_>) -> Result<()> {
    for name in names_in(all)? {
        let Some(opened) = open_directory(all, &name)? else {
            part::sweep(all, &name)?;
            continue;
        };
        // an empty one may be a second old and not locked yet: its maker sees that it is gone
        if let Some(_held) = lock::try_exclusive(opened)? {
            remove_session(store, all, &name)?;
        }
    }
    Ok(())
}

fn remove_session(store: &Store, all: BorrowedFd<'_>, name: &str) -> Result<()> {
    let Some(directory) = open_directory(all, name)? else { return Ok(()) };
    for inner in names_in(&directory)? {
        match rustix::fs::unlinkat(&directory, &inner, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR | Errno::PERM) => {
                unpack::remove_tree(store.ownership(), directory.as_fd(), &inner)?;
            }
            Err(errno) => return Err(Error::system("unlink", inner, errno)),
        }
    }
    match rustix::fs::unlinkat(all, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::system("rmdir", name, errno)),
    }
}

pub(crate) fn open_directory(parent: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(Error::system("open", name, errno)),
    }
}

/// Copies a stream to a file and hashes it on the way; one byte over the limit is an error.
fn copy_hashed(
    reader: &mut dyn Read,
    file: &mut File,
    algorithm: Algorithm,
    limit: u64,
    expected: Option<&Descriptor>,
) -> Result<(Digest, u64)> {
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0; CHUNK];
    let mut size = 0_u64;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Input(error)),
        };
        size += count as u64;
        if size > limit {
            return Err(match expected {
                Some(descriptor) if limit == descriptor.size => {
                    Error::Size { digest: Box::new(descriptor.digest), expected: limit, found: limit + 1 }
                }
                _ => Error::Limit { what: "size of a blob", limit },
            });
        }
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            Error::system("write", "ingest", errno)
        })?;
    }
    Ok((hasher.finish(), size))
}
/// Gives a new layer's root the mode of the one below, or what a root directory usually has: an archive need not have an
/// entry for it, and the top layer's is what the container sees.
fn inherit_mode(target: &OwnedFd, below: Option<&OwnedFd>) -> Result<()> {
    let failed = |errno| Error::system("set the mode of", "a layer's root", errno);
    let mode = match below {
        Some(below) => rustix::fs::fstat(below).map_err(failed)?.st_mode & 0o7777,
        None => 0o755,
    };
    rustix::fs::fchmod(target, Mode::from_raw_mode(mode)).map_err(failed)
}
