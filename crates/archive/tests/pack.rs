//! Trees become archives, and what an upper directory changes becomes a layer.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs::{self, File, Permissions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use archive::{
    ChangeKind, CompressedDigest, Confinement, Devices, Difference, Ids, Layer, Limits, Mounts, Options,
    Pack, SkippedWhat, Target, Whiteouts, apply, confine_reading,
};
use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, mknodat, utimensat};
use testkit::TempDir;

const INTO_TREE: Options<'static> = Options {
    ids: Ids::SingleId,
    whiteouts: Whiteouts::Plain,
    devices: Devices::Skip,
    compressed: CompressedDigest::Skip,
    target: Target::Tree { overwrite: false, privileges: true },
};

fn pack(path: &Path) -> Vec<u8> {
    let mut pack = Pack::new(Vec::new(), Mounts::Stay, &Limits::default());
    pack.tree(File::open(path).unwrap(), b"").unwrap();
    pack.finish().unwrap().0
}

fn set_time(path: &Path, seconds: i64, nanoseconds: u32) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_attribute(path: &Path, name: &str, value: &str) {
    rustix::fs::setxattr(path, name, value.as_bytes(), XattrFlags::empty()).unwrap();
}

#[test]
fn a_tree_comes_back_to_the_last_byte() {
    let (from, to) = (TempDir::new(), TempDir::new());
    let tree = from.path();
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/file"), "text").unwrap();
    fs::write(tree.join("a/.wh.name"), "no whiteout").unwrap();
    fs::hard_link(tree.join("a/file"), tree.join("z-link")).unwrap();
    symlink("../nowhere", tree.join("a/b/link")).unwrap();
    let deep = format!("{}/{}", "n".repeat(200), "m".repeat(200));
    fs::create_dir_all(tree.join(&deep)).unwrap();
    fs::write(tree.join(&deep).join("f"), vec![7; 300_000]).unwrap();
    fs::set_permissions(tree.join("a/file"), Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(tree.join("a/b"), Permissions::from_mode(0o2500)).unwrap();
    set_attribute(&tree.join("a/file"), "user.note", "x=\n");
    set_attribute(&tree.join("a"), "user.overlay.opaque", "y");
    mknodat(CWD, tree.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = UnixListener::bind(tree.join("socket")).unwrap();
    set_time(&tree.join("a/file"), 1_234_567_890, 987_654_321);
    set_time(&tree.join("a/b/link"), -5, 250_000_000);

    let mut first = Pack::new(Vec::new(), Mounts::Stay, &Limits::default());
    first.tree(File::open(tree).unwrap(), b"").unwrap();
    let (archive, packed) = first.finish().unwrap();
    assert_eq!((packed.skipped_count, &packed.skipped[0].what), (1, &SkippedWhat::Socket));
    let root = File::open(to.path()).unwrap();
    apply(&archive[..], &root, &Options { ids: Ids::Keep, ..INTO_TREE }, &Limits::default()).unwrap();
    assert_eq!(pack(to.path()), archive);
    assert!(!to.path().join("socket").exists());
    assert!(to.path().join("a/.wh.name").exists());
}

#[test]
fn a_tree_in_use_keeps_its_kinds_unless_told() {
    let (from, to) = (TempDir::new(), TempDir::new());
    fs::write(from.path().join("thing"), "file").unwrap();
    fs::set_permissions(from.path().join("thing"), Permissions::from_mode(0o6755)).unwrap();
    fs::create_dir(to.path().join("thing")).unwrap();
    let archive = pack(from.path());
    let root = File::open(to.path()).unwrap();
    let unpack = |overwrite, privileges| {
        let target = Target::Tree { overwrite, privileges };
        apply(&archive[..], &root, &Options { target, ..INTO_TREE }, &Limits::default())
    };
    let error = unpack(false, false).unwrap_err().to_string();
    assert!(error.contains("would take the place of a directory"), "{error}");
    let applied = unpack(true, false).unwrap();
    let mode = || fs::metadata(to.path().join("thing")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(), 0o755);
    assert!(applied.skipped.iter().any(|skipped| skipped.what == SkippedWhat::SpecialBits));
    if rustix::process::geteuid().is_root() {
        unpack(true, true).unwrap();
        assert_eq!(mode(), 0o6755);
    }
    fs::remove_file(to.path().join("thing")).unwrap();
    fs::remove_file(from.path().join("thing")).unwrap();
    fs::write(to.path().join("thing"), "file").unwrap();
    fs::create_dir(from.path().join("thing")).unwrap();
    let archive = pack(from.path());
    let error = apply(&archive[..], &root, &INTO_TREE, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("in place of something else"), "{error}");
}

struct Layers {
    directory: TempDir,
}

impl Layers {
    /// Two lower layers and an upper one that does everything a container can do to them.
    fn new() -> Self {
        let layers = Self { directory: TempDir::new() };
        for path in ["1/etc", "1/gone-dir", "1/new-dir", "1/kept", "1/touched", "2/etc", "2/mixed", "3/etc"] {
            fs::create_dir_all(layers.at(path)).unwrap();
        }
        for (path, text) in [
            ("1/etc/deep", "1"),
            ("1/etc/passwd", "1"),
            ("1/gone-dir/x", "1"),
            ("1/new-dir/old", "1"),
            ("1/new-dir/stays", "1"),
            ("1/kept/same", "1"),
            ("1/to-dir", "1"),
            ("2/etc/passwd", "2"),
            ("2/mixed/a", "2"),
            ("2/hidden", "2"),
        ] {
            fs::write(layers.at(path), text).unwrap();
        }
        layers.whiteout("2/etc/deep");
        // The container's: a file changed, one gone, a directory gone, one made anew, one of another kind.
        fs::write(layers.at("3/etc/passwd"), "3").unwrap();
        for path in ["3/gone-dir", "3/hidden", "3/etc/never-was"] {
            layers.whiteout(path);
        }
        for path in ["3/new-dir", "3/to-dir/sub", "3/kept", "3/touched", "3/added/below", "3/proc", "3/run/x"]
        {
            fs::create_dir_all(layers.at(path)).unwrap();
        }
        set_attribute(&layers.at("3/new-dir"), "user.overlay.opaque", "y");
        fs::write(layers.at("3/new-dir/stays"), "3").unwrap();
        fs::write(layers.at("3/kept/same"), "1").unwrap();
        fs::write(layers.at("3/etc/hosts"), "").unwrap();
        fs::write(layers.at("3/added/file"), "3").unwrap();
        symlink("x", layers.at("3/mixed")).unwrap();
        for path in ["1/kept/same", "3/kept/same", "1/kept", "3/kept"] {
            set_time(&layers.at(path), 1000, 5);
        }
        set_time(&layers.at("1/touched"), 1000, 5);
        set_time(&layers.at("3/touched"), 1000, 6);
        layers
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn whiteout(&self, path: &str) {
        mknodat(CWD, self.at(path), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    }

    fn lower(&self) -> Vec<OwnedFd> {
        ["2", "1"].map(|name| File::open(self.at(name)).unwrap().into()).into()
    }

    fn difference(&self, upper: &Path) -> Vec<String> {
        let (upper, lower) = (File::open(upper).unwrap(), self.lower());
        let mount_points = ["proc", "run/x/y", "etc/hosts"].map(PathBuf::from);
        let difference = Difference { upper: upper.as_fd(), lower: &lower, mount_points: &mount_points };
        let mut found = Vec::new();
        difference
            .changes(&Limits::default(), &mut |change| {
                let letter = match change.kind {
                    ChangeKind::Modified => 'C',
                    ChangeKind::Added => 'A',
                    ChangeKind::Deleted => 'D',
                };
                found.push(format!("{letter} /{}", String::from_utf8(change.path).unwrap()));
                Ok(())
            })
            .unwrap();
        found
    }
}

const CHANGES: [&str; 14] = [
    "A /added",
    "A /added/below",
    "A /added/file",
    "C /etc",
    "C /etc/passwd",
    "D /gone-dir",
    "D /hidden",
    "C /mixed",
    "C /new-dir",
    "C /new-dir/stays",
    "D /new-dir/old",
    "C /to-dir",
    "A /to-dir/sub",
    "C /touched",
];

#[test]
fn every_change_is_told_and_no_other() {
    let layers = Layers::new();
    assert_eq!(layers.difference(&layers.at("3")), CHANGES);
}

#[test]
fn a_layer_says_the_same_as_the_directory_it_was_made_of() {
    let layers = Layers::new();
    let (upper, lower) = (File::open(layers.at("3")).unwrap(), layers.lower());
    let mount_points = ["proc", "run/x/y", "etc/hosts"].map(PathBuf::from);
    let difference = Difference { upper: upper.as_fd(), lower: &lower, mount_points: &mount_points };
    let (archive, packed) = difference.pack(Vec::new(), &Limits::default()).unwrap();
    assert_eq!(packed.skipped_count, 0);
    let again = TempDir::new();
    let options =
        Options { ids: Ids::Keep, whiteouts: Whiteouts::OverlayUser, target: Target::Layer, ..INTO_TREE };
    apply(&archive[..], File::open(again.path()).unwrap(), &options, &Limits::default()).unwrap();
    assert_eq!(layers.difference(again.path()), CHANGES);
    assert!(!again.path().join("proc").exists() && !again.path().join("run").exists());
}

#[test]
fn what_no_layer_can_say_is_refused() {
    let layers = Layers::new();
    fs::write(layers.at("3/.wh.etc"), "").unwrap();
    let (upper, lower) = (File::open(layers.at("3")).unwrap(), layers.lower());
    let difference = Difference { upper: upper.as_fd(), lower: &lower, mount_points: &[] };
    let error = difference.pack(Vec::new(), &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("means a deletion"), "{error}");
    fs::remove_file(layers.at("3/.wh.etc")).unwrap();
    set_attribute(&layers.at("3/added"), "user.overlay.redirect", "/etc");
    let error = difference.pack(Vec::new(), &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("redirect_dir"), "{error}");
}

/// Confines itself for good, so it runs in a process of its own.
#[test]
#[ignore = "the child of another test"]
fn confined_packing_child() {
    let place = PathBuf::from(std::env::var_os("ARCHIVE_TEST_PLACE").unwrap());
    let open = |name: &str| OwnedFd::from(File::open(place.join(name)).unwrap());
    let (upper, lower) = (open("upper"), [open("lower")]);
    // What is refused below is granted without the confinement.
    fs::read(place.join("outside/file")).unwrap();
    fs::write(place.join("upper/before"), "").unwrap();
    let difference = Difference { upper: upper.as_fd(), lower: &lower, mount_points: &[] };
    let expected = difference.pack(Vec::new(), &Limits::default()).unwrap().0;

    let Confinement { landlock, no_new_privs, limits, seccomp, .. } =
        confine_reading(&[upper.as_fd(), lower[0].as_fd()]);
    for layer in [landlock, no_new_privs, limits, seccomp] {
        assert_eq!(layer, Layer::Applied);
    }
    fs::read(place.join("outside/file")).unwrap_err();
    fs::read_dir(place.join("outside")).unwrap_err();
    fs::write(place.join("upper/after"), "").unwrap_err();
    fs::remove_file(place.join("upper/before")).unwrap_err();
    std::process::Command::new("/bin/true").status().unwrap_err();
    assert_eq!(difference.pack(Vec::new(), &Limits::default()).unwrap().0, expected);
}

#[test]
fn confinement_holds_and_lets_packing_through() {
    testkit::needs!(landlock);
    let place = TempDir::new();
    for name in ["upper/d", "lower/d", "outside"] {
        fs::create_dir_all(place.path().join(name)).unwrap();
    }
    for name in ["upper/d/new", "upper/d/same", "lower/d/same", "outside/file"] {
        fs::write(place.path().join(name), name).unwrap();
    }
    symlink("../../outside/file", place.path().join("upper/d/link")).unwrap();
    set_attribute(&place.path().join("upper/d/new"), "user.note", "x");
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "confined_packing_child", "--ignored", "--nocapture"])
        .env("ARCHIVE_TEST_PLACE", place.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}
