//! A relative path that cannot climb.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{Error, Result};

/// Longest accepted path in bytes: the kernel's `PATH_MAX` (4096) less the final NUL.
pub const MAX_PATH: usize = 4095;

/// Longest accepted component in bytes: `NAME_MAX` of every file system that holds a store.
pub const MAX_COMPONENT: usize = 255;

/// A relative path of plain names: no empty, `.` or `..` component, no NUL, within the kernel's lengths.
///
/// It says nothing of symlinks: open it with [`crate::root`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(PathBuf);

impl RelPath {
    /// Checks `path`.
    ///
    /// # Errors
    /// [`Error::BadPath`] with the first rule that `path` breaks.
    pub fn new(path: impl AsRef<OsStr>) -> Result<Self> {
        let path = path.as_ref();
        let bad = |reason| Err(Error::BadPath { path: path.into(), reason });
        let bytes = path.as_bytes();
        if bytes.is_empty() {
            return bad("is empty");
        }
        if bytes.len() > MAX_PATH {
            return bad("is longer than 4095 bytes");
        }
        if bytes[0] == b'/' {
            return bad("is absolute");
        }
        for component in bytes.split(|byte| *byte == b'/') {
            match component {
                b"" => return bad("has an empty component"),
                b"." => return bad("has a `.` component"),
                b".." => return bad("has a `..` component"),
                _ if component.len() > MAX_COMPONENT => return bad("has a component longer than 255 bytes"),
                _ if component.contains(&0) => return bad("contains a NUL byte"),
                _ => {}
            }
        }
        Ok(Self(path.into()))
    }

    /// The path as the standard library's type.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Its components, first to last; never empty.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &OsStr> {
        self.0.as_os_str().as_bytes().split(|byte| *byte == b'/').map(OsStr::from_bytes)
    }

    /// The path of `below` under this one.
    ///
    /// # Errors
    /// [`Error::BadPath`] when both together are too long.
    pub fn join(&self, below: &Self) -> Result<Self> {
        Self::new(self.0.join(&below.0))
    }

    /// The path without its last component, `None` for a single name.
    pub fn parent(&self) -> Option<Self> {
        self.0.parent().filter(|parent| !parent.as_os_str().is_empty()).map(|parent| Self(parent.to_owned()))
    }

    /// The last component.
    pub fn file_name(&self) -> &OsStr {
        self.0.file_name().unwrap_or(self.0.as_os_str())
    }
}

impl AsRef<Path> for RelPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl FromStr for RelPath {
    type Err = Error;

    fn from_str(path: &str) -> Result<Self> {
        Self::new(path)
    }
}

impl TryFrom<&OsStr> for RelPath {
    type Error = Error;

    fn try_from(path: &OsStr) -> Result<Self> {
        Self::new(path)
    }
}

impl TryFrom<&[u8]> for RelPath {
    type Error = Error;

    fn try_from(path: &[u8]) -> Result<Self> {
        Self::new(OsStr::from_bytes(path))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(formatter)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Checks that `name` is one plain file name.
pub(crate) fn check_name(name: &OsStr) -> Result<&OsStr> {
    let bytes = name.as_bytes();
    if bytes.contains(&b'/') {
        return Err(Error::BadPath { path: name.into(), reason: "is not a single file name" });
    }
    RelPath::new(name)?;
    Ok(name)
}

/// Whether a text is a name by docker's grammar, `[a-zA-Z0-9][a-zA-Z0-9_.-]*`: a file name that is neither hidden nor an
/// option, and stays in its directory. How long it may be is the caller's to say.
#[must_use]
pub fn is_plain_name(text: &str) -> bool {
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_names_only() {
        #[track_caller]
        fn check(path: &[u8], expected: Option<&str>) {
            let reason = match RelPath::try_from(path) {
                Ok(_) => None,
                Err(Error::BadPath { reason, .. }) => Some(reason),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(reason, expected, "{}", String::from_utf8_lossy(path));
        }
        check(b"a", None);
        check(b"a/b/c.d", None);
        check(b"a/...", None);
        check(b"caf\xe9", None);
        check(&[b'n'; 255], None);
        check(&b"0123456789abcdef/".repeat(240)[..4079], None);
        check(b"", Some("is empty"));
        check(b"/a", Some("is absolute"));
        check(b"a//b", Some("has an empty component"));
        check(b"a/", Some("has an empty component"));
        check(b"./a", Some("has a `.` component"));
        check(b"a/..", Some("has a `..` component"));
        check(b"..", Some("has a `..` component"));
        check(b"a\0b", Some("contains a NUL byte"));
        check(&[b'n'; 256], Some("has a component longer than 255 bytes"));
        check(&b"a/".repeat(2048), Some("is longer than 4095 bytes"));
    }

    #[test]
    fn takes_apart_and_joins() {
        let path: RelPath = "a/b/c".parse().unwrap();
        assert_eq!(path.components().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(path.file_name(), "c");
        assert_eq!(path.parent().unwrap().to_string(), "a/b");
        assert!(RelPath::new("a").unwrap().parent().is_none());
        assert_eq!(path.join(&path).unwrap().to_string(), "a/b/c/a/b/c");
        assert!(check_name(OsStr::new("a/b")).is_err());
        assert!(check_name(OsStr::new("..")).is_err());
        assert!(check_name(OsStr::new("a")).is_ok());
    }
}
