//! After a reboot: what should run does, and nothing on the machine was changed for it.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tests::{Brig, eventually, story};

fn status(brig: &Brig, id: &str) -> String {
    let life: serde_json::Value = serde_json::from_str(&brig.kept(id, "life.json")).unwrap_or_default();
    life["status"].as_str().unwrap_or_default().to_owned()
}

/// What a reboot does: every process is gone at once, and so is the run directory.
fn reboot(brig: &Brig, ids: &[&str]) {
    let mut all = Vec::new();
    for id in ids {
        let life: serde_json::Value = serde_json::from_str(&brig.kept(id, "life.json")).unwrap();
        all.extend(brig.watcher(id).map(i64::from));
        all.extend(life["pid"].as_i64().filter(|pid| *pid > 0));
    }
    let numbers: Vec<String> = all.iter().map(ToString::to_string).collect();
    // The monitors first, so that none sees its container end.
    assert!(Command::new("kill").arg("-9").args(&numbers).status().unwrap().success());
    eventually("they are gone", || {
        numbers.iter().all(|number| {
            let state = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        })
    });
    std::fs::remove_dir_all(brig.directory().join("run")).unwrap();
}

story!(what_should_run_does, [root, user], |brig| {
    brig.import_busybox();
    let start = |policy: &str| brig.detached(&[policy, "--stop-timeout=0"], "sleep 1000");
    let [always, unless, stopped, never] =
        ["--restart=always", "--restart=unless-stopped", "--restart=unless-stopped", "--restart=no"]
            .map(start);
    brig.ok(&["stop", &stopped]);
    let created = brig.ok(&["create", "--restart=always", "busybox", "true"]);
    reboot(brig, &[&always, &unless, &never]);
    for _ in 0..2 {
        brig.ok(&["system", "boot"]);
        eventually("both run", || [&always, &unless].iter().all(|id| status(brig, id) == "running"));
        for id in [&stopped, &never] {
            assert_eq!(status(brig, id), "exited");
        }
        assert_eq!(status(brig, created.trim()), "created");
    }
    let before = brig.kept(&always, "life.json");
    assert_eq!(brig.ok(&["system", "boot"]), "");
    assert_eq!(brig.kept(&always, "life.json"), before);
});

story!(the_machines_init_gets_a_file, [root, bare], |brig| {
    for (init, expected) in [
        ("systemd", "ExecStart="),
        ("systemd-user", "WantedBy=default.target"),
        ("openrc", "#!/sbin/openrc-run"),
        ("runit", "exec sv down ."),
        ("cron", "@reboot "),
    ] {
        let text = brig.ok(&["generate", "boot", "--init", init]);
        assert!(text.contains(expected) && text.contains(" system boot"), "{text}");
        let file = brig.directory().join(init);
        let path = file.to_str().unwrap();
        assert_eq!(brig.ok(&["generate", "boot", "--init", init, "-o", path]), "");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if text.starts_with("#!") { 0o755 } else { 0o644 });
        assert_eq!(brig.run(&["generate", "boot", "--init", init, "-o", path]).code, 1);
    }
    // The machine's own, whichever that is.
    assert!(brig.ok(&["generate", "boot"]).contains(" system boot"));
});
