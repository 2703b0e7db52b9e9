//! Cgroup paths that cannot leave their hierarchy.

use crate::{Error, Result};

/// Longest path, in bytes: room below `PATH_MAX` for the mount point and a file name.
const PATH_BYTES: usize = 2048;
/// Longest component: the kernel's `NAME_MAX`.
const NAME_BYTES: usize = 255;
/// Most components: deeper trees only cost time in the kernel.
const DEPTH: usize = 32;

/// A path below a hierarchy's mount point: at least one component, none of them `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CgroupPath {
    text: String,
    absolute: bool,
}

impl CgroupPath {
    /// Parses a `linux.cgroupsPath`, which comes from the bundle and is not trusted.
    pub(crate) fn parse(given: &str) -> Result<Self> {
        let bad = |reason| Error::BadPath { path: given.escape_default().to_string(), reason };
        if given.len() > PATH_BYTES {
            return Err(Error::BadPath {
                path: given.chars().take(32).flat_map(char::escape_default).collect(),
                reason: "longer than 2048 bytes",
            });
        }
        let mut text = String::with_capacity(given.len());
        let mut depth = 0;
        for component in given.split('/') {
            match component {
                "" | "." => continue,
                ".." => return Err(bad("`..` is not allowed")),
                name if name.len() > NAME_BYTES => return Err(bad("a component is longer than 255 bytes")),
                name if name.contains(|c: char| c.is_control()) => {
                    return Err(bad("control characters are not allowed"));
                }
                name => {
                    if !text.is_empty() {
                        text.push('/');
                    }
                    text.push_str(name);
                    depth += 1;
                }
            }
        }
        match depth {
            0 => Err(bad("names the root of the hierarchy")),
            1..=DEPTH => Ok(Self { text, absolute: given.starts_with('/') }),
            _ => Err(bad("deeper than 32 components")),
        }
    }

    /// Returns `brig-<id>`, where containers live when nothing else is asked for.
    pub(crate) fn default_for(id: &str) -> Result<Self> {
        if matches!(id, "" | "." | "..") || id.contains('/') {
            return Err(Error::BadPath {
                path: id.escape_default().to_string(),
                reason: "not a container id",
            });
        }
        Ok(Self { absolute: false, ..Self::parse(&format!("brig-{id}"))? })
    }

    /// Returns this path below `base`; absolute ones start at the mount point and ignore it.
    pub(crate) fn below(&self, base: &str) -> String {
        if self.absolute || base.is_empty() { self.text.clone() } else { format!("{base}/{}", self.text) }
    }
}

/// Returns the ancestors of a clean relative path, shortest first, itself left out.
pub(crate) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (given, expected) in [
            ("/brig/a", "brig/a"),
            ("brig/a", "base/brig/a"),
            ("//brig///./a/", "brig/a"),
            ("system.slice:brig:a", "base/system.slice:brig:a"),
            ("...", "base/..."),
        ] {
            assert_eq!(CgroupPath::parse(given).unwrap().below("base"), expected, "{given}");
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        let deep = "a/".repeat(33);
        let long = "a".repeat(256);
        let endless = "a/".repeat(1025);
        for given in
            ["", "/", ".", "..", "/../a", "a/..", "a/../../b", "a\nb", "a\0b", &deep, &long, &endless]
        {
            assert!(matches!(CgroupPath::parse(given), Err(Error::BadPath { .. })), "{given:?}");
        }
        for id in ["", "a/b", "..", "."] {
            assert!(CgroupPath::default_for(id).is_err(), "{id}");
        }
    }

    #[test]
    fn ancestors_come_shortest_first() {
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(ancestors("a").count(), 0);
    }
}
