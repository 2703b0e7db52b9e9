//! `hooks`: six kinds, each at its time, in its namespace, with its state.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tests::{Brig, story};

use crate::{bundle, parse, path, pid_of};

const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that writes its kind, what `extra` prints, and its state as one line to a log.
fn hook(kind: &str, log: &Path, extra: &str) -> Value {
    // The container's shell has the host's path, too.
    let script =
        format!("{{ echo {kind}; {extra}; cat; echo; }} | tr '\\n' ' ' >>{0}; echo >>{0}", log.display());
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin", "MARK=hook"]})
}

fn lines(log: &Path) -> Vec<(String, Value)> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().map(|line| {
        let (words, state) = line.split_at(line.find('{').unwrap_or_else(|| panic!("no state: {text}")));
        (words.trim().to_owned(), parse(state))
    });
    lines.collect()
}

story!(hooks_run_in_order_with_their_state, [root, user], |brig| {
    let log = brig.directory().join("log");
    let mut bundle = bundle(brig, "sleep 1000", |config| {
        config["annotations"] = json!({"org.example.key": "value"});
    });
    let mut hooks = json!({});
    for kind in KINDS {
        let place = if kind == "startContainer" { Path::new("/tmp/log") } else { &log };
        hooks[kind] = json!([hook(kind, place, "echo $MARK"), hook(kind, place, "echo second")]);
    }
    bundle.config["hooks"] = hooks;
    bundle.write();
    testkit::run_detached(&mut brig.runtime(&["create", "--bundle", path(&bundle), "hooked"])).success();
    let inner = bundle.rootfs().join("tmp/log");
    assert!(!inner.exists(), "startContainer hooks run at start");
    let pid = pid_of(brig, "hooked");
    brig.runtime_ok(&["start", "hooked"]);
    brig.runtime_ok(&["delete", "--force", "hooked"]);

    let outer = lines(&log);
    let order: Vec<_> = outer.iter().map(|(words, _)| words.as_str()).collect();
    assert_eq!(
        order,
        [
            "prestart hook",
            "prestart second",
            "createRuntime hook",
            "createRuntime second",
            "createContainer hook",
            "createContainer second",
            "poststart hook",
            "poststart second",
            "poststop hook",
            "poststop second"
        ]
    );
    for (words, state) in outer.iter().chain(&lines(&inner)) {
        let kind = words.split(' ').next().unwrap();
        let (status, expected) = match kind {
            "prestart" | "createRuntime" => ("creating", json!(pid)),
            // As the container sees it.
            "createContainer" => ("creating", json!(1)),
            "startContainer" => ("created", json!(1)),
            "poststart" => ("running", json!(pid)),
            _ => ("stopped", Value::Null),
        };
        assert_eq!(state["status"], status, "{words}: {state}");
        if kind != "poststop" {
            assert_eq!(state["pid"], expected, "{words}: {state}");
        }
        assert_eq!(state["id"], "hooked");
        assert_eq!(state["bundle"], path(&bundle));
        assert_eq!(state["annotations"]["org.example.key"], "value");
        assert!(state["ociVersion"].is_string());
    }
    assert_eq!(lines(&inner).len(), 2);
});

story!(hooks_run_in_their_namespaces, [root, user], |brig| {
    let log = brig.directory().join("log");
    let mut bundle = bundle(brig, "readlink /proc/self/ns/uts; readlink /proc/self/ns/mnt", |_| {});
    let extra = "readlink /proc/self/ns/uts; readlink /proc/self/ns/mnt; hostname";
    bundle.config["hooks"] = json!({
        "createRuntime": [hook("createRuntime", &log, extra)],
        "createContainer": [hook("createContainer", &log, extra)],
        "startContainer": [hook("startContainer", Path::new("/tmp/log"), extra)],
    });
    bundle.write();
    let payload = brig.runtime_ok(&["run", "--bundle", path(&bundle), "hooked"]);
    let payload: Vec<_> = payload.split_whitespace().map(str::to_owned).collect();
    let namespaces =
        |words: &str| -> Vec<String> { words.split(' ').skip(1).take(2).map(str::to_owned).collect() };
    let outer = lines(&log);
    let inner = lines(&bundle.rootfs().join("tmp/log"));
    assert_ne!(namespaces(&outer[0].0)[0], payload[0]);
    assert_eq!(namespaces(&outer[1].0)[0], payload[0], "createContainer: {outer:?}");
    assert_eq!(namespaces(&inner[0].0), payload, "startContainer: {inner:?}");
});

fn failing(brig: &Brig, kind: &str, hook: &Value) -> (testkit::Outcome, Vec<(String, Value)>) {
    let log = brig.directory().join("log");
    drop(fs::remove_file(&log));
    let mut bundle = bundle(brig, "sleep 2; echo payload", |_| {});
    bundle.config["hooks"] = json!({ "poststop": [self::hook("poststop", &log, "true")] });
    bundle.config["hooks"][kind] = json!([hook.clone()]);
    bundle.write();
    let outcome = brig.runtime_run(&["run", "--bundle", path(&bundle), "hooked"]);
    (outcome, lines(&log))
}

story!(a_failing_hook_undoes_the_container, [root, user], |brig| {
    for kind in &KINDS[..5] {
        let (outcome, log) = failing(
            brig,
            kind,
            &json!({"path": "/bin/sh", "args": ["sh", "-c", "echo because >&2; exit 3"], "env": ["PATH=/bin"]}),
        );
        assert_eq!(outcome.code, 1, "{kind}: {outcome}");
        assert!(!outcome.stdout.contains("payload"), "{kind}: {outcome}");
        assert_eq!(brig.runtime_containers(), Vec::<String>::new(), "{kind}");
        assert_eq!(log.len(), 1, "{kind}: the poststop hooks run: {outcome}");
        assert_eq!(log[0].1["status"], "stopped");
    }
});

/// Whether a process has this among its arguments.
fn is_running(argument: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
    })
}

story!(a_hook_is_killed_after_its_time, [root, user], |brig| {
    for kind in &KINDS[..5] {
        // With all that it started: a number that nobody else sleeps for tells.
        let seconds = format!("{}.{}", 100 + std::process::id(), u8::from(brig.is_root()));
        let command = format!("sleep {seconds}; true");
        let (outcome, _) = failing(
            brig,
            kind,
            &json!({"path": "/bin/sh", "args": ["sh", "-c", command], "env": ["PATH=/bin"], "timeout": 1}),
        );
        assert!(!is_running(&seconds), "{kind}: the hook's child lives");
        assert_eq!(outcome.code, 1, "{kind}: {outcome}");
        assert_eq!(brig.runtime_containers(), Vec::<String>::new(), "{kind}");
    }
});

story!(a_failing_poststop_hook_is_a_warning, [root, user], |brig| {
    let mut bundle = bundle(brig, "true", |_| {});
    bundle.config["hooks"] = json!({"poststop": [{"path": "/bin/false"}]});
    bundle.write();
    let outcome = brig.runtime_run(&["run", "--bundle", path(&bundle), "hooked"]);
    assert!(outcome.stderr.contains("poststop"), "{outcome}");
    outcome.success();
    assert_eq!(brig.runtime_containers(), Vec::<String>::new());
});

story!(hooks_that_cannot_be, [root, user], |brig| {
    for kind in &KINDS[..5] {
        for hook in [
            json!({"path": "bin/true"}),
            json!({"path": "/no/such/hook"}),
            json!({"path": "/bin/true", "timeout": 0}),
            json!({"path": "/bin/true", "timeout": -1}),
        ] {
            let (outcome, _) = failing(brig, kind, &hook);
            assert_eq!(outcome.code, 1, "{kind} {hook}: {outcome}");
            assert_eq!(brig.runtime_containers(), Vec::<String>::new(), "{kind}");
        }
    }
});

story!(hooks_see_no_descriptor_of_ours, [root, user], |brig| {
    let log = brig.directory().join("log");
    let mut bundle = bundle(brig, "true", |_| {});
    let script = |place: &Path| {
        format!(
            "exec 9</dev/null; for f in /proc/self/fd/*; do echo ${{f##*/}}; done | tr '\\n' ' ' >>{}",
            place.display()
        )
    };
    let hook = |place: &Path| json!([{"path": "/bin/sh", "args": ["sh", "-c", script(place)], "env": ["PATH=/bin:/usr/bin"]}]);
    bundle.config["hooks"] = json!({
        "createRuntime": hook(&log),
        "createContainer": hook(&log),
        "startContainer": hook(Path::new("/tmp/log")),
        "poststart": hook(&log),
        "poststop": hook(&log),
    });
    bundle.write();
    let surroundings = "exec 5</dev/null 6</dev/null; exec \"$@\"";
    let arguments = ["run", "--bundle", path(&bundle), "--preserve-fds", "3", "hooked"];
    testkit::run(&mut crate::prepared(brig, surroundings, &arguments)).success();
    // 3 is the shell's own, of the directory that it lists.
    assert_eq!(fs::read_to_string(&log).unwrap().trim(), ["0 1 2 3 9"; 4].join(" "));
    assert_eq!(fs::read_to_string(bundle.rootfs().join("tmp/log")).unwrap().trim(), "0 1 2 3 9");
});
