//! Whatever a layer holds, nothing beside its own directory changes, nothing inside has rights that the options withhold, and the digest is the input's.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use archive::fuzzing::list;
use archive::{CompressedDigest, Devices, Ids, Limits, Options, Target, Whiteouts, apply};
use oci::Digest;
use testkit::TempDir;

use crate::archives::repaired;

/// Most bytes of an input.
pub const MAX_LEN: usize = 8 << 10;

fn limits() -> Limits {
    Limits { bytes: 1 << 20, entries: 24, depth: 8, extension: 4096, xattrs: 4, segments: 64, ..Limits::default() }
}

/// A directory for the layer between things that must not change; made once, as inputs come by the thousand.
struct Place {
    directory: TempDir,
    before: Vec<Seen>,
}

type Seen = (PathBuf, u64, u32, u64, (i64, i64), (i64, i64), Vec<u8>);

impl Place {
    fn new() -> Self {
        let directory = TempDir::new();
        let path = |name: &str| directory.join(name);
        fs::create_dir(path("outside")).expect("directory in our own directory");
        fs::write(path("outside/file"), "untouched").expect("file in our own directory");
        fs::set_permissions(path("outside/file"), fs::Permissions::from_mode(0o640)).expect("mode of our own file");
        symlink("file", path("outside/link")).expect("link in our own directory");
        let mut place = Self { directory, before: Vec::new() };
        place.before = place.look();
        place
    }

    fn look(&self) -> Vec<Seen> {
        let paths = ["outside", "outside/file", "outside/link"].map(|name| self.directory.join(name));
        let seen = paths.into_iter().map(|path| {
            let meta = fs::symlink_metadata(&path).expect("what we made is there");
            let content = if meta.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
            let times = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
            (path, meta.ino(), meta.mode(), meta.nlink(), times.0, times.1, content)
        });
        seen.collect()
    }
}

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Checks one input.
pub fn check(bytes: &[u8]) {
    PLACE.with_borrow_mut(|place| {
        let place = place.get_or_insert_with(Place::new);
        let bytes = repaired(bytes);
        // What would not be read is not worth a directory.
        let readable = list(&bytes[..], &limits()).is_ok();
        for whiteouts in [Whiteouts::Apply, Whiteouts::OverlayUser] {
            unpack(place, &bytes, whiteouts);
            if !readable {
                break;
            }
        }
    });
}

fn unpack(place: &Place, bytes: &[u8], whiteouts: Whiteouts) {
    let root = place.directory.join("root");
    fs::create_dir(&root).expect("directory in our own directory");
    // As an earlier layer left it.
    fs::create_dir(root.join("d")).expect("directory in our own directory");
    fs::write(root.join("d/f"), "earlier").expect("file in our own directory");
    symlink("../outside", root.join("l")).expect("link in our own directory");
    let options =
        Options { ids: Ids::SingleId, whiteouts, devices: Devices::Skip, compressed: CompressedDigest::Compute, target: Target::Layer };
    let directory = File::open(&root).expect("directory of our own");
    let applied = apply(bytes, &directory, &options, &limits());
    drop(directory);
    let left: BTreeSet<_> = fs::read_dir(place.directory.path())
        .expect("our own directory")
        .map(|entry| entry.expect("our own directory").file_name())
        .collect();
    assert_eq!(left, ["outside", "root"].map(Into::into).into());
    assert_eq!(place.look(), place.before);
    let listed = list(bytes, &limits());
    match &applied {
        Ok(applied) => {
            if applied.compression == archive::Compression::None {
                let (entries, end) = listed.expect("what was unpacked can be read");
                assert_eq!((applied.entries, applied.end), (entries.len() as u64, end));
                assert_eq!((applied.diff_id, applied.bytes), (Digest::of(bytes), bytes.len() as u64));
            }
            assert_eq!(applied.compressed, Some((Digest::of(bytes), bytes.len() as u64)));
        }
        Err(error) => assert!(error.to_string().len() < 8192, "{error}"),
    }
    let names = names(bytes);
    let mut total = 0;
    walk(&root, &mut |path, meta| {
        let kind = meta.file_type();
        assert!(!kind.is_block_device() && !kind.is_socket(), "{path:?}");
        assert!(!kind.is_char_device() || (meta.rdev() == 0 && whiteouts != Whiteouts::Apply), "{path:?}");
        if kind.is_file() {
            total += meta.len() / meta.nlink();
        }
        if let (Some(names), Some(name)) = (&names, path.file_name()) {
            assert!(names.contains(name.as_bytes()), "{path:?} is in no name of the archive");
        }
    });
    assert!(total <= limits().bytes + 7, "{total}");
    clear(&root);
}

/// All components of names, and what whiteouts name; `None` for an archive that is refused half-way or is compressed.
fn names(bytes: &[u8]) -> Option<BTreeSet<Vec<u8>>> {
    let (entries, _) = list(bytes, &limits()).ok()?;
    let mut names: BTreeSet<Vec<u8>> = [&b"d"[..], b"f", b"l"].map(Into::into).into();
    for part in entries.iter().flat_map(|entry| entry.path.split(|byte| *byte == b'/')) {
        names.insert(part.to_vec());
        names.extend(part.strip_prefix(b".wh.").map(Into::into));
    }
    Some(names)
}

fn walk(directory: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
        visit(&entry.path(), &meta);
        if meta.is_dir() {
            walk(&entry.path(), visit);
        }
    }
}

fn clear(root: &Path) {
    let parent = root.parent().expect("our own directory lies in another");
    let parent = files::open_directory(parent).expect("our own directory");
    files::remove_tree(&parent, "root").expect("we made what is removed");
}
