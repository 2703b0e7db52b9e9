//! Volumes: made, filled from the image, kept over restarts and ranges of ids, removed with their container.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;

use serde_json::Value;
use tests::{Brig, story};

/// What a script prints in a container with these flags; it must succeed.
fn printed(brig: &Brig, flags: &[&str], script: &str) -> String {
    brig.shell(flags, script).success()
}

fn names(brig: &Brig) -> Vec<String> {
    brig.ok(&["volume", "ls", "-q"]).lines().map(str::to_owned).collect()
}

/// An image with files at `/data`, of several owners, and a volume there.
fn image(brig: &Brig, instructions: &[&str]) {
    tests::attack::image(brig, "filled", instructions, |root| {
        fs::create_dir_all(root.join("data/sub")).unwrap();
        fs::write(root.join("data/file"), "of the image\n").unwrap();
        fs::hard_link(root.join("data/file"), root.join("data/sub/linked")).unwrap();
        std::os::unix::fs::symlink("file", root.join("data/link")).unwrap();
    });
}

story!(a_volume_is_made_listed_inspected_removed, [root, user, bare], |brig| {
    assert_eq!(brig.ok(&["volume", "create", "--label", "a=b", "data"]), "data\n");
    assert_eq!(brig.ok(&["volume", "create", "data"]), "data\n");
    let anonymous = brig.ok(&["volume", "create"]).trim().to_owned();
    assert_eq!(anonymous.len(), 64);
    let mut expected = vec!["data".to_owned(), anonymous.clone()];
    expected.sort();
    assert_eq!(names(brig), expected);
    assert_eq!(brig.ok(&["volume", "ls", "-q", "--filter", "label=a=b"]), "data\n");
    assert!(brig.ok(&["volume", "ls"]).starts_with("DRIVER    VOLUME NAME\n"));
    let shown: Value = serde_json::from_str(&brig.ok(&["volume", "inspect", "data"])).unwrap();
    assert_eq!(shown[0]["Driver"], "local");
    assert_eq!(shown[0]["Labels"]["a"], "b");
    assert_eq!(shown[0]["Scope"], "local");
    assert_eq!(shown[0]["Options"], Value::Null);
    let mountpoint = brig.ok(&["volume", "inspect", "-f", "{{.Mountpoint}}", "data"]);
    assert_eq!(mountpoint.trim(), brig.store().join("volumes/data/data").to_str().unwrap());
    assert_eq!(brig.run(&["volume", "exists", "data"]).code, 0);
    assert_eq!(brig.run(&["volume", "exists", "other"]).code, 1);
    assert_eq!(brig.ok(&["volume", "prune", "-f"]).lines().nth(1), Some(anonymous.as_str()));
    assert_eq!(brig.ok(&["volume", "rm", "data"]), "data\n");
    let outcome = brig.run(&["volume", "rm", "data"]);
    assert_eq!((outcome.code, outcome.stderr.contains("no such volume: data")), (1, true), "{outcome}");
    assert_eq!(brig.run(&["volume", "rm", "-f", "data"]).code, 0);
    for arguments in [
        &["volume", "create", "../x"][..],
        &["volume", "create", "-d", "nfs", "x"],
        &["volume", "create", "-o", "type=nfs", "-o", "device=:/x", "x"],
        &["volume", "inspect", "nosuch"],
    ] {
        let outcome = brig.run(arguments);
        assert_eq!(outcome.code, 1, "{outcome}");
        assert!(outcome.stderr.contains("error: "), "{outcome}");
    }
});

story!(files_outlive_containers, [root, user, bare], |brig| {
    brig.import_busybox();
    printed(brig, &["-v", "data:/d"], "echo hello >/d/file");
    assert_eq!(printed(brig, &["-v", "data:/d:ro"], "cat /d/file"), "hello\n");
    let outcome = brig.shell(&["-v", "data:/d:ro"], "touch /d/new");
    assert!(outcome.code != 0 && outcome.stderr.contains("Read-only"), "{outcome}");
    assert_eq!(printed(brig, &["--mount", "type=volume,src=data,dst=/d"], "cat /d/file"), "hello\n");
    assert_eq!(names(brig), ["data"]);
});

// Each container of root's has another range of ids, and a file stays its owner's.
story!(owners_stay_right, [root, user], |brig| {
    brig.import_busybox();
    printed(brig, &["-v", "data:/d"], "echo x >/d/a; chown 1000:1001 /d/a; echo y >/d/b; chmod 600 /d/a");
    let owners = "stat -c '%u:%g %n' /d/a /d/b; cat /d/a";
    // One that runs meanwhile has the first range.
    let expected = "1000:1001 /d/a\n0:0 /d/b\nx\n";
    brig.ok(&["run", "-d", "--name", "other", "-v", "data:/d", "busybox", "sleep", "600"]);
    let both = [printed(brig, &["-v", "data:/d"], owners), printed(brig, &["-v", "data:/d"], owners)];
    brig.ok(&["rm", "-f", "other"]);
    assert_eq!(both, [expected, expected]);
    let outcome = brig.shell(&["-v", "data:/d", "--user", "2000"], "cat /d/a");
    assert!(outcome.code != 0, "{outcome}");
    assert_eq!(printed(brig, &["-v", "data:/d", "--user", "1000"], "cat /d/a"), "x\n");
});

story!(an_empty_volume_gets_the_images_files, [root, user], |brig| {
    image(brig, &[]);
    let run = |flags: &[&str], script: &str| {
        brig.ok(&[&["run", "--rm"], flags, &["filled", "sh", "-c", script]].concat())
    };
    let look = "cat /data/file /data/sub/linked /data/link; stat -c %h /data/file";
    assert_eq!(run(&["-v", "data:/data"], look), "of the image\nof the image\nof the image\n2\n");
    run(&["-v", "data:/data"], "echo mine >/data/file");
    assert_eq!(run(&["-v", "data:/data"], "cat /data/file"), "mine\n");
    assert_eq!(run(&["-v", "bare:/data:nocopy"], "ls /data"), "");
    assert_eq!(run(&["--mount", "type=volume,src=b2,dst=/data,volume-nocopy"], "ls /data"), "");
    // What is there already is not mixed with the image's.
    run(&["-v", "mine:/x"], "touch /x/own");
    assert_eq!(run(&["-v", "mine:/data"], "ls /data"), "own\n");
    // The container sees what it may change, the image stays.
    assert_eq!(run(&[], "cat /data/file"), "of the image\n");
});

story!(volumes_that_nobody_named_go_with_their_container, [root, user], |brig| {
    image(brig, &["VOLUME /data"]);
    assert_eq!(brig.ok(&["run", "--rm", "filled", "cat", "/data/file"]), "of the image\n");
    assert_eq!(names(brig), [""; 0]);
    brig.ok(&["run", "--rm", "-v", "/anonymous", "filled", "touch", "/anonymous/x"]);
    assert_eq!(names(brig), [""; 0]);
    brig.ok(&["run", "--name", "stays", "-v", "named:/n", "filled", "sh", "-c", "echo x >>/data/file"]);
    assert_eq!(names(brig).len(), 2);
    let anonymous = names(brig).into_iter().find(|name| name != "named").unwrap();
    let outcome = brig.run(&["volume", "rm", &anonymous]);
    assert_eq!((outcome.code, outcome.stderr.contains("in use")), (1, true), "{outcome}");
    assert_eq!(brig.ok(&["volume", "prune", "-f"]), "Total reclaimed space: 0B\n");
    // A later start has the same volume.
    brig.ok(&["start", "stays"]);
    brig.ok(&["wait", "stays"]);
    let file = "/v/file";
    let seen = brig.ok(&["run", "--rm", "-v", &format!("{anonymous}:/v"), "filled", "cat", file]);
    assert_eq!(seen, "of the image\nx\nx\n");
    brig.ok(&["rm", "-v", "stays"]);
    assert_eq!(names(brig), ["named"]);
    brig.ok(&["run", "--rm", "--image-volume", "ignore", "filled", "sh", "-c", "! grep /data /proc/mounts"]);
});

story!(volumes_from_another_container, [root, user], |brig| {
    brig.import_busybox();
    brig.ok(&["create", "--name", "first", "-v", "data:/d", "-v", "/own", "busybox", "true"]);
    printed(brig, &["--volumes-from", "first"], "echo 1 >/d/x; echo 2 >/own/y");
    let seen = printed(brig, &["--volumes-from", "first:ro"], "cat /d/x /own/y; touch /own/z || echo ro");
    assert_eq!(seen, "1\n2\nro\n");
    assert_eq!(names(brig).len(), 2);
    brig.ok(&["rm", "-v", "first"]);
    assert_eq!(names(brig), ["data"]);
    let outcome = brig.shell(&["--volumes-from", "nosuch"], "true");
    assert_eq!(outcome.code, 125, "{outcome}");
});

story!(a_part_of_a_volume, [root, user], |brig| {
    brig.import_busybox();
    printed(
        brig,
        &["-v", "data:/d"],
        "mkdir -p /d/a/b; echo deep >/d/a/b/file; ln -s / /d/out; ln -s a/b /d/in",
    );
    let part = |path: &str| format!("type=volume,src=data,dst=/p,volume-subpath={path}");
    for path in ["a/b", "in"] {
        assert_eq!(printed(brig, &["--mount", &part(path)], "cat /p/file"), "deep\n", "{path}");
    }
    // A link to the root is the volume's root.
    assert_eq!(printed(brig, &["--mount", &part("out")], "ls /p"), "a\nin\nout\n");
    let climb = format!("{}etc", "../".repeat(20));
    for path in ["nosuch", "out/etc", climb.as_str()] {
        let outcome = brig.shell(&["--mount", &part(path)], "ls /p");
        assert_eq!(outcome.code, 125, "{path}: {outcome}");
    }
});

story!(what_volumes_are_made_of, [root, user], |brig| {
    brig.import_busybox();
    brig.ok(&[
        "volume",
        "create",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "-o",
        "o=size=1m,mode=700",
        "memory",
    ]);
    let seen = printed(brig, &["-v", "memory:/m"], "df -k /m | awk 'NR==2{print $1,$2}'; stat -c %a /m");
    assert_eq!(seen, "tmpfs 1024\n700\n");
    let host = brig.directory().join("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("file"), "host\n").unwrap();
    let device = format!("device={}", host.display());
    brig.ok(&["volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", &device, "bound"]);
    assert_eq!(printed(brig, &["-v", "bound:/b"], "cat /b/file; touch /b/x || echo ro"), "host\nro\n");
    // The guard of bind mounts is not walked around.
    brig.ok(&["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/etc", "etc"]);
    let outcome = brig.shell(&["-v", "etc:/e"], "ls /e");
    assert_eq!((outcome.code, outcome.stderr.contains("is refused as a mount")), (125, true), "{outcome}");
});

story!(archives_go_out_and_in, [root, user], |brig| {
    brig.import_busybox();
    printed(brig, &["-v", "one:/d"], "echo x >/d/a; chown 7:8 /d/a; mkdir /d/s; ln -s /etc/passwd /d/l");
    let tar = brig.directory().join("out.tar");
    let path = tar.to_str().unwrap();
    brig.ok(&["volume", "export", "-o", path, "one"]);
    brig.ok(&["volume", "create", "two"]);
    brig.ok(&["volume", "import", "two", path]);
    let look = "cd /d; stat -c '%u:%g %n' a; readlink l; cat a";
    assert_eq!(printed(brig, &["-v", "two:/d"], look), "7:8 a\n/etc/passwd\nx\n");
    assert_eq!(brig.run(&["volume", "export", "nosuch"]).code, 1);
});

// Of those who make, use and remove one volume at once, none meets anything but a volume or its absence.
story!(many_at_once, [root, user], |brig| {
    brig.import_busybox();
    std::thread::scope(|scope| {
        let users: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..3).map(|_| brig.shell(&["-v", "shared:/d"], "echo x >>/d/f")).collect::<Vec<_>>()
                })
            })
            .collect();
        for _ in 0..20 {
            let outcome = brig.run(&["volume", "rm", "shared"]);
            let is_expected = outcome.code == 0
                || outcome.stderr.contains("in use")
                || outcome.stderr.contains("no such volume");
            assert!(is_expected, "{outcome}");
        }
        for outcome in users.into_iter().flat_map(|user| user.join().unwrap()) {
            assert_eq!(outcome.code, 0, "{outcome}");
        }
    });
});
