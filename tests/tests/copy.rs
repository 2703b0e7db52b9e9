//! `brig cp`: between containers, the host and archives, by docker's rules.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use tests::running::Running;
use tests::{Brig, story};

const TREE: &str = "umask 022; mkdir -p /srv/deep /plain; echo one > /srv/one; echo two > /srv/deep/two; \
    ln -s one /srv/link; ln -s /srv /to-srv; ln -s /nowhere /dangling; chmod 4755 /srv/one";

fn path(brig: &Brig, name: &str) -> String {
    brig.directory().join(name).to_str().unwrap().to_owned()
}

/// Makes a file or directory of the person's.
fn own(brig: &Brig, name: &str, make: impl FnOnce(&Path)) -> String {
    let place = brig.directory().join(name);
    make(&place);
    if let Some(user) = brig.as_user() {
        user.give(&place);
    }
    path(brig, name)
}

fn refused(brig: &Brig, from: &str, to: &str, reason: &str) {
    let outcome = brig.run(&["cp", from, to]);
    assert_eq!(outcome.code, 1, "{from} {to}: {outcome}");
    assert!(outcome.stderr.contains(reason) && outcome.stdout.is_empty(), "{from} {to}: {outcome}");
}

/// Both directions and every rule; the container is called `box`.
fn copies(brig: &Brig) {
    let at = |name: &str| path(brig, name);
    let read = |name: &str| fs::read_to_string(brig.directory().join(name)).unwrap();
    // Out: a directory under a new name, into one that is there, its content alone.
    brig.ok(&["cp", "box:/srv", &at("new")]);
    assert_eq!((read("new/one"), read("new/deep/two")), ("one\n".to_owned(), "two\n".to_owned()));
    assert_eq!(fs::read_link(brig.directory().join("new/link")).unwrap(), Path::new("one"));
    brig.ok(&["cp", "box:srv", &at("new")]);
    assert_eq!(read("new/srv/deep/two"), "two\n");
    own(brig, "into", |place| fs::create_dir(place).unwrap());
    brig.ok(&["cp", "box:/srv/.", &at("into")]);
    assert_eq!(read("into/one"), "one\n");
    // Files: under a new name, over another, into a directory; a link as it is, or what it leads to.
    brig.ok(&["cp", "box:/srv/one", &at("file")]);
    brig.ok(&["cp", "box:/srv/deep/two", &at("file")]);
    assert_eq!(read("file"), "two\n");
    brig.ok(&["cp", "box:/srv/link", &at("link")]);
    assert_eq!(fs::read_link(brig.directory().join("link")).unwrap(), Path::new("one"));
    brig.ok(&["cp", "-L", "box:/srv/link", &at("followed")]);
    assert_eq!(read("followed"), "one\n");
    brig.ok(&["cp", "box:/to-srv/", &at("through")]);
    assert_eq!(read("through/one"), "one\n");
    // What the container's author may do there, the host does not get: no set-id bit, and the person owns it.
    let file = fs::metadata(brig.directory().join("new/one")).unwrap();
    assert_eq!(file.permissions().mode() & 0o7777, 0o755);
    let owner = brig.as_user().map_or(0, testkit::User::uid);
    assert_eq!(file.uid(), owner);

    // In: the same rules.
    let text = own(brig, "text", |place| fs::write(place, "text").unwrap());
    let tree = own(brig, "tree", |place| {
        fs::create_dir_all(place.join("sub")).unwrap();
        fs::write(place.join("sub/leaf"), "leaf").unwrap();
        fs::write(place.join(".wh.plain"), "kept").unwrap();
        symlink("/etc/passwd", place.join("sub/out")).unwrap();
    });
    let inside = |name: &str| {
        let outcome = brig.run(&["cp", "-L", &format!("box:{name}"), "-"]);
        String::from_utf8_lossy(outcome.success().as_bytes()).into_owned()
    };
    for (from, to, found, content) in [
        (text.as_str(), "box:/plain", "/plain/text", "text"),
        (&text, "box:/plain/", "/plain/text", "text"),
        (&text, "box:/plain/renamed", "/plain/renamed", "text"),
        (&text, "box:/srv/link", "/srv/one", "text"),
        (&text, "box:/to-srv", "/srv/text", "text"),
        (&text, "box:plain/relative", "/plain/relative", "text"),
        (&tree, "box:/fresh", "/fresh/sub/leaf", "leaf"),
        (&tree, "box:/plain", "/plain/tree/sub/leaf", "leaf"),
        (&format!("{tree}/."), "box:/plain", "/plain/sub/leaf", "leaf"),
        (&format!("{tree}/."), "box:/other", "/other/.wh.plain", "kept"),
    ] {
        brig.ok(&["cp", from, to]);
        assert!(inside(found).contains(content), "{from} {to}");
    }
    // The link was followed, not replaced.
    brig.ok(&["cp", "box:/srv/link", &at("still")]);
    assert_eq!(fs::read_link(brig.directory().join("still")).unwrap(), Path::new("one"));
    // Between two places in containers.
    brig.ok(&["cp", "box:/srv/deep", "box:/plain/second"]);
    assert!(inside("/plain/second/two").contains("two"));

    refused(brig, &text, "box:/no/such/place", "the directory above it is not there");
    refused(brig, &text, "box:/plain/none/", "no such directory");
    refused(brig, &tree, "box:/srv/one", "a directory cannot be copied to a file");
    refused(brig, "box:/missing", &at("x"), "no such file or directory");
    refused(brig, &at("missing"), "box:/", "no such file or directory");
    refused(brig, &text, "box:/dangling", "link to nothing");
    refused(brig, "box:/srv/one/", &at("x"), "Not a directory");
    refused(brig, &text, &at("x"), "neither side is in a container");
    refused(brig, "nobody:/x", &at("x"), "nobody");
    own(brig, "clash", |place| fs::create_dir_all(place.join("one")).unwrap());
    refused(brig, "box:/srv/.", &at("clash"), "would take the place of a directory");
    brig.ok(&["cp", "--overwrite", "box:/srv/.", &at("clash")]);
    assert_eq!(read("clash/text"), "text");
}

story!(a_running_container, [root, user, bare], |brig| {
    brig.import_busybox();
    let _running = Running::start(brig, "box", &[], TREE);
    copies(brig);
});

story!(a_container_that_ended, [root, user, bare], |brig| {
    brig.import_busybox();
    brig.ok(&["run", "--name", "box", "busybox", "sh", "-c", TREE]);
    copies(brig);
    // Before its first start, too.
    brig.ok(&["create", "--name", "new", "busybox", "cat", "/given"]);
    brig.ok(&["cp", &path(brig, "text"), "new:/given"]);
    assert_eq!(brig.run(&["start", "-a", "new"]).success(), "text");
    brig.ok(&["rm", "new"]);
    brig.ok(&["rm", "box"]);
});

story!(a_container_that_does_not_run_has_its_mounts, [root, user], |brig| {
    brig.import_busybox();
    let at = |name: &str| brig.directory().join(name);
    for name in ["host", "kept"] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("old"), format!("{name}\n")).unwrap();
    }
    fs::write(at("given"), "given\n").unwrap();
    fs::write(at("file"), "file\n").unwrap();
    if let Some(user) = brig.as_user() {
        user.give(brig.directory());
    }
    let bind = |name: &str, rest: &str| format!("{}:{rest}", at(name).display());
    let (host, kept, file) = (bind("host", "/host"), bind("kept", "/kept:ro"), bind("file", "/etc/file"));
    let mounts = ["-v", "data:/deep/data", "-v", &host, "-v", &kept, "-v", &file];
    let flags = ["create", "--name", "box", "--tmpfs", "/memory"];
    let script = "cat /deep/data/given /host/given /host/old";
    brig.ok(&[&flags[..], &mounts, &["busybox", "sh", "-c", script]].concat());
    let given = at("given").to_str().unwrap().to_owned();
    // It never ran: what it mounts over is made, as its start would.
    for round in ["new", "ended"] {
        brig.ok(&["cp", &given, "box:/deep/data/"]);
        brig.ok(&["cp", &given, "box:/host/"]);
        let refused = brig.run(&["cp", &given, "box:/kept/"]);
        assert!(refused.code == 1 && refused.stderr.contains("Read-only file system"), "{round}: {refused}");
        let out = at("out").to_str().unwrap().to_owned();
        for (inside, text) in
            [("/kept/old", "kept\n"), ("/etc/file", "file\n"), ("/deep/data/given", "given\n")]
        {
            brig.ok(&["cp", &format!("box:{inside}"), &out]);
            assert_eq!(fs::read_to_string(&out).unwrap(), text, "{round}");
        }
        assert_eq!(brig.ok(&["start", "-a", "box"]), "given\ngiven\nhost\n", "{round}");
    }
    assert_eq!(fs::read_to_string(at("host/given")).unwrap(), "given\n");
    // It is not in the container's own layer.
    assert!(!brig.ok(&["diff", "box"]).contains("given"));
    // The guard is that of the day: what became a refused path is not mounted.
    fs::remove_dir_all(at("host")).unwrap();
    std::os::unix::fs::symlink("/etc", at("host")).unwrap();
    let refused = brig.run(&["cp", "box:/host/passwd", "-"]);
    assert!(refused.code == 1 && refused.stderr.contains("--allow-host-path"), "{refused}");
    brig.ok(&["rm", "box"]);
});

story!(archives_come_and_go, [root, user], |brig| {
    brig.import_busybox();
    let _running = Running::start(brig, "box", &[], TREE);
    let archive = brig.directory().join("made.tar");
    let rootfs = brig.directory().join("made");
    fs::create_dir_all(rootfs.join("a")).unwrap();
    fs::write(rootfs.join("a/file"), "of an archive").unwrap();
    testkit::tar(&rootfs, &archive);
    for compressor in ["cat", "gzip", "zstd"] {
        let packed = brig.directory().join(compressor);
        let output = std::process::Command::new(compressor).stdin(fs::File::open(&archive).unwrap()).output();
        fs::write(&packed, output.unwrap().stdout).unwrap();
        let into = format!("box:/plain/{compressor}");
        brig.ok(&["exec", "box", "mkdir", into.strip_prefix("box:").unwrap()]);
        let mut command = brig.command(&["cp", "-", &into]);
        let status = command.stdin(fs::File::open(&packed).unwrap()).status().unwrap();
        assert!(status.success(), "{compressor}");
        let file = format!("/plain/{compressor}/a/file");
        assert_eq!(brig.ok(&["exec", "box", "cat", &file]), "of an archive");
    }
    // Refused: a target that is no directory, an archive that climbs.
    let mut command = brig.command(&["cp", "-", "box:/srv/one"]);
    let outcome = command.stdin(fs::File::open(&archive).unwrap()).output().unwrap();
    assert_eq!(outcome.status.code(), Some(1));
    let listed = brig.ok(&["cp", "box:/srv", "-"]);
    assert!(listed.contains("srv/deep/two") && listed.contains("ustar"), "no archive");
});

story!(owners_are_kept_where_asked, [root, user], |brig| {
    brig.import_busybox();
    let _running = Running::start(brig, "box", &[], "echo x > /owned; chown 1000:1000 /owned; mkdir /d");
    brig.ok(&["cp", "box:/owned", "box:/plain"]);
    assert_eq!(brig.ok(&["exec", "box", "stat", "-c", "%u:%g", "/plain"]), "0:0\n");
    brig.ok(&["cp", "-a", "box:/owned", "box:/kept"]);
    assert_eq!(brig.ok(&["exec", "box", "stat", "-c", "%u:%g", "/kept"]), "1000:1000\n");
    if brig.is_root() {
        brig.ok(&["cp", "-a", "box:/owned", &path(brig, "kept")]);
        assert_eq!(fs::metadata(brig.directory().join("kept")).unwrap().uid(), 1000);
    }
});
