//! The first thing that anybody types: `brig run --rm hello`.

use serde_json::Value;
use tests::story;

story!(hello_tells_what_is_open, [root, user, bare], |brig| {
    let seen = brig.ok(&["run", "--rm", "hello"]);
    for word in ["closed", "open", "seccomp", "no_new_privs"] {
        assert!(seen.contains(word), "no `{word}` in {seen}");
    }
});

story!(hello_speaks_json, [root, user, bare], |brig| {
    let seen = brig.ok(&["run", "--rm", "hello", "--json"]);
    let report: Value = serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"));
    assert!(report.is_object(), "{report}");
});

// systemd makes every mount of the machine shared: a bind of one of its device nodes would take a mount over it out.
story!(no_mount_is_shared_with_the_machine, [root], |brig| {
    brig.import_busybox();
    let inner = brig.command(&["run", "--rm", "busybox", "cat", "/proc/self/mountinfo"]);
    let mut command = brig.other("unshare");
    command.args(["--mount", "--propagation", "shared"]).arg(inner.get_program()).args(inner.get_args());
    let mounts = testkit::run(&mut command).success();
    let shared: Vec<&str> =
        mounts.lines().filter(|line| line.contains(" shared:") || line.contains(" master:")).collect();
    assert!(shared.is_empty(), "{shared:#?}");
});
