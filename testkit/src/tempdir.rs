//! A directory that goes away with its owner.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// How the directories' names begin; the process id of their owner follows.
pub(crate) const NAMED: &str = "brig-test-";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A fresh directory (mode 0711, so that another user can reach what is opened to it), removed on drop.
///
/// A mount left below it stops its removal loudly: a test that forgets one must not take the host's files along.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a directory below `$TMPDIR` or `/tmp`, named `brig-test-<pid>-<number>`.
    ///
    /// # Panics
    /// When the directory cannot be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "making a directory is not a default value")]
    pub fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// Makes a directory below `parent`.
    ///
    /// # Panics
    /// When the directory cannot be made.
    #[must_use]
    pub fn new_in(parent: &Path) -> Self {
        let path = loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{NAMED}{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o711).create(&path) {
                Ok(()) => break path,
                // Left by a killed process that had this one's number.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{path:?}: {error}"),
            }
        };
        // The umask may have taken bits away.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711)).expect("mode of our own directory");
        Self { path }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path below the directory.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl AsRef<Path> for TempDir {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let below = format!("{}/", self.path.display());
        let left =
            mounts.lines().filter_map(|line| line.split(' ').nth(4)).find(|point| point.starts_with(&below));
        let fault = match left {
            Some(point) => Some(format!("a mount was left at {point}")),
            None => remove(&self.path).err().map(|error| error.to_string()),
        };
        if let Some(fault) = fault {
            // A second panic would abort the test process and hide the first one's message.
            assert!(std::thread::panicking(), "{}: {fault}", self.path.display());
        }
    }
}

/// Lets the owner into every directory of a tree, as far as they are the owner's.
fn open_directories(path: &Path) {
    if fs::set_permissions(path, fs::Permissions::from_mode(0o700)).is_err() {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_directories(&entry.path());
        }
    }
}

/// Removes a tree that may hold directories without rights, and files of the caller's subordinate ids, which only their
/// namespace's root can remove.
fn remove(path: &Path) -> std::io::Result<()> {
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    open_directories(path);
    let Err(error) = fs::remove_dir_all(path) else { return Ok(()) };
    let removed =
        Command::new("unshare").args(["--map-root-user", "--map-auto", "rm", "-rf", "--"]).arg(path).status();
    match removed {
        Ok(status) if status.success() => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_away_with_its_contents() {
        let directory = TempDir::new();
        let path = directory.path().to_owned();
        fs::create_dir_all(directory.join("a/b")).unwrap();
        fs::write(directory.join("a/b/c"), "c").unwrap();
        fs::set_permissions(directory.join("a/b"), fs::Permissions::from_mode(0o0)).unwrap();
        drop(directory);
        assert!(!path.exists());
    }
}
