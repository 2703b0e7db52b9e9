//! `exec`: a further process in a container.

use std::fs;

use serde_json::{Value, json};
use tests::{Brig, story};

use crate::{eventually, parse, path, prepared};

/// Starts a container that sleeps, and ends it after `tell`.
fn with_container(brig: &Brig, change: impl FnOnce(&mut Value), tell: impl FnOnce(&testkit::Bundle)) {
    let mut bundle = brig.bundle("bundle", &["sleep", "1000"]);
    change(&mut bundle.config);
    bundle.write();
    brig.start("sleeper", &bundle);
    tell(&bundle);
    brig.runtime_ok(&["delete", "--force", "sleeper"]);
}

fn exec(brig: &Brig, flags: &[&str], script: &str) -> testkit::Outcome {
    brig.runtime_run(&[&["exec"], flags, &["sleeper", "sh", "-c", script]].concat())
}

fn says(brig: &Brig, flags: &[&str], script: &str) -> String {
    exec(brig, flags, script).success().trim().to_owned()
}

story!(a_process_that_joins_has_the_containers_shape, [root, user], |brig| {
    with_container(
        brig,
        |config| config["process"]["noNewPrivileges"] = true.into(),
        |_| {
            assert_eq!(says(brig, &[], "exit 0; false"), "");
            assert_eq!(exec(brig, &[], "exit 5").code, 5);
            assert_eq!(exec(brig, &[], "kill -9 $$").code, 137);
            assert_eq!(says(brig, &["--cwd", "/tmp"], "pwd"), "/tmp");
            assert_eq!(says(brig, &["--env", "A=1", "-e", "B=2"], "echo $A$B$HOME"), "12/root");
            assert_eq!(says(brig, &["--env", "HOME=/x"], "echo $HOME"), "/x");
            assert_eq!(
                says(brig, &[], "hostname; grep NoNewPrivs /proc/self/status | cut -f 2"),
                "bundle\n1"
            );
            assert_eq!(says(brig, &[], "grep CapEff /proc/self/status | cut -f 2"), "00000000000001fb");
            assert_eq!(
                says(
                    brig,
                    &[],
                    "for n in ipc mnt net pid uts user cgroup; do [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo $n; done"
                ),
                ""
            );
            assert_eq!(says(brig, &[], "cmp /proc/1/cgroup /proc/self/cgroup && echo same"), "same");
            assert_eq!(
                says(brig, &[], "exec 8</proc/self/fd; (ls /proc/$$/fd >/tmp/open); echo $(cat /tmp/open)"),
                "0 1 2 8"
            );
        },
    );
});

story!(exec_as_another_user, [root], |brig| {
    with_container(
        brig,
        |_| {},
        |_| {
            let script = "id -u; id -g; sed -n 's/^Groups:\\s*//p' /proc/self/status; grep -E 'Cap(Eff|Prm|Amb|Bnd)' /proc/$$/status | cut -f 2";
            let none = "0000000000000000";
            assert_eq!(
                says(brig, &["--user", "1000:1001", "--additional-gids", "7", "-g", "9"], script),
                format!("1000\n1001\n7 9 \n{none}\n{none}\n00000000000001fb\n{none}")
            );
            assert_eq!(says(brig, &["--user", "1000"], "id -u; id -g"), "1000\n0");
            let with = says(brig, &["--cap", "CAP_NET_ADMIN"], "grep CapEff /proc/self/status | cut -f 2");
            assert_eq!(with, "00000000000011fb");
            for user in ["-1", "root", "0x1", ""] {
                assert_eq!(exec(brig, &["--user", user], "id").code, 255, "{user}");
            }
        },
    );
});

story!(exec_takes_all_of_a_process_file, [root], |brig| {
    with_container(
        brig,
        |_| {},
        |_| {
            let file = brig.directory().join("process.json");
            let process = json!({
                "args": ["sh", "-c", "id -u; pwd; echo $A; umask; ulimit -n; cat /proc/$$/oom_score_adj; cut -d ' ' -f 19,41 /proc/$$/stat; \
                         ionice -p $$; grep CapAmb /proc/$$/status"],
                "cwd": "/tmp", "env": ["PATH=/bin", "A=b"], "user": {"uid": 1000, "gid": 1000, "umask": 0o77},
                "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 33, "hard": 44}],
                "oomScoreAdj": 321,
                "scheduler": {"policy": "SCHED_BATCH", "nice": 3},
                "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
                "capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "inheritable": ["CAP_KILL"],
                    "effective": ["CAP_KILL"], "ambient": ["CAP_KILL"]},
            });
            fs::write(&file, process.to_string()).unwrap();
            let text = brig.runtime_ok(&["exec", "--process", file.to_str().unwrap(), "sleeper"]);
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(
                lines,
                ["1000", "/tmp", "b", "0077", "33", "321", "3 3", "idle", "CapAmb:\t0000000000000020"]
            );
            for bad in ["", "[]", "{\"args\": []}", "{\"cwd\": \"/\", \"args\": [\"a\\u0000b\"]}"] {
                fs::write(&file, bad).unwrap();
                let outcome = brig.runtime_run(&["exec", "--process", file.to_str().unwrap(), "sleeper"]);
                assert_eq!(outcome.code, 255, "{bad}: {outcome}");
            }
        },
    );
});

story!(exec_detaches_and_names_its_process, [root, user], |brig| {
    with_container(
        brig,
        |_| {},
        |bundle| {
            let file = brig.directory().join("pid");
            let mut command = brig.runtime(&["exec", "--detach", "--pid-file"]);
            command.arg(&file).args(["sleeper", "sh", "-c", "echo $$ >/tmp/inner; exec sleep 500"]);
            testkit::run_detached(&mut command).success();
            let pid: u32 = fs::read_to_string(&file).unwrap().parse().unwrap();
            let inner = bundle.rootfs().join("tmp/inner");
            eventually("the process runs", || fs::read_to_string(&inner).is_ok_and(|text| !text.is_empty()));
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let mine = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
            assert_eq!(mine.split_whitespace().last(), Some(fs::read_to_string(&inner).unwrap().trim()));
            if brig.is_root() {
                let pids = parse(&brig.runtime_ok(&["ps", "--format", "json", "sleeper"]));
                assert!(pids.as_array().unwrap().contains(&json!(pid)), "{pids}");
            }
        },
    );
});

story!(exec_keeps_listed_descriptors, [root, user], |brig| {
    with_container(
        brig,
        |_| {},
        |_| {
            let file = brig.directory().join("three");
            fs::write(&file, "3\n").unwrap();
            if let Some(user) = brig.as_user() {
                user.give(&file);
            }
            let script = format!("exec 3<{} 4</dev/null; exec \"$@\"", file.display());
            let arguments = [
                "exec",
                "--preserve-fds",
                "1",
                "sleeper",
                "sh",
                "-c",
                "cat <&3; (ls /proc/$$/fd >/tmp/open); echo $(cat /tmp/open)",
            ];
            let text = testkit::run(&mut prepared(brig, &script, &arguments)).success();
            assert_eq!(text.trim(), "3\n0 1 2 3");
        },
    );
});

story!(exec_fails_where_it_must, [root, user], |brig| {
    with_container(
        brig,
        |_| {},
        |_| {
            for (command, message) in [
                ("no-such-program", "executable file not found in $path"),
                ("/no/such", "no such file or directory"),
                ("/etc/passwd", "permission denied"),
            ] {
                let outcome = brig.runtime_run(&["exec", "sleeper", command]);
                assert_eq!(outcome.code, 255, "{outcome}");
                assert!(outcome.stderr.to_lowercase().contains(message), "{outcome}");
            }
            assert_eq!(exec(brig, &["--cwd", "/no/such"], "true").code, 255);
            assert_eq!(exec(brig, &["--cwd", "relative"], "true").code, 255);
            brig.runtime_run(&["exec", "sleeper"]).fails_with(255);
            brig.runtime_run(&["exec", "stranger", "true"]).fails_with(255);
            brig.runtime_ok(&["kill", "sleeper", "KILL"]);
            eventually("it stops", || parse(&brig.runtime_ok(&["state", "sleeper"]))["status"] == "stopped");
            assert_eq!(exec(brig, &[], "true").code, 255);
        },
    );
});

story!(exec_in_a_paused_container_waits_or_fails, [root], |brig| {
    with_container(
        brig,
        |_| {},
        |_| {
            brig.runtime_ok(&["pause", "sleeper"]);
            assert_eq!(exec(brig, &[], "true").code, 255);
            let late = std::thread::scope(|scope| {
                let late = scope.spawn(|| exec(brig, &["--ignore-paused"], "echo late"));
                std::thread::sleep(std::time::Duration::from_millis(200));
                brig.runtime_ok(&["resume", "sleeper"]);
                late.join().unwrap()
            });
            assert_eq!(late.success(), "late\n");
        },
    );
});

story!(exec_in_a_created_container, [root, user], |brig| {
    let bundle = brig.bundle("bundle", &["sleep", "1000"]);
    testkit::run_detached(&mut brig.runtime(&["create", "--bundle", path(&bundle), "sleeper"])).success();
    assert_eq!(says(brig, &[], "hostname"), "bundle");
    brig.runtime_ok(&["delete", "--force", "sleeper"]);
});

story!(exec_has_the_filter_of_the_container, [root, user], |brig| {
    with_container(
        brig,
        |config| {
            config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]});
        },
        |_| {
            let text = exec(brig, &[], "mkdir /tmp/made");
            assert!(text.stderr.contains("not implemented"), "{text}");
        },
    );
});

story!(exec_runs_on_the_processors_asked_for, [root, user], |brig| {
    with_container(
        brig,
        |_| {},
        |_| {
            let file = brig.directory().join("process.json");
            let allowed = |affinity: Value| {
                let process = json!({"args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "cwd": "/", "env": ["PATH=/bin"],
                "execCPUAffinity": affinity});
                fs::write(&file, process.to_string()).unwrap();
                brig.runtime_run(&["exec", "--process", file.to_str().unwrap(), "sleeper"])
            };
            assert_eq!(allowed(json!({"final": "0"})).success(), "Cpus_allowed_list:\t0\n");
            assert_eq!(allowed(json!({"initial": "0"})).success(), "Cpus_allowed_list:\t0\n");
            let both = allowed(json!({"initial": "0", "final": "1"})).success();
            assert_eq!(both, "Cpus_allowed_list:\t1\n");
            for bad in [
                json!({"initial": "a"}),
                json!({"final": "3-1"}),
                json!({"final": "5000"}),
                json!({"final": "0-"}),
            ] {
                let outcome = allowed(bad.clone());
                assert_eq!(outcome.code, 255, "{bad}: {outcome}");
            }
        },
    );
});

story!(exec_in_a_sub_cgroup, [root], |brig| {
    with_container(
        brig,
        |_| {},
        |_| {
            let groups = says(brig, &[], "awk -F: '$2 ~ /pids/ { print $3 }' /proc/self/cgroup");
            let host = testkit::cgroup_v1_mount("pids").unwrap();
            let parent = host.join(groups.trim_start_matches('/'));
            fs::create_dir(parent.join("sub")).unwrap();
            let inner =
                says(brig, &["--cgroup", "pids:sub"], "awk -F: '$2 ~ /pids/ { print $3 }' /proc/self/cgroup");
            assert_eq!(inner, format!("{groups}/sub"));
            for bad in ["../..", "pids:../..", "/no/such", "magic:sub"] {
                assert_eq!(exec(brig, &["--cgroup", bad], "true").code, 255, "{bad}");
            }
        },
    );
});
