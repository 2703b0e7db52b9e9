//! `doctor`, `info`, `version`, help and the flags before the command.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use serde_json::Value;
use tests::story;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

story!(doctor_says_what_the_host_has, [root, user, bare], |brig| {
    let text = brig.run(&["doctor"]);
    let report = brig.run(&["doctor", "--json"]);
    assert_eq!(text.code, report.code, "{text}");
    let report = json(&report.stdout);
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.len() > 15, "{report}");
    for finding in findings {
        let (name, status) = (finding["name"].as_str().unwrap(), finding["status"].as_str().unwrap());
        assert!(["applied", "weaker", "unavailable"].contains(&status), "{finding}");
        let line = |line: &str| line.starts_with(status) && line.contains(name);
        assert!(text.stdout.lines().any(line), "no line of {finding} in {text}");
    }
    let broken = findings.iter().any(|finding| finding["status"] == "unavailable");
    assert_eq!(text.code, i32::from(broken), "{text}");
    if !brig.is_root() {
        let ids = text.stdout.lines().find(|line| line.contains("subuid")).unwrap();
        assert!(ids.contains(brig.as_user().unwrap().name()), "{ids}");
    }
    // It looks and changes nothing.
    assert!(!brig.store().exists());
});

story!(hostile_files_of_subordinate_ids_are_told_and_survived, [bare], |brig| {
    testkit::needs!(root);
    let user = brig.as_user().unwrap();
    let (name, uid) = (user.name(), user.uid());
    let long = format!("{name}:1:{}\n", "9".repeat(100_000));
    let many = format!("{name}:100000:1\n").repeat(10_000);
    for text in [
        String::new(),
        "\0\u{1}\u{2}".to_owned(),
        format!("{name}\n{name}:\n{name}::\n:::\n"),
        format!("{name}:0:65536\n"),
        format!("{uid}:4294967295:2\n"),
        format!("{name}:-1:65536\n{name}:100000:0\n"),
        format!("{name}:100000:65536\n{name}:100000:65536\nother:100000:65536\n"),
        long,
        many,
    ] {
        let shown: String = text.chars().take(40).collect();
        user.set_subids(&text);
        for words in [&["doctor"][..], &["doctor", "--json"]] {
            let outcome = brig.run(words);
            assert!([0, 1].contains(&outcome.code), "{shown:?}: {outcome}");
            assert!(
                !outcome.stderr.contains("panicked") && !outcome.stdout.is_empty(),
                "{shown:?}: {outcome}"
            );
        }
        // A run either refuses or gets no id that is not the user's own.
        let outcome = brig.run(&["run", "--rm", "hello", "--json"]);
        assert!([0, 125].contains(&outcome.code), "{shown:?}: {outcome}");
    }
});

story!(info_counts, [root, user], |brig| {
    let count = |field: &str| json(&brig.ok(&["info", "--format", "json"]))[field].as_u64().unwrap();
    assert_eq!((count("Images"), count("Containers")), (0, 0));
    brig.import_busybox();
    brig.ok(&["run", "--name", "kept", "busybox", "true"]);
    assert_eq!((count("Images"), count("Containers"), count("ContainersRunning")), (1, 1, 0));
    let report = json(&brig.ok(&["info", "-f", "json"]));
    assert_eq!(report["Rootless"], !brig.is_root());
    assert_eq!(report["DockerRootDir"], brig.store().to_str().unwrap());
    let text = brig.ok(&["info"]);
    for line in ["images     1", "containers 1 (0 running)"] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in {text}");
    }
    brig.ok(&["rm", "kept"]);
});

story!(versions_and_help, [root], |brig| {
    let version = brig.ok(&["--version"]);
    assert!(version.starts_with("brig version "), "{version}");
    assert_eq!(json(&brig.ok(&["version", "--format", "json"]))["OciVersion"], "1.3.0");
    let help = brig.ok(&["--help"]);
    let commands =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut seen = 0;
    for command in commands.map(|line| line.split_whitespace().next().unwrap()) {
        let help = brig.ok(&[command, "--help"]);
        assert!(help.contains(&format!("Usage: brig {command}")), "{help}");
        seen += 1;
    }
    assert!(seen > 8, "{help}");
    let none = brig.run(&[]);
    assert_eq!((none.code, none.stdout), (125, help));
    for arguments in
        [&["no-such-command"][..], &["image", "no-such"], &["images", "--no-such"], &["tag", "a"]]
    {
        let outcome = brig.run(arguments);
        assert!([1, 125].contains(&outcome.code) && outcome.stderr.starts_with("error: "), "{outcome}");
        assert!(outcome.stdout.is_empty(), "{outcome}");
    }
});

story!(flags_before_the_command, [root, user], |brig| {
    let log = |flags: &[&str]| {
        let words = [flags, &["run", "--rm", "--network", "host", "no-such-image"]].concat();
        brig.run(&words).fails_with(125)
    };
    let line = log(&["--log-format", "json"]).lines().next().unwrap().to_owned();
    assert_eq!(json(&line)["level"], "error", "{line}");
    assert!(log(&["--log-format=text"]).starts_with("error: "));

    brig.import_busybox();
    let run = |flags: &[&str]| {
        brig.run(&[flags, &["run", "--rm", "--network", "host", "busybox", "true"]].concat())
    };
    assert!(run(&[]).stderr.contains("warning: "));
    assert_eq!(run(&["--log-level", "error"]).stderr, "");
    assert_eq!(run(&["--debug"]).code, 0);
    for flags in [&["--log-level", "loud"][..], &["--log-format=xml"], &["--root"], &["--nope"], &["--root="]]
    {
        let mut command = brig.command(&[flags, &["images"]].concat());
        let outcome = testkit::run(&mut command);
        assert!(outcome.code == 125 || flags == ["--root"], "{flags:?}: {outcome}");
    }

    // The last of the same flag counts, and a relative directory is below the current one.
    let other = brig.directory().join("other");
    let seen = json(&brig.ok(&["--root", other.to_str().unwrap(), "info", "-f", "json"]));
    assert_eq!(seen["DockerRootDir"], other.to_str().unwrap());
    let mut command = brig.command(&["--root", "relative", "info", "-f", "json"]);
    let seen = json(&testkit::run(command.current_dir(brig.directory())).success());
    assert!(seen["DockerRootDir"].as_str().unwrap().ends_with("/relative"), "{seen}");
});

story!(a_reader_that_goes_away_ends_a_command_quietly, [root], |brig| {
    let script = "\"$0\" \"$@\" | head -c 1 >/dev/null; echo ${PIPESTATUS[0]}";
    let inner = brig.command(&["run", "--help"]);
    let mut command = std::process::Command::new("bash");
    command.args(["-c", script]).arg(inner.get_program()).args(inner.get_args());
    let outcome = testkit::run(&mut command);
    assert!(outcome.code == 0 && outcome.stderr.is_empty(), "{outcome}");
});
