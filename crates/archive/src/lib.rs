//! Archives of layers and trees: parse hostile tar, write it below a directory by descriptor, and pack one.
//!
//! [`apply`] reads a tar, plain or compressed with gzip or zstd, in one pass: it decodes, hashes, parses
//! and writes. Its own strict parser reads ustar, pax and GNU headers and refuses every archive that two
//! tar programs would read differently. Nothing is followed, nothing is executed, everything is bounded
//! by [`Limits`], and what is left out is listed in [`Applied`].
//!
//! [`Pack`] is the way back: a tree becomes an archive, the same one for the same tree. [`Difference`] says what an
//! overlay's upper directory changes, as a list or as a layer.
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
mod difference;
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
mod pack;
mod path;
mod pax;
mod reader;
mod source;
mod writer;
mod xattr;

pub use apply::apply;
pub use confine::{Confinement, Layer, confine, confine_reading, lacking};
pub use decompress::{Compression, decompress};
pub use difference::{Change, ChangeKind, Difference};
pub use error::{Error, Result};
pub use limits::Limits;
pub use member::{Member, Members, Place};
pub use options::{
    Applied, CompressedDigest, Devices, Ids, MAX_SKIPPED, Options, Skipped, SkippedWhat, Target, Whiteouts,
};
pub use pack::{Mounts, Pack, Packed};
pub use reader::End;
