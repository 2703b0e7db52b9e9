//! `brig system check`, `prune` and `df`, `brig history` and `untag`: the store kept whole and small.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tests::attack::Paused;
use tests::running::Running;
use tests::{Brig, story};

/// Runs `system check` with these words: its exit code and what it found.
fn check(brig: &Brig, words: &[&str]) -> (i32, String) {
    let outcome = brig.run(&[&["system", "check"], words].concat());
    (outcome.code, outcome.stdout)
}

fn whole(brig: &Brig) {
    assert_eq!(check(brig, &["--contents"]), (0, "nothing is wrong\n".to_owned()));
}

story!(what_is_damaged_is_found_and_mended, [root, user], |brig| {
    brig.import_busybox();
    brig.ok(&["run", "--name", "kept", "busybox", "true"]);
    whole(brig);
    let (store, run) = (brig.store(), brig.directory().join("run"));
    // A name and run-time files of nobody's, and a container that lost its name.
    symlink("../containers/0123", store.join("names/nobody")).unwrap();
    fs::remove_file(store.join("names/kept")).unwrap();
    let stray = "ab".repeat(32);
    for directory in ["c", "etc", "s"] {
        fs::create_dir_all(run.join(directory).join(&stray)).unwrap();
    }
    if let Some(user) = brig.as_user() {
        for place in [store.join("names"), run.clone()] {
            user.give(&place);
        }
    }
    let (code, found) = check(brig, &[]);
    assert_eq!(code, 1);
    for line in ["the name `nobody`", "by its name `kept`", "c/abab", "etc/abab", "s/abab"] {
        assert!(found.contains(line), "{line}: {found}");
    }
    let (code, mended) = check(brig, &["--repair"]);
    assert_eq!(code, 0, "{mended}");
    assert!(mended.contains("given back"), "{mended}");
    whole(brig);
    brig.ok(&["start", "-a", "kept"]);
    // A layer that is gone comes back from its blob; a blob that rotted is told and cannot.
    let layers: Vec<_> =
        fs::read_dir(store.join("layers")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(layers.len(), 1);
    fs::rename(&layers[0], brig.directory().join("gone")).unwrap();
    assert!(check(brig, &[]).1.contains("is missing"));
    assert_eq!(check(brig, &["--repair"]).0, 0);
    whole(brig);
    assert_eq!(brig.ok(&["run", "--rm", "busybox", "echo", "again"]), "again\n");
    fs::write(layers[0].join("meta.json"), "{}").unwrap();
    assert_eq!(check(brig, &["--repair"]).0, 0);
    whole(brig);
    let largest = fs::read_dir(store.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    bytes[1000] ^= 1;
    fs::remove_file(&largest).unwrap();
    fs::write(&largest, bytes).unwrap();
    assert_eq!(check(brig, &[]).0, 0);
    let (code, told) = check(brig, &["--contents", "--repair"]);
    assert!(code == 1 && told.contains("not mended"), "{told}");
    brig.ok(&["rm", "kept"]);
});

/// The cgroups of a container, on this machine.
fn cgroups(id: &str) -> Vec<String> {
    let name = format!("brig-{id}*");
    let output = Command::new("find").args(["/sys/fs/cgroup", "-name", &name]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

// Before the plan of a cgroup was kept, the second moment left directories that nothing found.
story!(a_start_that_is_killed_at_its_cgroup_leaves_none, [root], |brig| {
    let brig = brig.with_seams();
    brig.import_busybox();
    for (number, point) in ["cgroup.planned", "cgroup.made"].iter().enumerate() {
        let mut command = brig.command(&["run", "--rm", "busybox", "true"]);
        let paused = Paused::at(&mut command, point, &brig.directory().join(format!("pause{number}")));
        let ids = brig.containers();
        assert_eq!(ids.len(), 1);
        assert_eq!(cgroups(&ids[0]).is_empty(), *point == "cgroup.planned", "{:?}", cgroups(&ids[0]));
        paused.kill();
        // The next command that is not in a hurry sweeps.
        brig.ok(&["images"]);
        assert_eq!(cgroups(&ids[0]), Vec::<String>::new());
        assert_eq!(check(&brig, &[]), (0, "nothing is wrong\n".to_owned()));
    }
    // Also where the container is gone, and its state is not.
    let mut command = brig.command(&["run", "--rm", "busybox", "true"]);
    let paused = Paused::at(&mut command, "cgroup.made", &brig.directory().join("pause"));
    let id = brig.containers().remove(0);
    paused.kill();
    fs::remove_dir_all(brig.store().join("containers").join(&id)).unwrap();
    assert!(!cgroups(&id).is_empty());
    let (code, mended) = check(&brig, &["--repair"]);
    assert!(code == 0 && mended.contains(&format!("c/{id}")), "{mended}");
    assert_eq!(cgroups(&id), Vec::<String>::new());
    assert_eq!(check(&brig, &[]), (0, "nothing is wrong\n".to_owned()));
});

// A process of ours joins the other container's namespaces and makes the new one's there. Killed in between, its child held
// the socket that the command read: both waited for ever.
story!(a_start_whose_helper_is_killed_ends, [root, user], |brig| {
    let brig = brig.with_seams();
    brig.import_busybox();
    brig.ok(&["run", "-d", "--name", "first", "--network", "none", "busybox", "sleep", "1000"]);
    for (number, words) in [
        &["run", "--rm", "--pid", "container:first", "busybox", "true"][..],
        &["run", "-d", "--name", "second", "--pid", "container:first", "busybox", "true"],
        &["exec", "first", "true"],
    ]
    .iter()
    .enumerate()
    {
        let directory = brig.directory().join(format!("pause{number}"));
        let paused = Paused::at(&mut brig.command(words), "staged", &directory);
        rustix::process::kill_process(paused.pid(), rustix::process::Signal::KILL).unwrap();
        let (code, _, stderr) = paused.go();
        assert!(code.is_some_and(|code| code != 0), "{words:?}: {code:?}");
        assert!(
            stderr.contains("ended during set-up (while it joined the namespaces)"),
            "{words:?}: {stderr}"
        );
    }
    brig.ok(&["rm", "-f", "-a"]);
    assert_eq!(check(&brig, &[]), (0, "nothing is wrong\n".to_owned()));
});

story!(what_is_wrong_with_volumes_and_secrets_is_said, [root, user], |brig| {
    brig.import_busybox();
    brig.ok(&["volume", "create", "data"]);
    brig.ok(&["volume", "create", "rotten"]);
    brig.ok(&["run", "--name", "kept", "-v", "data:/data", "busybox", "true"]);
    fs::write(brig.directory().join("value"), "x").unwrap();
    brig.ok(&["secret", "create", "word", brig.directory().join("value").to_str().unwrap()]);
    whole(brig);
    let volumes = brig.store().join("volumes");
    let give = |path: &Path| {
        if let Some(user) = brig.as_user() {
            user.give(path);
        }
    };
    fs::create_dir_all(volumes.join(".staged-half/data/x")).unwrap();
    give(&volumes.join(".staged-half"));
    fs::rename(volumes.join("data"), brig.directory().join("gone")).unwrap();
    fs::write(volumes.join("rotten/meta.json"), "{").unwrap();
    let key = brig.store().join("secrets/.key");
    let mut bytes = fs::read(&key).unwrap();
    bytes[0] ^= 1;
    fs::write(&key, &bytes).unwrap();
    let (code, found) = check(brig, &[]);
    assert_eq!(code, 1);
    for line in ["volumes/.staged-half", "volume `data` of container", "volume `rotten` is", "secret `word`"]
    {
        assert!(found.contains(line), "{line}: {found}");
    }
    // What can be mended is; the rest is told with what to type.
    let (code, told) = check(brig, &["--repair"]);
    assert_eq!(code, 1, "{told}");
    assert!(!volumes.join(".staged-half").exists() && volumes.join("rotten/data").exists(), "{told}");
    for hint in ["brig volume create data", "brig volume rm rotten", "brig secret create --replace word"] {
        assert!(told.contains(hint), "{hint}: {told}");
    }
    brig.ok(&["volume", "create", "data"]);
    brig.ok(&["volume", "rm", "rotten"]);
    bytes[0] ^= 1;
    fs::write(&key, &bytes).unwrap();
    whole(brig);
    brig.ok(&["rm", "kept"]);
});

story!(what_is_not_needed_goes, [root, user], |brig| {
    brig.import_busybox();
    let running = Running::start(brig, "running", &["-l", "mine=1"], "");
    brig.ok(&["run", "--name", "ended", "-l", "mine=1", "busybox", "sh", "-c", "echo x > /file"]);
    brig.ok(&["run", "--name", "other", "busybox", "true"]);
    brig.ok(&["commit", "-q", "ended", "made:1"]);
    let history = brig.ok(&["history", "--no-trunc", "made:1"]);
    assert!(history.contains("echo x") && history.contains("brig import"), "{history}");
    let sizes = brig.ok(&["system", "df"]);
    assert!(sizes.contains("Images") && sizes.contains("Local Volumes"), "{sizes}");
    assert!(brig.ok(&["system", "df", "-v"]).contains("ended"));
    // Filters choose; what runs and what is used stays.
    let removed = brig.ok(&["container", "prune", "-f", "--filter", "label=mine"]);
    assert!(
        removed.contains("Deleted Containers:") && removed.contains("Total reclaimed space: "),
        "{removed}"
    );
    let left = brig.ok(&["ps", "-a", "--format", "{{.Names}}"]);
    assert!(left.contains("running") && left.contains("other") && !left.contains("ended"), "{left}");
    assert!(brig.ok(&["container", "prune", "-f", "--filter", "until=1h"]).starts_with("Total"));
    // Without a name it stays until it is pruned.
    assert_eq!(brig.ok(&["untag", "made:1"]), "Untagged: made:1\n");
    assert!(brig.ok(&["images"]).contains("<none>"));
    let asked = brig.run(&["image", "prune"]);
    assert!(asked.stdout.contains("[y/N]") && brig.ok(&["images"]).contains("<none>"), "{asked}");
    assert!(brig.ok(&["image", "prune", "-f"]).contains("deleted: sha256:"));
    assert!(!brig.ok(&["images"]).contains("<none>"));
    brig.ok(&["system", "prune", "-a", "-f", "--volumes"]);
    assert!(brig.ok(&["images"]).contains("busybox"), "a container that runs uses it");
    drop(running);
    brig.ok(&["system", "prune", "-a", "-f"]);
    assert_eq!(brig.ok(&["images", "-q"]), "");
    whole(brig);
});
