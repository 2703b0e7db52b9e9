//! Secrets: kept sealed, delivered in memory, written nowhere else.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::{Brig, story};

/// What is looked for: long enough to be nowhere by chance.
const VALUE: &str = "correct-horse-battery-staple-9f3b";

fn create(brig: &Brig, arguments: &[&str], value: &str) -> String {
    let mut command = brig.command(&[&["secret", "create"], arguments].concat());
    testkit::run_with_input(&mut command, value.as_bytes()).success()
}

/// Files below a directory that hold these bytes, also as hexadecimal or base64 would have them.
fn holding(directory: &Path, value: &str) -> Vec<String> {
    let hexadecimal: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let outcome = testkit::run(
        std::process::Command::new("grep")
            .args(["-rlaF", "-D", "skip", "-e", value, "-e", &hexadecimal])
            .arg(directory),
    );
    outcome.stdout.lines().map(str::to_owned).collect()
}

story!(a_secret_is_kept_listed_inspected_removed, [root, user, bare], |brig| {
    let id = create(brig, &["--label", "a=b", "password", "-"], VALUE).trim().to_owned();
    assert_eq!(id.len(), 25);
    let listed = brig.ok(&["secret", "ls", "--format", "{{.ID}} {{.Name}} {{.Driver}} {{.Labels}}"]);
    assert_eq!(listed, format!("{id} password file a=b\n"));
    let shown: Value = serde_json::from_str(&brig.ok(&["secret", "inspect", "password"])).unwrap();
    assert_eq!(shown[0]["Spec"]["Name"], "password");
    assert_eq!(shown[0]["ID"], id.as_str());
    assert_eq!(brig.run(&["secret", "exists", &id[..8]]).code, 0);
    assert_eq!(brig.run(&["secret", "exists", "other"]).code, 1);
    let mut again = brig.command(&["secret", "create", "password", "-"]);
    assert_eq!(testkit::run_with_input(&mut again, b"x").code, 1);
    assert_eq!(create(brig, &["--replace", "password", "-"], "other").trim(), id);
    assert_eq!(brig.ok(&["secret", "rm", "password"]).trim(), id);
    assert_eq!(brig.run(&["secret", "rm", "password"]).code, 1);
    let mut command = brig.command(&["secret", "create", "--env", "token", "NO_SUCH_VARIABLE"]);
    assert_eq!(testkit::run(&mut command).code, 1);
    let mut empty = brig.command(&["secret", "create", "empty", "-"]);
    assert_eq!(testkit::run_with_input(&mut empty, b"").code, 1);
});

story!(a_container_gets_it_in_memory, [root, user, bare], |brig| {
    brig.import_busybox();
    create(brig, &["password", "-"], VALUE);
    let printed = |flags: &[&str], script: &str| brig.shell(flags, script).success();
    let seen = printed(
        &["--secret", "password"],
        "cat /run/secrets/password; echo; stat -c '%a %u:%g' /run/secrets/password; \
         grep ' /run/secrets ' /proc/mounts | cut -d' ' -f1,3; echo x 2>/dev/null >/run/secrets/password || echo sealed",
    );
    assert_eq!(seen, format!("{VALUE}\n444 0:0\ntmpfs tmpfs\nsealed\n"));
    let seen = printed(
        &["--secret", "password,target=other,mode=0400"],
        "cat /run/secrets/other; stat -c ' %a' /run/secrets/other",
    );
    assert_eq!(seen, format!("{VALUE} 400\n"));
    assert_eq!(printed(&["--secret", "password,target=/etc/app/key"], "cat /etc/app/key"), VALUE);
    assert_eq!(printed(&["--secret", "password,type=env"], "printf %s \"$password\""), VALUE);
    let flags = ["-e", "PASSWORD=typed", "--secret", "password,type=env,target=PASSWORD"];
    assert_eq!(printed(&flags, "printf %s \"$PASSWORD\""), VALUE);
    // A read-only root is no hindrance, and what was there before is not seen.
    assert_eq!(printed(&["--read-only", "--secret", "password"], "cat /run/secrets/password"), VALUE);
    for arguments in [
        &["--secret", "nosuch"][..],
        &["--secret", "password,target=/proc/x"],
        &["--secret", "password,what=1"],
    ] {
        let outcome = brig.shell(arguments, "true");
        assert_eq!(outcome.code, 125, "{outcome}");
        assert!(!outcome.stderr.contains(VALUE), "{outcome}");
    }
});

story!(owners_of_a_secret, [root, user], |brig| {
    brig.import_busybox();
    create(brig, &["password", "-"], VALUE);
    let flags = ["--user", "1000", "--secret", "password,uid=1000,gid=1001,mode=0400"];
    let seen =
        brig.shell(&flags, "stat -c '%u:%g' /run/secrets/password; cat /run/secrets/password").success();
    assert_eq!(seen, format!("1000:1001\n{VALUE}"));
    let flags = ["--user", "1000", "--secret", "password,mode=0400"];
    assert_ne!(brig.shell(&flags, "cat /run/secrets/password").code, 0);
});

// While a container has it, as a file and as a variable, the bytes are nowhere in the store and the run directory; a
// later start has the value of the day.
story!(it_is_written_nowhere, [root, user], |brig| {
    brig.import_busybox();
    create(brig, &["password", "-"], VALUE);
    let flags = [
        "run",
        "-d",
        "--name",
        "holder",
        "--secret",
        "password",
        "--secret",
        "password,type=env,target=TOKEN",
    ];
    let script = "test -n \"$TOKEN\" && test -s /run/secrets/password && sleep 600";
    brig.ok(&[&flags[..], &["busybox", "sh", "-c", script]].concat());
    let store = brig.store();
    let found = [holding(&store, VALUE), holding(&brig.directory().join("run"), VALUE)].concat();
    let inspected =
        [brig.run(&["inspect", "holder"]).stdout, brig.run(&["secret", "inspect", "password"]).stdout];
    let wanted = "different-value-5a17c0de";
    create(brig, &["--replace", "password", "-"], wanted);
    brig.ok(&["rm", "-f", "holder"]);
    assert_eq!(found, [""; 0]);
    assert!(inspected.iter().all(|text| !text.contains(VALUE)), "{inspected:?}");
    let seen = brig.shell(&["--secret", "password"], "cat /run/secrets/password").success();
    assert_eq!(seen, wanted);
    // The search finds what is there.
    fs::write(brig.directory().join("control"), VALUE).unwrap();
    assert_eq!(holding(brig.directory(), VALUE).len(), 1);
});
