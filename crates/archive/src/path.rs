//! Names in an archive, taken apart and checked.

use crate::limits::Limits;
use crate::{Error, Result};
use files::weaken::{Defence, is_off};

/// The longest path and the longest component that Linux takes, in bytes.
const MAX_PATH: usize = 4095;
const MAX_COMPONENT: usize = 255;

/// The components of `path` below the root; none for the root itself.
///
/// A leading slash means the root, as for every image tool; `.` and doubled slashes are dropped. `..` is
/// refused wherever it stands: tools differ in whether they cut, follow or refuse it.
pub(crate) fn components<'p>(path: &'p [u8], limits: &Limits) -> Result<Vec<&'p [u8]>> {
    let bad = |reason| Err(Error::entry(path, reason));
    if path.is_empty() {
        return bad("has no name");
    }
    if path.len() > MAX_PATH {
        return bad("has a name longer than 4095 bytes");
    }
    if path.contains(&0) {
        return bad("has a NUL in its name");
    }
    let mut components = Vec::with_capacity(8);
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if !is_off(Defence::UnpackResolution) => return bad("has a `..` component"),
            _ if component.len() > MAX_COMPONENT => return bad("has a component longer than 255 bytes"),
            _ if components.len() == limits.depth => {
                return Err(Error::Limit { what: "components of a path", limit: limits.depth as u64 });
            }
            _ => components.push(component),
        }
    }
    Ok(components)
}

/// What a name means in a layer (image-spec, `layer.md`, whiteouts).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning<'p> {
    /// An entry as it stands.
    Plain,
    /// `.wh.NAME`: the lower layers' NAME is gone.
    Whiteout(&'p [u8]),
    /// `.wh..wh..opq`: all that the lower layers have in this directory is gone.
    Opaque,
    /// `.wh..wh.*`: AUFS bookkeeping in images of 2013, of no meaning.
    Bookkeeping,
}

/// Tells what `components` mean; hostile whiteout names are errors.
pub(crate) fn meaning<'p>(components: &[&'p [u8]], path: &[u8]) -> Result<Meaning<'p>> {
    let Some((name, parents)) = components.split_last() else { return Ok(Meaning::Plain) };
    if let Some(parent) = parents.iter().find(|parent| parent.starts_with(b".wh.")) {
        return if parent.starts_with(b".wh..wh.") && *parent != b".wh..wh..opq" {
            Ok(Meaning::Bookkeeping)
        } else {
            Err(Error::entry(path, "has a whiteout as its directory"))
        };
    }
    match name.strip_prefix(b".wh.") {
        None => Ok(Meaning::Plain),
        Some(b".wh..opq") => Ok(Meaning::Opaque),
        Some(rest) if rest.starts_with(b".wh.") => Ok(Meaning::Bookkeeping),
        Some(b"" | b"." | b"..") if !is_off(Defence::UnpackWhiteouts) => {
            Err(Error::entry(path, "is a whiteout of no name"))
        }
        Some(hidden) => Ok(Meaning::Whiteout(hidden)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_refuses() {
        #[track_caller]
        fn check(path: &[u8], expected: Option<&[&[u8]]>) {
            assert_eq!(components(path, &Limits::default()).ok().as_deref(), expected);
        }
        check(b"a/b", Some(&[b"a", b"b"]));
        check(b"./a//./b/", Some(&[b"a", b"b"]));
        check(b"/etc", Some(&[b"etc"]));
        check(b"./", Some(&[]));
        check(b"/", Some(&[]));
        check(b"a/...", Some(&[b"a", b"..."]));
        check(b"", None);
        check(b"..", None);
        check(b"a/../b", None);
        check(b"/..", None);
        check(b"a\0b", None);
        check(&[b'n'; 256], None);
        check(&b"a/".repeat(257), None);
        check(&b"abcdefghijklmnopqrst/".repeat(200), None);
    }

    #[test]
    fn whiteouts() {
        #[track_caller]
        fn check(path: &[u8], expected: Option<Meaning<'_>>) {
            let components = components(path, &Limits::default()).unwrap();
            assert_eq!(meaning(&components, path).ok(), expected);
        }
        check(b"a/b", Some(Meaning::Plain));
        check(b".whiteout", Some(Meaning::Plain));
        check(b"a/.wh.b", Some(Meaning::Whiteout(b"b")));
        check(b".wh....", Some(Meaning::Whiteout(b"...")));
        check(b"a/.wh..wh..opq", Some(Meaning::Opaque));
        check(b".wh..wh.plnk/12.34", Some(Meaning::Bookkeeping));
        check(b".wh..wh.aufs", Some(Meaning::Bookkeeping));
        check(b"a/.wh.", None);
        check(b"a/.wh..", None);
        check(b"a/.wh...", None);
        check(b"a/.wh.b/c", None);
        check(b".wh..wh..opq/c", None);
    }
}
