//! How a layer is applied, and what came of it.

use std::fmt;
use std::path::PathBuf;

use oci::Digest;

use crate::decompress::Compression;
use crate::reader::End;

/// Who owns what is unpacked.
#[derive(Clone, Copy)]
pub enum Ids<'a> {
    /// Exactly who the archive says. Needs `CAP_CHOWN` over these ids.
    Keep,
    /// This process, for all: for a user with one id only. Each owner that is lost is recorded, and with
    /// it the setuid or setgid bit that would now give another user's rights.
    SingleId,
    /// Who this function says for a user and a group; `None` refuses the entry.
    Shift(&'a dyn Fn(u32, u32) -> Option<(u32, u32)>),
}

impl fmt::Debug for Ids<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Keep => "Keep",
            Self::SingleId => "SingleId",
            Self::Shift(_) => "Shift",
        })
    }
}

/// What `.wh.` names become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// A character device 0:0, and `trusted.overlay.opaque`: for overlay mounted by the host's root.
    OverlayTrusted,
    /// A character device 0:0, and `user.overlay.opaque`: for overlay with `userxattr`.
    OverlayUser,
    /// What earlier layers put there is deleted.
    Apply,
    /// Nothing: they are names as any other.
    Plain,
}

/// What an archive is written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A new layer: an entry replaces what has its name, and nothing is mounted below.
    Layer,
    /// A tree that is in use, of a container or of the host: what is mounted below belongs to it.
    Tree {
        /// Whether a directory and something else may replace each other.
        overwrite: bool,
        /// Whether set-id bits and capabilities of files are kept. From a container to the host they would be rights
        /// that its author chose.
        privileges: bool,
    },
}

/// What becomes of device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// They are left out, and recorded. A container gets its devices from the engine.
    Skip,
    /// They are made where the kernel allows it, else left out and recorded.
    Make,
}

/// How [`apply`](crate::apply) works.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Owners.
    pub ids: Ids<'a>,
    /// Whiteouts.
    pub whiteouts: Whiteouts,
    /// Device nodes.
    pub devices: Devices,
    /// Whether the compressed bytes are hashed too, in the same pass.
    pub compressed: CompressedDigest,
    /// What is written into.
    pub target: Target,
}

/// Whether the compressed bytes are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressedDigest {
    /// The caller knows the digest already.
    Skip,
    /// [`Applied::compressed`] is wanted.
    Compute,
}

/// What was applied.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Applied {
    /// Entries in the archive, whiteouts and skipped ones included.
    pub entries: u64,
    /// Bytes of the uncompressed stream.
    pub bytes: u64,
    /// Digest of the uncompressed stream: the layer's DiffID.
    pub diff_id: Digest,
    /// How the input was compressed.
    pub compression: Compression,
    /// Digest and length of the input as it came, if asked for.
    pub compressed: Option<(Digest, u64)>,
    /// Whether the archive had its end marker. A caller without a digest to compare should demand it.
    pub end: End,
    /// Whether the layer hides all of the lower layers (an opaque root).
    pub opaque_root: bool,
    /// What was left out: the first [`MAX_SKIPPED`] of them.
    pub skipped: Vec<Skipped>,
    /// How many were left out altogether.
    pub skipped_count: u64,
}

/// How many left-out items are listed one by one.
pub const MAX_SKIPPED: usize = 1000;

/// Something that an archive asked for and that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The entry.
    pub path: PathBuf,
    /// What was left out of it.
    pub what: SkippedWhat,
}

/// What was left out of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkippedWhat {
    /// A device node, by policy or because the kernel refused.
    Device,
    /// The owner (user, group), with one id at hand.
    Owner(u32, u32),
    /// The setuid or setgid bit of an owner that could not be kept.
    SpecialBits,
    /// An extended attribute.
    Xattr(String),
    /// A socket, which no archive can hold.
    Socket,
    /// Bookkeeping of AUFS.
    Bookkeeping,
}
