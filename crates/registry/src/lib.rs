//! A client of OCI registries (distribution-spec 1.1, and what docker's registries answer beside it).
//!
//! A [`Repository`] is one repository on one host: manifests, blobs, tags, referrers, to read and to write. Everything that a
//! registry says is hostile: a document is used only after its digest and media type were checked, bounds are on all of
//! them, redirects and realms are followed by our own rules, and credentials go to the exact origin that they are for.
//!
//! It deliberately keeps nothing on disk and reads no environment; which registries a name means, and with which credentials,
//! is read from files that the caller names.
#![forbid(unsafe_code)]

mod answers;
mod authorization;
pub mod certificates;
mod challenge;
mod client;
mod configuration;
mod credentials;
mod error;
mod origin;
mod realm;
mod upload;

pub use client::{Access, Document, Options, Repository, Target};
pub use configuration::{Configuration, Source};
pub use credentials::{Credentials, Kept, Secret, forget, keep};
pub use error::{Error, Result};
pub use origin::{Address, Origin};
pub use upload::Pushed;
