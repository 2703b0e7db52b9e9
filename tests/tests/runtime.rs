//! `brig-runtime`, as containerd, podman and Docker call it.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::Bundle;
use tests::{Brig, story};

fn path(bundle: &Bundle) -> &str {
    bundle.path().to_str().unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Runs a bundle whose process is this shell script, after `change`d its configuration.
fn shell(brig: &Brig, script: &str, change: impl FnOnce(&mut Value)) -> testkit::Outcome {
    let mut bundle = brig.bundle("bundle", &["sh", "-c", script]);
    change(&mut bundle.config);
    bundle.write();
    brig.runtime_run(&["run", "--bundle", path(&bundle), "brig-test-shell"])
}

fn status(brig: &Brig, id: &str) -> String {
    json(&brig.runtime_ok(&["state", id]))["status"].as_str().unwrap().to_owned()
}

fn wait_for_status(brig: &Brig, id: &str, wanted: &str) {
    for _ in 0..600 {
        if status(brig, id) == wanted {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("`{id}` does not become {wanted}");
}

story!(run_returns_what_the_process_returns, [root, user], |brig| {
    for (script, code, stdout) in [("true", 0, ""), ("exit 7", 7, ""), ("echo out; exit 1", 1, "out\n")] {
        let outcome = shell(brig, script, |_| {});
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, stdout), "{outcome}");
    }
    assert_eq!(brig.runtime_containers(), Vec::<String>::new());
});

story!(life_of_a_container, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    testkit::run_detached(&mut brig.runtime(&["create", "--bundle", path(&bundle), "life"])).success();
    let state = json(&brig.runtime_ok(&["state", "life"]));
    assert_eq!(state["id"], "life");
    assert_eq!(state["status"], "created");
    assert_eq!(state["bundle"], path(&bundle));
    assert!(state["pid"].as_u64().unwrap() > 1 && state["ociVersion"].is_string(), "{state}");

    brig.runtime_ok(&["start", "life"]);
    assert_eq!(status(brig, "life"), "running");
    brig.runtime_run(&["start", "life"]).fails_with(1);
    brig.runtime_run(&["delete", "life"]).fails_with(1);

    brig.runtime_ok(&["kill", "life", "KILL"]);
    wait_for_status(brig, "life", "stopped");
    brig.runtime_run(&["kill", "life", "KILL"]).fails_with(1);
    brig.runtime_ok(&["delete", "life"]);
    brig.runtime_run(&["state", "life"]).fails_with(1);
});

story!(delete_with_force_ends_what_runs, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    brig.start("forced", &bundle);
    let pid = json(&brig.runtime_ok(&["state", "forced"]))["pid"].as_u64().unwrap();
    brig.runtime_ok(&["delete", "--force", "forced"]);
    brig.runtime_run(&["state", "forced"]).fails_with(1);
    let ended =
        fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| !status.contains("State:\tZ"));
    assert!(!ended, "process {pid} still runs");
    brig.runtime_ok(&["delete", "--force", "never-was"]);
});

story!(an_id_is_taken_once_and_is_no_path, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    brig.start("once", &bundle);
    brig.runtime_run(&["run", "--bundle", path(&bundle), "once"]).fails_with(1);
    for id in ["../up", "a/b", "", ".."] {
        brig.runtime_run(&["run", "--bundle", path(&bundle), id]).fails_with(1);
    }
    assert!(!brig.directory().join("up").exists());
});

story!(exec_joins_the_container, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    brig.start("joined", &bundle);
    assert_eq!(brig.runtime_ok(&["exec", "joined", "hostname"]), "bundle\n");
    assert_eq!(brig.runtime_ok(&["exec", "--cwd", "/tmp", "joined", "pwd"]), "/tmp\n");
    assert_eq!(brig.runtime_ok(&["exec", "--env", "A=b", "joined", "sh", "-c", "echo $A"]), "b\n");
    assert_eq!(brig.runtime_run(&["exec", "joined", "sh", "-c", "exit 9"]).code, 9);
    let listed = brig.runtime_ok(&["exec", "joined", "ps"]);
    assert!(listed.contains("sleep 1000"), "{listed}");
    let nnp = brig.runtime_ok(&["exec", "joined", "grep", "NoNewPrivs", "/proc/self/status"]);
    assert_eq!(nnp, "NoNewPrivs:\t1\n");
    if brig.is_root() {
        assert_eq!(brig.runtime_ok(&["exec", "--user", "1", "joined", "id", "-u"]), "1\n");
        assert_eq!(brig.runtime_ok(&["exec", "--user", "1:7", "joined", "id", "-g"]), "7\n");
    }
});

story!(exec_takes_a_process_file, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    brig.start("filed", &bundle);
    let mut process = bundle.config["process"].clone();
    process["args"] = json!(["sh", "-c", "echo $PWD $B"]);
    process["cwd"] = json!("/var");
    process["env"] = json!(["PATH=/bin", "B=c"]);
    let file = brig.directory().join("process.json");
    fs::write(&file, process.to_string()).unwrap();
    assert_eq!(brig.runtime_ok(&["exec", "--process", file.to_str().unwrap(), "filed"]), "/var c\n");
});

story!(lists_name_what_is_there, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    assert_eq!(brig.runtime_ok(&["list", "--quiet"]), "");
    brig.start("listed", &bundle);
    assert_eq!(brig.runtime_ok(&["list", "--quiet"]), "listed\n");
    let list = json(&brig.runtime_ok(&["list", "--format", "json"]));
    assert_eq!((&list[0]["id"], &list[0]["status"]), (&json!("listed"), &json!("running")));
    assert!(
        brig.runtime_ok(&["list"]).lines().any(|line| line.starts_with("listed") && line.contains("running"))
    );
});

story!(a_pid_file_names_the_first_process, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    let file = brig.directory().join("pid");
    let arguments =
        ["run", "--detach", "--pid-file", file.to_str().unwrap(), "--bundle", path(&bundle), "detached"];
    testkit::run_detached(&mut brig.runtime(&arguments)).success();
    let pid: u64 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert_eq!(json(&brig.runtime_ok(&["state", "detached"]))["pid"], pid);
});

story!(paused_processes_stand_still, [root], |brig| {
    if testkit::cgroup_v1_mount("freezer").is_none() {
        testkit::needs!(cgroup_v2);
    }
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    brig.start("paused", &bundle);
    brig.runtime_ok(&["pause", "paused"]);
    assert_eq!(status(brig, "paused"), "paused");
    brig.runtime_ok(&["resume", "paused"]);
    assert_eq!(status(brig, "paused"), "running");
});

story!(update_changes_limits_that_events_report, [root], |brig| {
    testkit::needs!(cgroup_v1("pids"));
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    brig.start("limited", &bundle);
    brig.runtime_ok(&["update", "--pids-limit", "20", "limited"]);
    let event = json(&brig.runtime_ok(&["events", "--stats", "limited"]));
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!("limited")));
    assert_eq!(event["data"]["pids"]["limit"], 20, "{event}");
    assert_eq!(event["data"]["pids"]["current"], 1, "{event}");
    let processes = json(&brig.runtime_ok(&["ps", "--format", "json", "limited"]));
    assert_eq!(processes, json!([json(&brig.runtime_ok(&["state", "limited"]))["pid"]]));
});

story!(the_process_is_as_the_specification_says, [root, user], |brig| {
    let script = "hostname; pwd; echo $A; umask; ulimit -n; grep -E 'NoNewPrivs|CapInh|CapBnd|CapAmb' /proc/self/status";
    let outcome = shell(brig, script, |config| {
        config["process"]["cwd"] = json!("/var/tmp");
        config["process"]["env"] = json!(["PATH=/bin", "A=b c"]);
        config["process"]["user"]["umask"] = json!(0o27);
        config["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}]);
        config["hostname"] = json!("named");
    });
    let empty = "0000000000000000";
    let expected = format!(
        "named\n/var/tmp\nb c\n0027\n99\nCapInh:\t{empty}\nCapBnd:\t00000000000001fb\nCapAmb:\t{empty}\nNoNewPrivs:\t1\n"
    );
    assert_eq!(outcome.success(), expected);
});

story!(users_and_groups_are_exact, [root], |brig| {
    let outcome = shell(brig, "id -u; id -g; id -G; grep CapEff /proc/self/status", |config| {
        config["process"]["user"] = json!({"uid": 1000, "gid": 7, "additionalGids": [8, 1234]});
        config["process"]["capabilities"] = json!({"bounding": ["CAP_CHOWN"]});
    });
    assert_eq!(outcome.success(), "1000\n7\n7 8 1234\nCapEff:\t0000000000000000\n");
});

story!(kernel_files_are_masked_and_read_only, [root, user], |brig| {
    let script = "cat /proc/keys | wc -c; echo x > /proc/sys/kernel/hostname; echo $?";
    let outcome = shell(brig, script, |_| {});
    assert_eq!(outcome.stdout, "0\n1\n", "{outcome}");
});

story!(a_seccomp_rule_answers_its_errno, [root, user], |brig| {
    let outcome = shell(brig, "mkdir /tmp/a; rmdir /tmp/b", |config| {
        config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["rmdir"], "action": "SCMP_ACT_ERRNO"}
        ]});
    });
    assert!(outcome.stderr.contains("No space left"), "{outcome}");
    assert!(outcome.stderr.contains("not permitted"), "{outcome}");
});

story!(hooks_run_in_their_turn, [root, user], |brig| {
    let log = brig.directory().join("hooks");
    let hook = |name: &str| {
        let script = format!("cat >> {0}; echo ' {name}' >> {0}", log.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}])
    };
    let names = ["createRuntime", "poststart", "poststop"];
    let hooks: Value =
        names.iter().map(|name| ((*name).to_owned(), hook(name))).collect::<serde_json::Map<_, _>>().into();
    shell(brig, "true", |config| config["hooks"] = hooks).success();
    let log = fs::read_to_string(&log).unwrap();
    let seen: Vec<&str> =
        log.lines().filter_map(|line| line.rsplit(' ').next()).filter(|word| names.contains(word)).collect();
    assert_eq!(seen, names);
    assert!(log.contains("\"id\":\"brig-test-shell\""), "{log}");
});

story!(a_failing_hook_stops_the_start, [root, user], |brig| {
    let outcome = shell(brig, "echo ran", |config| {
        config["hooks"] = json!({"createRuntime": [{"path": "/bin/false", "args": ["false"]}]});
    });
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{outcome}");
    assert_eq!(brig.runtime_containers(), Vec::<String>::new());
});

story!(bind_mounts_and_tmpfs_appear, [root, user], |brig| {
    let source = brig.directory().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "bound\n").unwrap();
    let outcome = shell(
        brig,
        "cat /mnt/deep/file; touch /mnt/deep/new; touch /scratch/new && echo scratched",
        |config| {
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.push(json!({"destination": "/mnt/deep", "type": "bind", "source": source, "options": ["rbind", "ro"]}));
            mounts.push(json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]}));
        },
    );
    assert_eq!(outcome.stdout, "bound\nscratched\n", "{outcome}");
    assert!(outcome.stderr.contains("Read-only"), "{outcome}");
    assert!(!source.join("new").exists());
});

story!(a_read_only_root_is, [root, user], |brig| {
    let outcome = shell(brig, "touch /etc/new", |config| config["root"]["readonly"] = json!(true));
    assert_eq!(outcome.code, 1, "{outcome}");
    assert!(outcome.stderr.contains("Read-only"), "{outcome}");
});

story!(faults_of_a_bundle_are_errors, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["true"]);
    for (pointer, value) in [
        ("/process/cwd", json!("relative")),
        ("/process/args", json!([])),
        ("/root/path", json!("nowhere")),
        ("/process/args/0", json!("no-such-program")),
        ("/linux/namespaces/0/type", json!("unheard-of")),
    ] {
        let mut config = bundle.config.clone();
        *config.pointer_mut(pointer).unwrap() = value;
        fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
        let outcome = brig.runtime_run(&["run", "--bundle", path(&bundle), "faulty"]);
        assert!(outcome.code != 0 && !outcome.stderr.is_empty(), "{pointer}: {outcome}");
    }
    fs::remove_file(bundle.path().join("config.json")).unwrap();
    assert!(
        brig.runtime_run(&["run", "--bundle", path(&bundle), "faulty"]).fails_with(1).contains("config.json")
    );
});

story!(spec_writes_a_bundle_that_runs, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["true"]);
    fs::remove_file(bundle.path().join("config.json")).unwrap();
    let arguments: &[&str] = if brig.is_root() { &["spec"] } else { &["spec", "--rootless"] };
    let mut command = brig.runtime(arguments);
    testkit::run(command.current_dir(bundle.path())).success();
    let file = bundle.path().join("config.json");
    let mut config = json(&fs::read_to_string(&file).unwrap());
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["echo", "spec"]);
    config["root"]["readonly"] = json!(false);
    fs::write(&file, config.to_string()).unwrap();
    assert_eq!(brig.runtime_ok(&["run", "--bundle", path(&bundle), "brig-test-spec"]), "spec\n");
});

story!(features_say_what_is_supported, [root, user], |brig| {
    let features = json(&brig.runtime_ok(&["features"]));
    for field in ["/ociVersionMin", "/ociVersionMax"] {
        assert!(features.pointer(field).is_some_and(Value::is_string), "{field}: {features}");
    }
    for (field, value) in [
        ("/mountOptions", "rro"),
        ("/hooks", "createContainer"),
        ("/linux/namespaces", "user"),
        ("/linux/capabilities", "CAP_CHOWN"),
        ("/linux/seccomp/actions", "SCMP_ACT_NOTIFY"),
    ] {
        let list = features
            .pointer(field)
            .and_then(Value::as_array)
            .unwrap_or_else(|| panic!("{field}: {features}"));
        assert!(list.contains(&json!(value)), "{field} lacks {value}: {features}");
    }
});
