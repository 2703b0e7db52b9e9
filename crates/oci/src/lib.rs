//! Digests, references and the OCI types, as plain data.
//!
//! The types follow runtime-spec 1.3.0 and image-spec 1.1.1 field by field: public fields, no builders,
//! ordered collections, so that the same value always prints the same bytes. They check nothing beyond
//! their syntax; whoever acts on a value checks its meaning. This crate opens no file and no socket.
//!
//! It stands in for the `oci-spec` crate, whose closed enums turn an unknown capability into a parse
//! error (runtime-spec asks for a warning) and whose builders bring 30 more crates into the tree.
#![forbid(unsafe_code)]

pub mod digest;
pub mod image;
mod moment;
pub mod reference;
pub mod runtime;

pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use moment::Moment;
pub use reference::{Reference, ReferenceError};
