//! `brig save`: what it writes, we and others read.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::process::Command;

use tests::{Brig, story};

const FORMATS: [&str; 4] = ["docker-archive", "oci-archive", "oci-dir", "docker-dir"];

/// Two images, one on top of the other.
fn images(brig: &Brig) -> [String; 2] {
    brig.import_busybox();
    brig.ok(&["run", "--name", "box", "busybox", "sh", "-c", "echo saved > /file; rm /etc/group"]);
    brig.ok(&["commit", "-q", "-c", "CMD [\"cat\",\"/file\"]", "box", "made:1"]);
    brig.ok(&["rm", "box"]);
    ["busybox", "made:1"].map(|name| id(brig, name))
}

fn id(brig: &Brig, name: &str) -> String {
    brig.ok(&["images", "-q", "--no-trunc", name]).trim().to_owned()
}

fn path(brig: &Brig, name: &str) -> String {
    brig.directory().join(name).to_str().unwrap().to_owned()
}

story!(every_format_comes_back, [root, user], |brig| {
    let [base, made] = images(brig);
    for format in FORMATS {
        let file = path(brig, format);
        brig.ok(&["save", "--format", format, "-o", &file, "made:1"]);
        brig.ok(&["rmi", "made:1"]);
        let loaded = brig.ok(&["load", "-i", &file]);
        // An image in docker's own directory has no name.
        if format == "docker-dir" {
            assert!(loaded.contains(&made), "{format}: {loaded}");
            brig.ok(&["tag", &made, "made:1"]);
        }
        assert_eq!(id(brig, "made:1"), made, "{format}");
        assert_eq!(brig.ok(&["run", "--rm", "made:1"]), "saved\n", "{format}");
    }
    // Several, with their names, through a pipe.
    let both = path(brig, "both.tar");
    brig.ok(&["tag", "made:1", "example.org/other/name:x"]);
    let output = brig.command(&["save", "busybox", "made:1", "example.org/other/name:x"]).output().unwrap();
    fs::write(&both, output.stdout).unwrap();
    brig.ok(&["rmi", "-f", &base, &made]);
    brig.ok(&["load", "-i", &both]);
    assert_eq!([id(brig, "busybox"), id(brig, "made:1")], [base, made.clone()]);
    assert_eq!(id(brig, "example.org/other/name:x"), made);
    // The same images, the same bytes.
    let again = brig.command(&["save", "busybox", "made:1", "example.org/other/name:x"]).output().unwrap();
    assert_eq!(fs::read(&both).unwrap(), again.stdout);
});

story!(what_cannot_be_saved_leaves_nothing, [root], |brig| {
    images(brig);
    let file = path(brig, "out");
    for (arguments, reason) in [
        (&["save", "-o", &file, "nosuch"][..], "no image"),
        (&["save", "--format", "oci-dir", "busybox"], "is not written to standard output"),
        (&["save", "--format", "docker-dir", "-o", &file, "busybox", "made:1"], "a format that holds one"),
        (&["save", "--format", "oci-dir", "-o", "/proc", "busybox"], "is not empty"),
    ] {
        let outcome = brig.run(arguments);
        assert!(outcome.code == 1 && outcome.stderr.contains(reason), "{arguments:?}: {outcome}");
        drop(fs::remove_dir(&file));
        assert!(!brig.directory().join("out").exists(), "{arguments:?}");
    }
    // A blob that rotted on the disk is not handed on.
    let blobs = brig.store().join("blobs/sha256");
    let size = |path: &std::path::Path| fs::metadata(path).unwrap().len();
    let largest =
        fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().path()).max_by_key(|path| size(path));
    let largest = largest.unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::remove_file(&largest).unwrap();
    fs::write(&largest, bytes).unwrap();
    let outcome = brig.run(&["save", "-o", &file, "busybox"]);
    assert!(outcome.stderr.contains("damaged or tampered"), "{outcome}");
    let left = fs::read_dir(brig.directory())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("out"));
    assert_eq!(left.count(), 0);
});

/// Runs a program that must succeed.
fn must(program: &str, arguments: &[&str]) -> String {
    testkit::run(Command::new(program).args(arguments)).success()
}

#[test]
fn skopeo_and_umoci_read_it() {
    testkit::needs!(root, program("busybox"), program("skopeo"), program("umoci"));
    let brig = &Brig::root();
    let [_, made] = images(brig);
    for (format, transport) in FORMATS.into_iter().zip(["docker-archive:", "oci-archive:", "oci:", "dir:"]) {
        let file = path(brig, format);
        brig.ok(&["save", "--format", format, "-o", &file, "made:1"]);
        let source = format!("{transport}{file}");
        let raw = must("skopeo", &["inspect", "--config", &source]);
        assert!(raw.contains("/file"), "{format}: {raw}");
        // Every blob, by skopeo's own reading of the digests.
        let copy = path(brig, &format!("copy-of-{format}"));
        must("skopeo", &["--insecure-policy", "copy", "--quiet", &source, &format!("oci:{copy}:1")]);
        let unpacked = path(brig, &format!("unpacked-{format}"));
        must("umoci", &["raw", "unpack", "--image", &format!("{copy}:1"), &unpacked]);
        assert_eq!(fs::read_to_string(format!("{unpacked}/file")).unwrap(), "saved\n", "{format}");
        assert!(!fs::exists(format!("{unpacked}/etc/group")).unwrap(), "{format}: the whiteout was lost");
        assert!(fs::exists(format!("{unpacked}/etc/passwd")).unwrap(), "{format}");
        fs::remove_dir_all(&unpacked).unwrap();
    }
    let manifest = must("tar", &["-xOf", &path(brig, "docker-archive"), "manifest.json"]);
    assert!(manifest.contains(made.strip_prefix("sha256:").unwrap()), "{manifest}");
}
