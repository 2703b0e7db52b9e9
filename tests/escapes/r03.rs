//! R3: a working directory, or a descriptor, that the runtime or its caller left open leads to the host.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use testkit::{Bundle, Outcome};
use tests::attack::Canary;
use tests::escape::{Kind, Row, Target};
use tests::shape::{self, Trace};
use tests::{Brig, control, held};

use crate::bundles::{at, command_by, run};

pub(crate) const ROW: Row = Row {
    id: "R3",
    title: "a descriptor of the host is left open",
    faults: &["CVE-2024-21626"],
    kinds: &[Kind::Static, Kind::Shape],
    defence: "runtime/src/child/mod.rs: getcwd after chdir; close_range of all above 2 before the payload",
};

const SCRIPT: &str = "cat secret 2>/dev/null; cat ../../../../../../../../../../etc/hostname; exit 0";

/// Runs a command of ours with a directory of the host left open as descriptor 9.
fn with_open_directory(brig: &Brig, directory: &Path, command: &Command, weaken: &str) -> Outcome {
    let mut shell = brig.other("sh");
    shell.arg("-c").arg(format!("exec 9<{}; exec \"$@\"", directory.display())).arg("sh");
    let own: Vec<_> = command.get_args().map(OsStr::to_owned).collect();
    // A user's command goes through helpers that change to the user first: only the last part is ours.
    match own.iter().position(|word| word.to_string_lossy().contains("/bin/brig")) {
        Some(first) => shell.args(&own[first..]),
        None => shell.arg(command.get_program()).args(&own),
    };
    testkit::run(shell.env("BRIG_WEAKEN", weaken))
}

fn escaped(outcome: &Outcome) -> bool {
    let hostname = fs::read_to_string("/etc/hostname").unwrap_or_default();
    outcome.stdout.contains("canary")
        || (!hostname.trim().is_empty() && outcome.stdout.contains(hostname.trim()))
}

fn bundle_in(brig: &Brig, directory: &str) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["sh", "-c", SCRIPT]);
    bundle.config["process"]["cwd"] = json!(directory);
    bundle.write();
    bundle
}

held!(no_descriptor_is_a_working_directory, [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let running = brig.bundle("running", &["sleep", "1000"]);
    brig.start("brig-test-running", &running);
    let mut fixture = bundle_in(brig, "/");
    for descriptor in 3..32 {
        let cwd = format!("/proc/self/fd/{descriptor}");
        fixture.config["process"]["cwd"] = json!(cwd);
        fixture.write();
        let command = brig.runtime(&["run", "--bundle", at(&fixture), "brig-test-cwd"]);
        let exec = brig.runtime(&["exec", "--cwd", &cwd, "brig-test-running", "sh", "-c", SCRIPT]);
        for command in [command, exec] {
            let outcome = with_open_directory(brig, canary.path(), &command, "");
            assert!(!escaped(&outcome), "{cwd}: {outcome}");
            assert!(descriptor != 9 || outcome.code != 0, "{cwd}: {outcome}");
        }
    }
});

control!(without_looking_where_it_led, Target::Weakened("directory"), [root, user], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let weak = brig.with_seams();
    weak.start("brig-test-weak", &weak.bundle("running", &["sleep", "1000"]));
    let exec = weak.runtime(&["exec", "--cwd", "/proc/self/fd/9", "brig-test-weak", "sh", "-c", SCRIPT]);
    escaped(&with_open_directory(&weak, canary.path(), &exec, "directory"))
});

control!(crun_starts_in_the_hosts_directory, Target::Debian("crun", "1.8.1"), [root], |brig| {
    let canary = Canary::new(brig.directory(), "canary");
    let bundle = bundle_in(brig, "/proc/self/fd/9");
    let command = command_by("crun", brig, &["run", "--bundle", at(&bundle), "brig-test-crun"]);
    escaped(&with_open_directory(brig, canary.path(), &command, ""))
});

/// What the payload has open, and what it reads through what was left open.
fn inherited(brig: &Brig, weaken: &str) -> Outcome {
    let canary = Canary::new(brig.directory(), &format!("canary-{weaken}"));
    let bundle = brig.bundle("bundle", &["sh", "-c", "ls /proc/self/fd; cat /proc/self/fd/9/secret"]);
    let command = brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-open"]);
    with_open_directory(brig, canary.path(), &command, weaken)
}

held!(no_descriptor_is_inherited, [root, user], |brig| {
    let outcome = inherited(brig, "");
    assert_eq!(outcome.stdout, "0\n1\n2\n3\n", "{outcome}");
});

control!(without_closing, Target::Weakened("descriptors"), [root, user], |brig| {
    inherited(&brig.with_seams(), "descriptors").stdout.contains("canary")
});

/// Traces `run`, and `exec` beside a container that waits.
fn shapes(brig: &Brig, weaken: &str) -> [Trace; 2] {
    let traced = |mut command: Command| {
        let (outcome, trace) =
            shape::trace(command.env("BRIG_WEAKEN", weaken), brig.program(), brig.directory());
        outcome.success();
        trace
    };
    let bundle = brig.bundle("bundle", &["true"]);
    let run = traced(brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-shape"]));
    let running = brig.bundle("running", &["sleep", "1000"]);
    brig.start("brig-test-running", &running);
    [run, traced(brig.runtime(&["exec", "brig-test-running", "true"]))]
}

held!(every_descriptor_is_close_on_exec, [root, user] needs [program("strace")], |brig| {
    for trace in shapes(brig, "") {
        let made = trace.calls().iter().filter(|call| call.line().contains("CLOEXEC")).count();
        assert!(made > 20, "the trace shows nothing");
        assert_eq!(trace.open_descriptors(), Vec::<String>::new());
        // Nothing of ours but the stub, and then the payload.
        let executed: Vec<_> = trace.executions().iter().map(|program| program.replace("(deleted)", "")).collect();
        assert_eq!(executed, ["/memfd:brig-exec", "/bin/true"]);
    }
});

control!(the_shape_without_closing, Target::Weakened("descriptors"), [root] needs [program("strace")], |brig| {
    let weak = brig.with_seams();
    shapes(&weak, "descriptors").iter().all(|trace| !trace.open_descriptors().is_empty())
});

control!(the_shape_of_runc, Target::Debian("runc", "1.1.5"), [root] needs [program("strace")], |brig| {
    let bundle = brig.bundle("bundle", &["true"]);
    let command = command_by("runc", brig, &["run", "--bundle", at(&bundle), "brig-test-runc"]);
    let program = testkit::find_program("runc").unwrap();
    let (outcome, trace) = shape::trace(&command, &program, brig.directory());
    outcome.success();
    !trace.open_descriptors().is_empty()
});

// The bundles above run at all: a refusal of everything would hold, too.
held!(an_honest_working_directory_is_entered, [root, user], |brig| {
    let mut bundle = brig.bundle("bundle", &["pwd"]);
    bundle.config["process"]["cwd"] = json!("/tmp");
    bundle.write();
    assert_eq!(run(brig, &bundle, "").success(), "/tmp\n");
});
