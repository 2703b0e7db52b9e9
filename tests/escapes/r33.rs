//! R33: the caller's session keyring, for the first process of a container and for one that joins.
//!
//! The keyring calls are refused by default (row K7); bundles say what filter they want, and most have none.

use std::process::Command;

use testkit::{Bundle, Outcome};
use tests::attack;
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{path, run_by};

pub(crate) const ROW: Row = Row {
    id: "R33",
    title: "keys of the caller's session",
    faults: &["CVE-2014-9529", "docker issue 10939"],
    kinds: &[Kind::Inside],
    defence: "runtime/src/plan/build.rs: a session keyring of its own before anything else",
};

/// `request_key`: a key is found only in a keyring that the process possesses.
fn search(name: &str) -> Vec<String> {
    ["probe", "sys", "249", "s:user", &format!("s:{name}"), "0", "0"].map(str::to_owned).to_vec()
}

fn bundle(brig: &Brig, words: &[String]) -> Bundle {
    let bundle = brig.bundle("bundle", &words.iter().map(String::as_str).collect::<Vec<_>>());
    attack::install_probe(&bundle.rootfs());
    bundle
}

/// Runs a command of ours from a session that has the key.
fn with_key(brig: &Brig, name: &str, command: &Command, weaken: &str) -> Outcome {
    let probe =
        brig.as_user().map_or_else(|| attack::probe().to_owned(), |user| user.install(attack::probe()));
    let own: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    // A user's command goes through helpers that change to the user first: only the last part is ours.
    let first = own.iter().position(|word| word.to_string_lossy().contains("/bin/brig"));
    let mut keyed = brig.other(&probe);
    keyed.args(["key", name]).env("BRIG_WEAKEN", weaken);
    match first {
        Some(first) => keyed.args(&own[first..]),
        None => keyed.arg(command.get_program()).args(&own),
    };
    testkit::run(&mut keyed)
}

/// Whether a container's process found the key: the first one, then one that joined.
fn found(brig: &Brig, weaken: &str) -> (bool, bool) {
    let name = format!("canary-{}", std::process::id());
    let words = search(&name);
    let found = |outcome: &Outcome| {
        assert!(!outcome.stdout.is_empty(), "{outcome}");
        !outcome.stdout.starts_with("-1 ")
    };
    let first = bundle(brig, &words);
    let outcome =
        with_key(brig, &name, &brig.runtime(&["run", "--bundle", path(&first), "brig-test-key"]), weaken);
    let by_first = found(&outcome);
    brig.start("brig-test-joined", &bundle(brig, &["sleep".to_owned(), "1000".to_owned()]));
    let mut arguments = vec!["exec", "brig-test-joined"];
    arguments.extend(words.iter().map(String::as_str));
    let by_joined = found(&with_key(brig, &name, &brig.runtime(&arguments), weaken));
    brig.runtime_ok(&["delete", "--force", "brig-test-joined"]);
    (by_first, by_joined)
}

held!(the_keyring_is_its_own, [root, user] needs [c_compiler()], |brig| {
    assert_eq!(found(brig, ""), (false, false));
});

/// Whether a program of `brig exec` found the key, in a container whose filter lets it ask.
fn found_by_exec(brig: &Brig, weaken: &str) -> bool {
    attack::image(brig, "keys", &[], attack::install_probe);
    let filter = "seccomp=unconfined";
    let run = ["run", "-d", "--security-opt", filter, "keys", "sleep", "1000"];
    let id = brig.ok(&run).trim().to_owned();
    let name = format!("canary-{}", std::process::id());
    let words = search(&name);
    let mut arguments = vec!["exec", &id];
    arguments.extend(words.iter().map(String::as_str));
    let outcome = with_key(brig, &name, &brig.command(&arguments), weaken);
    brig.ok(&["rm", "-f", &id]);
    assert!(!outcome.stdout.is_empty(), "{outcome}");
    !outcome.stdout.starts_with("-1 ")
}

held!(the_keyring_of_exec_is_its_own, [root, user] needs [c_compiler()], |brig| {
    assert!(!found_by_exec(brig, ""));
});

control!(found_by_exec_in_the_callers_keyring, Target::Weakened("keyring"), [root, user] needs [c_compiler()], |brig| {
    found_by_exec(&brig.with_seams(), "keyring")
});

control!(found_in_the_callers_keyring, Target::Weakened("keyring"), [root, user] needs [c_compiler()], |brig| {
    found(&brig.with_seams(), "keyring") == (true, true)
});

control!(found_under_runc_as_it_is_asked, Target::Opened("runc run --no-new-keyring"), [root]
    needs [c_compiler(), program("runc")], |brig| {
    let name = format!("canary-{}", std::process::id());
    let bundle = bundle(brig, &search(&name));
    // The shape is the attack's own: without the flag runc's container finds nothing either.
    assert!(run_by("runc", brig, &bundle).stdout.starts_with("-1 "));
    let mut command = Command::new(testkit::find_program("runc").unwrap());
    command.arg("--root").arg(brig.directory().join("runc"));
    command.args(["run", "--no-new-keyring", "--bundle", crate::bundles::path(&bundle), "brig-test-keyring"]);
    let outcome = with_key(brig, &name, &command, "");
    !outcome.stdout.is_empty() && !outcome.stdout.starts_with("-1 ")
});
