//! `brig run` in the foreground: its flags, its exit codes, its defaults.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tests::{Brig, story};

/// What a script prints in a container with these flags; it must succeed.
fn printed(brig: &Brig, flags: &[&str], script: &str) -> String {
    brig.shell(flags, script).success()
}

story!(exit_codes, [root, user, bare], |brig| {
    brig.import_busybox();
    for (command, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 3"], 3),
        (&["no-such-program"], 127),
        (&["/etc/passwd"], 126),
        (&["/etc"], 126),
    ] {
        let outcome = brig.run(&[&["run", "--rm", "busybox"], command].concat());
        assert_eq!(outcome.code, code, "{outcome}");
        assert_eq!(outcome.stderr.contains("error: "), code >= 125, "{outcome}");
    }
    for arguments in [
        &["run", "--no-such-flag", "busybox", "true"][..],
        &["run", "--rm", "no-such-image", "true"],
        &["run", "--rm", "--user", "nobody-by-this-name", "busybox", "true"],
        &["run", "--rm", "--user", "4294967296", "busybox", "true"],
        &["run", "--rm"],
    ] {
        let outcome = brig.run(arguments);
        assert_eq!(outcome.code, 125, "{outcome}");
        assert!(outcome.stderr.contains("error: ") && outcome.stdout.is_empty(), "{outcome}");
    }
});

story!(streams_pass_through, [root, user], |brig| {
    brig.import_busybox();
    let mut command = brig.command(&["run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo err >&2"]);
    let outcome = testkit::run_with_input(&mut command, b"in\n");
    assert_eq!((outcome.code, &*outcome.stdout), (0, "in\n"), "{outcome}");
    // Warnings about this machine may stand beside it.
    assert!(outcome.stderr.lines().any(|line| line == "err"), "{outcome}");
    let mut command = brig.command(&["run", "--rm", "busybox", "cat"]);
    assert_eq!(testkit::run_with_input(&mut command, b"in\n").success(), "");
});

story!(signals_are_forwarded, [root, user], |brig| {
    brig.import_busybox();
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    // Without the user's wrapper around it, the process is brig itself: it has been exec'ed by then.
    let mut child =
        brig.command(&["run", "--rm", "busybox", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(9));
});

story!(defaults_are_closed, [root, user], |brig| {
    brig.import_busybox();
    let status = printed(brig, &[], "cat /proc/self/status");
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t00000000000001fb",
        "CapEff:\t00000000000001fb",
        "CapBnd:\t00000000000001fb",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.lines().any(|found| found == line), "no `{line}` in {status}");
    }
    assert_eq!(printed(brig, &[], "cat /proc/keys /proc/kcore /proc/timer_list 2>/dev/null | wc -c"), "0\n");
    for (script, what) in [
        ("echo 1 > /proc/sys/kernel/panic", "/proc/sys"),
        ("mkdir /sys/new", "/sys"),
        ("mknod /tmp/null c 1 3", "mknod"),
        ("mount -t tmpfs none /tmp", "mount"),
        ("unshare -U true", "user namespaces"),
        ("chroot / true", "chroot"),
    ] {
        assert_ne!(brig.shell(&[], script).code, 0, "{what} is open");
    }
    assert_eq!(printed(brig, &[], "ls -A /proc/self/fd | wc -l"), "4\n");
    assert_eq!(
        printed(brig, &[], "env | cut -d= -f1 | sort | tr '\\n' ' '"),
        "HOME HOSTNAME PATH PWD SHLVL "
    );
    assert_eq!(printed(brig, &["--network", "none"], "ls /sys/class/net"), "lo\n");
});

story!(a_user_of_the_image_has_no_capability, [root, user], |brig| {
    brig.import_busybox();
    for (user, expected) in [
        ("user", "1000 1000"),
        ("1000", "1000 1000"),
        ("1000:7", "1000 7"),
        ("1001", "1001 0"),
        ("nobody", "65534 65534"),
    ] {
        let seen = printed(brig, &["-u", user], "echo $(id -u) $(id -g) $(grep CapEff /proc/self/status)");
        assert_eq!(seen, format!("{expected} CapEff: 0000000000000000\n"), "{user}");
    }
    assert_eq!(printed(brig, &["-u", "user"], "id -G"), "1000 1234\n");
    assert_eq!(
        printed(brig, &["-u", "1000", "--group-add", "55"], "id -G | tr ' ' '\\n' | grep -c 55"),
        "1\n"
    );
});

story!(root_of_a_container_is_nobody_outside, [root, user], |brig| {
    brig.import_busybox();
    let map = printed(brig, &[], "cat /proc/self/uid_map");
    let first: Vec<u64> =
        map.lines().next().unwrap().split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!(first[0], 0);
    match brig.as_user() {
        None => assert!(first[1] > 65_535 && first[2] == 65_536, "{map}"),
        Some(user) => assert_eq!(first[1], u64::from(user.uid()), "{map}"),
    }
});

story!(environment_directory_and_names, [root, user], |brig| {
    brig.import_busybox();
    let file = brig.directory().join("env");
    fs::write(&file, "# comment\nFROM_FILE=1\nBOTH=file\n").unwrap();
    let flags =
        ["--env-file", file.to_str().unwrap(), "-e", "BOTH=flag", "-e", "A=b c", "-w", "/var", "-h", "named"];
    let script = "echo $FROM_FILE $BOTH $A; pwd; hostname; cat /etc/hostname";
    assert_eq!(printed(brig, &flags, script), "1 flag b c\n/var\nnamed\nnamed\n");
    assert_eq!(printed(brig, &["--umask", "0077"], "umask"), "0077\n");
    let outcome = brig.run(&["run", "--rm", "--entrypoint", "echo", "busybox", "by", "entrypoint"]);
    assert_eq!(outcome.success(), "by entrypoint\n");
});

story!(what_is_written_goes_with_the_container, [root, user, bare], |brig| {
    brig.import_busybox();
    assert!(printed(brig, &[], "echo new > /etc/new; rm /etc/group; ls /etc").contains("new"));
    let seen = printed(brig, &[], "ls /etc");
    assert!(seen.contains("group") && !seen.contains("new"), "{seen}");
    assert_ne!(brig.shell(&["--read-only"], "touch /etc/new").code, 0);
});

story!(host_directories, [root, user], |brig| {
    brig.import_busybox();
    let source = brig.directory().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "bound\n").unwrap();
    if let Some(user) = brig.as_user() {
        user.give(&source);
    }
    let source = source.to_str().unwrap();
    assert_eq!(printed(brig, &["-v", &format!("{source}:/mnt/a")], "cat /mnt/a/file"), "bound\n");
    let read_only = brig.shell(&["-v", &format!("{source}:/mnt/a:ro")], "echo x > /mnt/a/file");
    assert!(read_only.code != 0 && read_only.stderr.contains("Read-only"), "{read_only}");
    let mount = format!("type=bind,source={source},target=/b,readonly");
    assert_eq!(printed(brig, &["--mount", &mount], "cat /b/file"), "bound\n");
    let options = printed(brig, &["-v", &format!("{source}:/mnt/a")], "grep ' /mnt/a ' /proc/mounts");
    assert!(options.contains("nosuid") && options.contains("nodev"), "{options}");
    assert_eq!(fs::read_to_string(format!("{source}/file")).unwrap(), "bound\n");
    for path in ["/", "/etc", "/proc", "/sys", "/dev", "/boot", "/etc/../etc"] {
        let outcome = brig.shell(&["-v", &format!("{path}:/mnt")], "true");
        assert_eq!(outcome.code, 125, "{outcome}");
        assert!(outcome.stderr.contains("--allow-host-path"), "{outcome}");
    }
});

story!(temporary_file_systems, [root, user], |brig| {
    brig.import_busybox();
    assert_eq!(
        printed(brig, &["--tmpfs", "/scratch"], "touch /scratch/a && grep -c ' /scratch tmpfs' /proc/mounts"),
        "1\n"
    );
    assert_eq!(printed(brig, &["--shm-size", "1m"], "df -k /dev/shm | awk 'END { print $2 }'"), "1024\n");
});

story!(limits, [root, user], |brig| {
    brig.import_busybox();
    assert_eq!(printed(brig, &["--ulimit", "nofile=99:100"], "ulimit -n; ulimit -Hn"), "99\n100\n");
    assert_eq!(printed(brig, &[], "ulimit -c; ulimit -n"), "0\n1024\n");
});

story!(limits_of_the_cgroup, [root], |brig| {
    testkit::needs!(cgroup_v1("pids"), cgroup_v1("memory"), cgroup_v1("cpu"), cgroup_v1("cpuset"));
    brig.import_busybox();
    let spawn = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; kill $(jobs -p); echo all";
    let outcome = brig.shell(&["--pids-limit", "5"], spawn);
    assert!(outcome.stderr.contains("fork"), "{outcome}");
    let outcome = brig.shell(&["-m", "16m", "--memory-swap", "16m"], "tail -c 64m /dev/zero");
    assert_eq!(outcome.code, 137, "{outcome}");
    // A command that people know.
    let arguments = ["run", "--name", "kasun_priority_1", "--cpuset-cpus=0", "--cpu-shares=20", "busybox"];
    assert_eq!(
        brig.ok(&[&arguments[..], &["grep", "Cpus_allowed_list", "/proc/self/status"]].concat()),
        "Cpus_allowed_list:\t0\n"
    );
});

story!(opening_is_explicit, [root, user], |brig| {
    brig.import_busybox();
    let script = "grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr '\\n' ' '";
    for (flags, expected) in [
        (&["--cap-drop", "all"][..], "CapBnd:\t0000000000000000 NoNewPrivs:\t1 Seccomp:\t2 "),
        (&["--cap-drop", "CHOWN"], "CapBnd:\t00000000000001fa NoNewPrivs:\t1 Seccomp:\t2 "),
        (&["--cap-add", "SYS_CHROOT"], "CapBnd:\t00000000000401fb NoNewPrivs:\t1 Seccomp:\t2 "),
        (
            &["--security-opt", "no-new-privileges=false"],
            "CapBnd:\t00000000000001fb NoNewPrivs:\t0 Seccomp:\t2 ",
        ),
        (&["--security-opt", "seccomp=unconfined"], "CapBnd:\t00000000000001fb NoNewPrivs:\t1 Seccomp:\t0 "),
    ] {
        assert_eq!(printed(brig, flags, script), expected, "{flags:?}");
    }
    brig.shell(&["--cap-add", "NO_SUCH"], "true").fails_with(125);
});

story!(host_namespaces, [root, user], |brig| {
    brig.import_busybox();
    for (flag, name) in [("--uts=host", "uts"), ("--ipc=host", "ipc"), ("--network=host", "net")] {
        let own = fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
        let script = format!("readlink /proc/self/ns/{name}");
        assert_eq!(printed(brig, &[flag], &script).trim(), own, "{flag}");
        assert_ne!(printed(brig, &[], &script).trim(), own, "without {flag}");
    }
});

story!(kernel_settings_of_the_container, [root, user], |brig| {
    brig.import_busybox();
    assert_eq!(printed(brig, &["--sysctl", "kernel.msgmax=4096"], "cat /proc/sys/kernel/msgmax"), "4096\n");
    for setting in ["kernel.panic=1", "vm.swappiness=1", "kernel.msgmax", "../kernel/panic=1"] {
        brig.shell(&["--sysctl", setting], "true").fails_with(125);
    }
    assert_eq!(printed(brig, &[], "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "0\n");
});

story!(an_init_reaps, [root, user], |brig| {
    brig.import_busybox();
    assert_eq!(printed(brig, &[], "echo $$"), "1\n");
    assert_ne!(printed(brig, &["--init"], "echo $$"), "1\n");
    assert_eq!(brig.shell(&["--init"], "exit 5").code, 5);
});

story!(a_terminal_of_its_own, [root, user], |brig| {
    testkit::needs!(program("script"));
    brig.import_busybox();
    let command = brig.command(&["run", "--rm", "-it", "busybox", "tty"]);
    let line: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")))
        .collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]).env_clear().env("TERM", "xterm");
    script
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", "/usr/bin:/bin:/usr/sbin");
    let seen = testkit::run(&mut script).success();
    // Warnings about this machine may stand before it, and what `script` makes of the end of its input.
    assert!(seen.lines().any(|line| line.ends_with("/dev/pts/0")), "{seen}");
});

story!(a_dry_run_prints_and_does_nothing, [root, user], |brig| {
    brig.import_busybox();
    let plan = brig.ok(&["run", "--rm", "--dry-run", "busybox", "touch", "/tmp/a"]);
    assert!(plan.lines().count() > 10, "{plan}");
    assert_eq!(fs::read_dir(brig.store().join("containers")).map_or(0, Iterator::count), 0);
});
