//! R19: supplementary groups of the caller that stay, or are missing: a mode that refuses a group is gone around.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;
use tests::attack;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::at;

pub(crate) const ROW: Row = Row {
    id: "R19",
    title: "supplementary groups that stay or are missing",
    faults: &["CVE-2022-36109", "CVE-2023-25173", "CVE-2022-2989", "CVE-2022-2990", "CVE-2022-2995"],
    kinds: &[Kind::Inside],
    defence: "runtime/src/child/identity.rs: setgroups with exactly the spec's list; container/src/value/user.rs",
};

/// What a process of user 1000 in group 1234 sees that is started by a caller in groups 4 and 24: its groups, and a
/// file that everybody but group 1234 may read, and one that only group 24 may.
fn seen(brig: &Brig, weaken: &str) -> String {
    let script = "id -G; cat /refused 2>/dev/null; cat /callers 2>/dev/null; exit 0";
    let mut bundle = brig.bundle("bundle", &["sh", "-c", script]);
    for (name, mode, group) in [("refused", 0o604, 1234), ("callers", 0o640, 24)] {
        let path = bundle.rootfs().join(name);
        fs::write(&path, "canary\n").unwrap();
        std::os::unix::fs::chown(&path, Some(0), Some(group)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000, "additionalGids": [1234]});
    bundle.write();
    let command = brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-groups"]);
    let mut caller = Command::new("setpriv");
    caller.args(["--groups", "4,24"]).arg(command.get_program()).args(command.get_args());
    testkit::run(caller.env("BRIG_WEAKEN", weaken)).success()
}

held!(they_are_those_of_the_bundle, [root] needs [program("setpriv")], |brig| {
    assert_eq!(seen(brig, ""), "1000 1234\n");
});

control!(those_of_the_caller, Target::Weakened("groups"), [root] needs [program("setpriv")], |brig| {
    // Both files are read: the caller's group is kept, the one that is refused is missing.
    let weak = brig.with_seams();
    seen(&weak, "").ends_with("1234\n") && seen(&weak, "groups").matches("canary").count() == 2
});

held!(they_are_those_of_the_image_and_of_the_flags, [root], |brig| {
    attack::image(brig, "groups", &[], |root| {
        fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\nextra:x:1234:user\nother:x:77:\n")
            .unwrap();
    });
    let see =
        |flags: &[&str]| brig.run(&[&["run", "--rm"], flags, &["groups", "id", "-G"]].concat()).success();
    assert_eq!(see(&["-u", "user"]), "1000 1234\n");
    assert_eq!(see(&["-u", "1000:1000"]), "1000\n");
    assert_eq!(see(&["-u", "user", "--group-add", "other"]), "1000 77 1234\n");
    // Who joins has those of the first process.
    let mut running = brig.bundle("running", &["sleep", "1000"]);
    running.config["process"]["user"] = json!({"uid": 1000, "gid": 1000, "additionalGids": [1234]});
    running.write();
    brig.start("brig-test-running", &running);
    assert_eq!(brig.runtime_ok(&["exec", "brig-test-running", "id", "-G"]), "1000 1234\n");
});

/// A caller without subordinate ids, who is in groups: the kernel lets no container of theirs change them.
fn of_a_caller_in_groups(brig: &Brig, words: &[&str]) -> testkit::Outcome {
    let command = brig.command(words);
    let user = brig.as_user().unwrap();
    // `User::command` has none; its last words are the program's own.
    let own: Vec<_> = command.get_args().skip_while(|word| *word != brig.program()).collect();
    let mut caller = Command::new("setpriv");
    caller.arg(format!("--reuid={}", user.uid())).arg(format!("--regid={}", user.gid()));
    caller.args(["--groups", "4,24", "--inh-caps=-all", "--"]).args(own);
    for (name, value) in command.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        caller.env(name, value);
    }
    testkit::run(caller.current_dir("/"))
}

held!(groups_that_have_to_stay_are_told, [bare] needs [root(), program("setpriv")], |brig| {
    brig.import_busybox();
    let outcome = of_a_caller_in_groups(brig, &["run", "--rm", "busybox", "true"]);
    assert!(outcome.code == 0 && outcome.stderr.contains("your groups 4, 24 stay in force"), "{outcome}");
    let refused = of_a_caller_in_groups(brig, &["run", "--rm", "--require-all", "busybox", "true"]);
    assert!(refused.code != 0 && refused.stderr.contains("your groups 4, 24"), "{refused}");
    // Who is in none is told of none.
    assert!(!brig.run(&["run", "--rm", "busybox", "true"]).stderr.contains("your groups"));
});
