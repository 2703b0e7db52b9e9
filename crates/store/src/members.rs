//! The index of an image archive: names of its members and where their content lies.
//!
//! Only for the outer archive of `load`, whose content is checked by digest later. The `archive` crate reads it, as it
//! reads layers, so what two programs may read in two ways is refused here too; nothing is kept but names, each bounded.

use std::collections::HashMap;
use std::fs::File;

use archive::{Limits, Members, Place};

use crate::error::{Error, Result};
use crate::image::clip;

/// Most members of an archive: three for each layer of many images.
const MAX_MEMBERS: usize = 1 << 16;
/// Most entries, those of members that no document can name included.
const MAX_ENTRIES: u64 = 1 << 18;
/// Most bytes of a long name or an extended header; real names have a digest and a word.
const MAX_EXTENSION: u64 = 64 << 10;
/// Longest member name.
const MAX_NAME: usize = 4096;

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// A regular file.
    Content { offset: u64, size: u64 },
    /// A symbolic or hard link to another member, resolved by name only.
    Link(String),
}

/// Reads the headers of an archive, passing over the content.
pub(crate) fn index(file: &File) -> Result<HashMap<String, Member>> {
    // Layers alone may have these bytes each; what an archive needs on the disk, it has there already.
    let limits =
        Limits { bytes: u64::MAX, entries: MAX_ENTRIES, extension: MAX_EXTENSION, ..Limits::default() };
    let mut found = Members::new(file, &limits).map_err(Error::Input)?;
    let mut members = HashMap::new();
    let mut entries = 0;
    while let Some(member) = found.next()? {
        entries += 1;
        if entries > MAX_ENTRIES {
            return Err(Error::Limit { what: "number of archive entries", limit: MAX_ENTRIES });
        }
        // No document can name what is not UTF-8, or climbs, or is the archive itself.
        let name = utf8(member.path)?;
        let name = name.as_deref().and_then(plain).filter(|name| !name.is_empty());
        let link = |target, is_relative| -> Result<Option<Member>> {
            let (Some(name), Some(link)) = (&name, utf8(target)?) else { return Ok(None) };
            Ok(target_of(name, &link, is_relative).map(Member::Link))
        };
        let member = match member.place {
            Place::File { offset, size } => Some(Member::Content { offset, size }),
            Place::Symlink(target) => link(target, true)?,
            Place::HardLink(target) => link(target, false)?,
            Place::Directory => None,
            Place::Sparse => return Err(bad("it has a sparse member")),
            Place::Node => return Err(bad("it has a device or a fifo, which no image archive has")),
        };
        let (Some(name), Some(member)) = (name, member) else { continue };
        // The last of equal names counts, as in tar.
        members.insert(name, member);
        if members.len() > MAX_MEMBERS {
            return Err(Error::Limit { what: "number of archive members", limit: MAX_MEMBERS as u64 });
        }
    }
    Ok(members)
}

/// A name without `./`, by words alone; `None` if it climbs above the archive or is absolute.
pub(crate) fn plain(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    if name.starts_with('/') {
        return None;
    }
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The member that a link means: a symbolic one counts from its own directory.
fn target_of(name: &str, link: &str, is_relative: bool) -> Option<String> {
    match name.rsplit_once('/') {
        Some((above, _)) if is_relative && !link.starts_with('/') => plain(&format!("{above}/{link}")),
        _ => plain(link),
    }
}

fn bad(reason: &str) -> Error {
    Error::NotAnArchive { reason: clip(reason) }
}

fn utf8(name: Vec<u8>) -> Result<Option<String>> {
    if name.len() > MAX_NAME {
        return Err(Error::Limit { what: "length of a member name", limit: MAX_NAME as u64 });
    }
    Ok(String::from_utf8(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_itself_is_no_member() {
        let directory = testkit::TempDir::new();
        let path = directory.join("archive");
        let mut header = [0; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, "./.");
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        std::fs::write(&path, [&header[..], &[0; 1024]].concat()).unwrap();
        assert_eq!(index(&File::open(&path).unwrap()).unwrap(), HashMap::new());
    }

    #[test]
    fn names_by_words_alone() {
        for (name, expected) in [
            ("a/b", Some("a/b")),
            ("./a//b/.", Some("a/b")),
            ("a/../b", Some("b")),
            ("../a", None),
            ("a/../../b", None),
            ("/etc/passwd", None),
        ] {
            assert_eq!(plain(name).as_deref(), expected, "{name}");
        }
        assert_eq!(target_of("a/b", "../c", true).as_deref(), Some("c"));
        assert_eq!(target_of("a/b", "c", false).as_deref(), Some("c"));
        assert_eq!(target_of("a/b", "/c", true), None);
    }
}
