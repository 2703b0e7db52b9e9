//! `docs/afternoon.md` is typed as it stands there, against an image of Debian's packages.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::{Brig, transcript};

const PAGE: &str = include_str!("../../docs/afternoon.md");

/// The root file system of the page's image: made once for a target directory, which is where builds keep things.
fn debian_with_redis() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let archive = directory.join("debian-redis.tar");
    let lock = fs::File::create(directory.join("debian-redis.lock")).unwrap();
    lock.lock().unwrap();
    if !archive.exists() {
        // The suffix chooses the format.
        let part = directory.join("debian-redis.part.tar");
        let made = Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "--include=redis-server"])
            .args(
                ["doc", "man", "locale", "info"]
                    .map(|name| format!("--dpkgopt=path-exclude=/usr/share/{name}/*")),
            )
            .arg("bookworm")
            .arg(&part)
            .output()
            .unwrap();
        assert!(made.status.success(), "mmdebstrap: {}", String::from_utf8_lossy(&made.stderr));
        fs::rename(part, &archive).unwrap();
    }
    archive
}

fn type_the_page(brig: &Brig) {
    let archive = debian_with_redis();
    let desk = brig.directory().join("desk");
    fs::create_dir(&desk).unwrap();
    fs::copy(archive, desk.join("debian-redis.tar")).unwrap();
    // What a person has in their PATH, with this story's directories.
    let (program, store, run) = (brig.program(), brig.store(), brig.directory().join("run"));
    let script = format!("#!/bin/sh\nexec {program:?} --root {store:?} --runroot {run:?} \"$@\"\n");
    fs::write(desk.join("brig"), script).unwrap();
    fs::set_permissions(desk.join("brig"), fs::Permissions::from_mode(0o755)).unwrap();
    if let Some(user) = brig.as_user() {
        for entry in fs::read_dir(&desk).unwrap() {
            user.give(&entry.unwrap().path());
        }
        user.give(&desk);
    }
    for typed in transcript::read(PAGE) {
        let mut shell = brig.other("sh");
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", desk.display());
        shell.args(["-c", &typed.command]).env("PATH", path).current_dir(&desk);
        let outcome = testkit::run_detached(&mut shell);
        let place = format!("docs/afternoon.md line {}", typed.line);
        assert_eq!(outcome.code, 0, "{place}: {outcome}");
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert!(
            transcript::agrees(&typed.expected, &lines),
            "{place}: expected {:#?}\n{outcome}",
            typed.expected
        );
    }
}

#[test]
fn root() {
    testkit::needs!(root, program("mmdebstrap"));
    type_the_page(&Brig::root());
}

#[test]
fn user() {
    testkit::needs!(root, user_with_subids, userns, program("mmdebstrap"));
    type_the_page(&Brig::user());
}
