//! Killed at any point, and many at once.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use store::{Force, Store};

use crate::fixture::{self, Layout, Test, assert_sound, this};

pub(crate) const TESTS: &[Test] = &[
    ("killed_at_each_point", killed_at_each_point),
    ("killed_at_random", killed_at_random),
    ("many_import_the_same", many_import_the_same),
    ("imports_beside_removals", imports_beside_removals),
];

/// Every pause point that lies between two steps on the disk.
const POINTS: [&str; 10] = [
    "store.before-format",
    "store.before-sync",
    "store.before-blobs",
    "store.before-layers",
    "store.after-commit",
    "store.before-ref",
    "atomic.before-rename",
    "store.before-collect",
    "store.layers-renamed",
    "store.before-empty",
];

/// An archive big enough that a random kill meets each step.
fn archive(directory: &Path) -> std::path::PathBuf {
    let content = vec![7; 3 << 20];
    let path = directory.join("root.tar");
    let entries =
        [("etc/", &b""[..]), ("etc/name", b"one"), ("big", &content), ("bin/", b""), ("bin/sh", b"#!")];
    fs::write(&path, fixture::tar(&entries)).unwrap();
    path
}

fn quiet(mut command: std::process::Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// After a kill: the image is whole or absent, and the next command leaves nothing of the dead one.
fn assert_recovers(path: &Path, archive: &Path) {
    let store = fixture::open(path);
    if let Ok(image) = store.find("x:1") {
        assert_eq!(fixture::top_file(&store, &image, "etc/name").unwrap(), b"one");
    }
    let damage: Vec<_> = store
        .check(store::Depth::Contents)
        .unwrap()
        .into_iter()
        .filter(|finding| !matches!(finding, store::Finding::Unneeded { .. }))
        .collect();
    assert_eq!(damage, []);
    let mut file = fs::File::open(archive).unwrap();
    let image = store.import(&mut file, &fixture::reference("x:1"), &fixture::OPTIONS).unwrap();
    assert_eq!(fixture::top_file(&store, &image, "etc/name").unwrap(), b"one");
    store.prune(false).unwrap();
    assert_sound(&store);
}

fn killed_at_each_point() {
    let directory = testkit::TempDir::new();
    let archive = archive(directory.path());
    let pauses = directory.join("pauses");
    for point in POINTS {
        let root = directory.join(format!("store-{point}"));
        let is_removal = POINTS[7..].contains(&point);
        if is_removal {
            this("import", &[&root, &archive, Path::new("x:1")]).status().unwrap();
        }
        fs::create_dir_all(&pauses).unwrap();
        let mut command = match is_removal {
            true => this("remove", &[&root, Path::new("x:1")]),
            false => this("import", &[&root, &archive, Path::new("x:1")]),
        };
        command.env("BRIG_PAUSE_AT", point).env("BRIG_PAUSE_DIR", &pauses);
        let mut child = quiet(command);
        let reached = pauses.join(format!("{point}.reached"));
        while !reached.exists() {
            assert!(child.try_wait().unwrap().is_none(), "{point} was not reached");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(&pauses).unwrap();
        assert_recovers(&root, &archive);
    }
}

fn killed_at_random() {
    let directory = testkit::TempDir::new();
    let archive = archive(directory.path());
    let root = directory.join("store");
    for round in 0..60_u64 {
        let operation = if round % 3 == 2 {
            this("remove", &[&root, Path::new("x:1")])
        } else {
            this("import", &[&root, &archive, Path::new("x:1")])
        };
        let mut child = quiet(operation);
        // spread over the life of an import, without a pattern that repeats
        std::thread::sleep(Duration::from_micros(round * 7919 % 40_000));
        child.kill().unwrap();
        child.wait().unwrap();
        if round % 5 == 4 {
            assert_recovers(&root, &archive);
        }
    }
    assert_recovers(&root, &archive);
}

fn many_import_the_same() {
    let directory = testkit::TempDir::new();
    let archive = archive(directory.path());
    let layout = Layout::new(directory.join("layout"));
    let layers = [fixture::tar(&[("a", b"1")]), fixture::tar(&[("b", b"2")])];
    layout.write_index(&[("y:1", &layout.image(&layers))]);
    let root = directory.join("store");
    let mut children = Vec::new();
    for _ in 0..6 {
        children.push(quiet(this("import", &[&root, &archive, Path::new("x:1")])));
        children.push(quiet(this("load", &[&root, &layout.path])));
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let store = fixture::open(&root);
    assert_eq!(layers_of(&store), 3);
    store.find("y:1").unwrap();
    store.prune(false).unwrap();
    assert_sound(&store);
}

fn imports_beside_removals() {
    let directory = testkit::TempDir::new();
    let archive = archive(directory.path());
    let root = directory.join("store");
    let mut children = Vec::new();
    for round in 0..12 {
        children.push((true, quiet(this("import", &[&root, &archive, Path::new("x:1")]))));
        if round % 2 == 0 {
            children.push((false, quiet(this("remove", &[&root, Path::new("x:1")]))));
        }
    }
    for (has_to_succeed, mut child) in children {
        let status = child.wait().unwrap();
        assert!(status.success() || !has_to_succeed);
    }
    assert_recovers(&root, &archive);
    let store = fixture::open(&root);
    store.remove("x:1", Force::No).unwrap();
    assert_eq!(layers_of(&store), 0);
}

fn layers_of(store: &Store) -> usize {
    fs::read_dir(store.path().join("layers")).unwrap().count()
}
