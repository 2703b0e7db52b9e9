//! Entrances for the fuzz targets: parsers that work inside of a store only.

use std::collections::BTreeMap;
use std::fs::File;

use oci::Reference;
use oci::image::Config;

use crate::Result;
use crate::members::Member;

/// Offset and size of a member's content, or the member that a link means.
pub type Place = std::result::Result<(u64, u64), String>;

/// The members of an image archive.
///
/// # Errors
/// As `load`.
pub fn members(file: &File) -> Result<BTreeMap<String, Place>> {
    let shown = |member| match member {
        Member::Content { offset, size } => Ok((offset, size)),
        Member::Link(target) => Err(target),
    };
    Ok(crate::members::index(file)?.into_iter().map(|(name, member)| (name, shown(member))).collect())
}

/// A configuration made of Dockerfile instructions.
///
/// # Errors
/// As `import`.
pub fn changes(changes: &[String]) -> Result<Config> {
    crate::changes::apply(changes)
}

/// The reference that a path below `refs/` stands for.
#[must_use]
pub fn ref_of_path(path: &str) -> Option<Reference> {
    crate::refs::parse_path(path)
}

/// Whether a child's answer about an unpacked layer is one.
#[must_use]
pub fn is_answer(bytes: &[u8]) -> bool {
    serde_json::from_slice::<crate::unpack::Unpacked>(bytes).is_ok()
}
