//! `process` of the configuration: what the payload is when it is executed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tests::{Brig, story};

use crate::{bundle, path, prepared, push, says, shell, unshare};

fn capability_lines(brig: &Brig, change: impl FnOnce(&mut Value)) -> Vec<(String, u64)> {
    let text = says(brig, "grep ^Cap /proc/$$/status", change);
    let field = |line: &str| {
        let (name, mask) = line.split_once(":\t").unwrap();
        (name.to_owned(), u64::from_str_radix(mask, 16).unwrap())
    };
    text.lines().map(field).collect()
}

story!(capabilities_of_root_are_exactly_those_asked_for, [root, user], |brig| {
    let lines = capability_lines(brig, |config| {
        config["process"]["capabilities"] = json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_CHROOT"],
            "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN"],
        });
    });
    // With no_new_privs an exec by root gives no more than was permitted.
    let wanted = [("CapInh", 0), ("CapPrm", 0x21), ("CapEff", 0x21), ("CapBnd", 0x40021), ("CapAmb", 0)];
    assert_eq!(lines, wanted.map(|(name, mask)| (name.to_owned(), mask)));
});

story!(ambient_capabilities_reach_another_user, [root], |brig| {
    let lines = capability_lines(brig, |config| {
        config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
        config["process"]["capabilities"] = json!({
            "bounding": ["CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_KILL"],
            "permitted": ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"],
            "effective": ["CAP_CHOWN"],
            "inheritable": ["CAP_CHOWN", "CAP_NET_BIND_SERVICE"],
            "ambient": ["CAP_NET_BIND_SERVICE"],
        });
    });
    let wanted =
        [("CapInh", 0x401), ("CapPrm", 0x400), ("CapEff", 0x400), ("CapBnd", 0x421), ("CapAmb", 0x400)];
    assert_eq!(lines, wanted.map(|(name, mask)| (name.to_owned(), mask)));
});

story!(without_the_field_there_are_no_capabilities, [root, user], |brig| {
    let lines = capability_lines(brig, |config| {
        config["process"].as_object_mut().unwrap().remove("capabilities");
    });
    assert!(lines.iter().all(|(_, mask)| *mask == 0), "{lines:?}");
});

story!(an_unknown_capability_is_a_warning, [root], |brig| {
    let outcome = shell(brig, "true", |config| {
        push(&mut config["process"]["capabilities"]["bounding"], json!("CAP_OF_TOMORROW"));
    });
    assert!(outcome.stderr.contains("CAP_OF_TOMORROW"), "{outcome}");
    outcome.success();
});

story!(limits_are_those_of_the_specification, [root, user], |brig| {
    let text = says(brig, "cat /proc/$$/limits", |config| {
        config["process"]["rlimits"] = json!([
            {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 4096},
            {"type": "RLIMIT_STACK", "soft": 1048576, "hard": 2097152},
        ]);
    });
    let row = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("Max open files"), ["64", "128"]);
    assert_eq!(row("Max core file size"), ["0", "4096"]);
    assert_eq!(row("Max stack size"), ["1048576", "2097152"]);
});

story!(small_limits_bind_the_payload_and_not_the_set_up, [root], |brig| {
    let text = says(brig, "ulimit -n; ulimit -f", |config| {
        config["process"]["rlimits"] = json!([
            {"type": "RLIMIT_NOFILE", "soft": 6, "hard": 6},
            {"type": "RLIMIT_FSIZE", "soft": 0, "hard": 0},
            {"type": "RLIMIT_NPROC", "soft": 1, "hard": 1},
        ]);
        push(
            &mut config["mounts"],
            json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}),
        );
    });
    assert_eq!(text, "6\n0");
});

story!(the_score_for_the_oom_killer, [root, user], |brig| {
    let score = says(brig, "cat /proc/$$/oom_score_adj", |config| {
        config["process"]["oomScoreAdj"] = 500.into();
    });
    assert_eq!(score, "500");
});

story!(no_new_privileges_is_as_asked, [root], |brig| {
    for (asked, shown) in [(true, "1"), (false, "0")] {
        let flag = says(brig, "grep NoNewPrivs /proc/$$/status | cut -f 2", |config| {
            config["process"]["noNewPrivileges"] = asked.into();
        });
        assert_eq!(flag, shown);
    }
});

story!(the_umask_is_as_asked, [root, user], |brig| {
    let mask = says(brig, "umask", |config| config["process"]["user"]["umask"] = 0o027.into());
    assert_eq!(mask, "0027");
});

story!(the_callers_umask_changes_nothing, [root, user], |brig| {
    let source = brig.directory().join("file");
    fs::write(&source, "").unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&source);
    }
    let bundle =
        bundle(brig, "umask; stat -c %a /made /made/in /dev /dev/null /dev/pts /working/here", |config| {
            push(&mut config["mounts"], crate::bind(&source, "/made/in/file", &["bind"]));
            config["process"]["cwd"] = "/working/here".into();
        });
    let mut command =
        prepared(brig, "umask 077; exec \"$@\"", &["run", "--bundle", path(&bundle), "brig-test-oci"]);
    let modes = testkit::run(&mut command).success();
    assert_eq!(modes, "0022\n755\n755\n755\n666\n755\n755\n");
});

story!(groups_are_exact, [root], |brig| {
    let text = says(brig, "id -u; id -g; sed -n 's/^Groups:\\s*//p' /proc/$$/status", |config| {
        config["process"]["user"] = json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 7]});
    });
    assert_eq!(text.trim(), "1000\n1001\n5 7");
});

story!(the_working_directory_is_made, [root, user], |brig| {
    let place = says(brig, "pwd", |config| config["process"]["cwd"] = "/new/deep/place".into());
    assert_eq!(place, "/new/deep/place");
});

story!(a_working_directory_outside_is_refused, [root, user], |brig| {
    for cwd in ["relative", "/proc/self/fd/7", "/proc/self/fd/8/../../../..", "/etc/passwd"] {
        let outcome = shell(brig, "pwd", |config| config["process"]["cwd"] = cwd.into());
        assert_ne!(outcome.code, 0, "{cwd}: {outcome}");
    }
});

story!(a_link_for_a_working_directory_stays_inside, [root, user], |brig| {
    let bundle = bundle(brig, "pwd; ls", |config| config["process"]["cwd"] = "/link".into());
    std::os::unix::fs::symlink("/home", bundle.rootfs().join("link")).unwrap();
    let text = brig.runtime_ok(&["run", "--bundle", path(&bundle), "brig-test-oci"]);
    assert_eq!(text, "/home\nuser\n");
});

story!(programs_are_found_as_a_shell_finds_them, [root, user], |brig| {
    // argv, PATH, working directory, output
    for (args, variable, cwd, wanted) in [
        (vec!["tool", "a b"], "PATH=/none:/opt/bin", "/", "tool: /opt/bin/tool a b"),
        (vec!["/opt/bin/tool"], "PATH=/none", "/", "tool: /opt/bin/tool"),
        (vec!["./tool", "x"], "PATH=/none", "/opt/bin", "tool: ./tool x"),
        (vec!["bin/tool"], "PATH=/none", "/opt", "tool: bin/tool"),
        (vec!["tool"], "PATH=bin", "/opt", "tool: bin/tool"),
    ] {
        let bundle = bundle(brig, "", |config| {
            config["process"]["args"] = json!(args);
            config["process"]["env"] = json!([variable]);
            config["process"]["cwd"] = cwd.into();
        });
        fs::create_dir_all(bundle.rootfs().join("opt/bin")).unwrap();
        let tool = bundle.rootfs().join("opt/bin/tool");
        fs::write(&tool, "#!/bin/sh\necho \"tool: $0\" \"$@\"\n").unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        let text = brig.runtime_ok(&["run", "--bundle", path(&bundle), "brig-test-oci"]);
        assert_eq!(text.trim(), wanted, "{args:?}");
    }
});

story!(the_name_of_the_program_is_kept, [root, user], |brig| {
    let text = says(brig, "tr '\\0' ' ' </proc/$$/cmdline; readlink /proc/$$/exe", |_| {});
    assert!(text.starts_with("sh -c tr"), "{text}");
    assert!(text.ends_with("/bin/busybox"), "{text}");
});

story!(programs_that_cannot_be_executed, [root, user], |brig| {
    for (program, message) in [
        ("no-such-program", "executable file not found in $path"),
        ("/no/such/program", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
        ("/etc", "permission denied"),
        ("/text", "/text"),
        ("/broken", "/broken"),
    ] {
        let bundle = bundle(brig, "", |config| config["process"]["args"] = json!([program]));
        for (name, text) in [("text", "no program\n"), ("broken", "#!/no/interpreter\n")] {
            let file = bundle.rootfs().join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let outcome = brig.runtime_run(&["run", "--bundle", path(&bundle), "brig-test-oci"]);
        assert!(outcome.stderr.to_lowercase().contains(message), "{program}: {outcome}");
        // The last exec is made when nobody is left to tell: its failure is the payload's exit.
        let code = if program == "/text" {
            126
        } else if program == "/broken" {
            127
        } else {
            1
        };
        assert_eq!(outcome.code, code, "{outcome}");
        assert_eq!(brig.runtime_containers(), Vec::<String>::new(), "{program}");
    }
});

story!(home_comes_from_the_containers_accounts, [root], |brig| {
    for (uid, variables, wanted) in [
        (0, json!(["PATH=/bin"]), "/root"),
        (1000, json!(["PATH=/bin"]), "/home/user"),
        (4242, json!(["PATH=/bin"]), "/"),
        (1000, json!(["PATH=/bin", "HOME=/elsewhere"]), "/elsewhere"),
    ] {
        let home = says(brig, "echo $HOME", |config| {
            config["process"]["user"] = json!({"uid": uid, "gid": uid});
            config["process"]["env"] = variables;
        });
        assert_eq!(home, wanted, "{uid}");
    }
});

story!(the_environment_is_only_what_is_given, [root, user], |brig| {
    let text = says(brig, "cat /proc/$$/environ | tr '\\0' '\\n'", |config| {
        config["process"]["env"] = json!(["PATH=/bin", "A=b=c", "EMPTY=", "HOME=/x"]);
    });
    assert_eq!(text, "PATH=/bin\nA=b=c\nEMPTY=\nHOME=/x");
});

story!(no_descriptor_leaks, [root, user], |brig| {
    let open = says(brig, "exec 8</proc/self/fd; (ls /proc/$$/fd >/tmp/open); echo $(cat /tmp/open)", |_| {});
    // The shell's own script is its argument: 8 is what it opened itself.
    assert_eq!(open, "0 1 2 8");
});

story!(listed_descriptors_stay_and_others_do_not, [root, user], |brig| {
    let bundle = bundle(brig, "cat <&3; cat <&4; (ls /proc/$$/fd >/tmp/open); echo $(cat /tmp/open)", |_| {});
    for (name, text) in [("three", "3\n"), ("four", "4\n")] {
        let file = brig.directory().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let script = format!(
        "exec 3<{0}/three 4<{0}/four 5</dev/null 9</dev/null; exec \"$@\"",
        brig.directory().display()
    );
    let arguments = ["run", "--preserve-fds", "2", "--bundle", path(&bundle), "brig-test-oci"];
    let text = testkit::run(&mut prepared(brig, &script, &arguments)).success();
    assert_eq!(text.trim(), "3\n4\n0 1 2 3 4");
});

story!(standard_streams_can_be_opened_again, [root], |brig| {
    let text = says(brig, "echo one >/dev/stdout; echo two >/proc/self/fd/1", |config| {
        config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    });
    assert_eq!(text, "one\ntwo");
});

story!(scheduling_attributes, [root], |brig| {
    let script =
        "cut -d ' ' -f 19,41 /proc/$$/stat; ionice -p $$; uname -m; grep -c interleave:0 /proc/$$/numa_maps";
    let text = says(brig, script, |config| {
        config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 7});
        config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
        config["linux"]["personality"] = json!({"domain": "LINUX32"});
        config["linux"]["memoryPolicy"] = json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"});
    });
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "7 3", "nice and policy: {text}");
    assert_eq!(lines[1], "best-effort: prio 6", "{text}");
    assert!(lines[2] == "i686" || !cfg!(target_arch = "x86_64"), "{text}");
    assert_ne!(lines.get(3), Some(&"0"), "{text}");
});

story!(wrong_attributes_are_refused, [root, user], |brig| {
    for (field, value) in [
        ("scheduler", json!({"policy": "SCHED_MAGIC"})),
        ("scheduler", json!({"policy": "SCHED_OTHER", "nice": 20})),
        ("scheduler", json!({"policy": "SCHED_FIFO", "priority": 100})),
        ("ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8})),
        ("ioPriority", json!({"class": "IOPRIO_CLASS_NONE", "priority": 1})),
        ("rlimits", json!([{"type": "RLIMIT_MAGIC", "soft": 1, "hard": 1}])),
        ("rlimits", json!([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}])),
        ("args", json!([])),
        ("apparmorProfile", json!("no-such-profile")),
        ("selinuxLabel", json!("no:such:label")),
    ] {
        let outcome = shell(brig, "true", |config| config["process"][field] = value.clone());
        assert_eq!(outcome.code, 1, "{field} {value}: {outcome}");
    }
});

story!(names_of_the_host, [root, user], |brig| {
    let text = says(brig, "hostname; cat /proc/sys/kernel/domainname", |config| {
        config["hostname"] = "inside".into();
        config["domainname"] = "example.test".into();
    });
    assert_eq!(text, "inside\nexample.test");
});

story!(sysctls_of_the_containers_namespaces, [root, user], |brig| {
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni";
    let text = says(brig, script, |config| {
        unshare(config, "network");
        config["linux"]["sysctl"] = json!({
            "net.ipv4.ip_unprivileged_port_start": "7",
            "kernel.shmmni": "777",
        });
    });
    assert_eq!(text, "7\n777");
});

story!(sysctls_of_the_host_are_refused, [root, user], |brig| {
    for name in ["kernel.core_pattern", "vm.swappiness", "net.ipv4.ip_forward", "kernel.hostname"] {
        let outcome = shell(brig, "true", |config| config["linux"]["sysctl"] = json!({name: "1"}));
        assert!(outcome.code == 1 && outcome.stderr.contains(name), "{outcome}");
    }
});
