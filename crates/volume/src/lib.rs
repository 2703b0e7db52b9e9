//! Volumes: directories that outlive the containers they are mounted in.
//!
//! `$ROOT/volumes/<name>/` holds `meta.json`, `data`, which is what a container sees, and `lock`. The lock is held
//! shared by whoever makes a container that will name the volume, until the container's own record does; removal takes it
//! alone and then asks its caller which containers name it. So no lock is common to two volumes, and a volume is
//! never removed between being found and being used. A volume appears and disappears by one rename.
//!
//! Files keep the ids that the container knows: for root they are the ids on disk, which each start maps to that
//! container's own range; for a user they are the ids of the user's namespace. Nothing is ever chowned.
//!
//! It deliberately mounts nothing, knows no container and copies no image: that is `container`'s.
#![forbid(unsafe_code)]

mod driver;
mod error;
mod name;
mod owner;
mod transfer;
mod volumes;

pub use driver::{Device, Tmpfs, device};
pub use error::{Error, Result};
pub use name::Name;
pub use owner::Owner;
pub use volumes::{Filling, Held, Meta, Volumes, What};
