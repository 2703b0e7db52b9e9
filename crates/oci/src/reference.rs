//! Image names: the grammar of `distribution/reference`, with Docker's normalisation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, DigestError, clip};

/// Registry of names without one.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// Tag of names with neither tag nor digest.
pub const DEFAULT_TAG: &str = "latest";
/// Registry name of images made on this machine.
pub const LOCAL_REGISTRY: &str = "localhost";

/// Most bytes of a repository path, as in `distribution/reference`.
const MAX_REPOSITORY: usize = 255;
/// Most bytes of a registry: a DNS name and a port.
const MAX_REGISTRY: usize = 255 + 6;
/// Most bytes of a tag: its grammar's `{0,127}` after the first character.
const MAX_TAG: usize = 128;
/// Most bytes of one component of a repository, so that it fits a file name.
const MAX_COMPONENT: usize = 255;

/// The full name of an image: registry, repository, and a tag or a digest or both.
///
/// Written out in full it always parses to itself. Each component between slashes is a safe file
/// name: never empty, `.`, `..`, hidden, nor holding a slash or a NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("image name is empty")]
    Empty,
    /// Longer than any valid name.
    #[error("{what} is longer than {limit} bytes")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// Its limit in bytes.
        limit: usize,
    },
    /// The registry breaks the grammar.
    #[error("registry `{0}` is not a host name or address with an optional port")]
    BadRegistry(String),
    /// The repository holds upper case letters.
    #[error("image name `{0}` must be lower case")]
    UpperCase(String),
    /// The repository breaks the grammar.
    #[error(
        "image name `{0}` is not valid: use lower case letters and digits, separated by `.`, `_`, `__`, `-` or `/`"
    )]
    BadRepository(String),
    /// The tag breaks the grammar.
    #[error("tag `{0}` is not valid: use letters, digits, `_`, `.` and `-`, not starting with `.` or `-`")]
    BadTag(String),
    /// The part after `@` is no digest.
    #[error("bad digest in image name")]
    BadDigest(#[source] DigestError),
    /// 64 hexadecimal digits name an image by id, never a repository.
    #[error("image name `{0}` looks like an image id: give it another name")]
    LooksLikeId(String),
}

impl Reference {
    /// Makes a reference from checked parts.
    ///
    /// # Errors
    /// [`ReferenceError`] names the part at fault.
    pub fn new(
        registry: &str,
        repository: &str,
        tag: Option<&str>,
        digest: Option<Digest>,
    ) -> Result<Self, ReferenceError> {
        check_registry(registry)?;
        check_repository(repository)?;
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry: registry.to_owned(), repository: repository.to_owned(), tag, digest })
    }

    /// Host and optional port, such as `docker.io` or `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path in the registry, such as `library/debian`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` where the text had neither tag nor digest.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest after `@`.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository, without tag and digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Registry and repository as people type them: without `docker.io/library/` or `docker.io/`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return self.name();
        }
        match self.repository.strip_prefix("library/") {
            // `library/a/b` would be read as a path of its own
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            // `library` alone, or a first component that would be read as a registry, keeps the whole name
            _ if !self.repository.contains('/') || is_registry(first(&self.repository)) => self.name(),
            _ => self.repository.clone(),
        }
    }

    /// The short form as people type it, with the tag and digest.
    #[must_use]
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// The same repository under another tag, without digest.
    ///
    /// # Errors
    /// [`ReferenceError::BadTag`].
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        Self::new(&self.registry, &self.repository, Some(tag), None)
    }

    /// The same repository by digest alone.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            registry: self.registry.clone(),
            repository: self.repository.clone(),
            tag: None,
            digest: Some(digest),
        }
    }

    /// The image of this machine's own that `name` falls back to: `docker.io/library/name:tag` becomes
    /// `localhost/name:tag`; nothing for any other name.
    #[must_use]
    pub fn local_fallback(&self) -> Option<Self> {
        let rest = self.repository.strip_prefix("library/")?;
        if self.registry != DEFAULT_REGISTRY {
            return None;
        }
        Some(Self {
            registry: LOCAL_REGISTRY.to_owned(),
            repository: rest.to_owned(),
            tag: self.tag.clone(),
            digest: self.digest,
        })
    }

    fn with_suffix(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        // registry / repository : tag @ sha512
        const LIMIT: usize = MAX_REGISTRY + 1 + MAX_REPOSITORY + 1 + MAX_TAG + 1 + 7 + 128;
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > LIMIT {
            return Err(ReferenceError::TooLong { what: "image name", limit: LIMIT });
        }
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(ReferenceError::BadDigest)?)),
            None => (text, None),
        };
        // a colon before the last slash belongs to a port
        let tag_at = rest.rfind(':').filter(|at| !rest[*at..].contains('/'));
        let (name, tag) = match tag_at {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        match name.split_once('/') {
            Some(("index.docker.io", path)) => official(path, tag, digest),
            Some((DEFAULT_REGISTRY, path)) => official(path, tag, digest),
            Some((host, path)) if is_registry(host) => Self::new(host, path, tag, digest),
            _ => official(name, tag, digest),
        }
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Names on Docker Hub: one component is an official image.
fn official(path: &str, tag: Option<&str>, digest: Option<Digest>) -> Result<Reference, ReferenceError> {
    if path.is_empty() {
        return Err(ReferenceError::Empty);
    }
    if path.contains('/') {
        Reference::new(DEFAULT_REGISTRY, path, tag, digest)
    } else {
        // checked before the prefix is added, so that messages show what was typed
        check_repository(path)?;
        Reference::new(DEFAULT_REGISTRY, &format!("library/{path}"), tag, digest)
    }
}

fn first(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Docker's rule for the part before the first slash.
fn is_registry(part: &str) -> bool {
    part == LOCAL_REGISTRY
        || part.contains(['.', ':'])
        || part.starts_with('[')
        || part.bytes().any(|b| b.is_ascii_uppercase())
}

fn check_registry(registry: &str) -> Result<(), ReferenceError> {
    if registry.len() > MAX_REGISTRY {
        return Err(ReferenceError::TooLong { what: "registry", limit: MAX_REGISTRY });
    }
    let bad = || ReferenceError::BadRegistry(clip(registry));
    let (host, port) = if let Some(rest) = registry.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or_else(bad)?;
        // what follows the bracket is nothing or `:port`
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or_else(bad)?),
        };
        address.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
        (None, port)
    } else {
        match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        }
    };
    let host_is_good = host.is_none_or(|host| host.split('.').all(is_host_label));
    let port_is_good = port.is_none_or(|port| {
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    if host_is_good && port_is_good { Ok(()) } else { Err(bad()) }
}

fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn check_repository(repository: &str) -> Result<(), ReferenceError> {
    if repository.len() > MAX_REPOSITORY {
        return Err(ReferenceError::TooLong { what: "image name", limit: MAX_REPOSITORY });
    }
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(ReferenceError::UpperCase(clip(repository)));
    }
    if repository.split('/').all(is_component) {
        Ok(())
    } else {
        Err(ReferenceError::BadRepository(clip(repository)))
    }
}

/// `[a-z0-9]+` joined by one `.`, one or two `_`, or any number of `-`.
fn is_component(component: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separator = String::new();
    if component.len() > MAX_COMPONENT
        || !component.as_bytes().first().is_some_and(alphanumeric)
        || !component.as_bytes().last().is_some_and(alphanumeric)
    {
        return false;
    }
    for byte in component.bytes() {
        if alphanumeric(&byte) {
            if !(matches!(separator.as_str(), "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
            {
                return false;
            }
            separator.clear();
        } else if matches!(byte, b'.' | b'_' | b'-') {
            separator.push(char::from(byte));
        } else {
            return false;
        }
    }
    true
}

fn check_tag(tag: &str) -> Result<(), ReferenceError> {
    if tag.len() > MAX_TAG {
        return Err(ReferenceError::TooLong { what: "tag", limit: MAX_TAG });
    }
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let mut bytes = tag.bytes();
    if bytes.next().is_some_and(word) && bytes.all(|b| word(b) || matches!(b, b'.' | b'-')) {
        Ok(())
    } else {
        Err(ReferenceError::BadTag(clip(tag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUM: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(text: &str, full: &str, familiar: &str) {
        let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(reference.to_string(), full, "{text}");
        assert_eq!(reference.familiar(), familiar, "{text}");
        for form in [full, familiar] {
            assert_eq!(form.parse::<Reference>().as_ref(), Ok(&reference), "{form}");
        }
    }

    #[test]
    fn normalised() {
        check("debian", "docker.io/library/debian:latest", "debian:latest");
        check("debian:12", "docker.io/library/debian:12", "debian:12");
        check("bitnami/redis", "docker.io/bitnami/redis:latest", "bitnami/redis:latest");
        check("docker.io/debian", "docker.io/library/debian:latest", "debian:latest");
        check("index.docker.io/debian", "docker.io/library/debian:latest", "debian:latest");
        check("docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest");
        check("library/debian", "docker.io/library/debian:latest", "debian:latest");
        check("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest");
        check("localhost/x", "localhost/x:latest", "localhost/x:latest");
        check("localhost:5000/a/b:1", "localhost:5000/a/b:1", "localhost:5000/a/b:1");
        check("quay.io/a/b", "quay.io/a/b:latest", "quay.io/a/b:latest");
        check("LOCAL/a", "LOCAL/a:latest", "LOCAL/a:latest");
        check("[::1]:5000/a:b", "[::1]:5000/a:b", "[::1]:5000/a:b");
        check("192.168.0.1/a", "192.168.0.1/a:latest", "192.168.0.1/a:latest");
        check("a__b/c---d.e_f", "docker.io/a__b/c---d.e_f:latest", "a__b/c---d.e_f:latest");
        check(&format!("a@{SUM}"), &format!("docker.io/library/a@{SUM}"), &format!("a@{SUM}"));
        check(&format!("a:1@{SUM}"), &format!("docker.io/library/a:1@{SUM}"), &format!("a:1@{SUM}"));
        // one component with a dot is a repository, not a registry
        check("foo.bar", "docker.io/library/foo.bar:latest", "foo.bar:latest");
        check("localhost", "docker.io/library/localhost:latest", "localhost:latest");
    }

    #[test]
    fn refused() {
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_name = "a".repeat(256);
        let id = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for text in [
            "",
            ":",
            "/",
            "a/",
            "/a",
            "a//b",
            "Debian",
            "docker.io/Debian",
            "a:",
            "a:.x",
            "a:-x",
            "a:b:c",
            "a@b",
            "a@sha256:00",
            "../a",
            "a/../b",
            "a/./b",
            ".a",
            "a.",
            "a..b",
            "a___b",
            "a_.b",
            "-a",
            "a-",
            "a b",
            "a\0",
            "a\n",
            "é",
            "x.y:port/a",
            "x.y:/a",
            "x.y:65536/a",
            "-x.y/a",
            "x..y/a",
            "x.y-/a",
            "[::g]/a",
            "[::1/a",
            "[::1]5/a",
            "docker.io/",
            "quay.io/",
            "http://a/b",
            &long_tag,
            &long_name,
            id,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?} parsed");
        }
    }

    #[test]
    fn falls_back_to_this_machine() {
        let fallback =
            |text: &str| text.parse::<Reference>().unwrap().local_fallback().map(|r| r.to_string());
        assert_eq!(fallback("hello").as_deref(), Some("localhost/hello:latest"));
        assert_eq!(fallback("bitnami/hello"), None);
        assert_eq!(fallback("quay.io/library/hello"), None);
    }

    proptest! {
        #[test]
        fn parses_to_itself(text in "[a-zA-Z0-9.:/@_\\[\\]-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference.clone()));
                prop_assert_eq!(reference.familiar().parse::<Reference>(), Ok(reference.clone()));
                for part in reference.repository().split('/') {
                    prop_assert!(!part.is_empty() && !part.starts_with('.'));
                }
            }
        }
    }
}
