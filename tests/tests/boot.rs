//! After a reboot: what should run does, and nothing on the machine was changed for it.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tests::{Brig, eventually, story};

/// What a reboot does: every process is gone at once, and so are the cgroups and the run directory.
fn reboot(brig: &Brig, ids: &[&str]) {
    let (mut monitors, mut payloads) = (Vec::new(), Vec::new());
    for id in ids {
        monitors.extend(brig.monitors(id));
        payloads.extend(brig.life(id)["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()));
    }
    // The monitors are frozen first: none may see the other or its container end.
    signal("-STOP", &monitors);
    signal("-KILL", &[monitors.as_slice(), &payloads].concat());
    eventually("they are gone", || {
        monitors.iter().chain(&payloads).all(|pid| {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        })
    });
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        for id in ids {
            match fs::remove_dir(hierarchy.path().join(format!("brig-{id}"))) {
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    panic!("{id}: {error}")
                }
                _ => {}
            }
        }
    }
    fs::remove_dir_all(brig.directory().join("run")).unwrap();
}

fn signal(name: &str, pids: &[i32]) {
    let pids = pids.iter().map(ToString::to_string);
    assert!(Command::new("kill").arg(name).args(pids).status().unwrap().success());
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
        eventually("both run", || [&always, &unless].iter().all(|id| brig.life(id)["status"] == "running"));
        for id in [&stopped, &never] {
            assert_eq!(brig.life(id)["status"], "exited");
        }
        assert_eq!(brig.life(created.trim())["status"], "created");
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
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if text.starts_with("#!") { 0o755 } else { 0o644 });
        assert_eq!(brig.run(&["generate", "boot", "--init", init, "-o", path]).code, 1);
    }
    // The machine's own, whichever that is.
    assert!(brig.ok(&["generate", "boot"]).contains(" system boot"));
});
