//! Deterministic races: stop at a pause point, change the tree, go on, and look outside.
#![cfg(feature = "test-pauses")]
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use testkit::TempDir;

/// Runs `victim` (an ignored test of this file) in a process of its own, stopped at `point`.
fn race(victim: &str, point: &str, directory: &TempDir, change: impl FnOnce()) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", victim, "--ignored"])
        .env("BRIG_PAUSE_AT", point)
        .env("BRIG_PAUSE_DIR", directory.path())
        .current_dir(directory.join("root"))
        .spawn()
        .unwrap();
    let reached = directory.join(format!("{point}.reached"));
    while !reached.exists() {
        assert!(child.try_wait().unwrap().is_none(), "`{victim}` ended before `{point}`");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    change();
    fs::write(directory.join(format!("{point}.go")), "").unwrap();
    child.wait().unwrap().success()
}

fn tree() -> TempDir {
    let directory = TempDir::new();
    fs::create_dir(directory.join("root")).unwrap();
    fs::create_dir(directory.join("outside")).unwrap();
    directory
}

fn names(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
#[ignore = "the victim of another test"]
fn make_dirs_victim() {
    let root = files::open_directory(".").unwrap();
    files::root::make_dirs(&root, "a/b", 0o755).unwrap();
}

#[test]
fn a_symlink_planted_before_mkdir_stays_inside() {
    let directory = tree();
    let honest = race("make_dirs_victim", "make.before-create", &directory, || {
        symlink(directory.join("outside"), directory.join("root/a")).unwrap();
    });
    assert!(honest);
    assert_eq!(names(&directory.join("outside")), 0);
    // The planted link names an absolute path, which was made inside.
    assert!(
        directory.join("root").join(directory.path().strip_prefix("/").unwrap()).join("outside/b").is_dir()
    );
}

#[test]
#[ignore = "the victim of another test"]
fn read_victim() {
    let root = files::open_directory(".").unwrap();
    files::root::read_bounded(&root, "file", 10).unwrap();
}

#[test]
fn a_fifo_planted_before_open_does_not_hang() {
    let directory = tree();
    fs::write(directory.join("root/file"), "").unwrap();
    let honest = race("read_victim", "read-bounded.before-open", &directory, || {
        fs::remove_file(directory.join("root/file")).unwrap();
        let root = files::open_directory(directory.join("root")).unwrap();
        rustix::fs::mkfifoat(&root, "file", rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    });
    assert!(!honest, "a FIFO is an error, and it came without a writer");
}
