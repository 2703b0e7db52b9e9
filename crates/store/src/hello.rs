//! The built-in image `hello`: brig's own static binary as the only program, made on first use.
//!
//! Nothing is downloaded and nothing is embedded: the image is an ordinary one, made by the same path as
//! an import. `cache/hello` remembers which binary it was made of, so a hit costs one small file.

use std::fs::File;
use std::io::{Cursor, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use files::atomic::{self, Durability};
use oci::image::{Config, Descriptor, History, ImageConfiguration, Platform, RootFs, media};
use oci::{Moment, Reference};
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::image::Image;
use crate::import::stage_image;
use crate::ingest::Ingest;
use crate::layout::Store;

/// The name without registry.
const NAME: &str = "hello";
/// Where the image's identity is remembered.
const CACHE: &str = "cache/hello";
/// Bytes of a tar block.
const BLOCK: usize = 512;

/// Which binary the image was made of, and what it became.
#[derive(Serialize, Deserialize)]
struct Made {
    binary: String,
    manifest: Descriptor,
}

/// Whether a name may mean the built-in image: `hello` or `localhost/hello`, with the tag `latest`.
#[must_use]
pub fn is_hello(reference: &Reference) -> bool {
    let name = reference.repository().strip_prefix("library/");
    let is_name = match reference.registry() {
        oci::reference::DEFAULT_REGISTRY => name == Some(NAME),
        oci::reference::LOCAL_REGISTRY => reference.repository() == NAME,
        _ => false,
    };
    is_name && reference.digest().is_none() && reference.tag() == Some(oci::reference::DEFAULT_TAG)
}

impl Store {
    /// As [`Store::resolve`]; the name `hello` means the built-in image unless somebody gave it to another.
    ///
    /// `binary` is the running program, opened to read.
    ///
    /// # Errors
    /// As [`Store::resolve`] and [`Store::import`].
    pub fn resolve_or_hello(&self, reference: &Reference, binary: BorrowedFd<'_>) -> Result<Image> {
        if !is_hello(reference) {
            return self.resolve(reference);
        }
        let made = self.made()?;
        let local =
            Reference::new(oci::reference::LOCAL_REGISTRY, NAME, None, None).expect("the name is one word");
        for name in [reference, &local] {
            if let Some(found) = self.read_ref(name)?
                && made.as_ref().is_none_or(|made| made.manifest.digest != found.digest)
            {
                return self.image(&found);
            }
        }
        let status = rustix::fs::fstat(binary).map_err(|errno| Error::system("stat", "brig", errno))?;
        // the change time cannot be set back: a rebuilt binary never looks like the old one
        let identity = format!(
            "{}:{}:{}:{}.{}:{}.{}",
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime,
            status.st_mtime_nsec,
            status.st_ctime,
            status.st_ctime_nsec
        );
        if let Some(made) = made
            && made.binary == identity
        {
            match self.image(&made.manifest) {
                Ok(image) if self.has_layer(&image.layers[0])? => return Ok(image),
                Ok(_) | Err(Error::Missing { .. } | Error::Digest { .. } | Error::Size { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.make_hello(binary, identity, &local)
    }

    fn made(&self) -> Result<Option<Made>> {
        // an unreadable cache is no cache
        Ok(self.read_file(CACHE, 4096)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn make_hello(&self, binary: BorrowedFd<'_>, identity: String, name: &Reference) -> Result<Image> {
        let mut ingest = Ingest::begin(self)?;
        // a descriptor of our own: the caller's may be O_PATH, and its offset is not ours to move
        let program = rustix::fs::open(
            format!("/proc/self/fd/{}", binary.as_raw_fd()),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| Error::system("open", "brig", errno))?;
        let mut archive = archive(File::from(program))?;
        let (blob, size) = ingest.blob("layer", archive.as_mut(), None)?;
        let diff_id = ingest.layer(&blob, &[], Some(&blob))?;
        let created = Some(Moment::now().fixed());
        let platform = Platform::host();
        let configuration = ImageConfiguration {
            created: created.clone(),
            architecture: platform.architecture,
            os: platform.os,
            variant: platform.variant,
            config: Config {
                env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
                entrypoint: vec!["/hello".to_owned()],
                ..Config::default()
            },
            rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
            history: vec![History {
                created,
                created_by: Some("brig: built-in image".to_owned()),
                ..History::default()
            }],
            ..ImageConfiguration::default()
        };
        let image = stage_image(&mut ingest, configuration, vec![Descriptor::new(media::LAYER, blob, size)])?;
        let _held = self.shared()?;
        let before = self.read_ref(name)?;
        ingest.commit()?;
        self.write_ref(name, &image.descriptor, &image.id)?;
        if let Some(before) = before.filter(|before| before.digest != image.descriptor.digest) {
            // the image of an older brig is nobody's work
            self.remove_untagged(&before.digest)?;
        }
        let made = Made { binary: identity, manifest: image.descriptor.clone() };
        let bytes = serde_json::to_vec(&made).expect("strings and numbers");
        let cache = self.directory("cache")?;
        atomic::write(cache.as_fd(), NAME, &bytes, 0o600, Durability::Volatile)?;
        Ok(image)
    }
}

/// The root file system as a tar stream.
fn archive(program: File) -> Result<Box<dyn Read>> {
    let size = program.metadata().map_err(Error::Input)?.len();
    let passwd: &[u8] = b"root:x:0:0:root:/:/hello\nnobody:x:65534:65534:nobody:/:/hello\n";
    let group: &[u8] = b"root:x:0:\nnogroup:x:65534:\n";
    let mut start = Vec::new();
    for (name, mode) in
        [("./", 0o755), ("dev/", 0o755), ("etc/", 0o755), ("proc/", 0o755), ("sys/", 0o755), ("tmp/", 0o1777)]
    {
        start.extend(header(name, mode, 0, b'5'));
    }
    for (name, content) in [("etc/group", group), ("etc/passwd", passwd)] {
        start.extend(header(name, 0o644, content.len() as u64, b'0'));
        start.extend(content);
        start.resize(start.len().next_multiple_of(BLOCK), 0);
    }
    start.extend(header(NAME, 0o755, size, b'0'));
    let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    let end = std::io::repeat(0).take(padding + 2 * BLOCK as u64);
    Ok(Box::new(Cursor::new(start).chain(program.take(size)).chain(end)))
}

/// A ustar header (POSIX.1-1988) with ids and time zero.
fn header(name: &str, mode: u32, size: u64, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
