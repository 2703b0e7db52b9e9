//! `certs.d` (containers-certs.d(5), docker's "Verify repository client with certificates").

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use fetch::{Identity, Trust};
use oci::reference::DEFAULT_REGISTRY;

use crate::error::{Error, Result};

/// Most bytes of a file.
const MAX_FILE: u64 = 1 << 20;
/// Most files of a directory that are looked at.
const MAX_FILES: usize = 64;

/// Whom connections to a registry trust, and as whom they speak: what lies in `<directory>/<registry>/` of the first of the
/// directories that has one, and the host's roots.
///
/// # Errors
/// [`Error::File`], also for a certificate without its key.
pub fn trust(directories: &[PathBuf], registry: &str) -> Result<Trust> {
    let host = if registry == DEFAULT_REGISTRY { "docker.io" } else { registry };
    // The grammar of registries has none of these; a directory of this name is nobody's.
    if host.contains('/') || host.starts_with('.') {
        return Ok(Trust::default());
    }
    for directory in directories {
        if let Some(trust) = read(&directory.join(host))? {
            return Ok(trust);
        }
    }
    Ok(Trust::default())
}

/// The same of one directory, whatever its name.
///
/// # Errors
/// As [`trust`]; [`Error::File`] where it is missing.
pub fn trust_of(directory: &Path) -> Result<Trust> {
    read(directory)?.ok_or_else(|| bad(directory, "there is no such directory"))
}

fn read(directory: &Path) -> Result<Option<Trust>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(bad(directory, &error.to_string())),
    };
    let mut names: Vec<OsString> = Vec::new();
    for entry in entries {
        if names.len() == MAX_FILES {
            return Err(bad(directory, "it has more than 64 files"));
        }
        names.push(entry.map_err(|error| bad(directory, &error.to_string()))?.file_name());
    }
    names.sort();
    let mut trust = Trust::default();
    let mut keys: Vec<PathBuf> = Vec::new();
    let mut certificates: Vec<PathBuf> = Vec::new();
    for path in names.iter().map(|name| directory.join(name)) {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => trust.roots.more.push((path.display().to_string(), content(&path)?)),
            Some("cert") => certificates.push(path),
            Some("key") => keys.push(path),
            _ => {}
        }
    }
    for path in &certificates {
        let key = path.with_extension("key");
        if !keys.contains(&key) {
            return Err(bad(path, &format!("its key `{}` is missing", key.display())));
        }
        if trust.identity.is_none() {
            let (certificates, key) = (content(path)?, content(&key)?);
            trust.identity = Some(Identity { path: path.display().to_string(), certificates, key });
        }
    }
    match keys.iter().find(|key| !certificates.contains(&key.with_extension("cert"))) {
        Some(key) => Err(bad(key, "the certificate of this key (`.cert`) is missing")),
        None => Ok(Some(trust)),
    }
}

fn content(path: &Path) -> Result<Vec<u8>> {
    files::read_named_file(path, MAX_FILE)
        .map_err(|error| bad(path, &files::chain(&error)))?
        .ok_or_else(|| bad(path, "it is gone"))
}

fn bad(path: &Path, reason: &str) -> Error {
    Error::File { path: path.display().to_string(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_of_a_registry_counts() {
        let directory = testkit::TempDir::new();
        let (first, second) = (directory.path().join("a"), directory.path().join("b"));
        let put = |base: &Path, host: &str, names: &[&str]| {
            let path = base.join(host);
            std::fs::create_dir_all(&path).unwrap();
            for name in names {
                std::fs::write(path.join(name), *name).unwrap();
            }
        };
        put(&first, "reg.example:5000", &["ca.crt", "b.crt", "client.cert", "client.key", "README"]);
        put(&second, "reg.example:5000", &["other.crt"]);
        put(&second, "other.example", &["other.crt"]);
        put(&first, "half.example", &["client.cert"]);
        put(&second, "half2.example", &["client.key"]);
        let directories = [first, second];
        let found = trust(&directories, "reg.example:5000").unwrap();
        let names: Vec<&[u8]> = found.roots.more.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        assert_eq!(names, [b"b.crt", b"ca.crt".as_slice()]);
        assert_eq!(found.identity.unwrap().key, b"client.key");
        assert_eq!(trust(&directories, "other.example").unwrap().roots.more.len(), 1);
        assert_eq!(trust(&directories, "none.example").unwrap(), Trust::default());
        for host in ["half.example", "half2.example"] {
            assert!(trust(&directories, host).unwrap_err().to_string().contains("missing"), "{host}");
        }
    }
}
