//! Whether a container works: checks by flags and by the image, and what follows from them.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use tests::{Brig, eventually, story};

/// What `health.json` holds, as docker names it.
fn health(brig: &Brig, id: &str) -> serde_json::Value {
    serde_json::from_str(&brig.kept(id, "health.json")).unwrap_or_default()
}

fn life(brig: &Brig, id: &str) -> serde_json::Value {
    serde_json::from_str(&brig.kept(id, "life.json")).unwrap_or_default()
}

story!(checks_come_by_themselves, [root, user, bare], |brig| {
    brig.import_busybox();
    let shared = brig.directory().join("shared");
    std::fs::create_dir(&shared).unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&shared);
    }
    let volume = format!("{}:/shared", shared.display());
    let flags = [
        "--health-cmd",
        "echo checked; test -e /shared/works",
        "--health-interval=100ms",
        "--health-retries=2",
        "-v",
        &volume,
    ];
    let id = brig.detached(&flags, "sleep 1000");
    assert_eq!(brig.ok(&["wait", "--condition", "unhealthy", &id]), "-1\n");
    let outcome = brig.run(&["healthcheck", "run", &id]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, "unhealthy\n"));
    std::fs::write(shared.join("works"), "").unwrap();
    assert_eq!(brig.ok(&["wait", "--condition=healthy", &id]), "-1\n");
    brig.ok(&["healthcheck", "run", &id]);
    let health = health(brig, &id);
    assert_eq!(health["FailingStreak"], 0);
    let last = &health["Log"].as_array().unwrap().last().unwrap();
    assert_eq!((last["ExitCode"].as_i64(), last["Output"].as_str()), (Some(0), Some("checked\n")));
});

story!(an_image_says_how, [root, user], |brig| {
    brig.import_busybox();
    let archive = testkit::busybox_tar(brig.directory());
    let change = "HEALTHCHECK --interval=100ms --retries=1 CMD echo of the image; false";
    brig.ok(&["import", "-c", change, archive.to_str().unwrap(), "checked"]);
    let id = brig.ok(&["run", "-d", "checked", "sleep", "1000"]);
    let id = id.trim();
    eventually("it is unhealthy", || health(brig, id)["Status"] == "unhealthy");
    assert_eq!(health(brig, id)["Log"][0]["Output"], "of the image\n");
    let id = brig.ok(&["run", "-d", "--no-healthcheck", "checked", "sleep", "1000"]);
    let outcome = brig.run(&["healthcheck", "run", id.trim()]);
    assert!(outcome.code == 125 && outcome.stderr.contains("has no health check"), "{outcome:?}");
});

story!(what_is_done_to_the_unhealthy, [root, user], |brig| {
    brig.import_busybox();
    let start = |action: &str, more: &[&str]| {
        let flags =
            [&["--health-cmd=false", "--health-interval=100ms", "--health-retries=1", action][..], more]
                .concat();
        brig.detached(&flags, "sleep 1000")
    };
    let id = start("--health-on-failure=kill", &[]);
    assert_eq!(brig.ok(&["wait", &id]), "137\n");
    let id = start("--health-on-failure=stop", &["--stop-signal=KILL"]);
    assert_eq!(brig.ok(&["wait", &id]), "137\n");
    assert_eq!(life(brig, &id)["stoppedByUser"], true);
    let id = start("--health-on-failure=restart", &["--stop-timeout=0"]);
    let first = life(brig, &id)["startedAt"].clone();
    eventually("it is started again", || {
        let life = life(brig, &id);
        life["status"] == "running" && life["startedAt"] != first
    });
    brig.ok(&["rm", "-f", &id]);
});

story!(a_check_is_bounded, [root, user], |brig| {
    brig.import_busybox();
    let id = brig.detached(
        &["--health-cmd=sleep 999", "--health-interval=1h", "--health-timeout=300ms"],
        "sleep 1000",
    );
    assert_eq!(brig.run(&["healthcheck", "run", &id]).code, 1);
    let log = &health(brig, &id)["Log"][0];
    assert_eq!(log["ExitCode"], -1);
    assert_eq!(log["Output"], "Health check exceeded timeout (300ms)");
    // What the check left is gone: only the container's own process and its child are.
    let id =
        brig.detached(&["--health-cmd=yes", "--health-interval=1h", "--health-timeout=500ms"], "sleep 1000");
    assert_eq!(brig.run(&["healthcheck", "run", &id]).code, 1);
    let id = brig.detached(
        &["--health-cmd=head -c 100000 /dev/zero | tr '\\0' x", "--health-interval=1h"],
        "sleep 1000",
    );
    brig.ok(&["healthcheck", "run", &id]);
    let output = health(brig, &id)["Log"][0]["Output"].as_str().unwrap().to_owned();
    assert!(output.len() == 4099 && output.ends_with("x..."), "{}", output.len());
    brig.ok(&["stop", "-t", "0", &id]);
    let outcome = brig.run(&["healthcheck", "run", &id]);
    assert_eq!(outcome.code, 125, "{outcome:?}");
    // It will not be healthy any more; but it is ended.
    assert_eq!(brig.run(&["wait", "--condition=healthy", &id]).code, 1);
    assert_eq!(brig.ok(&["wait", "--condition=running", "--condition=exited", &id]), "137\n");
});

story!(another_check_for_what_runs, [root, user], |brig| {
    brig.import_busybox();
    let id = brig.detached(&["--name", "box"], "touch /tmp/up; sleep 1000");
    assert!(brig.run(&["healthcheck", "run", "box"]).code != 0);
    // A container without a check gets one, which its monitor does.
    brig.ok(&["update", "--health-cmd", "test -e /tmp/up", "--health-interval", "50ms", "box"]);
    eventually("a check", || health(brig, &id)["Status"] == "healthy");
    let shown = || -> serde_json::Value {
        let all: serde_json::Value = serde_json::from_str(&brig.ok(&["inspect", "box"])).unwrap();
        all[0]["Config"]["Healthcheck"].clone()
    };
    assert_eq!(shown()["Interval"], 50_000_000);
    // One field changes, the others stay.
    brig.ok(&["update", "--health-retries", "1", "box"]);
    assert_eq!((&shown()["Interval"], &shown()["Retries"]), (&50_000_000.into(), &1.into()));
    brig.ok(&["exec", "box", "rm", "/tmp/up"]);
    eventually("the failure", || health(brig, &id)["Status"] == "unhealthy");
    // Whoever follows a killed monitor checks as was said last.
    brig.ok(&["update", "--health-cmd", "true", "box"]);
    let worker = brig.monitors(&id)[1];
    let worker = rustix::process::Pid::from_raw(worker).unwrap();
    rustix::process::kill_process(worker, rustix::process::Signal::KILL).unwrap();
    eventually("the check", || health(brig, &id)["Status"] == "healthy");
    // None any more; at the next start either.
    brig.ok(&["update", "--no-healthcheck", "box"]);
    assert_eq!(shown(), serde_json::Value::Null);
    brig.ok(&["restart", "-t", "0", "box"]);
    assert!(brig.run(&["healthcheck", "run", "box"]).stderr.contains("has no health check"));
    // At the next start, too.
    brig.ok(&["update", "--health-cmd", "true", "--health-interval", "50ms", "box"]);
    brig.ok(&["restart", "-t", "0", "box"]);
    eventually("a check", || health(brig, &id)["Status"] == "healthy");
    for wrong in [&["--health-interval", "1us"][..], &["--no-healthcheck", "--health-cmd", "true"]] {
        let refused = brig.run(&[&["update"], wrong, &["box"]].concat());
        assert_eq!(refused.code, 1, "{refused}");
    }
    brig.ok(&["rm", "-f", "box"]);
});
