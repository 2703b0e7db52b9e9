//! The life of a container as `create`, `start`, `kill`, `delete` and their kin tell it.

use std::fs;
use std::process::Stdio;

use serde_json::json;
use tests::story;

use crate::{bundle, eventually, parse, path, pid_of, prepared, share};

story!(ids_are_checked, [root, user], |brig| {
    let bundle = bundle(brig, "true", |_| {});
    let long = "x".repeat(1025);
    for id in ["", ".", "..", "a/b", "../x", "a b", "é", "a\nb", "@x", &long] {
        for command in
            [&["create", "--bundle", path(&bundle)] as &[&str], &["state"], &["delete", "--force"], &["kill"]]
        {
            let outcome = brig.runtime_run(&[command, &[id]].concat());
            assert_eq!(outcome.code, 1, "{id:?}: {outcome}");
        }
    }
    assert_eq!(brig.runtime_containers(), Vec::<String>::new());
    for id in ["0", "A_b+c-d.e", &"x".repeat(200)] {
        brig.runtime_ok(&["run", "--bundle", path(&bundle), id]);
    }
});

story!(a_stopped_container_is_only_deleted, [root, user], |brig| {
    let bundle = bundle(brig, "true", |_| {});
    testkit::run_detached(&mut brig.runtime(&["create", "--bundle", path(&bundle), "short"])).success();
    brig.runtime_ok(&["start", "short"]);
    eventually("it stops", || parse(&brig.runtime_ok(&["state", "short"]))["status"] == "stopped");
    assert_eq!(parse(&brig.runtime_ok(&["state", "short"]))["pid"], 0);
    // Engines read these words.
    let outcome = brig.runtime_run(&["kill", "short", "KILL"]);
    assert!(outcome.stderr.contains("container not running"), "{outcome}");
    for command in [
        &["start", "short"] as &[&str],
        &["exec", "short", "true"],
        &["pause", "short"],
        &["resume", "short"],
    ] {
        assert_ne!(brig.runtime_run(command).code, 0, "{command:?}");
    }
    if brig.is_root() {
        brig.runtime_ok(&["kill", "--all", "short", "KILL"]);
    }
    brig.runtime_ok(&["delete", "short"]);
    for command in ["state", "start", "delete", "kill", "pause", "resume", "ps"] {
        let outcome = brig.runtime_run(&[command, "short"]);
        assert!(outcome.code == 1 && outcome.stderr.contains("does not exist"), "{outcome}");
    }
});

story!(a_created_container_is_deleted_without_force, [root, user], |brig| {
    let bundle = bundle(brig, "echo never", |_| {});
    testkit::run_detached(&mut brig.runtime(&["create", "--bundle", path(&bundle), "waiting"])).success();
    let pid = pid_of(brig, "waiting");
    brig.runtime_ok(&["delete", "waiting"]);
    eventually("its process ends", || {
        fs::read_to_string(format!("/proc/{pid}/status")).map_or(true, |status| status.contains("State:\tZ"))
    });
    assert_eq!(brig.runtime_containers(), Vec::<String>::new());
});

story!(a_created_container_can_be_killed, [root, user], |brig| {
    let bundle = bundle(brig, "echo never", |_| {});
    testkit::run_detached(&mut brig.runtime(&["create", "--bundle", path(&bundle), "waiting"])).success();
    brig.runtime_ok(&["kill", "waiting", "KILL"]);
    eventually("it stops", || parse(&brig.runtime_ok(&["state", "waiting"]))["status"] == "stopped");
    assert_ne!(brig.runtime_run(&["start", "waiting"]).code, 0);
    brig.runtime_ok(&["delete", "waiting"]);
});

story!(what_a_crash_left_is_deleted_with_force, [root, user], |brig| {
    let bundle = bundle(brig, "true", |_| {});
    brig.runtime_ok(&["list"]);
    for (name, content) in [("empty", None), ("damaged", Some("{"))] {
        let directory = brig.state().join(name);
        fs::create_dir(&directory).unwrap();
        if let Some(content) = content {
            fs::write(directory.join("state.json"), content).unwrap();
        }
        if let Some(user) = brig.as_user() {
            user.give(&directory);
        }
        assert_eq!(brig.runtime_run(&["create", "--bundle", path(&bundle), name]).code, 1);
        brig.runtime_ok(&["list"]);
        brig.runtime_ok(&["delete", "--force", name]);
        brig.runtime_ok(&["run", "--bundle", path(&bundle), name]);
    }
});

story!(kill_sends_what_is_asked, [root, user], |brig| {
    let script = "trap 'echo $S >/tmp/got' USR1; S=usr1; while :; do sleep 0.05; done";
    let bundle = bundle(brig, script, |_| {});
    brig.start("trapper", &bundle);
    let got = bundle.rootfs().join("tmp/got");
    for signal in ["USR1", "SIGUSR1", "usr1", "10"] {
        eventually("the signal arrives", || {
            brig.runtime_ok(&["kill", "trapper", signal]);
            fs::remove_file(&got).is_ok()
        });
    }
    for signal in ["0x9", "SIGNONE", "-1", "65", "999"] {
        assert_eq!(brig.runtime_run(&["kill", "trapper", signal]).code, 1, "{signal}");
    }
    brig.runtime_ok(&["delete", "-f", "trapper"]);
});

story!(kill_reaches_all_processes, [root], |brig| {
    let bundle = bundle(brig, "sleep 1001 & sleep 1002 & wait", |config| share(config, "pid"));
    brig.start("many", &bundle);
    eventually("all run", || {
        parse(&brig.runtime_ok(&["ps", "-f", "json", "many"])).as_array().unwrap().len() == 3
    });
    let table = brig.runtime_ok(&["ps", "many"]);
    assert!(
        table.contains("sleep 1001") && table.starts_with("UID") && table.lines().count() == 4,
        "{table}"
    );
    // The first process alone leaves the others: then delete has to end them.
    brig.runtime_ok(&["kill", "many", "KILL"]);
    eventually("it stops", || parse(&brig.runtime_ok(&["state", "many"]))["status"] == "stopped");
    brig.runtime_ok(&["kill", "--all", "many", "KILL"]);
    eventually("all end", || {
        parse(&brig.runtime_ok(&["ps", "-f", "json", "many"])).as_array().unwrap().is_empty()
    });
    brig.runtime_ok(&["delete", "many"]);
});

story!(delete_ends_what_a_shared_pid_namespace_leaves, [root], |brig| {
    let bundle = bundle(brig, "sleep 1003 & echo $! >/tmp/pid; exit 0", |config| share(config, "pid"));
    brig.start("leaver", &bundle);
    eventually("it stops", || parse(&brig.runtime_ok(&["state", "leaver"]))["status"] == "stopped");
    let pid = fs::read_to_string(bundle.rootfs().join("tmp/pid")).unwrap();
    brig.runtime_ok(&["delete", "leaver"]);
    eventually("the other ends", || {
        fs::read_to_string(format!("/proc/{}/status", pid.trim()))
            .map_or(true, |status| status.contains("State:\tZ"))
    });
});

story!(of_many_that_want_one_id_one_gets_it, [root, user], |brig| {
    let bundle = bundle(brig, "sleep 1000", |_| {});
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let create =
            || testkit::run_detached(&mut brig.runtime(&["create", "--bundle", path(&bundle), "wanted"]));
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().code).collect()
    });
    assert_eq!(outcomes.iter().filter(|code| **code == 0).count(), 1, "{outcomes:?}");
    let starts: Vec<_> = std::thread::scope(|scope| {
        let start = || brig.runtime_run(&["start", "wanted"]).code;
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(starts.iter().filter(|code| **code == 0).count(), 1, "{starts:?}");
    brig.runtime_ok(&["delete", "--force", "wanted"]);
});

story!(state_shows_annotations_and_owner, [root, user], |brig| {
    let mut bundle = bundle(brig, "sleep 1000", |_| {});
    bundle.config["annotations"] = json!({"a.b/c": "d e"});
    bundle.write();
    brig.start("noted", &bundle);
    let state = parse(&brig.runtime_ok(&["state", "noted"]));
    assert_eq!(state["annotations"], json!({"a.b/c": "d e"}));
    assert_eq!(state["rootfs"], bundle.rootfs().to_str().unwrap());
    let list = parse(&brig.runtime_ok(&["list", "--format", "json"]));
    assert_eq!(list[0]["id"], "noted");
    assert_eq!(list[0]["status"], "running");
    assert_eq!(brig.runtime_ok(&["list", "-q"]), "noted\n");
    brig.runtime_ok(&["delete", "--force", "noted"]);
    assert_eq!(brig.runtime_ok(&["list", "-q"]), "");
});

story!(messages_go_to_the_log, [root, user], |brig| {
    let log = brig.directory().join("log.json");
    let mut command =
        brig.runtime(&["--log", log.to_str().unwrap(), "--log-format", "json", "state", "nobody"]);
    assert_eq!(testkit::run(&mut command).code, 1);
    let line = parse(fs::read_to_string(&log).unwrap().lines().last().unwrap());
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("does not exist") && line["time"].is_string(), "{line}");
});

story!(run_forwards_signals, [root, user], |brig| {
    let script = "trap 'echo term >>/tmp/got; exit 42' TERM; trap 'echo usr2 >>/tmp/got' USR2; touch /tmp/up; while :; do sleep 0.05; done";
    let bundle = bundle(brig, script, |_| {});
    let mut command = prepared(brig, "exec \"$@\"", &["run", "--bundle", path(&bundle), "front"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    eventually("it is up", || bundle.rootfs().join("tmp/up").exists());
    // A user's command is behind a program that changes the user and then is the runtime itself.
    let send =
        |name: &str| drop(std::process::Command::new("kill").args([name, &child.id().to_string()]).status());
    send("-USR2");
    let got = bundle.rootfs().join("tmp/got");
    eventually("USR2 arrives", || fs::read_to_string(&got).is_ok_and(|text| text.contains("usr2")));
    send("-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(42));
    assert_eq!(brig.runtime_containers(), Vec::<String>::new());
});

story!(run_detaches_and_keeps, [root, user], |brig| {
    let bundle = bundle(brig, "exit 3", |_| {});
    let outcome = brig.runtime_run(&["run", "--keep", "--bundle", path(&bundle), "kept"]);
    assert_eq!(outcome.code, 3, "{outcome}");
    assert_eq!(parse(&brig.runtime_ok(&["state", "kept"]))["status"], "stopped");
    brig.runtime_ok(&["delete", "kept"]);
    let sleeper = brig.bundle("bundle", &["sleep", "1000"]);
    let file = brig.directory().join("pid");
    let mut command = brig.runtime(&["run", "--detach", "--bundle", path(&sleeper), "--pid-file"]);
    testkit::run_detached(command.arg(&file).arg("back")).success();
    assert_eq!(fs::read_to_string(&file).unwrap(), pid_of(brig, "back").to_string());
    brig.runtime_ok(&["delete", "--force", "back"]);
});

story!(wrong_command_lines_fail, [root], |brig| {
    for words in [
        &["nonsense"] as &[&str],
        &["create"],
        &["state"],
        &["state", "a", "b"],
        &["--magic", "list"],
        &["kill"],
    ] {
        let outcome = brig.runtime_run(words);
        assert!(outcome.code != 0 && !outcome.stderr.is_empty(), "{outcome}");
    }
    assert!(brig.runtime_ok(&["--version"]).contains("spec: 1."));
    assert!(brig.runtime_ok(&["--help"]).contains("create"));
});

story!(sockets_of_service_managers_are_passed_on, [root, user], |brig| {
    let bundle = bundle(
        brig,
        "echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES; cat <&3; (ls /proc/$$/fd >/tmp/open); echo $(cat /tmp/open)",
        |_| {},
    );
    let file = brig.directory().join("socket");
    fs::write(&file, "three\n").unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&file);
    }
    let script =
        format!("exec 3<{}; LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web exec \"$@\"", file.display());
    let text =
        testkit::run(&mut prepared(brig, &script, &["run", "--bundle", path(&bundle), "listener"])).success();
    assert_eq!(text.trim(), "1 1 web\nthree\n0 1 2 3");
});
