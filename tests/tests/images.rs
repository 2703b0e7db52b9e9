//! `images`, `tag`, `rmi`, `image inspect`: names of images come and go, layers go with the last of them.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;

use serde_json::Value;
use tests::{Brig, story};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// How many entries a directory of the store has.
fn entries(brig: &Brig, directory: &str) -> usize {
    fs::read_dir(brig.store().join(directory)).map_or(0, Iterator::count)
}

story!(images_are_listed_as_docker_does, [root, user], |brig| {
    assert_eq!(brig.ok(&["images"]).lines().count(), 1);
    assert_eq!(brig.ok(&["images", "--quiet"]), "");
    brig.import_busybox();
    brig.ok(&["tag", "busybox", "localhost:5000/team/box:v2"]);
    let table = brig.ok(&["images"]);
    let heading: Vec<&str> =
        table.lines().next().unwrap().split("  ").filter(|word| !word.is_empty()).collect();
    assert_eq!(
        heading.iter().map(|word| word.trim()).collect::<Vec<_>>(),
        ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    );
    assert_eq!(table.lines().count(), 3, "{table}");
    // Without the age, which grows between two commands.
    let columns = ["--format", "{{.Repository}} {{.Tag}} {{.ID}} {{.Size}}"];
    let rows = brig.ok(&[&["images"][..], &columns].concat());
    assert_eq!(brig.ok(&[&["image", "ls"][..], &columns].concat()), rows);
    assert_eq!(brig.ok(&[&["images", "--all"][..], &columns].concat()), rows);

    // One image, so one id; whole or short.
    let short = brig.ok(&["images", "-q"]);
    assert_eq!(short.trim().len(), 12, "{short}");
    let whole = brig.ok(&["images", "-q", "--no-trunc"]);
    assert!(whole.starts_with("sha256:") && whole[7..].starts_with(short.trim()), "{whole}");
    for (name, lines) in [("busybox", 1), ("busybox:latest", 1), ("localhost:5000/team/box", 1), ("box", 0)] {
        let seen = brig.ok(&["images", "--format", "json", name]);
        assert_eq!(seen.lines().count(), lines, "{name}: {seen}");
    }
    let line = json(brig.ok(&["images", "--format", "json", "busybox"]).trim());
    assert_eq!((&line["Repository"], &line["Tag"]), (&"busybox".into(), &"latest".into()));
    assert!(line["Digest"].as_str().unwrap().starts_with("sha256:"), "{line}");
    assert!(brig.ok(&["images", "--digests"]).contains(line["Digest"].as_str().unwrap()));
    brig.run(&["images", "--format", "{{.ID}"]).fails_with(1);
});

story!(an_image_lives_while_it_has_a_name, [root, user, bare], |brig| {
    brig.import_busybox();
    let id = brig.ok(&["images", "-q"]).trim().to_owned();
    brig.ok(&["tag", &id, "other:1"]);
    assert_eq!(brig.ok(&["rmi", "busybox"]), "Untagged: busybox:latest\n");
    assert_eq!(brig.ok(&["run", "--rm", "other:1", "echo", "here"]), "here\n");
    let layers = entries(brig, "layers");
    assert!(layers > 0);
    let removed = brig.ok(&["image", "rm", "other:1"]);
    assert!(removed.starts_with("Untagged: other:1\nDeleted: sha256:"), "{removed}");
    assert_eq!((entries(brig, "layers"), entries(brig, "blobs/sha256")), (0, 0));
    for name in ["other:1", &id] {
        assert!(brig.run(&["rmi", name]).fails_with(1).contains("error: "));
    }
    brig.run(&["tag", "busybox", "again"]).fails_with(1);
});

story!(an_image_in_use_stays, [root, user], |brig| {
    brig.import_busybox();
    brig.ok(&["run", "--name", "kept", "busybox", "true"]);
    brig.run(&["rmi", "busybox"]).fails_with(1);
    assert_eq!(brig.ok(&["images", "-q"]).lines().count(), 1);
    brig.ok(&["rm", "kept"]);
    brig.ok(&["rmi", "busybox"]);

    // By id, an image with two names goes only by force.
    brig.import_busybox();
    brig.ok(&["tag", "busybox", "other"]);
    let id = brig.ok(&["images", "-q"]).trim().to_owned();
    brig.run(&["rmi", &id]).fails_with(1);
    brig.ok(&["rmi", "--force", &id]);
    assert_eq!(brig.ok(&["images", "-q"]), "");
});

story!(everything_about_an_image_is_shown, [root, user], |brig| {
    let archive = testkit::busybox_tar(brig.directory());
    let mut words = vec!["import", "--quiet", "--message", "made by hand"];
    words.extend(["-c", "CMD [\"sh\", \"-c\", \"echo $WHO\"]", "-c", "ENV WHO=me", "-c", "WORKDIR /var"]);
    words.extend(["-c", "USER 1000", "-c", "LABEL a=b", archive.to_str().unwrap(), "made:1"]);
    assert_eq!(brig.ok(&words), "");
    assert_eq!(brig.ok(&["run", "--rm", "made:1"]), "me\n");
    let seen = json(&brig.ok(&["image", "inspect", "made:1"]));
    let image = &seen[0];
    assert_eq!(image["Config"]["Cmd"], json(r#"["sh", "-c", "echo $WHO"]"#));
    assert_eq!((&image["Config"]["WorkingDir"], &image["Config"]["User"]), (&"/var".into(), &"1000".into()));
    assert_eq!(image["Config"]["Labels"]["a"], "b");
    assert_eq!(image["Comment"], "made by hand");
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    assert_eq!(json(&brig.ok(&["image", "inspect", "-f", "json", image["Id"].as_str().unwrap()])), seen);
    // What is there is shown also where something is not.
    let outcome = brig.run(&["image", "inspect", "made:1", "no-such"]);
    assert_eq!((outcome.code, json(&outcome.stdout).as_array().unwrap().len()), (1, 1), "{outcome}");
    for change in ["RUN true", "nonsense"] {
        brig.run(&["import", "-c", change, archive.to_str().unwrap(), "bad"]).fails_with(1);
    }
    brig.run(&["import", "/no/such/file", "bad"]).fails_with(1);
    brig.run(&["load", "-i", "/no/such/file"]).fails_with(1);
});

// A full disk stands for one that was never so empty: all that can go goes, and what a container uses stays.
story!(images_go_until_there_is_room, [root, user], |brig| {
    brig.import_busybox();
    brig.ok(&["run", "--name", "made", "busybox", "sh", "-c", "head -c 3000000 /dev/zero > /big"]);
    for name in ["one", "two"] {
        brig.ok(&["commit", "-q", "-c", &format!("LABEL name={name}"), "made", name]);
    }
    let prune = |mark: &str| brig.run(&["image", "prune", "-f", "--keep-free", mark]);
    let names = || brig.ok(&["images", "--format", "{{.Repository}}"]);
    for mark in ["0%", "1k"] {
        assert_eq!(prune(mark).success(), "Total reclaimed space: 0B\n");
    }
    assert_eq!(names().lines().count(), 3);
    let outcome = prune("100%");
    assert!(outcome.code == 0 && outcome.stderr.contains("a container uses every image"), "{outcome}");
    let lines: Vec<&str> = outcome.stdout.lines().filter(|line| line.starts_with("untagged: ")).collect();
    assert_eq!(lines, ["untagged: one:latest", "untagged: two:latest"], "{outcome}");
    assert_eq!(names(), "busybox\n");
    for mark in ["101%", "much", "%"] {
        prune(mark).fails_with(1);
    }
    assert_eq!(brig.ok(&["start", "-a", "made"]), "");
    assert_eq!(brig.ok(&["system", "check"]), "nothing is wrong\n");
});
