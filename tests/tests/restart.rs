//! Containers that are started again by themselves, and those that are not.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use tests::{Brig, eventually, story};

fn life(brig: &Brig, id: &str) -> serde_json::Value {
    serde_json::from_str(&brig.kept(id, "life.json")).unwrap_or_default()
}

story!(a_failure_is_tried_again_so_often, [root, user, bare], |brig| {
    brig.import_busybox();
    let id = brig.detached(&["--restart=on-failure:2"], "echo try; exit 3");
    assert_eq!(brig.ok(&["wait", &id]), "3\n");
    assert_eq!(brig.ok(&["logs", &id]), "try\ntry\ntry\n");
    let life = life(brig, &id);
    assert_eq!((&life["restartCount"], &life["status"]), (&2.into(), &"exited".into()));
    // Success is none, and neither is there a policy by default.
    for (policy, script) in [("--restart=on-failure", "echo once"), ("--restart=no", "echo once; exit 1")] {
        let id = brig.detached(&[policy], script);
        brig.ok(&["wait", &id]);
        assert_eq!(brig.ok(&["logs", &id]), "once\n");
    }
});

story!(stop_ends_it_also_between_two_starts, [root, user], |brig| {
    brig.import_busybox();
    let id = brig.detached(&["--restart=always"], "echo try");
    // The waits double: soon it is between two starts most of the time.
    eventually("it waits for a start", || {
        let life = life(brig, &id);
        life["status"] == "restarting" && life["restartCount"].as_u64() >= Some(4)
    });
    brig.ok(&["stop", &id]);
    let tries = brig.ok(&["logs", &id]);
    let life = life(brig, &id);
    assert_eq!((&life["status"], &life["stoppedByUser"]), (&"exited".into(), &true.into()));
    assert_eq!(brig.ok(&["logs", &id]), tries);
    // A person starts it, and it is as new.
    brig.ok(&["start", &id]);
    eventually("it is tried again", || brig.ok(&["logs", &id]).len() > tries.len());
    brig.ok(&["rm", "-f", &id]);
    assert!(brig.containers().is_empty());
});

story!(a_killed_container_comes_back_a_stopped_one_does_not, [root, user], |brig| {
    brig.import_busybox();
    let id = brig.detached(&["--restart=unless-stopped", "--stop-timeout=0"], "sleep 1000");
    let pid = life(brig, &id)["pid"].clone();
    let killed = std::process::Command::new("kill").arg("-9").arg(pid.to_string()).status().unwrap();
    assert!(killed.success());
    eventually("it runs again", || {
        let life = life(brig, &id);
        life["status"] == "running" && life["pid"] != pid
    });
    brig.ok(&["stop", &id]);
    assert_eq!(life(brig, &id)["status"], "exited");
});

story!(policies_that_make_no_sense, [root], |brig| {
    brig.import_busybox();
    for flags in [&["--restart=sometimes"][..], &["--restart=on-failure:x"], &["--restart=always", "--rm"]] {
        let arguments = [&["run", "-d"], flags, &["busybox", "true"]].concat();
        let outcome = brig.run(&arguments);
        assert_eq!(outcome.code, 125, "{outcome:?}");
        assert!(brig.containers().is_empty());
    }
});
