//! `brig import`, `images`, `image inspect`, `rmi`: images made from a plain root file system.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;

use serde_json::Value;
use tests::story;

story!(an_imported_image_is_listed_run_and_removed, [root, user], |brig| {
    brig.import_busybox();
    let images = brig.ok(&["images"]);
    assert!(images.lines().any(|line| line.starts_with("busybox") && line.contains("latest")), "{images}");
    let seen: Value = serde_json::from_str(&brig.ok(&["image", "inspect", "busybox"])).unwrap();
    let image = &seen[0];
    assert!(image["Id"].as_str().is_some_and(|id| id.starts_with("sha256:") && id.len() == 71), "{seen}");
    assert!(image["RepoTags"].to_string().contains("busybox:latest"), "{seen}");
    assert_eq!(image["Os"], "linux");
    assert_eq!(brig.ok(&["run", "--rm", "busybox", "echo", "hi"]), "hi\n");
    brig.ok(&["rmi", "busybox"]);
    assert!(!brig.ok(&["images"]).contains("busybox"));
    brig.run(&["run", "--rm", "busybox", "true"]).fails_with(125);
});

story!(an_image_comes_from_standard_input_under_any_name, [root, user], |brig| {
    let archive = fs::read(testkit::busybox_tar(brig.directory())).unwrap();
    for name in ["box:1.36", "localhost:5000/team/box:v2"] {
        testkit::run_with_input(&mut brig.command(&["import", "-", name]), &archive).success();
        assert_eq!(brig.ok(&["run", "--rm", name, "echo", name]), format!("{name}\n"));
    }
});

story!(what_is_no_archive_is_refused_and_leaves_nothing, [root, user], |brig| {
    let whole = fs::read(testkit::busybox_tar(brig.directory())).unwrap();
    for bytes in [
        &b"no tar at all, but long enough to be one if it were one".repeat(20)[..],
        &whole[..whole.len() / 2],
    ] {
        let outcome = testkit::run_with_input(&mut brig.command(&["import", "-", "broken"]), bytes);
        assert!(outcome.code != 0 && outcome.stderr.starts_with("error: "), "{outcome}");
    }
    for name in ["UPPER", "a:b:c", "-flag", "a//b", "a@sha256:12"] {
        assert_ne!(
            testkit::run_with_input(&mut brig.command(&["import", "-", name]), &whole).code,
            0,
            "{name}"
        );
    }
    assert!(!brig.ok(&["images"]).contains("broken"));
    let parts = fs::read_dir(brig.store().join("ingest")).map_or(0, Iterator::count);
    assert_eq!(parts, 0);
});

// Found in this project: `/` was closed to everybody but root where the archive said nothing of it.
story!(a_root_directory_without_an_entry_is_open_to_its_users, [root, user], |brig| {
    let (root, archive) = (brig.directory().join("root"), brig.directory().join("root.tar"));
    testkit::busybox_rootfs(&root);
    let mut tar = std::process::Command::new("tar");
    tar.args(["--numeric-owner", "--owner=0", "--group=0", "-cf"])
        .arg(&archive)
        .arg("-C")
        .arg(&root)
        .arg("bin");
    assert!(tar.status().unwrap().success());
    brig.ok(&["import", archive.to_str().unwrap(), "rootless"]);
    let run = ["run", "--rm", "--user", "1000", "rootless", "/bin/busybox", "stat", "-c", "%a", "/"];
    assert_eq!(brig.ok(&run), "755\n");
});
