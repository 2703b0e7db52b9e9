//! Paths inside a container, prepared so that the child can walk them without allocating.

use std::ffi::CString;
use std::fmt;

/// Longest accepted path in bytes, with its NUL: the kernel's `PATH_MAX`.
const PATH_MAX: usize = 4096;

/// A path below the container's root, split into the prefixes a descriptor walk needs.
///
/// `..` is resolved lexically and cannot leave the root; symbolic links are left to the kernel, which
/// resolves them in the root (`RESOLVE_IN_ROOT`).
#[derive(Clone, PartialEq, Eq)]
pub struct InnerPath {
    /// `a`, `a/b`, `a/b/c`: relative to the root's descriptor. Empty for the root itself.
    prefixes: Vec<CString>,
    /// `a`, `b`, `c`.
    names: Vec<CString>,
}

/// Why a path cannot be used inside a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The kernel takes no NUL in a path.
    #[error("it contains a NUL byte")]
    Nul,
    /// The kernel takes no longer path.
    #[error("it is longer than {} bytes", PATH_MAX - 1)]
    TooLong,
}

impl InnerPath {
    /// Prepares `path`; a relative one counts from the root, as runtime-spec asks since 1.2.
    pub fn new(path: &str) -> Result<Self, PathError> {
        if path.len() >= PATH_MAX {
            return Err(PathError::TooLong);
        }
        let mut names: Vec<&str> = Vec::new();
        for name in path.split('/') {
            match name {
                "" | "." => {}
                ".." => {
                    names.pop();
                }
                name => names.push(name),
            }
        }
        let mut prefix = String::with_capacity(path.len());
        let mut prefixes = Vec::with_capacity(names.len());
        for name in &names {
            if !prefix.is_empty() {
                prefix.push('/');
            }
            prefix.push_str(name);
            prefixes.push(CString::new(prefix.as_str()).map_err(|_| PathError::Nul)?);
        }
        let names =
            names.into_iter().map(CString::new).collect::<Result<_, _>>().map_err(|_| PathError::Nul)?;
        Ok(Self { prefixes, names })
    }

    /// The prefixes, shortest first; the last one is the path itself.
    pub fn prefixes(&self) -> &[CString] {
        &self.prefixes
    }

    /// The single names.
    pub fn names(&self) -> &[CString] {
        &self.names
    }

    /// The path relative to the root, without a leading slash; `None` for the root itself.
    pub fn relative(&self) -> Option<&CString> {
        self.prefixes.last()
    }

    /// The path as text, with a leading slash.
    pub fn to_text(&self) -> String {
        match self.relative() {
            Some(path) => format!("/{}", path.to_string_lossy()),
            None => "/".to_owned(),
        }
    }

    /// Whether the first name is this one. Does not allocate.
    pub fn starts_with(&self, name: &[u8]) -> bool {
        self.names.first().is_some_and(|first| first.to_bytes() == name)
    }

    /// Whether this is `directory` or lies below it, by name.
    pub fn is_within(&self, directory: &str) -> bool {
        let text = self.to_text();
        text == directory || text.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Debug for InnerPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.to_text())
    }
}

impl fmt::Display for InnerPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.to_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_lexically_and_stays_inside() {
        let check = |input: &str, expected: &str| {
            assert_eq!(InnerPath::new(input).unwrap().to_text(), expected, "{input}");
        };
        check("/", "/");
        check("", "/");
        check("proc", "/proc");
        check("//proc/./sys//", "/proc/sys");
        check("/../../etc", "/etc");
        check("/a/../../b", "/b");
        assert_eq!(InnerPath::new("/a\0b"), Err(PathError::Nul));
        assert_eq!(InnerPath::new(&"a/".repeat(4000)), Err(PathError::TooLong));
    }

    #[test]
    fn within_is_by_whole_names() {
        let proc = InnerPath::new("/proc/self").unwrap();
        assert!(proc.is_within("/proc"));
        assert!(!InnerPath::new("/process").unwrap().is_within("/proc"));
    }
}
