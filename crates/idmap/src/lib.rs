//! Subordinate ids and the maps of user namespaces.
//!
//! Reads `/etc/subuid` and its neighbours (text files only: never NSS, which would load code into a
//! static binary), builds [`Map`]s that the kernel is known to accept, writes them for a process, hands
//! every rootful container a range of its own, and runs closures inside a throw-away user namespace.
//! What it deliberately does not do: change any file under `/etc`, decide which map a container gets,
//! or read the environment.
//!
//! ```
//! use idmap::Map;
//! let map = Map::contiguous(0, 100_000, 65_536).unwrap();
//! assert_eq!(map.to_host(1000), Some(101_000));
//! assert_eq!(map.render(), "0 100000 65536\n");
//! ```
#![forbid(unsafe_code)]

pub mod account;
pub mod allocate;
pub mod doctor;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod helper;
mod holder;
mod map;
mod namespace;
mod read;
pub(crate) mod spelling;
mod subordinate;
mod write;

pub use error::{Error, Side};
pub use holder::namespace_of;
pub use map::{MAX_RANGES, MAX_TEXT, Map};
pub use namespace::{NamespaceRequest, Outcome, in_user_namespace};
pub use subordinate::{Fault, Span, Subordinate, SubordinateEntry, SubordinateTable};
pub use write::{How, own_maps, write_maps};
