//! Layer archives: parse hostile tar, and write it below a directory by descriptor.
//!
//! [`apply`] reads a tar, plain or compressed with gzip or zstd, in one pass: it decodes, hashes, parses
//! and writes. Its own strict parser reads ustar, pax and GNU headers and refuses every archive that two
//! tar programs would read differently. Nothing is followed, nothing is executed, everything is bounded
//! by [`Limits`], and what is left out is listed in [`Applied`].
//!
//! [`Members`] finds single files of an archive in a file: with the same parser, as what was scanned must be what is
//! unpacked.
//!
//! [`confine`] is for the process that calls it: Landlock, a system call filter, no new
//! privileges, resource limits.
//!
//! It deliberately knows nothing of images, stores and registries; it neither downloads nor commits.
#![forbid(unsafe_code)]

mod apply;
mod confine;
mod decompress;
mod directories;
mod error;
mod filter;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod limits;
mod member;
mod options;
mod path;
mod pax;
mod reader;
mod source;
mod xattr;

pub use apply::apply;
pub use confine::{Confinement, Layer, confine};
pub use decompress::{Compression, decompress};
pub use error::{Error, Result};
pub use limits::Limits;
pub use member::{Member, Members, Place};
pub use options::{
    Applied, CompressedDigest, Devices, Ids, MAX_SKIPPED, Options, Skipped, SkippedWhat, Whiteouts,
};
pub use reader::End;
