//! `--userns`, `--uidmap`, `--gidmap`.

use oci::runtime::IdMapping;

use crate::error::{Error, Result};
use crate::value::size::parse_number;

/// Which user namespace the container gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum UserNamespace {
    /// Root: a range of its own. A plain user: his subordinate ids, or the single id he has.
    #[default]
    Default,
    /// Root: none, so root inside is root outside. A plain user: as the default.
    Host,
    /// The caller keeps his ids inside, or gets those named.
    KeepId {
        /// User id inside; the caller's own if unset.
        uid: Option<u32>,
        /// Group id inside; the caller's own if unset.
        gid: Option<u32>,
    },
    /// A range of its own of the given size.
    Auto {
        /// Number of ids.
        size: u32,
    },
    /// Only subordinate ids: the caller's own id is not mapped at all.
    NoMap,
}

/// Ids of a container unless a flag says otherwise.
pub const DEFAULT_SIZE: u32 = 65_536;

impl UserNamespace {
    /// Parses `--userns`.
    ///
    /// # Errors
    /// [`Error::Value`], and [`Error::NotYet`] for joining another one.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |reason: &str| Error::value("--userns", text, reason);
        let (mode, options) = text.split_once(':').unwrap_or((text, ""));
        match mode {
            "" | "private" if options.is_empty() => Ok(Self::Default),
            "host" if options.is_empty() => Ok(Self::Host),
            "nomap" if options.is_empty() => Ok(Self::NoMap),
            "keep-id" => {
                let (mut uid, mut gid) = (None, None);
                for option in options.split(',').filter(|option| !option.is_empty()) {
                    match option.split_once('=') {
                        Some(("uid", value)) => uid = Some(parse_number("--userns", value)?),
                        Some(("gid", value)) => gid = Some(parse_number("--userns", value)?),
                        _ => return Err(bad("keep-id takes uid= and gid=")),
                    }
                }
                Ok(Self::KeepId { uid, gid })
            }
            "auto" => match options.split_once('=') {
                None if options.is_empty() => Ok(Self::Auto { size: DEFAULT_SIZE }),
                Some(("size", value)) => match parse_number("--userns", value)? {
                    0 => Err(bad("a size of 0 maps nothing")),
                    size => Ok(Self::Auto { size }),
                },
                _ => Err(bad("auto takes size=")),
            },
            "container" | "ns" => {
                Err(Error::NotYet { what: format!("--userns {text}"), instead: "use a namespace of its own" })
            }
            _ => Err(bad("use host, keep-id[:uid=,gid=] or auto[:size=]")),
        }
    }
}

/// Parses `--uidmap CONTAINER:HOST[:SIZE]`.
///
/// # Errors
/// [`Error::Value`] for anything that is not two or three numbers, and for a size of zero.
pub fn parse_map(flag: &'static str, text: &str) -> Result<IdMapping> {
    let bad = || Error::value(flag, text, "use CONTAINER:HOST:SIZE");
    let mut parts = text.split(':');
    let mut number =
        || -> Result<Option<u32>> { parts.next().map(|part| parse_number(flag, part)).transpose() };
    let container_id = number()?.ok_or_else(bad)?;
    let host_id = number()?.ok_or_else(bad)?;
    let size = number()?.unwrap_or(1);
    if parts.next().is_some() || size == 0 {
        return Err(bad());
    }
    Ok(IdMapping { container_id, host_id, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_namespaces() {
        for (text, expected) in [
            ("host", Some(UserNamespace::Host)),
            ("private", Some(UserNamespace::Default)),
            ("nomap", Some(UserNamespace::NoMap)),
            ("keep-id", Some(UserNamespace::KeepId { uid: None, gid: None })),
            ("keep-id:uid=5,gid=6", Some(UserNamespace::KeepId { uid: Some(5), gid: Some(6) })),
            ("auto", Some(UserNamespace::Auto { size: 65_536 })),
            ("auto:size=1024", Some(UserNamespace::Auto { size: 1024 })),
            ("auto:size=0", None),
            ("auto:size=-1", None),
            ("keep-id:uid=4294967296", None),
            ("keep-id:x=1", None),
            ("host:1", None),
            ("ns:/proc/1/ns/user", None),
            ("root", None),
        ] {
            assert_eq!(UserNamespace::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn maps() {
        let map = |container_id, host_id, size| Some(IdMapping { container_id, host_id, size });
        for (text, expected) in [
            ("0:100000:65536", map(0, 100_000, 65_536)),
            ("0:1", map(0, 1, 1)),
            ("0", None),
            ("0:1:0", None),
            ("0:1:2:3", None),
            ("-1:1:1", None),
            ("0:4294967296:1", None),
            ("a:b:c", None),
        ] {
            assert_eq!(parse_map("--uidmap", text).ok(), expected, "{text}");
        }
    }
}
