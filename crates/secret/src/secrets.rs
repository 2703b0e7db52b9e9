//! The secrets of one store.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use files::atomic::{self, Durability};
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::name::Name;
use crate::seal::{KEY, Value, open, random, seal};

/// Most bytes of a value, docker's limit.
pub const MAX_VALUE: usize = 512_000;
/// Most bytes of a secret's file: the value in hexadecimal, and labels.
const MAX_FILE: u64 = 4 << 20;
/// The key's file: no secret is named so.
const KEY_FILE: &str = ".key";
/// Digits of an id, as docker and podman have them.
const ID: usize = 25;

/// What may be known about a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Time of creation, RFC 3339.
    pub created_at: String,
    /// Time of the last change.
    pub updated_at: String,
    /// The person's labels.
    pub labels: BTreeMap<String, String>,
}

/// A secret's file.
#[derive(Serialize, Deserialize)]
struct Stored {
    meta: Meta,
    /// In hexadecimal.
    sealed: String,
}

/// The secrets of one store.
#[derive(Debug)]
pub struct Secrets {
    directory: OwnedFd,
}

impl Secrets {
    /// Opens the secrets of the store with this root; their directory is made if it is missing.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn open(store: BorrowedFd<'_>) -> Result<Self> {
        match rustix::fs::mkdirat(store, "secrets", Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::system("make the directory of")(errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(store, "secrets", flags, Mode::empty())
            .map_err(Error::system("open the directory of"))?;
        Ok(Self { directory })
    }

    /// Keeps a value under a name, sealed. `replace` lets it take the place of another, whose id it gets.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Length`], [`Error::Key`], [`Error::Files`].
    pub fn create(
        &self,
        name: &Name,
        value: &Value,
        labels: BTreeMap<String, String>,
        now: &str,
        replace: bool,
    ) -> Result<Meta> {
        let length = value.as_bytes().len();
        if length == 0 || length > MAX_VALUE {
            return Err(Error::Length { length, limit: MAX_VALUE });
        }
        let before = match self.read(name.as_str()) {
            Ok(_) if !replace => return Err(Error::Exists(name.to_string())),
            Ok(stored) => Some(stored.meta),
            Err(error) if error.is_missing() => None,
            // What cannot be read is replaced.
            Err(Error::Damaged(_)) if replace => None,
            Err(error) => return Err(error),
        };
        let (id, created_at) = match before {
            Some(meta) => (meta.id, meta.created_at),
            None => (new_id()?, now.to_owned()),
        };
        let meta = Meta { id, name: name.to_string(), created_at, updated_at: now.to_owned(), labels };
        let sealed = seal(&self.make_key()?, &belongs_to(&meta), value.as_bytes())
            .map_err(Error::system("seal one of"))?;
        let stored = Stored { meta, sealed: to_hex(&sealed) };
        let bytes = serde_json::to_vec(&stored).expect("strings and maps with string keys");
        let write = if replace { atomic::write } else { atomic::write_new };
        match write(self.directory.as_fd(), name.as_str(), &bytes, 0o600, Durability::Durable) {
            Err(error) if error.errno() == Some(Errno::EXIST) => Err(Error::Exists(name.to_string())),
            other => other.map_err(Error::from).map(|()| stored.meta),
        }
    }

    /// Finds a secret by its name, its id or the unambiguous start of its id.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Damaged`], [`Error::System`].
    pub fn find(&self, text: &str) -> Result<Meta> {
        if Name::new(text).is_ok() {
            match self.read(text) {
                Err(error) if error.is_missing() => {}
                other => return other.map(|stored| stored.meta),
            }
        }
        let missing = || Error::Missing(text.to_owned());
        let mut found = self.list()?.into_iter().filter(|meta| !text.is_empty() && meta.id.starts_with(text));
        match (found.next(), found.next()) {
            (Some(meta), None) => Ok(meta),
            _ => Err(missing()),
        }
    }

    /// All secrets, by name.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::System`].
    pub fn list(&self) -> Result<Vec<Meta>> {
        let mut list = Vec::new();
        for name in self.names()? {
            match self.read(name.as_str()) {
                // Removed meanwhile.
                Err(error) if error.is_missing() => {}
                other => list.push(other?.meta),
            }
        }
        Ok(list)
    }

    /// The secrets that cannot be opened, with the reason, by name.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn check(&self) -> Result<Vec<(String, Error)>> {
        let mut found = Vec::new();
        for name in self.names()? {
            match self.value(name.as_str()) {
                Ok(_) => {}
                // Removed meanwhile.
                Err(error) if error.is_missing() => {}
                Err(error) => found.push((name.to_string(), error)),
            }
        }
        Ok(found)
    }

    fn names(&self) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.directory).map_err(Error::system("list"))? {
            let entry = entry.map_err(Error::system("list"))?;
            names.extend(entry.file_name().to_str().ok().and_then(|name| Name::new(name).ok()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Opens a secret's value.
    ///
    /// # Errors
    /// [`Error::Sealed`] where the key is not the one it was sealed with, and as [`Self::find`].
    pub fn value(&self, name: &str) -> Result<Value> {
        let meta = self.find(name)?;
        let stored = self.read(&meta.name)?;
        let sealed = from_hex(&stored.sealed).ok_or_else(|| Error::Damaged(name.to_owned()))?;
        let key = self.key()?.ok_or(Error::Key("is missing"))?;
        open(&key, &belongs_to(&stored.meta), &sealed)
            .map(Value::new)
            .ok_or_else(|| Error::Sealed(name.to_owned()))
    }

    /// Removes a secret. A container that has it mounted keeps it until its end.
    ///
    /// # Errors
    /// As [`Self::find`], [`Error::Files`].
    pub fn remove(&self, text: &str) -> Result<Meta> {
        let meta = self.find(text)?;
        match atomic::remove(self.directory.as_fd(), &meta.name, Durability::Durable)? {
            true => Ok(meta),
            false => Err(Error::Missing(text.to_owned())),
        }
    }

    fn read(&self, name: &str) -> Result<Stored> {
        let bytes = files::root::read_bounded(&self.directory, name, MAX_FILE)?
            .ok_or_else(|| Error::Missing(name.to_owned()))?;
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|_| Error::Damaged(name.to_owned()))?;
        if stored.meta.name == name { Ok(stored) } else { Err(Error::Damaged(name.to_owned())) }
    }

    fn key(&self) -> Result<Option<[u8; KEY]>> {
        let Some(bytes) = files::root::read_bounded(&self.directory, KEY_FILE, KEY as u64)? else {
            return Ok(None);
        };
        bytes.try_into().map(Some).map_err(|_| Error::Key("is not 32 bytes long"))
    }

    /// The key; of many who make the first secret, one makes it.
    fn make_key(&self) -> Result<[u8; KEY]> {
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let key: [u8; KEY] = random().map_err(Error::system("make a key for"))?;
        match atomic::write_new(self.directory.as_fd(), KEY_FILE, &key, 0o600, Durability::Durable) {
            Err(error) if error.errno() == Some(Errno::EXIST) => self.key()?.ok_or(Error::Key("is missing")),
            other => other.map_err(Error::from).map(|()| key),
        }
    }
}

/// What is sealed with the value, so that it cannot be given out as another secret's.
fn belongs_to(meta: &Meta) -> Vec<u8> {
    format!("brig-secret-1\0{}\0{}", meta.name, meta.id).into_bytes()
}

fn new_id() -> Result<String> {
    let bytes: [u8; 16] = random().map_err(Error::system("name one of"))?;
    let mut id = to_hex(&bytes);
    id.truncate(ID);
    Ok(id)
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn create(secrets: &Secrets, name: &str, value: &[u8], replace: bool) -> Result<Meta> {
        let value = Value::new(value.to_vec());
        secrets.create(&Name::new(name).unwrap(), &value, BTreeMap::new(), "now", replace)
    }

    #[test]
    fn a_secret_is_kept_sealed() {
        let base = testkit::TempDir::new();
        let secrets = Secrets::open(files::open_directory(base.path()).unwrap().as_fd()).unwrap();
        let meta = create(&secrets, "one", b"hunter2", false).unwrap();
        assert_eq!(meta.id.len(), ID);
        assert_eq!(secrets.value("one").unwrap().as_bytes(), b"hunter2");
        assert_eq!(secrets.value(&meta.id[..6]).unwrap().as_bytes(), b"hunter2");
        let file = fs::read_to_string(base.path().join("secrets/one")).unwrap();
        assert!(!file.contains("hunter2") && !file.contains(&to_hex(b"hunter2")), "{file}");
        let mode =
            |name: &str| fs::metadata(base.path().join("secrets").join(name)).unwrap().permissions().mode();
        assert_eq!((mode("one") & 0o777, mode(".key") & 0o777), (0o600, 0o600));

        assert!(matches!(create(&secrets, "one", b"x", false), Err(Error::Exists(_))));
        let replaced = create(&secrets, "one", b"new", true).unwrap();
        assert_eq!((replaced.id, secrets.value("one").unwrap().as_bytes()), (meta.id, &b"new"[..]));
        // One secret's file in another's place.
        create(&secrets, "two", b"other", false).unwrap();
        let moved = fs::read_to_string(base.path().join("secrets/two")).unwrap().replace("two", "one");
        fs::write(base.path().join("secrets/one"), moved).unwrap();
        assert!(matches!(secrets.value("one"), Err(Error::Sealed(_))));
        // Another key.
        fs::write(base.path().join("secrets/.key"), [0; KEY]).unwrap();
        assert!(matches!(secrets.value("two"), Err(Error::Sealed(_))));
        secrets.remove("two").unwrap();
        assert!(secrets.value("two").unwrap_err().is_missing());
    }

    #[test]
    fn what_is_refused() {
        let base = testkit::TempDir::new();
        let secrets = Secrets::open(files::open_directory(base.path()).unwrap().as_fd()).unwrap();
        for value in [&[][..], &vec![0; MAX_VALUE + 1]] {
            assert!(matches!(create(&secrets, "a", value, false), Err(Error::Length { .. })));
        }
        create(&secrets, "a", &vec![255; MAX_VALUE], false).unwrap();
        for name in ["", ".key", "../x", "a/b", "a\n", &"a".repeat(254)] {
            assert!(Name::new(name).is_err(), "{name}");
            assert!(secrets.find(name).is_err(), "{name}");
        }
        fs::write(base.path().join("secrets/bad"), "{}").unwrap();
        assert!(matches!(secrets.find("bad"), Err(Error::Damaged(_))));
    }
}
