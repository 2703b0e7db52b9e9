//! Who uses an image: files that name it, written by containers and by operations in between.

use std::os::fd::{AsFd, BorrowedFd};

use files::atomic::{self, Durability};
use oci::Digest;
use oci::image::Descriptor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::image::Image;
use crate::ingest::open_directory;
use crate::layout::{Store, names_in};

/// Most bytes of a lease: 512 chain ids and a descriptor.
const MAX_LEASE: u64 = 128 << 10;
/// Name of the file in a container's directory.
const FILE: &str = "image.json";
/// What the names of those of its mounts begin with.
const MOUNTED: &str = "image-";

/// An image that must stay, with all it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The manifest.
    pub manifest: Descriptor,
    /// Digest of the configuration.
    pub id: Digest,
    /// Chain ids of the layers, lowest first.
    pub layers: Vec<Digest>,
}

impl Lease {
    /// The lease on an image.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let descriptor = &image.descriptor;
        let manifest = Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size);
        Self { manifest, id: image.id, layers: image.layers.clone() }
    }
}

impl Lease {
    /// Reads `image.json` of a container's directory.
    ///
    /// # Errors
    /// [`Error::Lease`] where it is missing or cannot be understood, [`Error::Files`].
    pub fn read(container: BorrowedFd<'_>) -> Result<Self> {
        let damaged = || Error::Lease { path: FILE.to_owned() };
        let bytes = files::root::read_bounded(container, FILE, MAX_LEASE)?.ok_or_else(damaged)?;
        serde_json::from_slice(&bytes).map_err(|_| damaged())
    }
}

/// Writes `image.json` into a container's directory: from then on the image stays until that directory
/// goes. The caller holds the store lock since it resolved the image.
///
/// # Errors
/// [`Error::Files`].
pub fn hold(container: BorrowedFd<'_>, image: &Image) -> Result<()> {
    let bytes = serde_json::to_vec(&Lease::of(image)).expect("a lease is strings and numbers");
    atomic::write(container, FILE, &bytes, 0o600, Durability::Volatile)?;
    Ok(())
}

/// Writes a lease on an image that is mounted in a container, the `number`th of its mounts, as [`hold`] does on its own.
///
/// # Errors
/// [`Error::Files`].
pub fn hold_mounted(container: BorrowedFd<'_>, number: usize, image: &Image) -> Result<()> {
    let bytes = serde_json::to_vec(&Lease::of(image)).expect("a lease is strings and numbers");
    atomic::write(container, mounted(number), &bytes, 0o600, Durability::Volatile)?;
    Ok(())
}

/// Its name in a container's directory.
fn mounted(number: usize) -> String {
    format!("{MOUNTED}{number}.json")
}

impl Store {
    /// The image that is the `number`th mount of a container; `None` where that is none.
    ///
    /// # Errors
    /// [`Error::Lease`] for one that cannot be read.
    pub fn mounted_in(&self, container: &str, number: usize) -> Result<Option<Lease>> {
        self.read_lease(format!("containers/{container}/{}", mounted(number)))
    }

    fn read_lease(&self, path: String) -> Result<Option<Lease>> {
        let Some(bytes) = self.read_file(&path, MAX_LEASE)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| Error::Lease { path })
    }

    /// Keeps an image under a name of the caller's, such as a build's id, until [`Store::release`].
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn lease(&self, name: &str, image: &Image) -> Result<()> {
        let bytes = serde_json::to_vec(&Lease::of(image)).expect("a lease is strings and numbers");
        let directory = self.directory("leases")?;
        atomic::write(directory.as_fd(), name, &bytes, 0o600, Durability::Durable)?;
        Ok(())
    }

    /// Ends a lease; one that is not there is fine.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn release(&self, name: &str) -> Result<()> {
        let directory = self.directory("leases")?;
        atomic::remove(directory.as_fd(), name, Durability::Durable)?;
        Ok(())
    }

    /// The image that a container's directory names; `None` where it names none.
    ///
    /// # Errors
    /// [`Error::Lease`] for one that cannot be read.
    pub fn held_by(&self, container: &str) -> Result<Option<Lease>> {
        self.read_lease(format!("containers/{container}/{FILE}"))
    }

    /// All leases with the name of their holder; one that cannot be read is an error, so that nothing is
    /// collected by mistake.
    pub(crate) fn leases(&self) -> Result<Vec<(String, Lease)>> {
        let mut leases = Vec::new();
        for name in names_in(self.directory("leases")?)? {
            leases.extend(self.read_lease(format!("leases/{name}"))?.map(|lease| (name, lease)));
        }
        let containers = self.directory("containers")?;
        for name in names_in(&containers)? {
            // One that is being removed may be gone; one without any file has not resolved its image yet.
            let Some(directory) = open_directory(containers.as_fd(), &name)? else { continue };
            for file in names_in(directory)? {
                if file == FILE || file.starts_with(MOUNTED) {
                    let lease = self.read_lease(format!("containers/{name}/{file}"))?;
                    leases.extend(lease.map(|lease| (name.clone(), lease)));
                }
            }
        }
        Ok(leases)
    }
}
