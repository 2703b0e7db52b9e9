//! Blobs, refs, layers and snapshots: the images of one user on one machine.
//!
//! The file system is the database. A [`Store`] is a directory (mode 0700) that holds an OCI image layout
//! (`oci-layout`, `index.json`, `blobs/`), names (`refs/`), unpacked layers (`layers/<chain id>/fs`) and what
//! is being added (`ingest/`). Whatever is visible is whole: content is staged, synced once, and renamed, so
//! a kill or power cut at any point leaves at most something that nothing names, which is swept later.
//! A byte is used only after its digest was checked; image files are written and removed by a child only.
//!
//! It deliberately mounts nothing, fetches nothing, reads no environment variable, and knows containers only
//! as directories that may hold an `image.json` ([`hold`]).
//!
//! ```no_run
//! # fn main() -> store::Result<()> {
//! use store::{ImportOptions, Ownership, Store};
//! let store = Store::open("/var/lib/brig".as_ref(), Ownership::Kept)?;
//! let reference = "debian:12".parse().expect("a valid name");
//! let options = ImportOptions { changes: vec!["CMD [\"bash\"]".into()], message: None, platform: None };
//! store.import(&mut std::io::stdin(), &reference, &options)?;
//! let lock = store.shared()?;
//! let image = store.resolve(&reference)?;
//! let snapshot = store.prepare(&image)?;
//! # drop((lock, snapshot));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod blob;
mod changes;
mod check;
mod commit;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod hello;
mod image;
mod import;
mod ingest;
mod layer;
mod layout;
mod lease;
mod load;
mod members;
mod part;
mod receive;
mod refs;
mod remove;
mod repair;
mod save;
mod search;
mod snapshot;
mod source;
mod unpack;

pub use check::{Depth, Finding};
pub use commit::CommitOptions;
pub use error::{Error, Result};
pub use files::lock::Lock;
pub use hello::is_hello;
pub use image::{Details, Image, Listed};
pub use import::ImportOptions;
pub use layer::LayerMeta;
pub use layout::Store;
pub use lease::{Lease, hold, hold_mounted};
pub use load::{LoadOptions, Loaded};
pub use part::{Opened, Part};
pub use receive::{Giver, Received};
pub use refs::Named;
pub use remove::{Force, Removed};
pub use repair::{Repaired, Usage};
pub use save::{SaveFormat, Saving};
pub use snapshot::{Snapshot, Upper, create_upper};
pub use unpack::Ownership;
