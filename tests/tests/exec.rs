//! `brig exec`, `top`, `stats`, `update` and `unshare`: what is done with a container that runs.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::Outcome;
use tests::{Brig, story};

/// A container that does nothing until it is removed.
const IDLE: &str = "trap exit TERM; while :; do sleep 1000 & wait; done";

fn idle(brig: &Brig, flags: &[&str]) -> String {
    brig.import_busybox();
    brig.detached(flags, IDLE)
}

fn exec(brig: &Brig, flags: &[&str], id: &str, script: &str) -> Outcome {
    brig.run(&[&["exec"], flags, &[id, "sh", "-c", script]].concat())
}

fn says(brig: &Brig, flags: &[&str], id: &str, script: &str) -> String {
    exec(brig, flags, id, script).success().trim_end().to_owned()
}

fn end(brig: &Brig, id: &str) {
    brig.ok(&["rm", "-f", id]);
}

/// What two processes of one container have in common.
const SHAPE: &str = "grep -E '^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups)' /proc/$P/status; cat /proc/$P/limits; \
     cat /proc/$P/cgroup; cat /proc/$P/attr/current 2>/dev/null; \
     for n in ipc mnt net pid uts user cgroup; do readlink /proc/$P/ns/$n; done; cat /proc/$P/uid_map";

fn same_shape(brig: &Brig, flags: &[&str]) {
    let id = idle(brig, flags);
    let shape = |process: &str| says(brig, &[], &id, &SHAPE.replace("$P", process));
    assert_eq!(shape("$$"), shape("1"), "{flags:?}");
    end(brig, &id);
}

story!(a_program_has_the_containers_own_restrictions, [root, user, bare], |brig| {
    for flags in [&[][..], &["--cap-drop", "ALL"], &["--cap-add", "NET_ADMIN"]] {
        same_shape(brig, flags);
    }
});

story!(a_program_is_the_containers_user, [root, user], |brig| {
    same_shape(brig, &["--user", "1:1"]);
});

story!(exit_codes_are_dockers, [root, user], |brig| {
    let id = idle(brig, &[]);
    for (words, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["no-such-program"], 127),
        (&["/etc/passwd"], 126),
        (&["/etc"], 126),
    ] {
        let outcome = brig.run(&[&["exec", &id], words].concat());
        assert_eq!(outcome.code, code, "{outcome}");
    }
    for (words, code, message) in [
        (&["exec", "nobody", "true"][..], 1, "no container `nobody`"),
        (&["exec", "--nope", &id, "true"], 125, "--nope"),
        (&["exec", &id], 125, ""),
        (&["exec", "-u", "nobody-there", &id, "true"], 1, "no such name"),
        (&["exec", "-u", "4294967296", &id, "true"], 1, "not a number"),
        (&["exec", "-w", "here", &id, "true"], 1, "does not start with"),
        (&["exec", "--detach-keys", "nope", "-t", &id, "true"], 1, "--detach-keys"),
    ] {
        let outcome = brig.run(words);
        assert_eq!(outcome.code, code, "{outcome}");
        assert!(outcome.stderr.contains(message) && outcome.stdout.is_empty(), "{outcome}");
    }
    end(brig, &id);
});

story!(flags_change_what_docker_lets_them_change, [root, user], |brig| {
    let id = idle(brig, &["-e", "A=1", "-e", "B=2"]);
    let file = brig.directory().join("env");
    fs::write(&file, "# comment\nC=3\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(says(brig, &["-e", "B=9", "--env-file", file], &id, "echo $A$B$C $HOME"), "193 /root");
    assert_eq!(says(brig, &["-w", "/tmp"], &id, "pwd"), "/tmp");
    let who = "id -u; id -g; echo $HOME; grep -E 'Cap(Eff|Prm|Amb)' /proc/$$/status | cut -f 2 | sort -u";
    let none = "0000000000000000";
    assert_eq!(says(brig, &["-u", "2000:2001"], &id, who), format!("2000\n2001\n/\n{none}"));
    assert_eq!(says(brig, &["-u", "0"], &id, "id -u; echo $HOME"), "0\n/root");
    assert_eq!(says(brig, &["-t"], &id, "tty; echo $TERM").replace('\r', ""), "/dev/pts/0\nxterm");
    // The account files are those of now.
    says(
        brig,
        &[],
        &id,
        "echo ann:x:1234:1235::/home/ann:/bin/sh >>/etc/passwd; echo more:x:77:ann >>/etc/group",
    );
    assert_eq!(
        says(brig, &["--user=ann"], &id, "id -u; id -g; id -G; echo $HOME"),
        "1234\n1235\n1235 77\n/home/ann"
    );
    let mut command = brig.command(&["exec", "-i", &id, "cat"]);
    assert_eq!(testkit::run_with_input(&mut command, b"in\n").success(), "in\n");
    let mut command = brig.command(&["exec", &id, "cat"]);
    assert_eq!(testkit::run_with_input(&mut command, b"in\n").success(), "");
    end(brig, &id);
});

story!(root_gets_no_more_than_the_container_of_a_user_has, [root, user], |brig| {
    let id = idle(brig, &["--user", "1000:1000"]);
    let outcome = exec(brig, &["-u", "0"], &id, "id -u; grep CapEff /proc/self/status | cut -f 2");
    assert_eq!(outcome.stdout, "0\n0000000000000000\n", "{outcome}");
    assert!(outcome.stderr.contains("no capability"), "{outcome}");
    end(brig, &id);
});

story!(what_does_not_run_is_told, [root, user], |brig| {
    brig.import_busybox();
    let id = brig.ok(&["create", "busybox", "true"]).trim().to_owned();
    for command in [&["exec", &id, "true"][..], &["top", &id]] {
        let outcome = brig.run(command);
        assert_eq!(outcome.code, 1, "{outcome}");
        assert!(outcome.stderr.contains("is not running"), "{outcome}");
    }
    end(brig, &id);
    let id = brig.detached(&[], IDLE);
    // Without a freezer there is nothing to tell.
    if brig.run(&["pause", &id]).code == 0 {
        let outcome = exec(brig, &[], &id, "true");
        assert!(outcome.code == 1 && outcome.stderr.contains("is paused"), "{outcome}");
        brig.ok(&["unpause", &id]);
    }
    assert_eq!(says(brig, &[], &id, "echo on"), "on");
    end(brig, &id);
});

story!(a_container_of_the_foreground_is_joined_too, [root, user], |brig| {
    brig.import_busybox();
    let mut child = brig
        .command(&["run", "--rm", "-i", "--name", "front", "busybox", "sh", "-c", "echo ready; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(says(brig, &[], "front", "grep -c . /proc/1/comm"), "1");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
});

/// The host's ids of the container's processes with these words.
fn host_pids(brig: &Brig, id: &str, words: &str) -> Vec<String> {
    let table = brig.ok(&["top", id, "-o", "pid,args"]);
    let rows = table.lines().skip(1).filter_map(|line| line.split_once(char::is_whitespace));
    rows.filter(|(_, args)| args.trim() == words).map(|(pid, _)| pid.to_owned()).collect()
}

story!(a_detached_program_outlives_its_caller, [root, user], |brig| {
    let id = idle(brig, &[]);
    assert_eq!(brig.ok(&["exec", "-d", &id, "sleep", "1001"]), "");
    assert_eq!(host_pids(brig, &id, "sleep 1001").len(), 1);
    // It has nothing of the caller's, and a terminal where it wants one.
    let pid = &host_pids(brig, &id, "sleep 1001")[0];
    for stream in 0..3 {
        let number = fs::metadata(format!("/proc/{pid}/fd/{stream}")).unwrap().rdev();
        assert_eq!(number, 0x103, "{stream} is /dev/null");
    }
    assert_eq!(brig.ok(&["exec", "-dt", &id, "sh", "-c", "tty >/tmp/tty; sleep 1002; :"]), "");
    while says(brig, &[], &id, "cat /tmp/tty 2>/dev/null; :").is_empty() {}
    assert_eq!(says(brig, &[], &id, "cat /tmp/tty"), "/dev/pts/0");
    assert_eq!(host_pids(brig, &id, "sleep 1002").len(), 1);
    end(brig, &id);
});

story!(keys_leave_a_program_running, [root, user], |brig| {
    let id = idle(brig, &[]);
    for (flags, keys) in [(&["-it"][..], "\x10\x11"), (&["-it", "--detach-keys", "x,ctrl-a"], "x\x01")] {
        let words = [&["exec"], flags, &[&id, "sh", "-c", "sleep 1003; :"]].concat();
        let outcome = testkit::run_with_input(&mut brig.command(&words), keys.as_bytes());
        assert_eq!(outcome.code, 0, "{outcome}");
    }
    assert_eq!(host_pids(brig, &id, "sleep 1003").len(), 2);
    end(brig, &id);
});

story!(privileged_is_written_down, [root, user], |brig| {
    let id = idle(brig, &[]);
    let effective = "grep CapEff /proc/self/status | cut -f 2";
    assert_eq!(says(brig, &[], &id, effective), "00000000000001fb");
    let outcome = exec(brig, &["--privileged"], &id, effective);
    assert!(outcome.stdout.trim().ends_with("1ffffffffff"), "{outcome}");
    assert!(outcome.stderr.contains("--privileged"), "{outcome}");
    assert!(brig.kept(&id, "config.json").contains("exec --privileged"));
    // The filter stays.
    assert_eq!(says(brig, &["--privileged"], &id, "grep Seccomp: /proc/self/status | cut -f 2"), "2");
    end(brig, &id);
});

story!(many_at_once, [root, user], |brig| {
    let id = idle(brig, &[]);
    let start = |number: usize| {
        let script = format!("echo {number}; exit {number}");
        brig.command(&["exec", &id, "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<_> = (0..24).map(start).collect();
    for (number, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{number}\n"));
        assert_eq!(output.status.code(), i32::try_from(number).ok());
    }
    end(brig, &id);
});

story!(a_program_keeps_the_callers_audit_id, [root], |brig| {
    testkit::needs!(path("/proc/self/loginuid"));
    let id = idle(brig, &[]);
    let command = brig.command(&["exec", "-d", &id, "sleep", "1004"]);
    let mut login = Command::new("sh");
    login.args(["-c", "echo 4242 >/proc/self/loginuid && exec \"$@\"", "sh"]);
    login.arg(command.get_program()).args(command.get_args());
    testkit::run(&mut login).success();
    let pids = host_pids(brig, &id, "sleep 1004");
    assert_eq!(fs::read_to_string(format!("/proc/{}/loginuid", pids[0])).unwrap(), "4242");
    end(brig, &id);
});

story!(top_shows_what_processes_are, [root, user, bare], |brig| {
    let id = idle(brig, &[]);
    let heading =
        brig.ok(&["top", &id]).lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(heading, "UID PID PPID C STIME TTY TIME CMD");
    let table = brig.ok(&["top", &id, "pid", "ppid", "user", "state", "seccomp", "capeff", "comm"]);
    let first = table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let capabilities = "CHOWN,DAC_OVERRIDE,FOWNER,FSETID,KILL,SETGID,SETPCAP,SETUID";
    assert_eq!(first, format!("1 0 root S filter {capabilities} sh"), "{table}");
    let table = brig.ok(&["top", &id, "huser,hpid,args"]);
    assert!(table.contains("sleep 1000"), "{table}");
    for words in [&["nope"][..], &["-o", "pid,nope"], &["-X"]] {
        let outcome = brig.run(&[&["top", &id], words].concat());
        assert!(outcome.code == 1 && outcome.stdout.is_empty(), "{outcome}");
    }
    // A name of the process's own choice writes no line and no colour, and is bounded.
    let script = "long=$(printf 'x%.0s' $(seq 9000)); cp /bin/busybox /tmp/sleep; \
         exec /tmp/sleep \"$(printf '1005\\n\\033[31mroot 1')\" 2>/dev/null || exec -a \"$(printf 'a\\n\\033[31mb')\" sleep 1005 ";
    drop(brig.run(&["exec", "-d", &id, "sh", "-c", script]));
    drop(brig.run(&[
        "exec",
        "-d",
        &id,
        "sh",
        "-c",
        "exec sh -c 'sleep 1006; :' \"$(printf 'a\\n\\033[31mb')\"",
    ]));
    let table = brig.ok(&["top", &id]);
    assert!(!table.contains('\u{1b}'), "{table}");
    assert!(
        table.lines().skip(1).all(|line| line.split_whitespace().nth(1).unwrap().parse::<i32>().is_ok()),
        "{table}"
    );
    end(brig, &id);
});

story!(stats_count, [root, user, bare], |brig| {
    let id = idle(brig, &["--name", "counted"]);
    let text = brig.ok(&["stats", "--no-stream"]);
    let heading = text.lines().next().unwrap().split("  ").map(str::trim).filter(|word| !word.is_empty());
    assert_eq!(
        heading.collect::<Vec<_>>().join(","),
        "CONTAINER ID,NAME,CPU %,MEM USAGE / LIMIT,MEM %,NET I/O,BLOCK I/O,PIDS"
    );
    let row: Value =
        serde_json::from_str(&brig.ok(&["stats", "--no-stream", "--format", "json", &id])).unwrap();
    assert_eq!(row["Name"], "counted");
    assert_eq!(row["PIDs"], "2", "{row}");
    for field in ["CPUPerc", "MemPerc"] {
        assert!(row[field].as_str().unwrap().ends_with('%'), "{row}");
    }
    assert!(!row["MemUsage"].as_str().unwrap().starts_with("0B"), "{row}");
    let line = brig.ok(&["stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.Name}}", "counted"]);
    assert_eq!(line, format!("{id} counted\n"));
    assert_eq!(brig.run(&["stats", "--no-stream", "nobody"]).code, 1);
    end(brig, &id);
    assert_eq!(brig.ok(&["stats", "--no-stream"]).lines().count(), 1);
});

story!(a_restart_policy_is_changed, [root, user, bare], |brig| {
    brig.import_busybox();
    let id = brig.ok(&["create", "busybox", "true"]).trim().to_owned();
    assert_eq!(brig.ok(&["update", "--restart", "on-failure:3", &id]).trim(), id);
    let record: Value = serde_json::from_str(&brig.kept(&id, "config.json")).unwrap();
    assert_eq!(record["restart"]["name"], "on-failure");
    assert_eq!(record["restart"]["maximumRetryCount"], 3);
    let outcome = brig.run(&["update", "--restart", "sometimes", &id]);
    assert!(outcome.code == 1 && outcome.stderr.contains("unless-stopped"), "{outcome}");
    end(brig, &id);
    let id = brig.detached(&["--rm"], IDLE);
    let outcome = brig.run(&["update", "--restart", "always", &id]);
    assert!(outcome.code == 1 && outcome.stderr.contains("--rm"), "{outcome}");
    end(brig, &id);
});

story!(limits_are_changed_while_it_runs, [root], |brig| {
    testkit::needs!(cgroup_v1("memory"));
    let id = idle(brig, &["--memory", "64m"]);
    let limit = || {
        let row = brig.ok(&["stats", "--no-stream", "--format", "{{.MemUsage}}", &id]);
        row.trim().rsplit(" / ").next().unwrap().to_owned()
    };
    assert_eq!(limit(), "64MiB");
    brig.ok(&["update", "--memory", "128m", "--pids-limit", "50", &id]);
    assert_eq!(limit(), "128MiB");
    // All or nothing: the second of these cannot be applied.
    let outcome = brig.run(&["update", "--memory", "256m", "--cpuset-cpus", "9999", &id]);
    assert!(outcome.code == 1 && outcome.stderr.contains("cpuset"), "{outcome}");
    assert_eq!(limit(), "128MiB");
    let spec: Value = serde_json::from_str(&brig.kept(&id, "spec.json")).unwrap();
    assert_eq!(spec["linux"]["resources"]["memory"]["limit"], 128 << 20);
    assert_eq!(spec["linux"]["resources"]["pids"]["limit"], 50);
    // A later start has it, too.
    brig.ok(&["restart", "-t", "0", &id]);
    assert_eq!(limit(), "128MiB");
    end(brig, &id);
});

story!(limits_without_a_controller_are_refused, [user], |brig| {
    let id = idle(brig, &[]);
    let outcome = brig.run(&["update", "--memory", "64m", &id]);
    // Where the user has cgroups of his own it is applied.
    if outcome.code != 0 {
        assert!(outcome.stderr.contains("memory"), "{outcome}");
        let spec: Value = serde_json::from_str(&brig.kept(&id, "spec.json")).unwrap();
        assert_eq!(spec["linux"]["resources"]["memory"], Value::Null);
    }
    end(brig, &id);
});

story!(unshare_shows_the_store_as_its_owner_sees_it, [user, bare], |brig| {
    brig.import_busybox();
    let id = brig.ok(&["create", "busybox", "true"]).trim().to_owned();
    let script = "id -u; ls \"$CONTAINERS_GRAPHROOT/containers\"; exit 3";
    let outcome = brig.run(&["unshare", "sh", "-c", script]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (3, format!("0\n{id}\n").as_str()), "{outcome}");
    assert_eq!(brig.run(&["unshare", "sh", "-c", "kill -9 $$"]).code, 137);
    for (program, code) in [("/no/such/program", 127), ("no-such-program", 127), ("/etc/passwd", 126)] {
        let outcome = brig.run(&["unshare", program]);
        assert_eq!(outcome.code, code, "{outcome}");
    }
    end(brig, &id);
});

story!(root_has_nothing_to_unshare, [root], |brig| {
    let outcome = brig.run(&["unshare", "true"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("you are root"), "{outcome}");
});
