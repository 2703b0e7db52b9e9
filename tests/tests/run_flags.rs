//! The flags of `brig run` one by one: that each does what help says, and that none opens anything in silence.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;

use testkit::Outcome;
use tests::{Brig, story};

/// What a script prints in a container with these flags; it must succeed.
fn printed(brig: &Brig, flags: &[&str], script: &str) -> String {
    brig.shell(flags, script).success()
}

/// The plan that `--dry-run` prints.
fn plan(brig: &Brig, flags: &[&str]) -> String {
    brig.ok(&[&["run", "--rm", "--dry-run"], flags, &["busybox", "true"]].concat())
}

fn warns(outcome: &Outcome, words: &str) {
    let warned = outcome.stderr.lines().any(|line| line.starts_with("warning: ") && line.contains(words));
    assert!(warned, "no warning of `{words}`: {outcome}");
}

story!(every_flag_of_docker_that_is_not_there_says_so, [root], |brig| {
    for (flags, hint) in [(&["--gpus", "all"][..], "--device"), (&["--ip", "10.0.0.1"], "bridges")] {
        let stderr = brig.run(&[&["run"], flags, &["busybox", "true"]].concat()).fails_with(125);
        assert!(stderr.contains("not there yet") && stderr.contains(hint), "{stderr}");
    }
});

story!(name_labels_and_id_are_kept, [root, user], |brig| {
    brig.import_busybox();
    let id = brig.directory().join("id");
    let labels = brig.directory().join("labels");
    fs::write(&labels, "from=file\n").unwrap();
    let mut flags = vec!["run", "--name", "kept", "--label", "a=b", "--annotation", "note=1"];
    flags.extend(["--label-file", labels.to_str().unwrap(), "--cidfile", id.to_str().unwrap()]);
    flags.extend(["--pull", "never", "--platform", "linux", "--quiet", "--sig-proxy"]);
    brig.ok(&[&flags[..], &["busybox", "true"]].concat());

    let id = fs::read_to_string(&id).unwrap();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let directory = brig.store().join("containers").join(&id);
    let record = fs::read_to_string(directory.join("config.json")).unwrap();
    for words in ["\"kept\"", "\"a\"", "\"from\"", "\"file\""] {
        assert!(record.contains(words), "no {words} in {record}");
    }
    let spec = fs::read_to_string(directory.join("spec.json")).unwrap();
    assert!(spec.contains("\"note\""), "{spec}");

    // Neither the name nor the file is taken twice; `rm` frees the name.
    assert!(brig.run(&flags).code != 0);
    brig.run(&["run", "--name", "kept", "busybox", "true"]).fails_with(125);
    brig.ok(&["rm", "kept"]);
    brig.ok(&["run", "--rm", "--name", "kept", "busybox", "true"]);
    for name in ["../up", "a b", "-a", ""] {
        brig.run(&["run", "--rm", &format!("--name={name}"), "busybox", "true"]).fails_with(125);
    }
});

story!(the_callers_environment_comes_only_when_asked, [root, user], |brig| {
    brig.import_busybox();
    let run = |flags: &[&str]| {
        let words = [&["run", "--rm"], flags, &["busybox", "sh", "-c", "echo $HTTP_PROXY,$SECRET"]].concat();
        let mut command = brig.command(&words);
        testkit::run(command.env("HTTP_PROXY", "http://proxy").env("SECRET", "hunter2"))
    };
    assert_eq!(run(&[]).success(), ",\n");
    for (flag, seen) in [
        (&["--http-proxy"][..], "http://proxy,\n"),
        (&["--env-host"], "http://proxy,hunter2\n"),
        (&["-e", "SECRET"], ",hunter2\n"),
    ] {
        let outcome = run(flag);
        assert_eq!(outcome.stdout, seen, "{outcome}");
        if flag.len() == 1 {
            warns(&outcome, flag[0]);
        }
    }
});

story!(signals_scores_and_masks, [root, user], |brig| {
    brig.import_busybox();
    assert_eq!(printed(brig, &["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"), "500\n");
    assert_eq!(printed(brig, &["--stop-signal", "USR1"], "echo ran"), "ran\n");
    for flags in [
        ["--oom-score-adj", "1001"],
        ["--stop-signal", "NOSUCH"],
        ["--umask", "9"],
        ["--ulimit", "nofile"],
        ["--shm-size", "much"],
        ["--storage-opt", "inodes=5"],
        ["--storage-opt", "size=0"],
        ["--memory", "1q"],
        ["--memory", "1k"],
        ["--cpus", "-1"],
        ["--dns", "name.example"],
        ["--hostname", "a b"],
        ["--profile", "loose"],
        ["--userns", "maybe"],
        ["--security-opt", "seccomp=/no/such/file"],
        ["--security-opt", "unheard-of=1"],
        ["--cgroup-parent", "../up"],
        ["--device", "/dev/no-such-device"],
        ["--mount", "type=bind,source=/no/such,target=/a"],
        ["--tmpfs", "relative"],
        ["--env-file", "/no/such/file"],
    ] {
        let stderr = brig.shell(&flags, "true").fails_with(125);
        assert!(stderr.contains("error: "), "{flags:?}: {stderr}");
    }
});

story!(profiles, [root, user], |brig| {
    brig.import_busybox();
    let status = "grep -E 'CapBnd|CapEff|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\n'; id -u";
    assert_eq!(
        printed(brig, &["--profile", "standard"], status),
        "CapEff:\t00000000000001fbCapBnd:\t00000000000001fbNoNewPrivs:\t1Seccomp:\t20\n"
    );
    let script = format!("{status}; touch /new; touch /tmp/new && echo scratch");
    let strict = brig.shell(&["--profile", "strict"], &script);
    assert_eq!(
        strict.stdout,
        "CapEff:\t0000000000000000CapBnd:\t0000000000000000NoNewPrivs:\t1Seccomp:\t265534\nscratch\n",
        "{strict}"
    );
    assert!(strict.stderr.contains("Read-only"), "{strict}");
    let docker = brig.shell(&["--profile", "docker"], status);
    assert!(docker.stdout.contains("CapBnd:\t00000000a80425fb"), "{docker}");
    warns(&docker, "--profile docker");
    brig.shell(&["--profile", "strict", "--privileged"], "true").fails_with(125);
});

story!(privileged_says_what_it_opens, [root], |brig| {
    brig.import_busybox();
    let script = "grep -E 'Seccomp:' /proc/self/status; mount -t tmpfs none /tmp && echo mounted";
    let outcome = brig.shell(&["--privileged"], script);
    assert!(outcome.stdout.contains("Seccomp:\t0") && outcome.stdout.contains("mounted"), "{outcome}");
    for words in ["CAP_SYS_ADMIN", "system call", "device"] {
        warns(&outcome, words);
    }
    // It stays in a user namespace: root inside is nobody outside.
    let map = printed(brig, &["--privileged"], "cat /proc/self/uid_map");
    assert!(!map.split_whitespace().nth(1).unwrap().eq("0"), "{map}");
});

story!(filters_and_hidden_files, [root, user], |brig| {
    brig.import_busybox();
    let filter = brig.directory().join("filter.json");
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#;
    fs::write(&filter, text).unwrap();
    let option = format!("seccomp={}", filter.display());
    let outcome = brig.shell(&["--security-opt", &option], "mkdir /tmp/a");
    assert!(outcome.stderr.contains("No space left"), "{outcome}");
    for set in ["docker", "debug", "compat32", "nested"] {
        let outcome = brig.shell(&["--security-opt", &format!("seccomp={set}")], "echo ran");
        assert_eq!(outcome.stdout, "ran\n", "{outcome}");
        warns(&outcome, set);
    }
    fs::write(&filter, "{").unwrap();
    brig.shell(&["--security-opt", &option], "true").fails_with(125);

    assert_eq!(
        printed(brig, &["--security-opt", "mask=/proc/uptime"], "cat /proc/uptime /proc/keys | wc -c"),
        "0\n"
    );
    for flags in [["--unmask", "/proc/keys"], ["--unmask", "ALL"], ["--security-opt", "unmask=/proc/keys"]] {
        let outcome = brig.shell(&flags, "wc -l < /proc/keys");
        assert_ne!(outcome.stdout, "0\n", "{outcome}");
        warns(&outcome, "unmask");
    }
});

// It showed the default lists, whatever had been opened.
story!(inspect_shows_what_is_hidden_and_what_was_opened, [root, user], |brig| {
    brig.import_busybox();
    let host_config = |flags: &[&str]| -> serde_json::Value {
        let id = brig.detached(flags, "sleep 1000");
        let all: serde_json::Value = serde_json::from_str(&brig.ok(&["inspect", &id])).unwrap();
        brig.ok(&["rm", "-f", &id]);
        all[0]["HostConfig"].clone()
    };
    let lists = |config: &serde_json::Value, list: &str, path: &str| {
        config[list].as_array().unwrap().iter().any(|known| known == path)
    };
    let usual = host_config(&[]);
    assert!(lists(&usual, "MaskedPaths", "/proc/kcore") && lists(&usual, "ReadonlyPaths", "/proc/sys"));
    assert!(usual["SecurityOpt"].is_null());
    let shown = host_config(&[
        "--unmask=/proc/kcore",
        "--security-opt=mask=/proc/uptime",
        "--security-opt=seccomp=docker",
    ]);
    assert!(!lists(&shown, "MaskedPaths", "/proc/kcore") && lists(&shown, "MaskedPaths", "/proc/uptime"));
    assert_eq!(
        shown["SecurityOpt"],
        serde_json::json!(["seccomp=docker", "mask=/proc/uptime", "unmask=/proc/kcore"])
    );
    let all = host_config(&["--unmask=ALL"]);
    assert_eq!(
        (all["MaskedPaths"].as_array().unwrap().len(), all["ReadonlyPaths"].as_array().unwrap().len()),
        (0, 0)
    );
});

story!(labels_of_modules_that_are_off_are_refused, [root, user], |brig| {
    brig.import_busybox();
    let on = |path: &str| fs::exists(path).unwrap_or(false);
    if on("/sys/kernel/security/apparmor/profiles") || on("/sys/fs/selinux/enforce") {
        return;
    }
    for option in ["apparmor=some-profile", "label=type:some_t"] {
        brig.shell(&["--security-opt", option], "true").fails_with(125);
    }
    for option in ["apparmor=unconfined", "label=disable"] {
        brig.shell(&["--security-opt", option], "true").success();
    }
});

story!(a_path_of_the_host_is_opened_by_name, [root, user], |brig| {
    brig.import_busybox();
    let outcome =
        brig.shell(&["--allow-host-path", "/etc", "-v", "/etc:/mnt:ro"], "grep -c root: /mnt/passwd");
    assert!(outcome.code == 0, "{outcome}");
    warns(&outcome, "/etc");
    brig.shell(&["--allow-host-path", "/etc", "-v", "/proc:/mnt"], "true").fails_with(125);
});

story!(everything_is_in_force_or_it_does_not_start, [root, user, bare], |brig| {
    brig.import_busybox();
    let outcome = brig.shell(&["--require-all"], "echo ran");
    // One id only is a weaker user namespace, and a user without a cgroup of their own has no default limits.
    let is_whole = brig.is_root();
    assert_eq!(outcome.code, if is_whole { 0 } else { 125 }, "{outcome}");
    assert_eq!(outcome.stdout.is_empty(), !is_whole, "{outcome}");
    brig.shell(&["--require-all", "--userns", "host"], "true").fails_with(125);
});

/// Inside, outside and length of the first line of an id map.
fn first_range(map: &str) -> Vec<u64> {
    map.lines().next().unwrap().split_whitespace().map(|word| word.parse().unwrap()).collect()
}

story!(id_maps_of_root, [root], |brig| {
    brig.import_busybox();
    let map = |flags: &[&str]| first_range(&printed(brig, flags, "cat /proc/self/uid_map"));
    let sized = map(&["--userns", "auto:size=1000"]);
    assert_eq!((sized[0], sized[2]), (0, 1000));
    assert_eq!(map(&["--uidmap", "0:100000:5", "--gidmap", "0:100000:5"]), [0, 100_000, 5]);
    let outcome = brig.shell(&["--userns", "host"], "cat /proc/self/uid_map");
    assert_eq!(first_range(&outcome.stdout), [0, 0, 4_294_967_295]);
    warns(&outcome, "--userns=host");
    for mode in ["keep-id", "nomap"] {
        brig.shell(&["--userns", mode], "true").fails_with(125);
    }
});

story!(id_maps_of_a_user, [user], |brig| {
    brig.import_busybox();
    let own = brig.as_user().unwrap().uid();
    assert_eq!(printed(brig, &["--userns", "keep-id"], "id -u"), format!("{own}\n"));
    let map = first_range(&printed(brig, &["--userns", "keep-id:uid=7,gid=8"], "cat /proc/self/uid_map"));
    assert_eq!(map[0], 0);
    // Positions in the user's own ids: 0 is the user.
    let flags = ["--uidmap", "0:0:1", "--uidmap", "1:1:10"];
    assert_eq!(first_range(&printed(brig, &flags, "cat /proc/self/uid_map")), [0, u64::from(own), 1]);
    // The layers belong to the user.
    for mode in ["nomap", "auto"] {
        let stderr = brig.shell(&["--userns", mode], "true").fails_with(125);
        assert!(stderr.contains("not there yet"), "{stderr}");
    }
});

story!(processes_and_groups_of_the_host, [root, user], |brig| {
    brig.import_busybox();
    let own = fs::read_link("/proc/self/ns/pid").unwrap().display().to_string();
    let outcome = brig.shell(&["--pid", "host"], "readlink /proc/self/ns/pid");
    assert_eq!(outcome.stdout.trim(), own, "{outcome}");
    warns(&outcome, "--pid host");
    let own = fs::read_link("/proc/self/ns/cgroup").unwrap().display().to_string();
    let outcome = brig.shell(&["--cgroupns", "host"], "readlink /proc/self/ns/cgroup");
    assert_eq!(outcome.stdout.trim(), own, "{outcome}");
    warns(&outcome, "--cgroupns host");
});

story!(names_of_hosts, [root, user], |brig| {
    brig.import_busybox();
    assert_eq!(
        printed(brig, &["--domainname", "d.example"], "cat /proc/sys/kernel/domainname"),
        "d.example\n"
    );
    let flags = ["--add-host", "db:192.0.2.7", "--dns", "192.0.2.53", "--dns-search", "s.example"];
    let flags = [&flags[..], &["--dns-option", "ndots:3", "--network", "none"]].concat();
    let seen = printed(brig, &flags, "cat /etc/hosts /etc/resolv.conf");
    for line in ["192.0.2.7\tdb", "nameserver 192.0.2.53", "search s.example", "options ndots:3"] {
        assert!(seen.lines().any(|found| found == line), "no `{line}` in {seen}");
    }
});

story!(devices, [root, user], |brig| {
    brig.import_busybox();
    assert_eq!(
        printed(brig, &[], "ls /dev | sort | tr '\\n' ' '"),
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "
    );
    for device in ["/dev/zero:/dev/other", "/dev/zero:/dev/other:rw"] {
        let outcome = brig.shell(&["--device", device], "head -c 3 /dev/other | wc -c");
        assert_eq!(outcome.stdout, "3\n", "{outcome}");
        warns(&outcome, "--device /dev/zero");
    }
});

story!(limits_of_memory_and_processors, [root], |brig| {
    testkit::needs!(cgroup_v1("memory"), cgroup_v1("cpu"), cgroup_v1("cpuset"));
    brig.import_busybox();
    let seen = |flags: &[&str], file: &str| printed(brig, flags, &format!("cat /sys/fs/cgroup/{file}"));
    let memory = ["-m", "64m", "--memory-reservation", "32m", "--memory-swappiness", "10"];
    assert_eq!(seen(&memory, "memory/memory.limit_in_bytes"), "67108864\n");
    assert_eq!(seen(&memory, "memory/memory.soft_limit_in_bytes"), "33554432\n");
    assert_eq!(seen(&memory, "memory/memory.swappiness"), "10\n");
    let oom = seen(&["-m", "64m", "--oom-kill-disable"], "memory/memory.oom_control");
    assert!(oom.contains("oom_kill_disable 1"), "{oom}");
    assert_eq!(seen(&["--cpus", "0.5"], "cpu/cpu.cfs_quota_us"), "50000\n");
    let quota = ["--cpu-period", "50000", "--cpu-quota", "10000"];
    assert_eq!(seen(&quota, "cpu/cpu.cfs_period_us"), "50000\n");
    assert_eq!(seen(&quota, "cpu/cpu.cfs_quota_us"), "10000\n");
    assert_eq!(seen(&["--cpu-shares", "20"], "cpu/cpu.shares"), "20\n");
    assert_eq!(seen(&["--cpuset-mems", "0"], "cpuset/cpuset.mems"), "0\n");
});

/// A whole disk of this machine.
fn disk() -> Option<(String, String)> {
    fs::read_dir("/sys/block").into_iter().flatten().flatten().find_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = fs::read_to_string(entry.path().join("dev")).ok()?.trim().to_owned();
        let path = format!("/dev/{name}");
        let is_disk = !["loop", "zram", "ram"].iter().any(|prefix| name.starts_with(prefix));
        (is_disk && fs::exists(&path).unwrap_or(false)).then_some((path, number))
    })
}

story!(limits_of_block_devices, [root], |brig| {
    testkit::needs!(cgroup_v1("blkio"));
    let Some((disk, number)) = disk() else { return };
    brig.import_busybox();
    for (flag, value, file, expected) in [
        ("--device-read-bps", "1mb", "read_bps_device", "1048576"),
        ("--device-write-bps", "2mb", "write_bps_device", "2097152"),
        ("--device-read-iops", "10", "read_iops_device", "10"),
        ("--device-write-iops", "20", "write_iops_device", "20"),
    ] {
        let script = format!("cat /sys/fs/cgroup/blkio/blkio.throttle.{file}");
        let seen = printed(brig, &[flag, &format!("{disk}:{value}")], &script);
        assert_eq!(seen, format!("{number} {expected}\n"), "{flag}");
    }
    assert_eq!(printed(brig, &["--blkio-weight", "300"], "echo ran"), "ran\n");
    // A weight that the host's scheduler of this disk cannot take is an error, never forgotten.
    let outcome = brig.shell(&["--blkio-weight-device", &format!("{disk}:300")], "echo ran");
    assert!(outcome.code == 0 || outcome.stderr.contains("weight_device"), "{outcome}");
});

story!(a_parent_for_the_control_group, [root], |brig| {
    testkit::needs!(cgroup_v1("pids"));
    brig.import_busybox();
    let parent = brig.directory().file_name().unwrap().to_str().unwrap();
    let flags = ["--cgroup-parent", parent, "--cgroupns", "host"];
    let seen = printed(brig, &flags, "grep pids /proc/self/cgroup");
    assert!(seen.contains(&format!("{parent}/brig-")), "{seen}");
});

story!(limits_without_a_control_group_are_refused, [user], |brig| {
    brig.import_busybox();
    for flags in [["--memory", "64m"], ["--pids-limit", "5"], ["--cpus", "0.5"]] {
        let stderr = brig.shell(&flags, "echo ran").fails_with(125);
        assert!(stderr.contains("cgroup") || stderr.contains("control group"), "{stderr}");
    }
});

story!(layers_of_flags_are_previewed, [root, user], |brig| {
    brig.import_busybox();
    let whole = plan(brig, &["--tmpfs", "/scratch", "--read-only", "--cap-drop", "all"]);
    for words in ["clone: ", "/scratch", "seccomp"] {
        assert!(whole.contains(words), "no `{words}` in {whole}");
    }
    assert!(plan(brig, &["--network", "host"]) != plan(brig, &[]));
});

story!(variables_of_the_image_are_left_out_or_added_to, [root, user], |brig| {
    brig.import_busybox();
    brig.ok(&["run", "--name", "made", "busybox", "true"]);
    brig.ok(&["commit", "-q", "-c", "ENV A=image B=image C=image", "made", "set"]);
    let printed = |flags: &[&str]| {
        let script = "echo ${A-none} ${B-none} ${C-none} $PATH";
        brig.ok(&[&["run", "--rm"], flags, &["set", "sh", "-c", script]].concat())
    };
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(printed(&["--unsetenv", "B"]), format!("image none image {path}\n"));
    assert_eq!(printed(&["--unsetenv-all", "-e", "B=mine"]), format!("none mine none {path}\n"));
    let merged =
        printed(&["--env-merge", "A=${A}:$B:${nosuch}", "--env-merge", "PATH=/x:$PATH", "-e", "C=$C"]);
    assert_eq!(merged, format!("image:image: image $C /x:{path}\n"));
});

story!(a_time_zone_of_the_host, [root, user], |brig| {
    testkit::needs!(path("/usr/share/zoneinfo/Asia/Tokyo"));
    brig.import_busybox();
    let zone = |flags: &[&str]| printed(brig, flags, "date -d @0 +%z");
    assert_eq!(zone(&["--tz", "Asia/Tokyo"]), "+0900\n");
    assert_eq!(zone(&[]), "+0000\n");
    brig.ok(&["run", "--name", "kept", "--tz", "Asia/Tokyo", "busybox", "date", "-d", "@0", "+%z"]);
    assert_eq!(brig.ok(&["start", "-a", "kept"]), "+0900\n");
    for zone in ["No/Where", "zone.tab", "Asia"] {
        let stderr = brig.shell(&["--tz", zone], "true").fails_with(125);
        assert!(stderr.contains("--tz"), "{zone}: {stderr}");
    }
});

story!(memory_beside_a_root_that_cannot_be_written, [root, user], |brig| {
    brig.import_busybox();
    let script =
        "touch /tmp/a /run/a /var/tmp/a && ! touch /a 2> /dev/null && grep -c ' tmpfs .*noexec' /proc/mounts";
    let count = printed(brig, &["--read-only", "--read-only-tmpfs"], script);
    assert!(count.trim().parse::<u32>().unwrap() >= 3, "{count}");
    brig.shell(&["--read-only"], "touch /tmp/a").fails_with(1);
});

story!(an_execution_domain_of_32_bits, [root, user], |brig| {
    brig.import_busybox();
    let machine = printed(brig, &["--personality", "LINUX32"], "uname -m");
    let here = printed(brig, &[], "uname -m");
    assert_eq!(machine, if here == "x86_64\n" { "i686\n".to_owned() } else { here });
});

story!(a_rule_for_devices_is_recorded, [root, user], |brig| {
    brig.import_busybox();
    let flags = &["--device-cgroup-rule", "c 10:229 rw"];
    if !brig.is_root() {
        let stderr = brig.shell(flags, "true").fails_with(125);
        assert!(stderr.contains("only root"), "{stderr}");
        return;
    }
    warns(&brig.shell(flags, "true"), "--device-cgroup-rule c 10:229 rw");
    brig.ok(&[&["create", "--name", "kept"], &flags[..], &["busybox", "true"]].concat());
    assert_eq!(brig.ok(&["inspect", "-f", "{{.HostConfig.DeviceCgroupRules}}", "kept"]), "[c 10:229 rw]\n");
});
