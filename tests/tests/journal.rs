//! Who did it: each command that changes something leaves one record, events come from the same, tampering is found, and a
//! container's processes keep the login id of whoever started them.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tests::{Brig, eventually, story};

/// All records as values.
fn records(brig: &Brig) -> Vec<Value> {
    brig.ok(&["journal", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn commands(brig: &Brig) -> Vec<String> {
    let records = records(brig);
    let typed = records.iter().filter(|record| record["kind"] == "command");
    typed.map(|record| record["command"].as_str().unwrap().to_owned()).collect()
}

fn events(brig: &Brig, filter: &[&str]) -> Vec<Value> {
    let words = [&["events", "--since", "1h", "--until", "0s", "--format", "json"], filter].concat();
    brig.ok(&words).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn actions(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["Action"].as_str().unwrap()).collect()
}

story!(each_command_that_changes_something_leaves_one_record, [root, user, bare], |brig| {
    brig.import_busybox();
    brig.ok(&["run", "--rm", "-e", "WORD=open-sesame", "busybox", "true"]);
    assert_eq!(brig.run(&["run", "--rm", "busybox", "sh", "-c", "exit 3"]).code, 3);
    brig.ok(&["create", "--name", "kept", "busybox", "true"]);
    assert_eq!(brig.run(&["rm", "nosuch"]).code, 1);
    brig.ok(&["rm", "kept"]);
    brig.ok(&["tag", "busybox", "other"]);
    // These change nothing.
    brig.ok(&["images"]);
    brig.ok(&["info"]);
    brig.ok(&["run", "--dry-run", "busybox", "true"]);
    brig.ok(&["rm", "--help"]);
    assert_eq!(commands(brig), ["import", "run", "run", "create", "rm", "rm", "tag"]);

    let records = records(brig);
    let typed: Vec<&Value> = records.iter().filter(|record| record["kind"] == "command").collect();
    let uid = brig.as_user().map_or(0, |user| user.uid());
    assert!(typed.iter().all(|record| record["caller"]["uid"] == uid), "{typed:?}");
    assert!(typed[4]["error"].as_str().is_none_or(|text| text.contains("nosuch")) && typed[4]["code"] == 1);
    assert_eq!(typed[5]["objects"][0]["name"], "kept");
    assert!(typed[5]["objects"][0]["digest"].as_str().unwrap().starts_with("sha256:"));
    let text = fs::read_to_string(brig.store().join("journal/0-000001.jsonl")).unwrap();
    assert!(!text.contains("open-sesame") && text.contains("WORD=***"));
    assert_eq!(brig.ok(&["journal", "verify"]).lines().count(), 1);
});

story!(a_weakening_is_in_the_record, [root, user], |brig| {
    brig.import_busybox();
    brig.ok(&["run", "--rm", "--security-opt", "no-new-privileges=false", "busybox", "true"]);
    let records = records(brig);
    let run = records.iter().find(|record| record["command"] == "run").unwrap();
    assert!(run["objects"][0]["weakenings"][0].as_str().unwrap().contains("no-new-privileges"), "{run}");
});

story!(what_was_done_to_the_journal_is_found, [root, user, bare], |brig| {
    brig.import_busybox();
    for _ in 0..4 {
        brig.ok(&["run", "--rm", "busybox", "true"]);
    }
    let path = brig.store().join("journal/0-000001.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let altered = whole.replacen("\"run\"", "\"rmi\"", 1);
    let removed = [&lines[..3], &lines[4..]].concat().join("\n") + "\n";
    let reordered = [&lines[..3], &[lines[4], lines[3]], &lines[5..]].concat().join("\n") + "\n";
    let cut = lines[..lines.len() - 2].join("\n") + "\n";
    for (text, told) in [
        (altered, "was altered"),
        (removed, "is missing"),
        (reordered, "not in its place"),
        (cut, "are gone"),
    ] {
        fs::write(&path, text).unwrap();
        let outcome = brig.run(&["journal", "verify"]);
        assert_eq!(outcome.code, 1, "{told}");
        assert!(outcome.stderr.contains(told), "{told}: {}", outcome.stderr);
    }
    fs::write(&path, whole).unwrap();
    brig.ok(&["journal", "verify"]);
});

story!(events_come_from_the_same_records, [root, user, bare], |brig| {
    brig.import_busybox();
    brig.ok(&["run", "--rm", "--name", "one", "--label", "tier=a", "busybox", "true"]);
    let id = brig.detached(&["--name", "two"], "exit 4");
    brig.ok(&["wait", "two"]);
    brig.ok(&["rm", "two"]);
    assert_eq!(actions(&events(brig, &["--filter", "container=one"])), ["create", "start", "die", "destroy"]);
    let two = events(brig, &["--filter", "container=two"]);
    let mut names = actions(&two);
    names.sort_unstable();
    assert_eq!(names, ["create", "destroy", "die", "start"]);
    let die = two.iter().find(|event| event["Action"] == "die").unwrap();
    assert_eq!((&die["id"], &die["Actor"]["Attributes"]["exitCode"]), (&id.into(), &"4".into()));
    assert_eq!(die["from"], "busybox");
    assert_eq!(actions(&events(brig, &["--filter", "type=image"])), ["import"]);
    assert_eq!(events(brig, &["--filter", "label=tier=a", "--filter", "event=die"]).len(), 1);
    let text = brig.ok(&["events", "--since", "1h", "--until", "0s", "--format", "{{.Type}} {{.Action}}"]);
    assert!(text.starts_with("image import\n"), "{text}");
});

story!(events_are_told_while_they_happen, [root, user, bare], |brig| {
    brig.import_busybox();
    let mut child = brig
        .command(&["events", "--since", "1h", "--format", "{{.Action}}"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "import");
    brig.ok(&["run", "--rm", "busybox", "true"]);
    let told: Vec<String> = lines.by_ref().take(4).map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(told, ["create", "start", "die", "destroy"]);
});

story!(a_copy_goes_to_syslog, [root, user, bare], |brig| {
    brig.import_busybox();
    let path = brig.directory().join("log");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    brig.ok(&["journal", "forward", &format!("syslog:{}", path.display())]);
    brig.ok(&["tag", "busybox", "other"]);
    let mut bytes = [0; 65536];
    let count = socket.recv(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes[..count]);
    assert!(text.starts_with("<86>brig[") && text.contains("\"command\":\"tag\""), "{text}");
    // A daemon that is gone is told, and stops nobody.
    drop(socket);
    let outcome = brig.run(&["tag", "busybox", "third"]);
    assert!(outcome.code == 0 && outcome.stderr.contains("copy to"), "{}", outcome.stderr);
    brig.ok(&["journal", "forward", "none"]);
    assert_eq!(brig.run(&["tag", "busybox", "fourth"]).stderr, "");
    // Who turned it on and off is in there; who reads is not.
    let read = brig.ok(&["journal"]);
    assert!(read.contains("journal forward syslog:") && read.contains("journal forward none"), "{read}");
    assert_eq!(brig.ok(&["journal"]), read);
});

/// `brig` as a process whose login id was set, as a login does.
fn logged_in(brig: &Brig, auid: u32, arguments: &[&str]) -> String {
    let command = brig.command(arguments);
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo \"$0\" > /proc/self/loginuid && exec \"$@\"", &auid.to_string()]);
    shell.arg(command.get_program()).args(command.get_args());
    testkit::run(&mut shell).success()
}

fn login_of(pid: &str) -> String {
    fs::read_to_string(Path::new("/proc").join(pid).join("loginuid")).unwrap()
}

/// The processes of which this is the last word.
fn processes(word: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let names = all.filter_map(|entry| entry.file_name().into_string().ok());
    let is_it = |pid: &String| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|part| part == word.as_bytes()) && words.starts_with(b"sleep\0")
    };
    names.filter(is_it).collect()
}

// Root, because only who may set a login id can show that it is kept; the kernel keeps it for everybody alike.
story!(a_container_keeps_the_login_of_who_started_it, [root], |brig| {
    // Where the kernel lets a login id be set once only, or not at all, this cannot be shown.
    testkit::needs!(path("/proc/self/loginuid"));
    brig.import_busybox();
    logged_in(
        brig,
        4242,
        &["run", "-d", "--name", "web", "--restart", "always", "busybox", "sleep", "98761"],
    );
    let first = processes("98761");
    assert_eq!(first.len(), 1);
    assert_eq!(login_of(&first[0]), "4242");
    logged_in(brig, 4243, &["exec", "-d", "web", "sleep", "98762"]);
    eventually("the second process runs", || !processes("98762").is_empty());
    assert_eq!(login_of(&processes("98762")[0]), "4243", "of who typed `exec`");
    // The monitor starts it again: it is still who typed `run`.
    let pid = rustix::process::Pid::from_raw(first[0].parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    eventually("the container runs again", || {
        processes("98761").first().is_some_and(|again| *again != first[0])
    });
    assert_eq!(login_of(&processes("98761")[0]), "4242");
    brig.ok(&["rm", "-f", "web"]);
    let auids: Vec<Value> = records(brig)
        .iter()
        .filter(|record| ["run", "exec"].contains(&record["command"].as_str().unwrap()))
        .map(|record| record["caller"]["auid"].clone())
        .collect();
    assert_eq!(auids, [4242, 4243]);
});
