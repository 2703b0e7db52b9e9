//! Open, make and read below a hostile root directory.
//!
//! Every path is resolved by the kernel in one `openat2(2)` with `RESOLVE_IN_ROOT` and
//! `RESOLVE_NO_MAGICLINKS`: an absolute path, an absolute symlink and `..` all stay below the root, and a
//! component swapped meanwhile cannot lead out (CVE-2018-15664, CVE-2021-30465, CVE-2026-41579). What is
//! missing is made one component at a time from the directory descriptor above it, never by a path
//! string (CVE-2024-45310, CVE-2026-55686).
//!
//! Modes given here are cut by the process's umask: a caller that means them clears it.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::descriptor::read_named;
use crate::{Error, MAX_PATH, Result};

/// How often a resolution that the kernel or a neighbour interrupted is begun again.
///
/// The kernel answers `EAGAIN` when a rename ran beside a `..`; honest neighbours do not do that often.
const ATTEMPTS: usize = 64;

/// How many symlinks one path may lead through, as in the kernel (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Opens `path` below `root`, following symlinks inside `root` only.
///
/// A leading `/` means `root`. `O_CLOEXEC` is added. This never creates: `O_CREAT` is refused.
///
/// # Errors
/// [`Error::System`], [`Error::Raced`].
pub fn open(root: impl AsFd, path: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd> {
    resolve(root.as_fd(), path.as_ref(), flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// As [`open`], but a symlink anywhere in `path` is `ELOOP`.
///
/// # Errors
/// [`Error::System`], [`Error::Raced`].
pub fn open_no_symlinks(root: impl AsFd, path: impl AsRef<Path>, flags: OFlags) -> Result<OwnedFd> {
    let resolve_flags = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    resolve(root.as_fd(), path.as_ref(), flags, resolve_flags)
}

/// Makes the directory `path` below `root` with all its parents, and returns it as an `O_PATH` descriptor.
///
/// Existing symlinks are followed inside `root`, also dangling ones: what they name is made inside `root`.
///
/// # Errors
/// [`Error::WrongType`] when something on the way is not a directory, [`Error::System`], [`Error::Raced`].
pub fn make_dirs(root: impl AsFd, path: impl AsRef<Path>, mode: u32) -> Result<OwnedFd> {
    let (root, path) = (root.as_fd(), path.as_ref());
    match open(root, path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(error) if error.is_missing() && !path.as_os_str().is_empty() => {
            make(root, path, Last::Directory, mode)
        }
        Err(error) if error.errno() == Some(Errno::NOTDIR) => Err(wrong_type(path, A_DIRECTORY, A_FILE)),
        other => other,
    }
}

/// Makes the empty file `path` below `root` with all its parents (mode 0755), or opens what is there.
///
/// The descriptor serves as the target of a bind mount. What is there already is opened with `O_PATH`,
/// so that neither a device nor a FIFO is touched. A dangling symlink is followed inside `root`.
///
/// # Errors
/// [`Error::WrongType`] when `path` is a directory, [`Error::System`], [`Error::Raced`].
pub fn make_file(root: impl AsFd, path: impl AsRef<Path>, mode: u32) -> Result<OwnedFd> {
    let (root, path) = (root.as_fd(), path.as_ref());
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(Error::BadPath { path: path.to_owned(), reason: "ends with a slash, but names a file" });
    }
    match open(root, path, OFlags::PATH) {
        Ok(found) if file_type(&found, path)? == FileType::Directory => {
            Err(wrong_type(path, A_FILE, A_DIRECTORY))
        }
        Err(error) if error.is_missing() && !path.as_os_str().is_empty() => {
            make(root, path, Last::File, mode)
        }
        other => other,
    }
}

/// Reads the regular file `path` below `root`, `None` when it is missing.
///
/// The type is checked before the file is opened for reading, so that a FIFO cannot hang us and a device
/// is not touched (CVE-2024-9676), and again after.
///
/// # Errors
/// [`Error::WrongType`] for anything but a regular file, [`Error::TooLong`] when it holds more than
/// `limit` bytes (CVE-2026-47262), [`Error::System`], [`Error::Raced`].
pub fn read_bounded(root: impl AsFd, path: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>> {
    let (root, path) = (root.as_fd(), path.as_ref());
    let missing = |error: Error| if error.is_missing() { Ok(None) } else { Err(error) };
    let seen = match open(root, path, OFlags::PATH) {
        Ok(seen) => seen,
        Err(error) => return missing(error),
    };
    require_regular(&seen, path)?;
    crate::pause::at("read-bounded.before-open");
    let file = match open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
        Ok(file) => file,
        Err(error) => return missing(error),
    };
    read_regular(&file, path, limit).map(Some)
}

pub(crate) fn read_regular(file: &OwnedFd, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let size = require_regular(file, path)?;
    if size > limit {
        return Err(Error::TooLong { path: path.to_owned(), limit });
    }
    read_named(file, path, limit, Some(size))
}

const A_DIRECTORY: &str = "a directory";
const A_FILE: &str = "a file";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Directory,
    File,
}

fn resolve(root: BorrowedFd<'_>, path: &Path, flags: OFlags, how: ResolveFlags) -> Result<OwnedFd> {
    if flags.intersects(OFlags::CREATE | OFlags::TMPFILE.difference(OFlags::DIRECTORY)) {
        return Err(Error::system("open", path, Errno::INVAL));
    }
    for _ in 0..ATTEMPTS {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other.map_err(|errno| Error::system("open", path, errno)),
        }
    }
    Err(Error::Raced { path: path.to_owned() })
}

/// Walks `path` from `root` by descriptors and makes what is missing.
///
/// The stack of parents makes `..` stay inside: it can only return to a directory that was walked through.
fn make(root: BorrowedFd<'_>, path: &Path, last: Last, mode: u32) -> Result<OwnedFd> {
    let mut parents = vec![resolve(root, Path::new("."), OFlags::PATH | OFlags::DIRECTORY, BELOW)?];
    let mut todo = Vec::new();
    push_components(&mut todo, path.as_os_str().as_bytes());
    let mut links = 0;

    while let Some(name) = todo.pop() {
        if name == ".." {
            if parents.len() > 1 {
                parents.pop();
            }
            continue;
        }
        let here = parents.last().map_or(root, AsFd::as_fd);
        let wanted = if todo.is_empty() { last } else { Last::Directory };
        // A file's own mode would not let its owner into the directories above it.
        let mode = if todo.is_empty() || matches!(last, Last::Directory) { mode } else { 0o755 };
        match enter(here, &name, wanted, mode, path)? {
            Step::Directory(directory) => parents.push(directory),
            Step::File(file) => return Ok(file),
            Step::Symlink(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::system("open", path, Errno::LOOP));
                }
                if target.starts_with(b"/") {
                    parents.truncate(1);
                }
                push_components(&mut todo, &target);
                if todo.iter().map(|name| name.len() + 1).sum::<usize>() > MAX_PATH {
                    return Err(Error::system("open", path, Errno::NAMETOOLONG));
                }
            }
        }
    }
    match last {
        Last::Directory => parents.pop().ok_or_else(|| Error::system("open", path, Errno::NOENT)),
        Last::File => Err(wrong_type(path, A_FILE, A_DIRECTORY)),
    }
}

/// One name is resolved in the directory it is in, and nowhere else.
const BELOW: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

enum Step {
    Directory(OwnedFd),
    File(OwnedFd),
    Symlink(Vec<u8>),
}

fn enter(here: BorrowedFd<'_>, name: &OsStr, wanted: Last, mode: u32, path: &Path) -> Result<Step> {
    let mode = Mode::from_raw_mode(mode & 0o7777);
    for _ in 0..ATTEMPTS {
        match resolve(here, Path::new(name), OFlags::PATH | OFlags::NOFOLLOW, BELOW) {
            Ok(found) => match (file_type(&found, path)?, wanted) {
                (FileType::Directory, _) => return Ok(Step::Directory(found)),
                (FileType::Symlink, _) => {
                    let target = rustix::fs::readlinkat(&found, "", Vec::new())
                        .map_err(|errno| Error::system("readlink", path, errno))?;
                    return Ok(Step::Symlink(target.into_bytes()));
                }
                (_, Last::File) => return Ok(Step::File(found)),
                (_, Last::Directory) => return Err(wrong_type(path, A_DIRECTORY, A_FILE)),
            },
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
        crate::pause::at("make.before-create");
        let made = match wanted {
            Last::Directory => {
                let directory_mode = if mode.is_empty() { Mode::from_raw_mode(0o755) } else { mode };
                rustix::fs::mkdirat(here, name, directory_mode)
            }
            Last::File => {
                let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                match rustix::fs::openat(here, name, flags | OFlags::CLOEXEC, mode) {
                    Ok(file) => return Ok(Step::File(file)),
                    Err(errno) => Err(errno),
                }
            }
        };
        match made {
            // Made by us or by a neighbour: either way it is opened and looked at again.
            Ok(()) | Err(Errno::EXIST | Errno::INTR) => {}
            Err(errno) => return Err(Error::system("make", path, errno)),
        }
    }
    Err(Error::Raced { path: path.to_owned() })
}

fn push_components(todo: &mut Vec<OsString>, path: &[u8]) {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    todo.extend(names.rev().map(|name| OsString::from_vec(name.to_vec())));
}

fn file_type(file: &OwnedFd, path: &Path) -> Result<FileType> {
    let stat = rustix::fs::fstat(file).map_err(|errno| Error::system("stat", path, errno))?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn require_regular(file: &OwnedFd, path: &Path) -> Result<u64> {
    let stat = rustix::fs::fstat(file).map_err(|errno| Error::system("stat", path, errno))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
        FileType::Directory => Err(wrong_type(path, "a regular file", A_DIRECTORY)),
        FileType::Fifo => Err(wrong_type(path, "a regular file", "a FIFO")),
        FileType::Socket => Err(wrong_type(path, "a regular file", "a socket")),
        FileType::CharacterDevice | FileType::BlockDevice => {
            Err(wrong_type(path, "a regular file", "a device"))
        }
        _ => Err(wrong_type(path, "a regular file", "something else")),
    }
}

fn wrong_type(path: &Path, wanted: &'static str, found: &'static str) -> Error {
    Error::WrongType { path: path.to_owned(), wanted, found }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::RenameFlags;
    use testkit::TempDir;

    use super::*;

    /// A root and, beside it, the outside that must not change.
    struct Tree {
        directory: TempDir,
        root: OwnedFd,
    }

    impl Tree {
        fn new() -> Self {
            let directory = TempDir::new();
            for name in ["root", "outside"] {
                fs::create_dir(directory.path().join(name)).unwrap();
            }
            fs::write(directory.path().join("outside/secret"), "outside").unwrap();
            let root = crate::open_directory(directory.path().join("root")).unwrap();
            Self { directory, root }
        }

        fn inside(&self, name: &str) -> std::path::PathBuf {
            self.directory.path().join("root").join(name)
        }

        fn outside(&self) -> std::path::PathBuf {
            self.directory.path().join("outside")
        }

        fn assert_outside_untouched(&self) {
            let names: Vec<_> =
                fs::read_dir(self.outside()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, ["secret"]);
            assert_eq!(fs::read(self.outside().join("secret")).unwrap(), b"outside");
        }
    }

    #[test]
    fn symlinks_stay_inside() {
        let tree = Tree::new();
        let outside = tree.outside();
        symlink(&outside, tree.inside("absolute")).unwrap();
        symlink("../outside", tree.inside("climbing")).unwrap();
        symlink("../../../../../../etc", tree.inside("host")).unwrap();
        fs::create_dir(tree.inside("real")).unwrap();
        fs::write(tree.inside("real/file"), "inside").unwrap();
        symlink("/real", tree.inside("link")).unwrap();

        for path in ["absolute/secret", "climbing/secret", "../outside/secret", "host/passwd", "/etc/passwd"]
        {
            let error = open(&tree.root, path, OFlags::RDONLY).unwrap_err();
            assert!(error.is_missing(), "{path}: {error}");
            assert_eq!(read_bounded(&tree.root, path, 100).unwrap(), None, "{path}");
        }
        assert_eq!(read_bounded(&tree.root, "/link/file", 100).unwrap().unwrap(), b"inside");
        assert_eq!(read_bounded(&tree.root, "../../link/../real/file", 6).unwrap().unwrap(), b"inside");
        let error = open_no_symlinks(&tree.root, "link/file", OFlags::RDONLY).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::LOOP));
        open_no_symlinks(&tree.root, "real/file", OFlags::RDONLY).unwrap();
    }

    #[test]
    fn magic_links_and_creation_are_refused() {
        let proc = crate::open_directory("/proc").unwrap();
        let file = fs::File::open("/").unwrap();
        use std::os::fd::AsRawFd;
        let path = format!("self/fd/{}", file.as_raw_fd());
        assert_eq!(open(&proc, &path, OFlags::PATH).unwrap_err().errno(), Some(Errno::LOOP));

        let tree = Tree::new();
        let error = open(&tree.root, "new", OFlags::WRONLY | OFlags::CREATE).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::INVAL));
        assert_eq!(
            open(&tree.root, ".", OFlags::WRONLY | OFlags::TMPFILE).unwrap_err().errno(),
            Some(Errno::INVAL)
        );
    }

    #[test]
    fn makes_directories_inside_only() {
        #[track_caller]
        fn check(link: Option<(&str, &str)>, path: &str, made: Option<&str>) {
            let tree = Tree::new();
            fs::write(tree.inside("file"), "").unwrap();
            if let Some((name, target)) = link {
                symlink(target, tree.inside(name)).unwrap();
            }
            let result = make_dirs(&tree.root, path, 0o755);
            match made {
                Some(made) => {
                    let stat = rustix::fs::fstat(result.unwrap()).unwrap();
                    use std::os::unix::fs::MetadataExt;
                    let found = fs::symlink_metadata(tree.inside(made)).unwrap();
                    assert!(found.is_dir());
                    assert_eq!(stat.st_ino, found.ino());
                }
                None => {
                    result.unwrap_err();
                }
            }
            tree.assert_outside_untouched();
        }
        check(None, "a", Some("a"));
        check(None, "/a/b/c", Some("a/b/c"));
        check(None, "/", Some("."));
        check(None, "a/./b//c/", Some("a/b/c"));
        check(None, "a/../b", Some("b"));
        check(None, "../../b/..", Some("."));
        check(None, "", None);
        check(None, "file", None);
        check(None, "file/a", None);
        check(Some(("l", "/x/y")), "l/z", Some("x/y/z"));
        check(Some(("l", "x/../../../y")), "l/z", Some("y/z"));
        check(Some(("l", "../outside")), "l/z", Some("outside/z"));
        check(Some(("l", "l")), "l/z", None);
        check(Some(("l", "file")), "l/z", None);
    }

    #[test]
    fn makes_files_inside_only() {
        let tree = Tree::new();
        fs::create_dir(tree.inside("etc")).unwrap();
        symlink("../run/systemd/resolve/stub-resolv.conf", tree.inside("etc/resolv.conf")).unwrap();
        symlink(tree.outside().join("secret"), tree.inside("etc/hosts")).unwrap();
        symlink("/dev/null/x", tree.inside("etc/bad")).unwrap();

        make_file(&tree.root, "/etc/resolv.conf", 0o644).unwrap();
        assert!(tree.inside("run/systemd/resolve/stub-resolv.conf").is_file());
        make_file(&tree.root, "/etc/resolv.conf", 0o644).unwrap();
        make_file(&tree.root, "/etc/hosts", 0o644).unwrap();
        make_file(&tree.root, "/a/b/c", 0o600).unwrap();
        assert!(tree.inside("a/b/c").is_file());
        for path in ["", "/", ".", "a", "a/", "a/b/c/", "a/b/c/d", "new/.."] {
            make_file(&tree.root, path, 0o600).unwrap_err();
        }
        tree.assert_outside_untouched();
    }

    #[test]
    fn reads_regular_files_only_and_never_hangs() {
        let tree = Tree::new();
        rustix::fs::mkfifoat(&tree.root, "fifo", Mode::from_raw_mode(0o600)).unwrap();
        assert!(tree.inside("fifo").symlink_metadata().unwrap().file_type().is_fifo());
        let _socket = std::os::unix::net::UnixListener::bind(tree.inside("socket")).unwrap();
        fs::write(tree.inside("long"), [0; 101]).unwrap();
        fs::File::create(tree.inside("sparse")).unwrap().set_len(2 << 30).unwrap();
        for (path, reason) in [("fifo", "a FIFO"), ("socket", "a socket"), (".", "a directory")] {
            match read_bounded(&tree.root, path, 100) {
                Err(Error::WrongType { found, .. }) => assert_eq!(found, reason),
                other => panic!("{path}: {other:?}"),
            }
        }
        for path in ["long", "sparse"] {
            assert!(matches!(read_bounded(&tree.root, path, 100), Err(Error::TooLong { limit: 100, .. })));
        }
        let proc = crate::open_directory("/proc").unwrap();
        assert!(!read_bounded(&proc, "self/status", 1 << 16).unwrap().unwrap().is_empty());
        let dev = crate::open_directory("/dev").unwrap();
        assert!(matches!(read_bounded(&dev, "zero", 100), Err(Error::WrongType { found: "a device", .. })));
    }

    /// A neighbour swaps a directory with a symlink that leads out, all the time.
    #[test]
    fn a_swapping_neighbour_gains_nothing() {
        let tree = Tree::new();
        fs::create_dir(tree.inside("d")).unwrap();
        symlink(tree.outside(), tree.inside("l")).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(&tree.root, "d", &tree.root, "l", RenameFlags::EXCHANGE)
                        .unwrap();
                }
            });
            for round in 0..2000 {
                // Either outcome is honest; only the outside must not change.
                let _made = make_dirs(&tree.root, format!("d/{round}/x"), 0o755);
                let _made = make_file(&tree.root, format!("d/{round}.file"), 0o644);
                let read = read_bounded(&tree.root, "d/secret", 100);
                assert!(!matches!(read, Ok(Some(_))), "read the outside: {read:?}");
            }
            stop.store(true, Ordering::Relaxed);
        });
        tree.assert_outside_untouched();
    }

    #[test]
    fn many_make_the_same_path_at_once() {
        let tree = Tree::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..100 {
                        make_dirs(&tree.root, format!("p/{round}/x"), 0o755).unwrap();
                        make_file(&tree.root, format!("q/{round}/x"), 0o644).unwrap();
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(tree.inside("p")).unwrap().count(), 100);
    }
}
