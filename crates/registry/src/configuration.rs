//! `registries.conf`, version 2 (containers-registries.conf(5)): where a registry's images really are, and which are closed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci::Reference;
use oci::reference::DEFAULT_REGISTRY;
use serde::Deserialize;

use crate::error::{Error, Result};

/// Most bytes of a file.
const MAX_FILE: u64 = 4 << 20;
/// Most files of a drop-in directory.
const MAX_FILES: usize = 256;
/// Most registries, mirrors of one, aliases.
const MAX_ENTRIES: usize = 10_000;

/// What the files say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    search: Vec<String>,
    registries: Vec<Registry>,
    aliases: BTreeMap<String, String>,
}

/// A place to get an image from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Host with an optional port.
    pub registry: String,
    /// Path there.
    pub repository: String,
    /// Any certificate will do there, and none.
    pub insecure: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Registry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirrors: Vec<Mirror>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    location: String,
    insecure: bool,
    by: By,
}

/// For which references a mirror is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    All,
    Digest,
    Tag,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    #[serde(default)]
    registry: Vec<RegistryEntry>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    /// Version 1.
    registries: Option<toml::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RegistryEntry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<MirrorEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorEntry {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: String,
}

impl Configuration {
    /// Reads a file and, after it, the `*.conf` of directories, each in the order of their names. What is missing says nothing.
    ///
    /// # Errors
    /// [`Error::File`]: a file that is half understood would let through what it closes.
    pub fn read(file: &Path, directories: &[PathBuf]) -> Result<Self> {
        let mut all = Self::default();
        let mut paths = vec![file.to_owned()];
        for directory in directories {
            let entries = match std::fs::read_dir(directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(bad(directory, &error.to_string())),
            };
            let mut found = Vec::new();
            for entry in entries {
                let path = entry.map_err(|error| bad(directory, &error.to_string()))?.path();
                if path.extension().is_some_and(|extension| extension == "conf") {
                    found.push(path);
                }
                if found.len() > MAX_FILES {
                    return Err(bad(directory, "it has more than 256 files"));
                }
            }
            found.sort();
            paths.extend(found);
        }
        for path in paths {
            let bytes =
                files::read_named_file(&path, MAX_FILE).map_err(|error| bad(&path, &files::chain(&error)))?;
            let Some(bytes) = bytes else { continue };
            let text = std::str::from_utf8(&bytes).map_err(|_| bad(&path, "it is not UTF-8"))?;
            all.add(text).map_err(|reason| bad(&path, &reason))?;
        }
        Ok(all)
    }

    /// Adds what a file says; its reason where it says nothing that can be understood.
    fn add(&mut self, text: &str) -> std::result::Result<(), String> {
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        if file.registries.is_some() {
            return Err(
                "it is of version 1: write `[[registry]]` and `unqualified-search-registries`".to_owned()
            );
        }
        if let Some(search) = file.unqualified_search_registries {
            self.search = search;
        }
        for entry in file.registry {
            let registry = Registry::of(entry)?;
            self.registries.retain(|known| known.prefix != registry.prefix);
            self.registries.push(registry);
        }
        for (name, target) in file.aliases {
            if target.is_empty() {
                self.aliases.remove(&name);
            } else {
                self.aliases.insert(name, target);
            }
        }
        let most = self.registries.len().max(self.aliases.len()).max(self.search.len());
        if most > MAX_ENTRIES { Err(format!("it has more than {MAX_ENTRIES} entries")) } else { Ok(()) }
    }

    /// The full name of what a person typed: an alias, else the one registry that short names are of.
    ///
    /// # Errors
    /// [`Error::Short`] where several registries could be meant: whoever has that name on the first of them would be run.
    pub fn full_name(&self, text: &str) -> Result<String> {
        let (name, rest) = text.find(['@', ':']).map_or((text, ""), |at| text.split_at(at));
        // A colon before a slash is a port's.
        let is_short = !rest.contains('/') && {
            let first = name.split('/').next().unwrap_or_default();
            !(name.contains('/') && (first.contains('.') || first == "localhost"))
        };
        if !is_short {
            return Ok(text.to_owned());
        }
        if let Some(target) = self.aliases.get(name) {
            return Ok(format!("{target}{rest}"));
        }
        match self.search.as_slice() {
            [] => Ok(text.to_owned()),
            [one] if one == DEFAULT_REGISTRY => Ok(text.to_owned()),
            [one] => Ok(format!("{one}/{text}")),
            several => Err(Error::Short {
                name: text.to_owned(),
                names: several.iter().map(|registry| format!("{registry}/{text}")).collect(),
            }),
        }
    }

    /// The places to get an image from, in the order to try them: its mirrors, then itself.
    ///
    /// # Errors
    /// [`Error::Blocked`]; [`Error::Address`] for a location that makes no name.
    pub fn sources(&self, reference: &Reference) -> Result<Vec<Source>> {
        let text = reference.name();
        let with_suffix = reference.to_string();
        let best = self
            .registries
            .iter()
            .filter_map(|registry| Some((registry, matched(&registry.prefix, &with_suffix)?)))
            .max_by_key(|(_, length)| *length);
        let Some((registry, length)) = best else {
            return Ok(vec![place(&text, false)?]);
        };
        if registry.blocked {
            return Err(Error::Blocked { name: text, prefix: registry.prefix.clone() });
        }
        let rest = text.get(length..).unwrap_or_default();
        let moved = |location: &str| format!("{location}{rest}");
        let mut sources = Vec::new();
        for mirror in &registry.mirrors {
            let is_asked = match mirror.by {
                By::All => true,
                By::Digest => reference.digest().is_some(),
                By::Tag => reference.digest().is_none(),
            };
            if is_asked {
                sources.push(place(&moved(&mirror.location), mirror.insecure)?);
            }
        }
        let own = if registry.location.is_empty() { text.clone() } else { moved(&registry.location) };
        sources.push(place(&own, registry.insecure)?);
        Ok(sources)
    }
}

impl Registry {
    fn of(entry: RegistryEntry) -> std::result::Result<Self, String> {
        let trim = |text: &str| text.trim_end_matches('/').to_owned();
        let (mut prefix, location) = (trim(&entry.prefix), trim(&entry.location));
        if prefix.is_empty() {
            prefix.clone_from(&location);
        }
        if prefix.is_empty() {
            return Err("a `[[registry]]` has neither `prefix` nor `location`".to_owned());
        }
        if prefix.contains("://") || location.contains("://") {
            return Err(format!("`{prefix}` is no registry: it has a scheme"));
        }
        let mut mirrors = Vec::with_capacity(entry.mirror.len().min(MAX_ENTRIES));
        for mirror in entry.mirror {
            let by = match mirror.pull_from_mirror.as_str() {
                _ if entry.mirror_by_digest_only => By::Digest,
                "" | "all" => By::All,
                "digest-only" => By::Digest,
                "tag-only" => By::Tag,
                other => return Err(format!("`pull-from-mirror` cannot be `{other}`")),
            };
            let location = trim(&mirror.location);
            if location.is_empty() || location.contains("://") {
                return Err(format!("`{location}` is no place of a mirror"));
            }
            mirrors.push(Mirror { location, insecure: mirror.insecure, by });
        }
        Ok(Self { prefix, location, insecure: entry.insecure, blocked: entry.blocked, mirrors })
    }
}

/// How many bytes of a name a prefix stands for; a part of a component is none.
fn matched(prefix: &str, name: &str) -> Option<usize> {
    let length = match prefix.strip_prefix("*.") {
        None => name.starts_with(prefix).then_some(prefix.len())?,
        Some(domain) => {
            let (domain, path) = domain.split_once('/').map_or((domain, ""), |(domain, path)| (domain, path));
            let host_end = name.find('/')?;
            let host = &name[..host_end];
            let host = host.split(':').next().unwrap_or(host);
            host.strip_suffix(domain).filter(|rest| rest.len() > 1 && rest.ends_with('.'))?;
            if path.is_empty() {
                host_end
            } else {
                name[host_end + 1..].starts_with(path).then_some(host_end + 1 + path.len())?
            }
        }
    };
    let next = name.as_bytes().get(length);
    matches!(next, None | Some(b'/' | b':' | b'@')).then_some(length)
}

fn place(text: &str, insecure: bool) -> Result<Source> {
    let bad = || Error::Address {
        address: text.to_owned(),
        reason: "registries.conf makes no name of it".to_owned(),
    };
    let (registry, repository) = text.split_once('/').ok_or_else(bad)?;
    // Both by the grammar of names.
    let checked = Reference::new(registry, repository, Some("x"), None).map_err(|_| bad())?;
    let (registry, repository) = (checked.registry().to_owned(), checked.repository().to_owned());
    Ok(Source { registry, repository, insecure })
}

fn bad(path: &Path, reason: &str) -> Error {
    Error::File { path: path.display().to_string(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(text: &str) -> Configuration {
        let mut all = Configuration::default();
        all.add(text).unwrap();
        all
    }

    /// The sources as `registry/repository`, with `!` where any certificate will do.
    fn shown(all: &Configuration, name: &str) -> Result<Vec<String>, String> {
        let sources = all.sources(&name.parse().unwrap()).map_err(|error| error.to_string())?;
        let show = |source: Source| {
            format!("{}/{}{}", source.registry, source.repository, if source.insecure { "!" } else { "" })
        };
        Ok(sources.into_iter().map(show).collect())
    }

    #[test]
    fn the_longest_prefix_decides_where_an_image_is() {
        let all = configuration(
            r#"
            [[registry]]
            location = "docker.io"
            [[registry.mirror]]
            location = "mirror.corp/hub"
            [[registry.mirror]]
            location = "digests.corp:5000"
            insecure = true
            pull-from-mirror = "digest-only"
            [[registry]]
            prefix = "docker.io/evil"
            blocked = true
            [[registry]]
            prefix = "*.corp.example"
            location = "inside.example/all"
            insecure = true
            [[registry]]
            prefix = "old.example/team"
            location = "new.example:8443/old-team"
            "#,
        );
        let digest = format!("x@{}", oci::Digest::of(b""));
        for (name, expected) in [
            ("debian", vec!["mirror.corp/hub/library/debian", "docker.io/library/debian"]),
            (
                &digest,
                vec!["mirror.corp/hub/library/x", "digests.corp:5000/library/x!", "docker.io/library/x"],
            ),
            ("docker.io/evilx/y", vec!["mirror.corp/hub/evilx/y", "docker.io/evilx/y"]),
            ("a.b.corp.example/x/y:1", vec!["inside.example/all/x/y!"]),
            ("a.corp.example:5000/x", vec!["inside.example/all/x!"]),
            ("corp.example/x", vec!["corp.example/x"]),
            ("old.example/team/app", vec!["new.example:8443/old-team/app"]),
            ("old.example/teams/app", vec!["old.example/teams/app"]),
            ("quay.io/x", vec!["quay.io/x"]),
        ] {
            assert_eq!(shown(&all, name).unwrap(), expected, "{name}");
        }
        for name in ["docker.io/evil/x", "docker.io/evil/x/y:1"] {
            assert!(shown(&all, name).unwrap_err().contains("docker.io/evil"), "{name}");
        }
    }

    #[test]
    fn a_later_file_counts() {
        let mut all = configuration(
            "unqualified-search-registries = ['a.example', 'b.example']\n[aliases]\nx = 'q.example/x'\n",
        );
        all.add("[[registry]]\nlocation = 'a.example'\nblocked = true\n").unwrap();
        assert!(shown(&all, "a.example/x").is_err());
        all.add("unqualified-search-registries = ['a.example']\n[[registry]]\nlocation = 'a.example'\n[aliases]\nx = ''\ny = 'z.example/y'\n")
            .unwrap();
        assert_eq!(shown(&all, "a.example/x").unwrap(), ["a.example/x"]);
        assert_eq!(all.full_name("x:1").unwrap(), "a.example/x:1");
        assert_eq!(all.full_name("y:1").unwrap(), "z.example/y:1");
    }

    #[test]
    fn short_names_are_never_guessed() {
        let several = configuration(
            "unqualified-search-registries = ['docker.io', 'quay.io']\n[aliases]\ndebian = 'docker.io/library/debian'\n",
        );
        for (name, expected) in [
            ("debian:12", Some("docker.io/library/debian:12")),
            ("quay.io/x/y", Some("quay.io/x/y")),
            ("localhost/x", Some("localhost/x")),
            ("localhost:5000/x:1", Some("localhost:5000/x:1")),
            ("team/app", None),
            ("app:1", None),
        ] {
            assert_eq!(several.full_name(name).ok().as_deref(), expected, "{name}");
        }
        let error = several.full_name("app:1").unwrap_err().to_string();
        assert!(error.contains("docker.io/app:1") && error.contains("quay.io/app:1"), "{error}");
        assert_eq!(Configuration::default().full_name("app").unwrap(), "app");
        assert_eq!(
            configuration("unqualified-search-registries = ['docker.io']").full_name("app").unwrap(),
            "app"
        );
    }

    #[test]
    fn what_is_half_understood_is_refused() {
        for text in [
            "[registries.search]\nregistries = ['docker.io']\n",
            "[[registry]]\nblocked = true\n",
            "[[registry]]\nlocation = 'https://a.example'\n",
            "[[registry]]\nlocation = 'a.example'\nblocked = 'yes'\n",
            "[[registry]]\nlocation = 'a.example'\n[[registry.mirror]]\nlocation = ''\n",
            "[[registry]]\nlocation = 'a.example'\n[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'often'\n",
            "not toml",
        ] {
            assert!(Configuration::default().add(text).is_err(), "{text}");
        }
    }
}
