//! What `-v`, `--mount` and `--tmpfs` mount: host directories with the guard, overlays, read-only trees, memory.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tests::{Brig, story};

/// What a script prints in a container with these flags; it must succeed.
fn printed(brig: &Brig, flags: &[&str], script: &str) -> String {
    brig.shell(flags, script).success()
}

/// A directory of the person's with a file in it.
fn data(brig: &Brig) -> PathBuf {
    let data = brig.directory().join("data");
    fs::create_dir_all(data.join("sub")).unwrap();
    fs::write(data.join("file"), "host\n").unwrap();
    fs::write(data.join("sub/inner"), "inner\n").unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&data);
        for path in ["file", "sub", "sub/inner"] {
            user.give(&data.join(path));
        }
    }
    data
}

// The classic way from a container to root of the host. The directory stands for /etc: a story that writes never names
// the real one.
story!(the_guard_says_why, [root, user], |brig| {
    brig.import_busybox();
    for (flags, named) in [
        (["-v", "/etc:/root/etc"], "`/etc`"),
        (["-v", "/:/host"], "`/`"),
        (["--mount", "type=bind,src=/proc,dst=/p"], "`/proc`"),
        (["-v", "/etc:/e:O"], "`/etc`"),
    ] {
        let outcome = brig.shell(&flags, "true");
        assert_eq!(outcome.code, 125, "{outcome}");
        assert!(
            outcome.stderr.contains(named) && outcome.stderr.contains("is refused as a mount"),
            "{outcome}"
        );
        assert!(outcome.stderr.contains("hint: if that is meant, add `--allow-host-path"), "{outcome}");
    }
});

story!(with_the_flag_root_inside_still_deletes_nothing, [root], |brig| {
    brig.import_busybox();
    // The store is refused as /etc is; what lies in it belongs to the host's root.
    let guarded = brig.store().join("guarded");
    fs::create_dir(&guarded).unwrap();
    fs::write(guarded.join("shadow"), "secret\n").unwrap();
    fs::set_permissions(guarded.join("shadow"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let volume = format!("{}:/root/etc", guarded.display());
    assert_eq!(brig.shell(&["-v", &volume], "true").code, 125);
    let allow = format!("--allow-host-path={}", guarded.display());
    let script = "rm -f /root/etc/shadow; echo x >/root/etc/new; cat /root/etc/shadow; ls /root/etc";
    let outcome = brig.shell(&[&allow, "-v", &volume], script);
    assert!(outcome.stdout.contains("shadow") && !outcome.stdout.contains("secret"), "{outcome}");
    assert!(outcome.stderr.contains("--allow-host-path"), "the weakening is said: {outcome}");
    assert_eq!(fs::read_to_string(guarded.join("shadow")).unwrap(), "secret\n");
    assert!(!guarded.join("new").exists());
});

story!(an_overlay_throws_away_what_is_written, [root, user], |brig| {
    brig.import_busybox();
    let data = data(brig);
    if brig.is_root() {
        // Without its ids a host directory is nobody's in there, and read only what anybody may.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&data, mode).unwrap();
    }
    let idmap = if brig.is_root() { ",idmap" } else { "" };
    let volume = format!("{}:/d:O{idmap}", data.display());
    let script = "cat /d/file /d/sub/inner; echo changed >/d/file; rm -r /d/sub; mkdir /d/sub; touch /d/sub/new; cat /d/file; ls /d/sub";
    assert_eq!(printed(brig, &["-v", &volume], script), "host\ninner\nchanged\nnew\n");
    let whole = || {
        assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "host\n");
        assert_eq!(fs::read_to_string(data.join("sub/inner")).unwrap(), "inner\n");
        assert!(!data.join("sub/new").exists());
    };
    whole();
    // A container that stays begins anew, too.
    let count = "ls /d; touch /d/left";
    let ran = brig.ok(&["run", "--name", "stays", "-v", &volume, "busybox", "sh", "-c", count]);
    assert_eq!(ran, "file\nsub\n");
    let left = brig.store().join("containers");
    let id = fs::read_dir(&left).unwrap().next().unwrap().unwrap().file_name();
    assert!(!left.join(&id).join("overlays").exists(), "what was written lives on");
    brig.ok(&["start", "stays"]);
    brig.ok(&["wait", "stays"]);
    assert_eq!(brig.ok(&["logs", "stays"]), "file\nsub\nfile\nsub\n");
    brig.ok(&["rm", "stays"]);
    whole();
});

story!(an_overlay_without_ids_is_read_only_for_nobody, [root], |brig| {
    brig.import_busybox();
    let volume = format!("{}:/d:O", data(brig).display());
    let outcome =
        brig.shell(&["-v", &volume], "cat /d/file; stat -c %u /d/file; echo new >/d/new && cat /d/new");
    assert_eq!(outcome.success(), "host\n65534\nnew\n");
    assert!(!brig.directory().join("data/new").exists());
});

story!(read_only_reaches_the_mounts_below, [root], |brig| {
    brig.import_busybox();
    let data = data(brig);
    let run = |options: &str| {
        let command = brig.command(&["run", "--rm", "--mount"]);
        let mount = format!("type=bind,src={},dst=/d,{options}", data.display());
        let script = "touch /d/x 2>/dev/null && echo top; touch /d/sub/x 2>/dev/null && echo below; echo end";
        let mut outer = std::process::Command::new("unshare");
        let prepare = "mount -t tmpfs -o mode=1777 none \"$0/sub\" && exec \"$@\"";
        outer.args(["--mount", "--propagation", "private", "sh", "-c", prepare]).arg(&data);
        outer.arg(command.get_program()).args(command.get_args());
        outer.args([mount.as_str(), "--userns=host", "busybox", "sh", "-c", script]);
        testkit::run(&mut outer).success()
    };
    assert_eq!(run("ro"), "end\n");
    assert_eq!(run("ro,bind-recursive=writable"), "below\nend\n");
    assert_eq!(run("bind-recursive=enabled"), "top\nbelow\nend\n");
});

story!(memory_is_as_large_as_asked_for, [root, user], |brig| {
    brig.import_busybox();
    let look =
        "df -k /t | awk 'NR==2{print $1,$2}'; stat -c %a /t; grep ' /t ' /proc/mounts | grep -c noexec";
    assert_eq!(printed(brig, &["--tmpfs", "/t:size=2m,mode=750"], look), "tmpfs 2048\n750\n1\n");
    let mount = "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700";
    assert_eq!(printed(brig, &["--mount", mount], look), "tmpfs 1024\n700\n1\n");
    assert_eq!(
        printed(brig, &["--tmpfs", "/etc:tmpcopyup"], "test -s /etc/passwd && touch /etc/x && echo copied"),
        "copied\n"
    );
    assert_eq!(printed(brig, &["--tmpfs", "/etc"], "ls /etc | grep -c passwd || true"), "0\n");
});

// Whatever was typed first: what lies below another mount is mounted after it.
story!(mounts_below_mounts, [root, user], |brig| {
    brig.import_busybox();
    let volume = format!("{}:/d/below:ro", data(brig).display());
    let flags = ["-v", &volume, "-v", "outer:/d", "--tmpfs", "/d/below/sub"];
    assert_eq!(
        printed(brig, &flags, "ls /d /d/below /d/below/sub"),
        "/d:\nbelow\n\n/d/below:\nfile\nsub\n\n/d/below/sub:\n"
    );
});

story!(who_keeps_an_id_owns_his_files, [user], |brig| {
    brig.import_busybox();
    let data = data(brig);
    let uid = brig.as_user().unwrap().uid();
    let volume = format!("{}:/d", data.display());
    let script = "id -u; stat -c %u /d/file; touch /d/made";
    assert_eq!(printed(brig, &["--userns=keep-id", "-v", &volume], script), format!("{uid}\n{uid}\n"));
    assert_eq!(fs::metadata(data.join("made")).unwrap().uid(), uid);
});

story!(an_id_map_shows_root_his_files, [root], |brig| {
    brig.import_busybox();
    let data = data(brig);
    std::os::unix::fs::chown(data.join("file"), Some(1000), Some(1001)).unwrap();
    let look = "stat -c %u:%g /d/file /d";
    assert_eq!(printed(brig, &["-v", &format!("{}:/d:idmap", data.display())], look), "1000:1001\n0:0\n");
    assert_eq!(printed(brig, &["-v", &format!("{}:/d", data.display())], look), "65534:65534\n65534:65534\n");
});

story!(what_is_not_done_is_said, [root, user, bare], |brig| {
    brig.import_busybox();
    let data = data(brig).display().to_string();
    for (flag, value, said) in [
        ("-v", format!("{data}:/d:z"), "does not relabel"),
        ("-v", format!("{data}:/d:U"), "does not chown"),
        ("--mount", "type=glob,src=/etc/*,dst=/i".to_owned(), "not there yet"),
        ("-v", format!("{data}:/d:O,ro"), "leave `O` out"),
        ("-v", format!("{data}/nosuch:/d"), "mkdir -p"),
        ("-v", "data:/d:rslave".to_owned(), "not an option"),
    ] {
        let outcome = brig.shell(&[flag, &value], "true");
        assert_eq!((outcome.code, outcome.stderr.contains(said)), (125, true), "{outcome}");
    }
});

story!(an_image_is_mounted_as_it_is, [root, user], |brig| {
    brig.import_busybox();
    // Two layers: what the second hides and replaces, and an owner that is not root.
    let script =
        "mkdir -p /data/sub; echo old > /data/file; echo gone > /data/sub/gone; chown -R 1000:1000 /data/sub";
    brig.ok(&["run", "--name", "first", "busybox", "sh", "-c", script]);
    brig.ok(&["commit", "-q", "first", "one"]);
    brig.ok(&[
        "run",
        "--name",
        "second",
        "one",
        "sh",
        "-c",
        "echo new > /data/file; rm /data/sub/gone; touch /data/sub/own",
    ]);
    brig.ok(&["commit", "-q", "second", "two"]);
    brig.ok(&["rm", "first", "second"]);
    let look = "cat /m/data/file; stat -c '%n %u:%g %a' /m/data/sub /m/data/sub/*; touch /m/x 2>&1 | grep -o 'Read-only.*'; \
        grep -c ' /m .*nosuid,nodev' /proc/mounts";
    let expected = "new\n/m/data/sub 1000:1000 755\n/m/data/sub/own 0:0 644\nRead-only file system\n1\n";
    for flags in [&[][..], &["--userns", "host"], &["--read-only"]] {
        let mount = ["--mount", "type=image,source=two,destination=/m"];
        if flags.contains(&"--userns") && !brig.is_root() {
            continue;
        }
        assert_eq!(printed(brig, &[flags, &mount[..]].concat(), look), expected, "{flags:?}");
    }
    // An image of one layer.
    let mount = "type=image,src=busybox,dst=/m,rw=false";
    assert_eq!(
        printed(
            brig,
            &["--mount", mount],
            "ls /m/bin | grep -cx sh; touch /m/x 2> /dev/null || echo refused"
        ),
        "1\nrefused\n"
    );

    // It stays while a container is there, which starts again.
    brig.ok(&[
        "create",
        "--name",
        "kept",
        "--mount",
        "type=image,src=two,dst=/m",
        "busybox",
        "cat",
        "/m/data/file",
    ]);
    assert_eq!(
        brig.ok(&["inspect", "-f", "{{range .Mounts}}{{.Type}} {{.Source}} {{.RW}}{{end}}", "kept"]),
        "image two false\n"
    );
    let refused = brig.run(&["rmi", "two"]);
    assert!(refused.code == 1 && refused.stderr.contains("is used by container"), "{refused}");
    brig.ok(&["rmi", "-f", "two", "one"]);
    brig.ok(&["image", "prune", "-a", "-f"]);
    for _ in 0..2 {
        assert_eq!(brig.ok(&["start", "-a", "kept"]), "new\n");
    }
    assert_eq!(brig.ok(&["system", "check"]), "nothing is wrong\n");
    brig.ok(&["rm", "kept"]);
    brig.ok(&["image", "prune", "-a", "-f"]);
    assert_eq!(brig.ok(&["images", "-q"]), "");
    assert!(fs::read_dir(brig.store().join("blobs/sha256")).unwrap().next().is_none());
});

story!(an_image_mount_that_cannot_be_is_refused, [root, user], |brig| {
    brig.import_busybox();
    for (mount, words) in [
        ("type=image,src=nosuch,dst=/m", "nosuch"),
        ("type=image,src=busybox,dst=/m,rw=true", "cannot be changed"),
        ("type=image,dst=/m", "source"),
        ("type=image,src=busybox,dst=/m,subpath=bin", "subpath"),
    ] {
        let stderr = brig.shell(&["--mount", mount], "true").fails_with(125);
        assert!(stderr.contains(words), "{mount}: {stderr}");
    }
    assert_eq!(brig.ok(&["ps", "-aq"]), "");
});
