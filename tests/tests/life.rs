//! Containers that live: detached, stopped, started again, attached to, and killed watchers.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::Hygiene;
use tests::{Brig, story};

/// Longest wait for something that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a shell script in a detached container of that name; its id.
fn detached(brig: &Brig, name: &str, flags: &[&str], script: &str) -> String {
    brig.detached(&[&["--name", name], flags].concat(), script)
}

/// Looks again and again until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(name: &str, pids: &[i32]) {
    let pids = pids.iter().map(ToString::to_string);
    assert!(Command::new("kill").arg(name).args(pids).status().unwrap().success());
}

/// Kills one of the two processes that watch a container; the other makes a new one.
fn kill_one(brig: &Brig, id: &str, which: usize) {
    let watcher = brig.monitors(id)[which];
    signal("-KILL", &[watcher]);
    until("it is dead", || !brig.watchers(id).contains(&watcher));
}

/// Kills both at once: frozen, neither can make another.
fn kill_both(brig: &Brig, id: &str) {
    let watching = brig.monitors(id);
    signal("-STOP", &watching);
    signal("-KILL", &watching);
    until("nobody watches it", || brig.watchers(id).is_empty());
}

fn log(brig: &Brig, id: &str) -> String {
    let path = brig.store().join("containers").join(id).join("log/container.log");
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        serde_json::from_str::<serde_json::Value>(line).unwrap()["log"].as_str().unwrap().to_owned()
    };
    text.lines().map(line).collect()
}

fn nothing_is_left(brig: &Brig) {
    assert_eq!(brig.containers(), Vec::<String>::new());
    for directory in ["store/names", "run/c", "run/s", "run/alive", "run/etc", "run/ids", "run/mcs"] {
        let path = brig.directory().join(directory);
        let left: Vec<_> =
            fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

story!(all_are_those_it_can_be_done_to, [root, user], |brig| {
    brig.import_busybox();
    let mut ids = [detached(brig, "one", &[], "sleep 1000"), detached(brig, "two", &[], "sleep 1000")];
    ids.sort();
    let created = brig.ok(&["create", "busybox", "true"]);
    let done = |words: &[&str]| -> Vec<String> {
        let mut lines: Vec<String> = brig.ok(words).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    // A user has no freezer on a machine with cgroup v1.
    if brig.is_root() {
        assert_eq!(done(&["pause", "--all"]), ids);
        assert_eq!(done(&["unpause", "-a"]), ids);
    }
    assert_eq!(done(&["stop", "-a", "-t", "0"]), ids);
    assert!(done(&["stop", "-a"]).is_empty());
    assert_eq!(done(&["start", "--all"]).len(), 3);
    brig.ok(&["wait", created.trim()]);
    assert_eq!(done(&["kill", "-a"]), ids);
    brig.ok(&["wait", "one", "two"]);
    assert!(brig.run(&["rm", "--all", "one"]).fails_with(125).contains("--all"));
    assert_eq!(done(&["rm", "--all"]).len(), 3);
    assert_eq!(brig.containers(), Vec::<String>::new());
});

// A monitor says that its container has ended, and then takes it down. `restart`, `start` and `rm` met that moment with
// "is running" on a machine where it was long; here the moment is the test's own lock.
story!(who_comes_while_it_is_taken_down_waits, [root, user], |brig| {
    brig.import_busybox();
    let id = detached(brig, "web", &[], "sleep 1000");
    brig.ok(&["stop", "-t", "0", "web"]);
    let path = brig.directory().join("run/alive").join(&id);
    for words in [&["restart", "-t", "0", "web"][..], &["start", "web"], &["rm", "web"]] {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let mut child = brig.command(words).stdout(Stdio::null()).spawn().unwrap();
        let open = format!("/proc/{}/fd", child.id());
        until("it waits", || {
            let files = fs::read_dir(&open).into_iter().flatten().flatten();
            files.into_iter().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
        });
        drop(file);
        assert!(child.wait().unwrap().success(), "{words:?}");
        if words[0] != "rm" {
            assert_eq!(brig.life(&id)["status"], "running");
            brig.ok(&["stop", "-t", "0", "web"]);
        }
    }
    assert_eq!(brig.containers(), Vec::<String>::new());
});

story!(a_detached_container_lives_and_ends, [root, user, bare], |brig| {
    brig.import_busybox();
    let before = Hygiene::capture();
    let id = detached(
        brig,
        "web",
        &[],
        "echo out; echo err >&2; trap 'exit 7' TERM; while :; do sleep 0.05; done",
    );
    assert_eq!(id.len(), 64);
    assert_eq!(brig.life(&id)["status"], "running");
    assert!(brig.run(&["rm", "web"]).fails_with(1).contains("is running"));
    until("its output is logged", || log(brig, &id).len() == "out\nerr\n".len());
    assert_eq!(brig.ok(&["stop", "web"]), "web\n");
    let life = brig.life(&id);
    assert_eq!(
        (&life["status"], &life["exitCode"], &life["stoppedByUser"]),
        (&"exited".into(), &7.into(), &true.into())
    );
    assert_eq!(brig.ok(&["wait", "web"]), "7\n");
    assert_eq!(brig.ok(&["stop", "web"]), "web\n");
    assert!(brig.run(&["kill", "web"]).fails_with(1).contains("not running"));
    brig.ok(&["start", "web"]);
    assert_eq!(brig.ok(&["start", "web"]), "web\n");
    brig.ok(&["restart", "-t", "0", &id[..12]]);
    brig.ok(&["kill", "web"]);
    assert_eq!(brig.ok(&["wait", "web"]), "137\n");
    assert_eq!(brig.ok(&["rm", "web"]), "web\n");
    assert!(brig.run(&["stop", "web"]).fails_with(1).contains("web"));
    nothing_is_left(brig);
    before.assert_same();
});

story!(what_goes_away_at_its_end_goes_away, [root, user, bare], |brig| {
    brig.import_busybox();
    let before = Hygiene::capture();
    let waited = detached(brig, "short", &["--rm", "-i"], "read line; exit 5");
    let wait = brig.command(&["wait", &waited]).stdout(Stdio::piped()).spawn().unwrap();
    // Its input ends with the attached client's only where it was run so: a line ends it.
    let mut attach =
        brig.command(&["attach", "short"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    attach.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(attach.wait().unwrap().code(), Some(5));
    assert_eq!(wait.wait_with_output().unwrap().stdout, b"5\n");
    detached(brig, "long", &["--rm"], "sleep 1000");
    assert_eq!(brig.ok(&["rm", "-f", "long"]), "long\n");
    nothing_is_left(brig);
    before.assert_same();
});

story!(a_program_that_cannot_be_executed, [root, user, bare], |brig| {
    brig.import_busybox();
    for (program, code) in [("no-such-program", 127), ("/etc", 126)] {
        brig.run(&["run", "-d", "--rm", "busybox", program]).fails_with(code);
        nothing_is_left(brig);
        // As docker: the container stays, created.
        brig.run(&["run", "-d", "--name", "bad", "busybox", program]).fails_with(code);
        let life = brig.life(&brig.containers()[0]);
        assert_eq!((&life["status"], &life["exitCode"]), (&"created".into(), &code.into()));
        assert_eq!(brig.ok(&["rm", "bad"]), "bad\n");
        nothing_is_left(brig);
    }
});

story!(a_created_container_waits_for_its_start, [root, user, bare], |brig| {
    brig.import_busybox();
    let id =
        brig.ok(&["create", "--name", "later", "--rm", "-e", "A=b", "busybox", "sh", "-c", "exit ${#A}$A"]);
    // What sweeps left-overs spares it.
    brig.ok(&["images"]);
    assert_eq!(brig.containers(), [id.trim()]);
    assert!(brig.run(&["pause", "later"]).fails_with(1).contains("not running"));
    brig.ok(&["rm", "later"]);
    let id = brig.ok(&[
        "create",
        "--name",
        "later",
        "-e",
        "A=3",
        "busybox",
        "sh",
        "-c",
        "echo x >> /file; exit $A",
    ]);
    for starts in 1..=3 {
        assert_eq!(brig.run(&["start", "-a", "later"]).code, 3);
        assert_eq!(brig.life(id.trim())["exitCode"], 3, "start {starts}");
    }
    // What it wrote stays from one start to the next.
    let written = brig.store().join("containers").join(id.trim()).join("upper/file");
    assert_eq!(fs::read_to_string(written).unwrap(), "x\nx\nx\n");
    // After a reboot the run directory is empty.
    fs::remove_dir_all(brig.directory().join("run")).unwrap();
    assert_eq!(brig.run(&["start", "-a", "later"]).code, 3);
    brig.ok(&["rm", "later"]);
    nothing_is_left(brig);
});

story!(of_two_starters_one_wins, [root, user], |brig| {
    brig.import_busybox();
    let id = brig.ok(&["create", "--name", "one", "busybox", "sleep", "1000"]);
    let starters: Vec<Child> = (0..8)
        .map(|_| brig.command(&["start", "one"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        .collect();
    for mut starter in starters {
        assert!(starter.wait().unwrap().success());
    }
    let sleepers = |id: &str| {
        let state = fs::read_to_string(brig.directory().join("run/c").join(id).join("state.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&state).unwrap()["pid"].clone()
    };
    assert_eq!(sleepers(id.trim()), brig.life(id.trim())["pid"]);
    brig.ok(&["rm", "-f", "one"]);
    nothing_is_left(brig);
});

story!(frozen_and_renamed_and_replaced, [root], |brig| {
    brig.import_busybox();
    let id = detached(brig, "cold", &[], "while :; do echo x; sleep 0.01; done");
    assert_eq!(brig.ok(&["pause", "cold"]), "cold\n");
    assert!(brig.run(&["pause", "cold"]).fails_with(1).contains("already paused"));
    assert_eq!(brig.ok(&["unpause", "cold"]), "cold\n");
    assert!(brig.run(&["unpause", "cold"]).fails_with(1).contains("not paused"));
    brig.ok(&["pause", "cold"]);
    brig.ok(&["rename", "cold", "warm"]);
    assert!(brig.run(&["kill", "cold"]).fails_with(1).contains("cold"));
    brig.ok(&["stop", "-t", "1", "warm"]);
    assert_eq!(brig.life(&id)["status"], "exited");
    detached(brig, "other", &[], "sleep 1000");
    assert!(brig.run(&["rename", "warm", "other"]).code != 0);
    let replaced = detached(brig, "other", &["--replace"], "sleep 1000");
    assert_eq!(brig.containers().len(), 2);
    brig.ok(&["rm", "-f", "warm", &replaced]);
    nothing_is_left(brig);
});

story!(a_killed_monitor_ends_nothing_and_loses_nothing, [root, user], |brig| {
    brig.import_busybox();
    let script = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done; echo done >&2; \
                  trap 'exit 9' TERM; while :; do sleep 0.05; done";
    let id = detached(brig, "loud", &[], script);
    let pid = brig.life(&id)["pid"].clone();
    for round in 0..4 {
        kill_both(brig, &id);
        // Any command that looks at it makes a new monitor.
        brig.run(&["unpause", "loud"]).fails_with(1);
        until("two processes watch it", || brig.watchers(&id).len() == 2);
        kill_one(brig, &id, round % 2);
        assert_eq!(brig.life(&id)["pid"], pid);
    }
    until("all is logged", || log(brig, &id).contains("done\n"));
    let expected: String = (1..=2000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(log(brig, &id).replace("done\n", ""), expected);
    brig.ok(&["stop", "loud"]);
    let life = brig.life(&id);
    assert_eq!((&life["status"], &life["exitCode"]), (&"exited".into(), &9.into()), "{life}");
    brig.ok(&["rm", "loud"]);
    nothing_is_left(brig);
});

story!(nobody_of_a_pair_is_missed, [root, user, bare], |brig| {
    brig.import_busybox();
    let script =
        "stty -echo; echo ready; while read line; do echo heard $line; [ $line = end ] && exit 6; done";
    let (mut run, mut input, mut output) =
        client(brig, &["run", "-it", "--name", "pair", "busybox", "sh", "-c", script]);
    assert_eq!(line(&mut output), "ready\r\n");
    let id = brig.containers().remove(0);
    for round in 0..6 {
        // The terminal's master is in both: its container gets no SIGHUP, and the client finds the next monitor.
        kill_one(brig, &id, round % 2);
        until("two processes watch it", || brig.watchers(&id).len() == 2);
    }
    let (mut attach, mut other, mut heard) = client(brig, &["attach", "pair"]);
    other.write_all(b"one\n").unwrap();
    assert_eq!(line(&mut heard), "heard one\r\n");
    input.write_all(b"end\n").unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("heard end\r\n"), "{rest}");
    // Whoever of the two was killed, the exit code is known.
    assert_eq!(run.wait().unwrap().code(), Some(6));
    assert_eq!(attach.wait().unwrap().code(), Some(6));
    brig.ok(&["rm", "pair"]);
    nothing_is_left(brig);
});

story!(a_killed_starter_leaves_nothing_or_a_whole_container, [root, user], |brig| {
    brig.import_busybox();
    for delay in 0..20 {
        let mut starter = brig
            .command(&["run", "-d", "--name", "half", "busybox", "sleep", "1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(delay * 700));
        drop(starter.kill());
        starter.wait().unwrap();
        // A start that goes on without its starter may take the name only now; what is half made is swept.
        until("it is removed, or never comes", || {
            drop(brig.run(&["rm", "-f", "half"]));
            brig.ok(&["images"]);
            brig.containers().is_empty()
        });
    }
});

story!(restart_policies_start_again, [root, user], |brig| {
    brig.import_busybox();
    let id = detached(brig, "again", &["--restart", "on-failure:2"], "echo once; exit 4");
    assert_eq!(brig.ok(&["wait", "again"]), "4\n");
    assert_eq!((&brig.life(&id)["restartCount"], &brig.life(&id)["exitCode"]), (&2.into(), &4.into()));
    assert_eq!(log(brig, &id), "once\nonce\nonce\n");
    let id = detached(brig, "always", &["--restart", "always"], "exit 0");
    until("it is started again", || brig.life(&id)["restartCount"].as_u64() > Some(1));
    brig.ok(&["stop", "always"]);
    let life = brig.life(&id);
    assert_eq!((&life["status"], &life["stoppedByUser"]), (&"exited".into(), &true.into()), "{life}");
    brig.ok(&["rm", "again", "always"]);
    nothing_is_left(brig);
});

/// A client whose streams are pipes.
fn client(brig: &Brig, arguments: &[&str]) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut child = brig
        .command(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    (child, input, output)
}

fn line(output: &mut impl BufRead) -> String {
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    text
}

story!(clients_come_and_go, [root, user, bare], |brig| {
    brig.import_busybox();
    detached(brig, "chat", &["-i"], "while read line; do echo heard $line; [ $line = end ] && exit 6; done");
    let (mut first, mut first_in, mut first_out) = client(brig, &["attach", "chat"]);
    first_in.write_all(b"one\n").unwrap();
    assert_eq!(line(&mut first_out), "heard one\n");
    let (mut second, mut second_in, mut second_out) = client(brig, &["attach", "chat"]);
    // Both hear what either says.
    second_in.write_all(b"two\n").unwrap();
    assert_eq!(line(&mut second_out), "heard two\n");
    assert_eq!(line(&mut first_out), "heard two\n");
    first.kill().unwrap();
    first.wait().unwrap();
    second_in.write_all(b"three\nend\n").unwrap();
    let mut rest = String::new();
    second_out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "heard three\nheard end\n");
    assert_eq!(second.wait().unwrap().code(), Some(6));
    brig.ok(&["rm", "chat"]);
});

story!(keys_leave_a_terminal_running, [root, user, bare], |brig| {
    brig.import_busybox();
    let script = "stty -echo; echo ready; while read line; do echo heard $line; done";
    let (mut run, mut input, mut output) = client(
        brig,
        &["run", "-it", "--name", "tty", "--detach-keys", "ctrl-a,x", "busybox", "sh", "-c", script],
    );
    assert_eq!(line(&mut output), "ready\r\n");
    input.write_all(b"one\n").unwrap();
    assert_eq!(line(&mut output), "heard one\r\n");
    input.write_all(b"\x01x").unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));
    let (mut attach, mut input, mut output) = client(brig, &["attach", "tty"]);
    input.write_all(b"two\n").unwrap();
    assert_eq!(line(&mut output), "heard two\r\n");
    // So does whoever kills the client.
    attach.kill().unwrap();
    attach.wait().unwrap();
    let (mut attach, mut input, mut output) = client(brig, &["attach", "tty"]);
    input.write_all(b"three\n").unwrap();
    assert_eq!(line(&mut output), "heard three\r\n");
    brig.ok(&["kill", "tty"]);
    assert_eq!(attach.wait().unwrap().code(), Some(137));
    brig.ok(&["rm", "tty"]);
    nothing_is_left(brig);
});

story!(a_foreground_container_is_listed_and_stopped, [root, user], |brig| {
    brig.import_busybox();
    let (mut run, _input, mut output) = client(
        brig,
        &[
            "run",
            "--rm",
            "--name",
            "front",
            "busybox",
            "sh",
            "-c",
            "echo up; trap 'exit 8' TERM; while :; do sleep 0.05; done",
        ],
    );
    assert_eq!(line(&mut output), "up\n");
    assert!(brig.ok(&["ps", "-q", "-f", "name=front"]).trim().len() == 12);
    // One that goes away has no monitor: its command has its streams.
    assert!(brig.run(&["attach", "front"]).fails_with(1).contains("foreground"));
    assert_eq!(brig.ok(&["stop", "front"]), "front\n");
    assert_eq!(run.wait().unwrap().code(), Some(8));
    nothing_is_left(brig);
});

story!(inspect_says_which_streams_were_attached, [root, user], |brig| {
    brig.import_busybox();
    let streams = "{{json .Config.AttachStdin}} {{json .Config.AttachStdout}} {{json .Config.AttachStderr}} {{json .Config.StdinOnce}}";
    for (words, expected) in [
        (&["create"][..], "false true true false\n"),
        (&["create", "-i"], "true true true true\n"),
        (&["create", "-i", "-a", "stdout"], "false true false false\n"),
        (&["run", "-d", "-i"], "false false false false\n"),
        (&["run"], "false true true false\n"),
        (&["run", "-a", "stderr"], "false false true false\n"),
    ] {
        brig.ok(&[words, &["--name", "web", "busybox", "true"]].concat());
        assert_eq!(brig.ok(&["inspect", "--format", streams, "web"]), expected, "{words:?}");
        // As docker's, they are how it was made, and not how it was started last.
        brig.ok(&["start", "web"]);
        assert_eq!(brig.ok(&["inspect", "--format", streams, "web"]), expected, "{words:?}");
        brig.ok(&["rm", "-f", "web"]);
    }
});

story!(pid_and_id_are_written, [root, user], |brig| {
    brig.import_busybox();
    let (pid, id) = (brig.directory().join("pid"), brig.directory().join("id"));
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let flags = ["--pidfile", pid.to_str().unwrap(), "--cidfile", id.to_str().unwrap()];
    let printed = detached(brig, "files", &flags, "sleep 1000");
    assert_eq!(text(&id), printed);
    assert_eq!(text(&pid), brig.life(&printed)["pid"].to_string());
    brig.ok(&["rm", "-f", "files"]);
});

// A monitor lives as long as its container: what it held of its caller's would be held as long. Seen to fail without
// close_range(2).
story!(a_monitor_holds_nothing_of_its_callers, [root, user], |brig| {
    brig.import_busybox();
    let lock = brig.directory().join("lock");
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).unwrap();
    let start = |words: &[&str]| {
        let command = brig.command(words);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "exec 9<\"$0\" 8>&1; flock -x 9; exec \"$@\""]).arg(&lock);
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        // The pipe that 8 is of, too, is read to its end.
        let said = testkit::run(&mut shell).success();
        let file = fs::File::open(&lock).unwrap();
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
        said
    };
    let id = start(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).trim().to_owned();
    start(&["restart", "-t", "0", "web"]);
    // Whoever adopts it, too.
    kill_both(brig, &id);
    assert!(start(&["ps"]).contains("web"));
    assert_eq!(brig.monitors(&id).len(), 2);
});

story!(a_command_in_the_foreground_is_killed_and_its_container_goes_on, [root, user, bare], |brig| {
    brig.import_busybox();
    let script = "echo before; while [ ! -e /go ]; do sleep 0.02; done; echo after; exit 5";
    let mut command = brig.command(&["run", "--name", "web", "busybox", "sh", "-c", script]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "before\n");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(brig.ok(&["ps", "--format", "{{.Names}} {{.State}}"]), "web running\n");
    brig.ok(&["exec", "web", "touch", "/go"]);
    assert_eq!(brig.ok(&["wait", "web"]), "5\n");
    assert_eq!(brig.ok(&["logs", "web"]), "before\nafter\n");
});

story!(a_command_in_the_foreground_ends_when_its_reader_leaves, [root, user], |brig| {
    brig.import_busybox();
    let mut command = brig.command(&["run", "--name", "web", "busybox", "yes"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = [0; 2];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(128 + 13));
    assert_eq!(brig.ok(&["ps", "--format", "{{.Names}}"]), "web\n");
    brig.ok(&["rm", "-f", "web"]);
});

story!(the_last_one_and_those_of_a_file_or_filter, [root, user], |brig| {
    brig.import_busybox();
    let file = |name: &str| brig.directory().join(name).to_str().unwrap().to_owned();
    for name in ["one", "two", "three"] {
        let flags =
            ["run", "-d", "--name", name, "--label", "shop", "--cidfile", &file(name), "--network", "none"];
        brig.ok(&[&flags[..], &["busybox", "sleep", "1000"]].concat());
    }
    assert_eq!(brig.ok(&["exec", "-l", "hostname"]), brig.ok(&["exec", "three", "hostname"]));
    assert_eq!(brig.ok(&["inspect", "-l", "-f", "{{.Name}}"]), "/three\n");
    assert_eq!(brig.ok(&["top", "-l", "args"]), brig.ok(&["top", "three", "args"]));
    for command in [&["logs", "-l"][..], &["diff", "-l"], &["port", "-l"], &["port", "-a"]] {
        assert_eq!(brig.ok(command), "");
    }
    let id = |name: &str| std::fs::read_to_string(file(name)).unwrap() + "\n";
    assert_eq!(brig.ok(&["kill", "--latest"]), id("three"));
    assert_eq!(brig.ok(&["wait", "-l"]), "137\n");
    assert_eq!(brig.ok(&["stop", "-t", "0", "--cidfile", &file("one")]), id("one"));
    // Of all that the command fits.
    assert_eq!(brig.ok(&["stop", "-t", "0", "--filter", "label=shop"]), id("two"));
    assert_eq!(brig.ok(&["start", "--filter", "name=o"]).lines().count(), 2);
    assert_eq!(brig.ok(&["restart", "-t", "0", "--running"]).lines().count(), 2);
    brig.run(&["rm", "nosuch"]).fails_with(1);
    brig.run(&["rm", "--cidfile", &file("nosuch")]).fails_with(1);
    assert_eq!(brig.ok(&["rm", "-f", "--ignore", "nosuch", "--cidfile", &file("nosuch"), "one"]), "one\n");
    brig.ok(&["container", "exists", "two"]);
    brig.run(&["container", "exists", "one"]).fails_with(1);
    brig.ok(&["image", "exists", "busybox"]);
    brig.run(&["image", "exists", "nosuch"]).fails_with(1);
    brig.ok(&["rm", "-f", "--filter", "label=shop"]);
    assert_eq!(brig.ok(&["ps", "-aq"]), "");
    brig.run(&["start", "-l"]).fails_with(1);
    brig.ok(&["rmi", "-i", "nosuch"]);
    brig.ok(&["rmi", "-a"]);
    assert_eq!(brig.ok(&["images", "-q"]), "");
});
