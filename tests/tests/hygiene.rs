//! Nothing of ours outlives its container: no mount, process, cgroup, file or lock.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;

use testkit::{Bundle, Hygiene, TempDir, User};
use tests::{Brig, story};

fn nothing_is_left(brig: &Brig) {
    assert_eq!(brig.runtime_containers(), Vec::<String>::new());
    for directory in ["store/containers", "store/names", "store/leases", "store/ingest", "run/c"] {
        let path = brig.directory().join(directory);
        let left: Vec<_> =
            fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

story!(containers_that_end_well_or_badly_leave_nothing, [root, user], |brig| {
    brig.import_busybox();
    let before = Hygiene::capture();
    for arguments in [
        &["true"][..],
        &["false"],
        &["no-such-program"],
        &["sh", "-c", "sleep 1000 & sleep 1000 & exit 0"],
        &["sh", "-c", "mkdir /new; chmod 0 /new; ln -s / /new2"],
    ] {
        drop(brig.run(&[&["run", "--rm", "--network", "none", "busybox"], arguments].concat()));
    }
    drop(brig.shell(&["--read-only", "--tmpfs", "/a", "-v", "/nonexistent:/b"], "true"));
    before.assert_same();
    nothing_is_left(brig);
});

story!(a_runtime_that_fails_at_any_step_leaves_nothing, [root, user], |brig| {
    let before = Hygiene::capture();
    let bundle = brig.bundle("bundle", &["true"]);
    for (pointer, value) in [
        ("/process/cwd", "relative".into()),
        ("/process/args/0", "no-such-program".into()),
        ("/mounts/0/type", "no-such-type".into()),
        ("/root/path", "no-such-root".into()),
        ("/hostname", "x".repeat(1000).into()),
    ] {
        let mut config = bundle.config.clone();
        *config.pointer_mut(pointer).unwrap() = value;
        fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
        let outcome =
            brig.runtime_run(&["run", "--bundle", bundle.path().to_str().unwrap(), "brig-test-fails"]);
        assert_ne!(outcome.code, 0, "{pointer}: {outcome}");
    }
    before.assert_same();
    nothing_is_left(brig);
});

#[test]
fn fixtures_leave_nothing() {
    testkit::needs!(user_with_subids, program("busybox"));
    let before = Hygiene::capture();
    let (directory, user) = (TempDir::new(), User::with_subids());
    let (path, home) = (directory.path().to_owned(), user.home());
    drop(Bundle::new(&directory.join("bundle"), &["true"]));
    testkit::run(user.command("sh").args(["-c", "echo $HOME; cat /proc/self/uid_map > file"])).success();
    drop((directory, user));
    before.assert_same();
    assert!(!path.exists() && !home.exists());
}
