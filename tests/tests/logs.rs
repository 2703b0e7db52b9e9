//! What containers say is kept, can be read, and no kill of ours loses a line of it.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use tests::{Brig, eventually, story};

/// The files of a container's log.
fn files(brig: &Brig, id: &str) -> Vec<std::path::PathBuf> {
    let directory = brig.store().join("containers").join(id).join("log");
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap() != "lost").collect()
}

/// Numbers from 1 on, each on a line of its own; what is not so is said.
fn assert_counts(text: &str, last: usize) {
    for (at, line) in text.lines().enumerate() {
        assert_eq!(line, (at + 1).to_string(), "line {at} of {}", text.lines().count());
    }
    assert_eq!(text.lines().count(), last);
}

story!(what_was_said_is_printed, [root, user, bare], |brig| {
    brig.import_busybox();
    let script = "echo one; echo two >&2; printf 'three\\033[31m\\tend'";
    for driver in ["json-file", "k8s-file"] {
        let id =
            brig.detached(&["--log-driver", driver, "--log-opt", "tag={{.Name}}", "--name", driver], script);
        brig.ok(&["wait", driver]);
        let outcome = brig.run(&["logs", &id[..12]]);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("one\nthree\x1b[31m\tend", "two\n"));
        assert_eq!(brig.ok(&["logs", "--tail", "1", driver]), "three\x1b[31m\tend");
        assert_eq!(brig.ok(&["logs", "-n", "0", driver]), "");
        assert_eq!(brig.ok(&["logs", "--since", "2100-01-01", driver]), "");
        assert_eq!(brig.ok(&["logs", "--until", "10m", driver]), "");
        assert!(brig.ok(&["logs", "--since", "10m", "--until", "-10m", driver]).starts_with("one\n"));
        let timed = brig.ok(&["logs", "-t", driver]);
        let (time, rest) = timed.split_once(' ').unwrap();
        assert!(time.len() == 30 && time.ends_with('Z') && rest.starts_with("one\n"), "{timed}");
        let details = if driver == "json-file" { "tag=json-file one\n" } else { " one\n" };
        assert!(brig.ok(&["logs", "--details", driver]).starts_with(details));
        let line = brig.kept(&id, "log/container.log");
        let line = line.lines().next().unwrap();
        match driver {
            "json-file" => {
                let start = r#"{"log":"one\n","stream":"stdout","attrs":{"tag":"json-file"},"time":""#;
                assert!(line.starts_with(start), "{line}");
            }
            _ => assert!(line.ends_with("Z stdout F one"), "{line}"),
        }
    }
    // Both, in the order of their times, with names before the lines.
    let both = brig.ok(&["logs", "--names", "json-file", "k8s-file"]);
    assert_eq!(both, "json-file one\njson-file three\x1b[31m\tendk8s-file one\nk8s-file three\x1b[31m\tend");
});

story!(what_was_said_in_the_foreground_is_kept, [root, user, bare], |brig| {
    brig.import_busybox();
    let script = "echo out; echo err >&2; exit 3";
    for (flags, error) in [(&[][..], "err\n"), (&["-a", "stdout"], "")] {
        let words = [&["run", "--name", "web"], flags, &["busybox", "sh", "-c", script]].concat();
        let outcome = brig.run(&words);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (3, "out\n"), "{}", outcome.stderr);
        assert!(outcome.stderr.ends_with(error), "{}", outcome.stderr);
        let kept = brig.run(&["logs", "web"]);
        assert_eq!((kept.stdout.as_str(), kept.stderr.as_str()), ("out\n", "err\n"));
        let again = brig.run(&["start", "-a", "web"]);
        assert_eq!((again.code, again.stdout.as_str()), (3, "out\n"), "{}", again.stderr);
        assert_eq!(brig.run(&["logs", "web"]).stdout, "out\nout\n");
        brig.ok(&["rm", "web"]);
    }
    let script = "cat; echo out; exit 3";
    let run = ["run", "-i", "--name", "typed", "busybox", "sh", "-c", script];
    let outcome = testkit::run_with_input(&mut brig.command(&run), b"in\n");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (3, "in\nout\n"), "{}", outcome.stderr);
    assert_eq!(brig.ok(&["logs", "typed"]), "in\nout\n");
    // Nobody looks at where it goes.
    let mut command = brig.command(&["run", "--name", "web", "busybox", "echo", "seen"]);
    assert!(
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    );
    assert_eq!(brig.ok(&["logs", "web"]), "seen\n");
    brig.ok(&["create", "-i", "--name", "made", "busybox", "sh", "-c", script]);
    let started = testkit::run_with_input(&mut brig.command(&["start", "-ai", "made"]), b"typed\n");
    assert_eq!((started.code, started.stdout.as_str()), (3, "typed\nout\n"));
    assert_eq!(brig.ok(&["logs", "made"]), "typed\nout\n");
});

// One that goes away has a log where that was asked for.
story!(a_log_that_was_asked_for_is_there_while_it_runs, [root, user], |brig| {
    brig.import_busybox();
    let words = [
        "run",
        "--rm",
        "--log-driver=json-file",
        "--name",
        "web",
        "busybox",
        "sh",
        "-c",
        "echo hi; while [ ! -e /go ]; do sleep 0.02; done",
    ];
    let mut child = brig.command(&words).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    eventually("it is logged", || brig.run(&["logs", "web"]).stdout == "hi\n");
    brig.ok(&["exec", "web", "touch", "/go"]);
    assert!(child.wait().unwrap().success());
    assert_eq!(brig.containers(), Vec::<String>::new());
});

story!(logs_says_what_it_cannot_print, [root], |brig| {
    brig.import_busybox();
    let outcome = brig.run(&["logs", "nobody"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let id = brig.detached(&["--log-driver", "none"], "echo unheard");
    brig.ok(&["wait", &id]);
    let outcome = brig.run(&["logs", &id]);
    assert!(outcome.code == 1 && outcome.stderr.contains("its driver is `none`"), "{outcome:?}");
    assert_eq!(files(brig, &id), [""; 0].map(std::path::PathBuf::from));
    for (flags, reason) in [
        (&["--log-driver", "splunk"][..], "not there yet"),
        (&["--log-driver", "nonsense"], "use json-file"),
        (&["--log-opt", "max-file=0"], "use 1 to 100"),
    ] {
        let arguments = [&["run", "-d"], flags, &["busybox", "true"]].concat();
        let outcome = brig.run(&arguments);
        assert!(outcome.code == 125 && outcome.stderr.contains(reason), "{outcome:?}");
    }
    // Where it would go nobody listens: nothing is started.
    let address = format!("syslog-address=unixgram://{}", brig.directory().join("nobody").display());
    let outcome =
        brig.run(&["run", "-d", "--log-driver", "syslog", "--log-opt", &address, "busybox", "true"]);
    assert!(outcome.code == 125 && outcome.stderr.contains("nobody listens"), "{outcome:?}");
});

story!(follow_goes_over_rotations_to_the_end, [root, user], |brig| {
    brig.import_busybox();
    // Slow enough that the reader is there while files are rotated.
    let script =
        "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; [ $((i % 300)) -ne 0 ] || sleep 0.05; done";
    let id = brig.detached(&["--log-opt", "max-size=10k", "--log-opt", "max-file=50"], script);
    assert_counts(&brig.ok(&["logs", "-f", &id]), 3000);
    assert!(files(brig, &id).len() > 5);
    // As well when it has ended, and from the last ones on.
    assert_counts(&brig.ok(&["logs", "-f", &id]), 3000);
    assert_eq!(brig.ok(&["logs", "-f", "--tail", "2", &id]), "2999\n3000\n");
});

story!(a_flood_is_bounded, [root, user], |brig| {
    brig.import_busybox();
    let id = brig.detached(
        &["--log-opt", "max-size=100k", "--log-opt", "max-file=2"],
        "yes some line | head -c 20000000; echo last; head -c 1000000 /dev/zero",
    );
    brig.ok(&["wait", &id]);
    let sizes: Vec<u64> = files(brig, &id).iter().map(|file| file.metadata().unwrap().len()).collect();
    // The last message of a file may be one of 16 KiB, each byte of it six in JSON.
    assert!(sizes.len() == 2 && sizes.iter().all(|size| *size < 300_000), "{sizes:?}");
    let id = brig.detached(&["--log-opt", "max-size=100k", "--log-opt", "max-file=1"], "seq 100000");
    brig.ok(&["wait", &id]);
    assert!(brig.ok(&["logs", &id]).ends_with("\n99999\n100000\n"));
    assert_eq!(files(brig, &id).len(), 1);
});

// A monitor that reads into memory would lose what it has read and not written. It was not yet seen
// to fail with the inbox taken out.
story!(killed_monitors_lose_no_line, [root, user], |brig| {
    const LINES: usize = 100_000;
    brig.import_busybox();
    let script = format!("seq 1 {LINES}; touch /tmp/done; sleep 1000");
    let id = brig.detached(&["--log-opt", "max-size=-1"], &script);
    for _ in 0..10 {
        let [watcher, _] = brig.monitors(&id);
        assert!(Command::new("kill").arg("-9").arg(watcher.to_string()).status().unwrap().success());
        eventually("whoever looks adopts it", || {
            brig.ok(&["logs", "--tail", "1", &id]);
            !brig.watchers(&id).contains(&watcher)
        });
    }
    eventually("all lines are there", || brig.ok(&["logs", "--tail", "1", &id]) == format!("{LINES}\n"));
    assert_counts(&brig.ok(&["logs", &id]), LINES);
    // It was the same container all the time.
    assert!(brig.kept(&id, "life.json").contains(r#""restartCount":0"#));
});

story!(a_terminals_output_is_kept, [root, user], |brig| {
    brig.import_busybox();
    let id = brig.detached(&["-t"], "echo one; echo two >&2");
    brig.ok(&["wait", &id]);
    assert_eq!(brig.ok(&["logs", &id]), "one\r\ntwo\r\n");
});

// Docker drops what does not fit and tells nobody; a container that waited for ever would be worse.
story!(a_full_disk_is_told, [root], |brig| {
    brig.import_busybox();
    let script = "seq 100000; echo done > /done; exit 7";
    let id = brig.ok(&["create", "--name", "full", "busybox", "sh", "-c", script]);
    let log = brig.store().join("containers").join(id.trim()).join("log");
    let program = brig.program().display();
    let flags =
        format!("--root {} --runroot {}", brig.store().display(), brig.directory().join("run").display());
    let (log, brigs) = (log.display(), format!("{program} {flags}"));
    let script = format!(
        "mkdir -p {log}; mount -t tmpfs -o size=64k none {log}; {brigs} start full && {brigs} wait full && {brigs} logs full"
    );
    let outcome =
        testkit::run(Command::new("unshare").args(["--mount", "--propagation=private", "sh", "-c", &script]));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    // It was not held, it ended as it wanted to, and the gap is told with its size.
    assert!(outcome.stdout.starts_with("full\n7\n1\n2\n"), "{outcome:?}");
    let warning = outcome.stderr.lines().find(|line| line.contains("are in no log")).unwrap();
    let lost: usize = warning.trim_start_matches("warning: ").split(' ').next().unwrap().parse().unwrap();
    let kept = outcome.stdout.lines().count() - 2;
    assert_eq!(lost + kept, 100_000, "{warning}");
    assert!(warning.contains("No space left on device"), "{warning}");
});

/// So many datagrams, in the order of their coming: that of one stream is kept, that of two is not.
fn datagrams(socket: &UnixDatagram, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut buffer = [0; 65_536];
    socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    while all.len() < count {
        let length = socket.recv(&mut buffer).unwrap();
        all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    all
}

story!(a_syslog_gets_all_and_logs_still_works, [root, user], |brig| {
    brig.import_busybox();
    let path = brig.directory().join("syslog");
    let socket = UnixDatagram::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let address = format!("syslog-address=unixgram://{}", path.display());
    let flags = ["--log-driver=syslog", "--log-opt", &address, "--log-opt=tag={{.Name}}", "--name=web"];
    // More than a socket holds: the container waits for the receiver.
    let id = brig.detached(&flags, "seq 3000; echo error >&2; echo last");
    let all = datagrams(&socket, 3002);
    let numbers: Vec<&String> = all.iter().filter(|line| line.starts_with("<30>1 20")).collect();
    assert!(numbers[0].ends_with(" web - 1") && numbers[2999].ends_with(" web - 3000"), "{}", numbers[0]);
    assert!(all.iter().any(|line| line.starts_with("<27>1 ") && line.ends_with(" - error")));
    brig.ok(&["wait", &id]);
    assert!(brig.ok(&["logs", &id]).ends_with("\n3000\nlast\n"));
});

story!(the_journal_gets_fields, [root], |brig| {
    brig.import_busybox();
    let directory = brig.directory().join("journal");
    fs::create_dir(&directory).unwrap();
    let socket = UnixDatagram::bind(directory.join("socket")).unwrap();
    // The machine's own /run is not touched: the mounts are the script's.
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind {} /run/systemd/journal && \
         {} --root {} --runroot {} run -d --name web --label team=a --log-driver journald --log-opt labels=team \
         busybox sh -c 'echo out; echo last >&2'",
        directory.display(),
        brig.program().display(),
        brig.store().display(),
        brig.directory().join("run").display()
    );
    let mut command = Command::new("unshare");
    testkit::run(command.args(["--mount", "--propagation=private", "sh", "-c", &script])).success();
    let all = datagrams(&socket, 2).join("\n");
    for field in
        ["\nPRIORITY=6\n", "\nPRIORITY=3\n", "CONTAINER_NAME=web\n", "CONTAINER_ID_FULL=", "TEAM=a\n"]
    {
        assert!(all.contains(field), "{field} in {all}");
    }
    assert!(all.contains("MESSAGE\n\u{3}\0\0\0\0\0\0\0out\n"), "{all}");
    brig.ok(&["wait", "web"]);
    assert_eq!(brig.ok(&["logs", "-n", "1", "web"]), "");
    assert_eq!(brig.run(&["logs", "-n", "1", "web"]).stderr, "last\n");
});
