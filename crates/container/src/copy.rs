//! `cp`: files between containers, the host and a stream.
//!
//! One process packs what is copied, another unpacks it, and between them is a pipe: a tar archive is all that passes.
//! The side of a container is a [`View`], so what it finds or makes there is the container's; on the host everything is
//! below the one directory that the person named, by descriptor, in a process that Landlock confines to it. A name that
//! a container swaps for a link meanwhile leads, at most, to something else in that container (CVE-2018-15664,
//! CVE-2019-10152, CVE-2021-41089).

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufWriter;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::{
    CompressedDigest, Devices, Ids, Limits, Mounts, Options, Pack, Skipped, SkippedWhat, Target, Whiteouts,
};
use files::meter::{Meter, Metered};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use store::Store;

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::export::{BUFFER, split};
use crate::helper::{self, Answer};
use crate::value::name::ContainerId;
use crate::view::{Scope, View};
use crate::weaken::{self, Defence};

/// How many links the last name of a path may lead through, as in the kernel (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// One side of a copy.
#[derive(Debug)]
pub enum Place<'a> {
    /// A path of the host.
    Host(&'a Path),
    /// A path in a container, from its root.
    Container(&'a ContainerId, &'a Path),
    /// A tar archive that comes or goes.
    Stream(BorrowedFd<'a>),
}

/// How things are copied.
#[derive(Clone, Debug, Default)]
pub struct CopyOptions {
    /// Owners, set-id bits and capabilities are kept.
    pub archive: bool,
    /// A source that is a link is followed.
    pub follow: bool,
    /// A directory and something else may replace each other.
    pub overwrite: bool,
    /// Counts the bytes of the archive between the sides, for who watches.
    pub meter: Option<Arc<Meter>>,
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes that passed.
    pub bytes: u64,
    /// What was left out, one line each.
    pub left_out: Vec<String>,
}

/// Copies a file or directory by docker's rules: into a directory that is there, else under the new name; the content
/// alone of a source that ends in `/.`.
///
/// # Errors
/// [`Error::Copy`] for places that do not fit together, [`Error::NoContainer`], [`Error::Helper`] for what could not be
/// read or written; a part of it is copied then.
pub fn copy(
    store: &Store,
    containers: &Containers<'_>,
    from: &Place<'_>,
    to: &Place<'_>,
    options: &CopyOptions,
) -> Result<Copied> {
    let from = Side::open(store, containers, from, Scope::All)?;
    let to = Side::open(store, containers, to, Scope::Writable)?;
    let source = from.source(options.follow)?;
    let (into, name) = to.destination(&source)?;
    let single = store.ownership().is_single();
    match (&from, &to) {
        (Side::Stream(input), _) => to.unpack(*input, &into, options, single, true),
        (_, Side::Stream(output)) => from.pack(*output, &source, &name, options),
        _ => {
            let failed = |source| Error::System { action: "make", path: "a pipe".into(), source };
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
            let mut ends = Some((read, write));
            // A child of its own, as either side may be a child's work that is waited for.
            let packing = helper::start(0, || {
                let Some((read, write)) = ends.take() else { return Err("the pipe is lost".to_owned()) };
                drop(read);
                let packed = from.pack(write.as_fd(), &source, &name, options);
                packed
                    .map(|copied| copied.left_out.join("\n").into_bytes())
                    .map_err(|error| files::chain(&error))
            })?;
            let Some((read, write)) = ends else {
                return Err(Error::Helper { message: "the pipe is lost".to_owned() });
            };
            drop(write);
            let unpacked = to.unpack(read.as_fd(), &into, options, single, false);
            // Whoever packs would wait for a reader for ever.
            drop(read);
            match (packing.finish(), unpacked) {
                (Ok(answer), Ok(mut copied)) => {
                    copied.left_out.extend(split(&answer));
                    Ok(copied)
                }
                // An archive that ends too soon is the packer's doing, a pipe without a reader the unpacker's.
                (Err(packing), Err(unpacking)) => {
                    Err(if files::chain(&unpacking).contains("truncated") { packing } else { unpacking })
                }
                (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
            }
        }
    }
}

/// An opened side.
enum Side<'a> {
    Host(&'a Path),
    Container(View, &'a Path),
    Stream(BorrowedFd<'a>),
}

/// What is copied.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Directory {
        /// What it is called; empty where only its content is wanted.
        name: Vec<u8>,
    },
    Other {
        name: Vec<u8>,
    },
    /// Whatever an archive holds.
    Archive,
}

/// What a destination is before the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Directory,
    Other,
    /// Nothing, in a directory that is there.
    Nothing,
    NoParent,
}

/// The paths of one side.
#[derive(Clone, Copy)]
enum Tree<'a> {
    /// As the person's own shell means them.
    Host,
    /// Below a container's root.
    Root(BorrowedFd<'a>),
}

impl Tree<'_> {
    fn open(self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match self {
            Self::Host => rustix::fs::openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty()),
            Self::Root(root) if weaken::is_off(Defence::CopyView) => {
                let below = path.strip_prefix("/").unwrap_or(path);
                let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
                rustix::fs::openat(root, below, flags | OFlags::CLOEXEC, Mode::empty())
            }
            Self::Root(root) => {
                files::root::open(root, path, flags).map_err(|error| error.errno().unwrap_or(Errno::LOOP))
            }
        }
    }

    /// The path after its last name's links were followed.
    fn follow(self, path: &Path) -> rustix::io::Result<PathBuf> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let found = self.open(&path, OFlags::PATH | OFlags::NOFOLLOW)?;
            if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::Symlink {
                return Ok(path);
            }
            let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
            // An absolute target replaces the path.
            path = split_last(&path).0.join(OsStr::from_bytes(target.as_bytes()));
        }
        Err(Errno::LOOP)
    }
}

/// A path without its last name, and that name; a path that ends in `/`, `.` or `..` has none.
fn split_last(path: &Path) -> (PathBuf, Vec<u8>) {
    let bytes = path.as_os_str().as_bytes();
    let at = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (parent, name) = bytes.split_at(at);
    let parent = if parent.is_empty() { b"." } else { parent };
    let name: &[u8] = if matches!(name, b"." | b"..") { b"" } else { name };
    if name.is_empty() {
        return (path.to_owned(), Vec::new());
    }
    (PathBuf::from(OsStr::from_bytes(parent)), name.to_vec())
}

/// The last plain name of a path, for what it is called elsewhere; empty for `/`, and where only content is meant.
fn base_name(path: &Path) -> Vec<u8> {
    let bytes = path.as_os_str().as_bytes();
    if bytes == b"." || bytes.ends_with(b"/.") {
        return Vec::new();
    }
    path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default()
}

impl<'a> Side<'a> {
    fn open(store: &Store, containers: &Containers<'_>, place: &Place<'a>, scope: Scope) -> Result<Self> {
        Ok(match place {
            Place::Host(path) => Self::Host(path),
            Place::Container(id, path) => Self::Container(View::open(store, containers, id, scope)?, path),
            Place::Stream(stream) => Self::Stream(*stream),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Host(path) | Self::Container(_, path) => path,
            Self::Stream(_) => Path::new("-"),
        }
    }

    fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Copy { path: self.path().to_string_lossy().into_owned(), reason: reason.into() }
    }

    /// Looks at something on this side, in the process that may.
    fn look(&self, look: impl FnOnce(Tree<'_>) -> Answer) -> Result<Vec<u8>> {
        match self {
            Self::Host(_) | Self::Stream(_) => look(Tree::Host).map_err(|message| self.wrong(message)),
            Self::Container(view, _) => view.within(|root| look(Tree::Root(root))),
        }
    }

    fn source(&self, follow: bool) -> Result<Source> {
        if matches!(self, Self::Stream(_)) {
            return Ok(Source::Archive);
        }
        let path = self.path();
        let kind = self.look(|tree| {
            let flags = if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
            let found = tree.open(path, flags).map_err(|errno| errno.raw_os_error().to_string());
            Ok(match found.and_then(|found| kind_of(&found)) {
                Ok(FileType::Directory) => b"d".to_vec(),
                Ok(_) => b"f".to_vec(),
                Err(number) => number.into_bytes(),
            })
        })?;
        match kind.as_slice() {
            b"d" => Ok(Source::Directory { name: base_name(path) }),
            b"f" => Ok(Source::Other { name: base_name(path) }),
            number => Err(self.wrong(reason_of(number))),
        }
    }

    /// The directory that is written into, and what the source is called there.
    fn destination(&self, source: &Source) -> Result<(PathBuf, Vec<u8>)> {
        if let Self::Stream(_) = self {
            let (Source::Directory { name } | Source::Other { name }) = source else {
                return Err(self.wrong("an archive cannot be copied to an archive"));
            };
            return Ok((PathBuf::new(), name.clone()));
        }
        let path = self.path();
        let answer = self.look(|tree| {
            let (found, path) = look_at_destination(tree, path)?;
            let letter = match found {
                Found::Directory => b'd',
                Found::Other => b'f',
                Found::Nothing => b'n',
                Found::NoParent => b'p',
            };
            Ok([&[letter], path.as_os_str().as_bytes()].concat())
        })?;
        let Some((letter, path)) = answer.split_first() else {
            return Err(self.wrong("cannot be looked at"));
        };
        let found = match letter {
            b'd' => Found::Directory,
            b'f' => Found::Other,
            b'n' => Found::Nothing,
            _ => Found::NoParent,
        };
        decide(found, Path::new(OsStr::from_bytes(path)), source).map_err(|reason| self.wrong(reason))
    }

    /// Writes the source as an archive.
    fn pack(
        &self,
        out: BorrowedFd<'_>,
        source: &Source,
        name: &[u8],
        options: &CopyOptions,
    ) -> Result<Copied> {
        let follow = options.follow;
        let path = self.path();
        let out = File::from(crate::export::duplicate(out)?);
        let is_directory = matches!(source, Source::Directory { .. });
        let work = |tree: Tree<'_>| {
            let out = Metered::new(&out, options.meter.clone());
            let mut pack =
                Pack::new(BufWriter::with_capacity(BUFFER, out), Mounts::Cross, &Limits::default());
            let failed = |errno: Errno| errno.to_string();
            // The host's side is read by the command itself, which has to go on.
            let confine = |below: &OwnedFd| {
                if matches!(tree, Tree::Root(_)) {
                    archive::confine_reading(&[below.as_fd()]);
                }
            };
            if is_directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let flags = if follow { flags } else { flags | OFlags::NOFOLLOW };
                let directory = tree.open(path, flags).map_err(failed)?;
                confine(&directory);
                let packed =
                    if name.is_empty() { pack.content(&directory, b"") } else { pack.tree(&directory, name) };
                packed.map_err(|error| files::chain(&error))?;
            } else {
                let path = if follow { tree.follow(path).map_err(failed)? } else { path.to_owned() };
                let (parent, own) = split_last(&path);
                let parent = tree.open(&parent, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
                confine(&parent);
                pack.object(&parent, &own, name).map_err(|error| files::chain(&error))?;
            }
            let packed = pack.finish().map_err(|error| files::chain(&error))?.1;
            report(packed.bytes, &packed.skipped)
        };
        let answer = match self {
            Self::Container(view, _) => view.within(|root| work(Tree::Root(root)))?,
            Self::Host(_) | Self::Stream(_) => work(Tree::Host).map_err(|message| self.wrong(message))?,
        };
        Ok(read_report(&answer))
    }

    /// Unpacks an archive below a directory.
    fn unpack(
        &self,
        input: BorrowedFd<'_>,
        into: &Path,
        options: &CopyOptions,
        single: bool,
        as_archived: bool,
    ) -> Result<Copied> {
        let input = File::from(crate::export::duplicate(input)?);
        let is_container = matches!(self, Self::Container(..));
        // A container's root may give files to whom it likes in there, on the host only root may.
        let may_give = if is_container { !single } else { rustix::process::geteuid().is_root() };
        let keep = options.archive || (as_archived && is_container);
        let settings = Options {
            ids: if keep && may_give { Ids::Keep } else { Ids::SingleId },
            whiteouts: Whiteouts::Plain,
            devices: Devices::Skip,
            compressed: CompressedDigest::Skip,
            target: Target::Tree {
                overwrite: options.overwrite,
                privileges: is_container || options.archive,
            },
        };
        let work = |tree: Tree<'_>| {
            let limits = Limits::default();
            let directory = tree
                .open(into, OFlags::RDONLY | OFlags::DIRECTORY)
                .map_err(|errno| format!("open `{}`: {errno}", into.display()))?;
            files::pause::at("copy.before-unpack");
            archive::confine(&directory, &limits);
            // What another process packs is counted there.
            let meter = options.meter.clone().filter(|_| as_archived);
            let input = Metered::new(&input, meter);
            let applied =
                archive::apply(input, &directory, &settings, &limits).map_err(|e| files::chain(&e))?;
            let told = |skipped: &&Skipped| !matches!(skipped.what, SkippedWhat::Owner(..));
            let skipped: Vec<Skipped> = applied.skipped.iter().filter(told).cloned().collect();
            report(applied.bytes, &skipped)
        };
        let answer = match self {
            Self::Container(view, _) => view.within(|root| work(Tree::Root(root)))?,
            Self::Host(_) | Self::Stream(_) => helper::start(0, || work(Tree::Host))?.finish()?,
        };
        Ok(read_report(&answer))
    }
}

fn kind_of(file: &OwnedFd) -> std::result::Result<FileType, String> {
    let stat = rustix::fs::fstat(file).map_err(|errno| errno.raw_os_error().to_string())?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

fn reason_of(number: &[u8]) -> String {
    let number = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
    match number.map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => "no such file or directory".to_owned(),
        Some(errno) => errno.to_string(),
        None => "it cannot be looked at".to_owned(),
    }
}

fn look_at_destination(tree: Tree<'_>, path: &Path) -> std::result::Result<(Found, PathBuf), String> {
    let resolved = match tree.follow(path) {
        Ok(resolved) => resolved,
        Err(Errno::NOENT) => {
            let trimmed = without_slashes(path);
            if tree.open(&trimmed, OFlags::PATH | OFlags::NOFOLLOW).is_ok() {
                return Err("it is a link to nothing".to_owned());
            }
            let (parent, name) = split_last(&trimmed);
            return match tree.open(&parent, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(_) if !name.is_empty() => Ok((Found::Nothing, path.to_owned())),
                _ => Ok((Found::NoParent, path.to_owned())),
            };
        }
        Err(Errno::NOTDIR) => return Ok((Found::NoParent, path.to_owned())),
        Err(errno) => return Err(errno.to_string()),
    };
    let found = tree.open(&resolved, OFlags::PATH | OFlags::NOFOLLOW).map_err(|errno| errno.to_string())?;
    let kind = kind_of(&found).map_err(|number| reason_of(number.as_bytes()))?;
    Ok((if kind == FileType::Directory { Found::Directory } else { Found::Other }, resolved))
}

fn without_slashes(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(bytes.len(), |at| at + 1);
    PathBuf::from(OsStr::from_bytes(&bytes[..end]))
}

/// Docker's rules: which directory is written into, and the name in it (none: the content alone).
fn decide(found: Found, path: &Path, source: &Source) -> std::result::Result<(PathBuf, Vec<u8>), String> {
    let slash = path.as_os_str().as_bytes().ends_with(b"/");
    match (found, source) {
        (Found::Directory, Source::Directory { name } | Source::Other { name }) => {
            Ok((path.to_owned(), name.clone()))
        }
        (Found::Directory, Source::Archive) => Ok((path.to_owned(), Vec::new())),
        (_, Source::Archive) => Err("an archive is unpacked into a directory that is there".to_owned()),
        (Found::Other, Source::Directory { .. }) => Err("a directory cannot be copied to a file".to_owned()),
        (Found::Nothing, Source::Other { .. }) if slash => Err("no such directory".to_owned()),
        (Found::Other | Found::Nothing, _) => Ok(split_last(&without_slashes(path))),
        (Found::NoParent, _) => Err("the directory above it is not there".to_owned()),
    }
}

/// Bytes in the first line, what was left out in the others.
fn report(bytes: u64, skipped: &[Skipped]) -> Answer {
    let mut text = format!("{bytes}\n").into_bytes();
    text.extend(crate::export::lines(skipped)?);
    Ok(text)
}

fn read_report(answer: &[u8]) -> Copied {
    let mut lines = split(answer).into_iter();
    let bytes = lines.next().and_then(|line| line.parse().ok()).unwrap_or(0);
    Copied { bytes, left_out: lines.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sources() {
        for (path, expected) in
            [("/a/b", "b"), ("/a/b/", "b"), ("/a/.", ""), (".", ""), ("/", ""), ("..", ""), ("a", "a")]
        {
            assert_eq!(base_name(Path::new(path)), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn dockers_rules() {
        use Found::{Directory, NoParent, Nothing, Other};
        let directory = |name: &str| Source::Directory { name: name.into() };
        let file = || Source::Other { name: b"f".to_vec() };
        type Row = (Found, &'static str, Source, Option<(&'static str, &'static str)>);
        let rows: [Row; 12] = [
            (Directory, "/d", file(), Some(("/d", "f"))),
            (Directory, "/d", directory("s"), Some(("/d", "s"))),
            (Directory, "/d", directory(""), Some(("/d", ""))),
            (Directory, "/d", Source::Archive, Some(("/d", ""))),
            (Other, "/d/x", file(), Some(("/d/", "x"))),
            (Other, "/d/x", directory("s"), None),
            (Other, "/d/x", Source::Archive, None),
            (Nothing, "/d/new", file(), Some(("/d/", "new"))),
            (Nothing, "/d/new/", file(), None),
            (Nothing, "/d/new/", directory("s"), Some(("/d/", "new"))),
            (Nothing, "new", directory(""), Some((".", "new"))),
            (NoParent, "/d/no/x", file(), None),
        ];
        for (found, path, source, expected) in rows {
            let expected = expected.map(|(into, name)| (PathBuf::from(into), name.as_bytes().to_vec()));
            assert_eq!(decide(found, Path::new(path), &source).ok(), expected, "{found:?} {path} {source:?}");
        }
    }
}
