//! Reads a file of an image before anything is mounted, from its layers as overlayfs would show them.
//!
//! Needed because the ids of the process decide the maps, and the maps are needed for the mount. Every name
//! is looked up in every layer by descriptor, no symlink is followed by the kernel, and only a bounded
//! regular file is read: a fifo would hang, a device would do worse (CVE-2024-9676).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, makedev, statat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::weaken::{self, Defence};

/// Most symlinks that one lookup follows.
const MAX_LINKS: usize = 8;
/// Most bytes of a path on the way.
const MAX_PATH: usize = 4096;

/// A directory of the merged view: its layers, top first.
pub(crate) type Merged = Vec<OwnedFd>;

/// What a name means in a merged directory.
pub(crate) enum Found {
    Nothing,
    Directory(Merged),
    Link(Vec<u8>),
    File(OwnedFd),
}

/// Reads a file of the merged view, following symlinks inside it; `None` where there is none or where it
/// cannot be reached by us.
///
/// # Errors
/// [`Error::Image`] for anything but a regular file of at most `limit` bytes.
pub(crate) fn read(layers: &[OwnedFd], path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    let refused = |reason: String| Error::Image { field: "file", value: path.to_owned(), reason };
    match open(layers, path) {
        Ok(Found::File(file)) => {
            let stat = rustix::fs::fstat(&file).map_err(|errno| refused(errno.to_string()))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Err(refused("it is no regular file".into()));
            }
            let limit = if weaken::is_off(Defence::FileLimit) { u64::MAX } else { limit };
            files::read_all(&file, limit).map(Some).map_err(|error| refused(error.to_string()))
        }
        Ok(_) | Err(Errno::ACCESS | Errno::NOTDIR | Errno::NOENT) => Ok(None),
        Err(Errno::LOOP) => Err(refused("it leads through too many symlinks".into())),
        Err(errno) => Err(refused(errno.to_string())),
    }
}

/// Finds a directory below the root of the merged view, following symlinks inside it; `None` where something else or
/// nothing is there, or the root itself.
///
/// # Errors
/// The kernel's, and `ELOOP` for too many symlinks.
pub(crate) fn directory(layers: &[OwnedFd], path: &str) -> rustix::io::Result<Option<Merged>> {
    match open(layers, path) {
        Ok(Found::Directory(merged)) => Ok(Some(merged)),
        Ok(_) | Err(Errno::NOTDIR | Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// What a path leads to; never a link.
fn open(layers: &[OwnedFd], path: &str) -> rustix::io::Result<Found> {
    let root = || layers.iter().map(duplicate).collect::<rustix::io::Result<Merged>>();
    let mut trail = vec![root()?];
    let mut rest: Vec<Vec<u8>> = split(path.as_bytes());
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == b".." {
            // At the root `..` stays there.
            if trail.len() > 1 {
                trail.pop();
            }
            continue;
        }
        let Some(directory) = trail.last() else { return Ok(Found::Nothing) };
        match find(directory, &name)? {
            Found::Nothing => return Ok(Found::Nothing),
            Found::Directory(merged) => trail.push(merged),
            Found::File(file) if rest.is_empty() => return Ok(Found::File(file)),
            Found::File(_) => return Ok(Found::Nothing),
            Found::Link(target) => {
                links += 1;
                if links > MAX_LINKS || target.len() > MAX_PATH {
                    return Err(Errno::LOOP);
                }
                if target.starts_with(b"/") {
                    trail.truncate(1);
                }
                rest.extend(split(&target));
            }
        }
    }
    Ok(match trail.pop() {
        Some(found) if !trail.is_empty() => Found::Directory(found),
        // The root, whose layers cannot be read by the descriptors that were given.
        _ => Found::Nothing,
    })
}

/// The components of a path, last first, without empty ones and `.`.
fn split(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}

fn duplicate(fd: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3)
}

/// What a name means in a merged directory; symlinks are not followed.
pub(crate) fn find(directory: &Merged, name: &[u8]) -> rustix::io::Result<Found> {
    let mut merged = Merged::new();
    for layer in directory {
        let stat = match statat(layer, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found = rustix::fs::openat(layer, name, flags, Mode::empty())?;
            let opaque = is_opaque(found.as_fd());
            merged.push(found);
            if opaque {
                break;
            }
            continue;
        }
        if !merged.is_empty() || (kind == FileType::CharacterDevice && stat.st_rdev == makedev(0, 0)) {
            // Something else below a directory is hidden by it; a 0:0 device hides what is below it.
            break;
        }
        return match kind {
            FileType::Symlink => {
                Ok(Found::Link(rustix::fs::readlinkat(layer, name, Vec::new())?.into_bytes()))
            }
            FileType::RegularFile => {
                let flags =
                    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                Ok(Found::File(rustix::fs::openat(layer, name, flags, Mode::empty())?))
            }
            _ => {
                // Opened without any effect, so that the caller sees what it is.
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                Ok(Found::File(rustix::fs::openat(layer, name, flags, Mode::empty())?))
            }
        };
    }
    Ok(if merged.is_empty() { Found::Nothing } else { Found::Directory(merged) })
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0_u8; 4];
    ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|name| {
        rustix::fs::fgetxattr(directory, *name, &mut value[..]).is_ok_and(|length| value[..length] == *b"y")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// Layers below a temporary directory, top first.
    fn layers(base: &Path, names: &[&str]) -> Vec<OwnedFd> {
        names.iter().map(|name| files::open_directory(base.join(name)).unwrap()).collect()
    }

    fn put(base: &Path, path: &str, content: &str) {
        let path = base.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn text(layers: &[OwnedFd], path: &str) -> Option<String> {
        read(layers, path, 100).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_top_layer_wins_and_directories_merge() {
        let base = testkit::TempDir::new();
        let base = base.path();
        put(base, "low/etc/passwd", "low");
        put(base, "low/etc/group", "group");
        put(base, "top/etc/passwd", "top");
        let layers = layers(base, &["top", "low"]);
        assert_eq!(text(&layers, "/etc/passwd").as_deref(), Some("top"));
        assert_eq!(text(&layers, "/etc/group").as_deref(), Some("group"));
        assert_eq!(text(&layers, "/etc/shadow"), None);
        assert_eq!(text(&layers, "/etc"), None);
    }

    #[test]
    fn links_stay_inside_and_are_counted() {
        let base = testkit::TempDir::new();
        let base = base.path();
        put(base, "outside", "secret");
        put(base, "low/real/passwd", "inside");
        std::fs::create_dir_all(base.join("top/etc")).unwrap();
        symlink("../../../../real/passwd", base.join("top/etc/passwd")).unwrap();
        symlink(base.join("outside"), base.join("top/etc/group")).unwrap();
        symlink("loop", base.join("top/etc/loop")).unwrap();
        let layers = layers(base, &["top", "low"]);
        assert_eq!(text(&layers, "/etc/passwd").as_deref(), Some("inside"));
        assert_eq!(text(&layers, "/etc/group"), None);
        assert!(read(&layers, "/etc/loop", 100).is_err());
    }

    #[test]
    fn cve_2024_9676_a_fifo_neither_hangs_nor_counts() {
        let base = testkit::TempDir::new();
        let base = base.path();
        std::fs::create_dir_all(base.join("top/etc")).unwrap();
        let etc = files::open_directory(base.join("top/etc")).unwrap();
        rustix::fs::mknodat(&etc, "passwd", FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(read(&layers(base, &["top"]), "/etc/passwd", 100).is_err());
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let base = testkit::TempDir::new();
        put(base.path(), "top/etc/passwd", &"x".repeat(101));
        assert!(read(&layers(base.path(), &["top"]), "/etc/passwd", 100).is_err());
    }

    #[test]
    fn a_file_hides_a_directory_below() {
        let base = testkit::TempDir::new();
        put(base.path(), "low/etc/passwd", "x");
        put(base.path(), "top/etc", "a file");
        assert_eq!(text(&layers(base.path(), &["top", "low"]), "/etc/passwd"), None);
    }
}
