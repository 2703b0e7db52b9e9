//! Archives byte by byte, and a directory tree whose every change is seen.

mod tar;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use testkit::TempDir;

pub(crate) use tar::{Header, Tar, record};

/// A root to unpack into, and beside it what must not change.
pub(crate) struct Place {
    directory: TempDir,
    before: BTreeMap<PathBuf, Seen>,
}

/// All that can change on an object, but its access time.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    changed: (i64, i64),
    content: Vec<u8>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new();
        for name in ["root", "outside", "outside/directory"] {
            fs::create_dir(directory.join(name)).unwrap();
        }
        fs::write(directory.join("outside/file"), "canary").unwrap();
        fs::set_permissions(directory.join("outside/file"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(directory.join("outside/directory"), fs::Permissions::from_mode(0o710)).unwrap();
        std::os::unix::fs::symlink("file", directory.join("outside/link")).unwrap();
        let before = look(directory.path());
        Self { directory, before }
    }

    pub(crate) fn root(&self) -> OwnedFd {
        files::open_directory(self.inside("")).unwrap()
    }

    pub(crate) fn inside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.join("root").join(path)
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.directory.join("outside")
    }

    /// What changed outside of the root.
    pub(crate) fn damage(&self) -> Option<String> {
        let after = look(self.directory.path());
        (after != self.before).then(|| format!("before {:#?}\nafter {after:#?}", self.before))
    }
}

fn look(top: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    let mut todo = vec![top.join("outside"), top.to_owned()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() && path != top {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let content = if meta.is_file() {
            fs::read(&path).unwrap()
        } else if path == top {
            let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            format!("{names:?}").into_bytes()
        } else {
            Vec::new()
        };
        let seen_now = Seen {
            inode: meta.ino(),
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            links: meta.nlink(),
            changed: (meta.ctime(), meta.ctime_nsec()),
            content,
        };
        seen.insert(path, seen_now);
    }
    seen
}
