//! `auth.json` of the containers tools (containers-auth.json(5)) and docker's `config.json`, which have one form.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use files::atomic::{self, Durability};
use serde_json::{Map, Value, json};

use super::helper;
use super::{Credentials, Secret};
use crate::error::{Error, Result};

/// Most bytes of such a file.
const MAX_FILE: u64 = 4 << 20;
/// Docker Hub as docker's own file has it.
const DOCKER_HUB: &str = "index.docker.io";

/// Where credentials may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Files, the first that has an entry counts.
    pub files: Vec<PathBuf>,
    /// Directories in which credential helpers are looked for.
    pub programs: Vec<PathBuf>,
}

impl Kept {
    /// Who a person is to a repository: the entry for the longest part of its name, in the first file that has one.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Helper`].
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Credentials>> {
        for path in &self.files {
            let Some(document) = read(path)? else { continue };
            for name in names(registry, repository) {
                if let Some(helper) = text(&document, "credHelpers", &name)
                    && let Some(found) = helper::get(&helper, &name, &self.programs)?
                {
                    return Ok(Some(found));
                }
                if let Some(found) = entry(path, &document, &name)? {
                    return Ok(Some(found));
                }
            }
            if let Some(helper) =
                document.get("credsStore").and_then(Value::as_str).filter(|name| !name.is_empty())
            {
                let host = host_key(registry);
                let server = if host == "docker.io" { format!("https://{DOCKER_HUB}/v1/") } else { host };
                if let Some(found) = helper::get(helper, &server, &self.programs)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }
}

/// Keeps credentials for a registry (or a part of it) in a file, mode 0600; what else is in it stays.
///
/// # Errors
/// [`Error::File`].
pub fn keep(path: &Path, name: &str, credentials: &Credentials) -> Result<()> {
    let mut document = read(path)?.unwrap_or_default();
    let value = match credentials {
        Credentials::Basic { user, password } => {
            json!({ "auth": STANDARD.encode(format!("{user}:{}", password.reveal())) })
        }
        Credentials::Identity(token) => json!({ "identitytoken": token.reveal() }),
        Credentials::Bearer(token) => json!({ "registrytoken": token.reveal() }),
    };
    let auths = document.entry("auths").or_insert_with(|| json!({}));
    let Some(auths) = auths.as_object_mut() else { return Err(bad(path, "`auths` is no object")) };
    auths.retain(|key, _| normal(key) != name);
    auths.insert(name.to_owned(), value);
    write(path, document)
}

/// Forgets the credentials for a name, or all; whether there were any.
///
/// # Errors
/// [`Error::File`].
pub fn forget(path: &Path, name: Option<&str>) -> Result<bool> {
    let Some(mut document) = read(path)? else { return Ok(false) };
    let Some(auths) = document.get_mut("auths").and_then(Value::as_object_mut) else { return Ok(false) };
    let before = auths.len();
    auths.retain(|key, _| name.is_some_and(|name| normal(key) != name));
    if auths.len() == before {
        return Ok(false);
    }
    write(path, document)?;
    Ok(true)
}

fn read(path: &Path) -> Result<Option<Map<String, Value>>> {
    let bytes = files::read_named_file(path, MAX_FILE).map_err(|error| bad(path, &files::chain(&error)))?;
    let Some(bytes) = bytes else { return Ok(None) };
    if bytes.trim_ascii().is_empty() {
        return Ok(Some(Map::new()));
    }
    // Nothing of what is in it is shown: serde names values.
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(document)) => Ok(Some(document)),
        _ => Err(bad(path, "it is no JSON object")),
    }
}

fn write(path: &Path, document: Map<String, Value>) -> Result<()> {
    let failed = |error: files::Error| bad(path, &files::chain(&error));
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(bad(path, "it names no file"));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    builder.create(parent).map_err(|error| bad(path, &error.to_string()))?;
    let directory = files::open_directory(parent).map_err(failed)?;
    let mut bytes =
        serde_json::to_vec_pretty(&Value::Object(document)).map_err(|error| bad(path, &error.to_string()))?;
    bytes.push(b'\n');
    // By rename: a symlink in its place is replaced, not followed.
    atomic::write(std::os::fd::AsFd::as_fd(&directory), name, &bytes, 0o600, Durability::Durable)
        .map_err(failed)
}

/// What is kept for exactly this name.
fn entry(path: &Path, document: &Map<String, Value>, name: &str) -> Result<Option<Credentials>> {
    let Some(auths) = document.get("auths").and_then(Value::as_object) else { return Ok(None) };
    let Some((_, entry)) = auths.iter().find(|(key, _)| normal(key) == name) else { return Ok(None) };
    let field = |field: &str| entry.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = field("identitytoken") {
        return Ok(Some(Credentials::Identity(Secret::new(token))));
    }
    if let Some(token) = field("registrytoken") {
        return Ok(Some(Credentials::Bearer(Secret::new(token))));
    }
    if let Some(packed) = field("auth") {
        let unpacked =
            STANDARD.decode(packed.trim_end()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        // Docker's older versions padded with zeros.
        let unpacked = unpacked.as_deref().map(|text| text.trim_end_matches('\0'));
        let Some((user, password)) = unpacked.and_then(|text| text.split_once(':')) else {
            return Err(bad(path, &format!("what is kept for `{name}` is no user and password")));
        };
        return Ok(Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) }));
    }
    match (field("username"), field("password")) {
        (Some(user), Some(password)) => {
            Ok(Some(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) }))
        }
        _ => Ok(None),
    }
}

fn text(document: &Map<String, Value>, map: &str, name: &str) -> Option<String> {
    let map = document.get(map)?.as_object()?;
    let (_, value) = map.iter().find(|(key, _)| normal(key) == name)?;
    value.as_str().filter(|value| !value.is_empty()).map(str::to_owned)
}

/// The names under which credentials for a repository may be kept, the longest first.
fn names(registry: &str, repository: &str) -> Vec<String> {
    let host = host_key(registry);
    let mut names = vec![format!("{host}/{repository}")];
    let mut rest = repository;
    while let Some((above, _)) = rest.rsplit_once('/') {
        names.push(format!("{host}/{above}"));
        rest = above;
    }
    names.push(host);
    names
}

fn host_key(registry: &str) -> String {
    normal(registry)
}

/// A key without scheme, version and slashes at the end; Docker Hub under one name.
fn normal(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key =
        key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key).trim_end_matches('/');
    match key.split_once('/').unwrap_or((key, "")) {
        (DOCKER_HUB | "registry-1.docker.io", "") => "docker.io".to_owned(),
        (DOCKER_HUB | "registry-1.docker.io", rest) => format!("docker.io/{rest}"),
        _ => key.to_owned(),
    }
}

fn bad(path: &Path, reason: &str) -> Error {
    Error::File { path: path.display().to_string(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn basic(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Basic { user: user.into(), password: Secret::new(password) })
    }

    #[test]
    fn the_longest_name_counts() {
        let directory = testkit::TempDir::new();
        let path = directory.path().join("auth.json");
        let auth = |text: &str| STANDARD.encode(text);
        let document = json!({ "auths": {
            "https://index.docker.io/v1/": { "auth": auth("hub:h") },
            "reg.example": { "auth": auth("host:a:b") },
            "reg.example/team": { "auth": auth("team:t") },
            "reg.example/team/app": { "username": "app", "password": "p" },
            "other.example:5000": { "identitytoken": "tok" },
            "broken.example": { "auth": "!!" },
            "empty.example": {},
        }, "HttpHeaders": { "x": "y" } });
        std::fs::write(&path, document.to_string()).unwrap();
        let kept = Kept { files: vec![directory.path().join("missing"), path.clone()], programs: vec![] };
        for (registry, repository, expected) in [
            ("docker.io", "library/x", basic("hub", "h")),
            ("reg.example", "x", basic("host", "a:b")),
            ("reg.example", "team/x", basic("team", "t")),
            ("reg.example", "team/app", basic("app", "p")),
            ("reg.example", "teams/app", basic("host", "a:b")),
            ("reg.example:443", "x", None),
            ("other.example:5000", "x", Some(Credentials::Identity(Secret::new("tok")))),
            ("empty.example", "x", None),
            ("example", "x", None),
        ] {
            assert_eq!(kept.find(registry, repository).unwrap(), expected, "{registry}/{repository}");
        }
        assert!(matches!(kept.find("broken.example", "x"), Err(Error::File { .. })));
        // What is kept anew leaves the rest as it was.
        keep(&path, "docker.io", &basic("me", "new").unwrap()).unwrap();
        assert_eq!(kept.find("docker.io", "a/b").unwrap(), basic("me", "new"));
        let document = read(&path).unwrap().unwrap();
        assert_eq!(document["HttpHeaders"]["x"], "y");
        assert_eq!(document["auths"].as_object().unwrap().len(), 7);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(forget(&path, Some("docker.io")).unwrap());
        assert!(!forget(&path, Some("docker.io")).unwrap());
        assert!(forget(&path, None).unwrap());
        assert_eq!(kept.find("reg.example", "x").unwrap(), None);
    }

    #[test]
    fn a_file_that_is_none_is_said_and_not_shown() {
        let directory = testkit::TempDir::new();
        let path = directory.path().join("auth.json");
        for text in ["{\"auths\": {\"a\": {\"auth\": \"c2VjcmV0\"", "[]", "\"c2VjcmV0\""] {
            std::fs::write(&path, text).unwrap();
            let kept = Kept { files: vec![path.clone()], programs: vec![] };
            let error = kept.find("a", "b").unwrap_err().to_string();
            assert!(error.contains("auth.json") && !error.contains("c2Vj"), "{error}");
            assert!(keep(&path, "a", &basic("u", "p").unwrap()).is_err());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }
}
