//! M13: another user of the machine reaches a set-user-id program of an image in the engine's own directories.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

pub(crate) const ROW: Row = Row {
    id: "M13",
    title: "files of images that other users reach",
    faults: &["CVE-2021-41091", "CVE-2021-41103", "CVE-2024-25621"],
    kinds: &[Kind::Static, Kind::Inside],
    defence: "store/src/layout.rs: the store and all above its files are their owner's alone",
};

/// A user of the machine who is nobody's friend.
const STRANGER: &str = "46999";

/// An image with a program that says who it runs as, which everybody may execute.
fn import(brig: &Brig) {
    tests::attack::image(brig, "setuid", &[], |root| {
        fs::copy("/usr/bin/id", root.join("bin/canary")).unwrap();
        fs::set_permissions(root.join("bin/canary"), fs::Permissions::from_mode(0o6755)).unwrap();
    });
}

/// Everything below that has the name of the program, found by root.
fn copies(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            if entry.file_name() == "canary" {
                found.push(entry.path());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
        }
    }
    found
}

/// What the stranger learns: files that they can stat, and programs that they can execute.
fn reached(paths: &[PathBuf]) -> Vec<String> {
    let as_stranger = |words: &[&str], path: &Path| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", "--"])
            .args(words)
            .arg(path);
        command.stderr(Stdio::null()).output().unwrap()
    };
    let mut found = Vec::new();
    for path in paths {
        if as_stranger(&["stat"], path).status.success() {
            found.push(format!("stat {}", path.display()));
        }
        let executed = as_stranger(&["env"], path);
        if executed.status.success() {
            found.push(format!("{} says {}", path.display(), String::from_utf8_lossy(&executed.stdout)));
        }
    }
    found
}

/// Runs a container and looks while it runs, also through `/proc`.
fn attack(brig: &Brig) -> (usize, Vec<String>) {
    // The part's own directory is everybody's to pass: only what the engine made protects.
    fs::set_permissions(brig.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    let shared = brig.directory().join("shared");
    fs::create_dir_all(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
    let volume = format!("{}:/mnt", shared.display());
    let script = "cp -p /bin/canary /tmp/canary; chmod 6755 /tmp/canary; touch /mnt/runs; \
                  while [ ! -e /mnt/end ]; do sleep 0.1; done";
    let words = ["run", "--rm", "-v", &volume, "setuid", "sh", "-c", script];
    let mut child = brig.command(&words).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..2000 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        if shared.join("runs").exists() || child.try_wait().unwrap().is_some() {
            break;
        }
    }
    assert!(shared.join("runs").exists(), "the container does not run");
    let mut paths: Vec<_> =
        ["store", "run"].iter().flat_map(|name| copies(&brig.directory().join(name))).collect();
    for pid in descendants(child.id()) {
        paths.push(PathBuf::from(format!("/proc/{pid}/root/bin/canary")));
        paths.push(PathBuf::from(format!("/proc/{pid}/root/tmp/canary")));
        paths.push(PathBuf::from(format!("/proc/{pid}/cwd/bin/canary")));
    }
    let found = reached(&paths);
    fs::write(shared.join("end"), "").unwrap();
    assert!(child.wait().unwrap().success());
    (paths.len(), found)
}

fn descendants(pid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([pid]);
    loop {
        let before = found.len();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let parent =
                stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(1)?.parse().ok());
            if parent.is_some_and(|parent: u32| found.contains(&parent)) {
                found.insert(number);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

held!(a_stranger_reaches_nothing, [root, user, bare], |brig| {
    import(brig);
    let (tried, found) = attack(brig);
    assert!(tried >= 5, "{tried} places");
    assert_eq!(found, Vec::<String>::new());
});

held!(directories_are_private, [root, user], |brig| {
    // A careless mask must not open what is made.
    let mut command = brig.other("/bin/sh");
    command.args(["-c", "umask 0; exec \"$@\"", "sh"]).arg(brig.program());
    let archive = testkit::busybox_tar(brig.directory());
    command.arg("--root").arg(brig.store()).arg("--runroot").arg(brig.directory().join("run"));
    testkit::run(command.args(["import", archive.to_str().unwrap(), "setuid"])).success();
    brig.ok(&["run", "setuid", "true"]);
    let mut looked_at = 0;
    for name in ["store", "run"] {
        let top = brig.directory().join(name);
        let entries = fs::read_dir(&top).unwrap().flatten().map(|entry| entry.path());
        for path in entries.chain([top.clone()]) {
            let metadata = fs::symlink_metadata(&path).unwrap();
            looked_at += 1;
            if metadata.is_dir() {
                assert_eq!(metadata.mode() & 0o077, 0, "{} {:o}", path.display(), metadata.mode());
            } else {
                assert_eq!(metadata.mode() & 0o6022, 0, "{} {:o}", path.display(), metadata.mode());
            }
        }
    }
    assert!(looked_at >= 5, "{looked_at} entries");
});

control!(a_store_that_is_open_gives_root, Target::Opened("chmod -R a+rX of the store"), [root], |brig| {
    import(brig);
    let store = brig.store();
    let mut command = Command::new("find");
    let opened =
        command.arg(&store).args(["-type", "d", "-exec", "chmod", "a+rx", "{}", "+"]).status().unwrap();
    assert!(opened.success());
    reached(&copies(&store)).iter().any(|line| line.contains("euid=0"))
});

control!(
    unpacked_by_hand_it_is_open,
    Target::Unconfined("tar, as root file systems are unpacked by hand"),
    [root],
    |brig| {
        import(brig);
        fs::set_permissions(brig.directory(), fs::Permissions::from_mode(0o755)).unwrap();
        let unpacked = brig.directory().join("unpacked");
        fs::create_dir(&unpacked).unwrap();
        let mut command = Command::new("tar");
        command.arg("-xpf").arg(brig.directory().join("setuid.tar")).arg("-C").arg(&unpacked);
        testkit::run(&mut command).success();
        reached(&copies(&unpacked)).iter().any(|line| line.contains("euid=0"))
    }
);
