//! R14: strings and lists so long that what frames them overflows, or that the machine is kept busy.

use std::process::Command;

use serde_json::{Value, json};
use testkit::{Bundle, Outcome};
use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::bundles::{at, command_by};

pub(crate) const ROW: Row = Row {
    id: "R14",
    title: "giant bundles",
    faults: &["CVE-2021-43784"],
    kinds: &[Kind::Corpus],
    defence: "runtime/src/plan/build.rs: every list and string has a limit, and no string is framed by hand",
};

/// Processor time that each process of a run may use: the oracle, with the memory.
const SECONDS: u64 = 2;
/// Memory in bytes, several times that of the largest bundle.
const BYTES: u64 = 1 << 30;

/// A string longer than any field of netlink.
const LONG: usize = 64 * 1024;
/// As many mounts as the kernel lets a namespace have, and more ids than the kernel takes.
const MANY: usize = 100_000;
/// Longer than any list of a bundle that means something.
const SOME: usize = 5_000;

fn bind(destination: &str, source: &str, option: &str) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": ["bind", option]})
}

fn mounts(count: usize) -> Value {
    Value::Array(vec![bind("/tmp", "/tmp", "ro"); count])
}

/// Fields of a bundle, each too large in one place.
fn giants() -> Vec<(&'static str, Value)> {
    let long = "x".repeat(LONG);
    let path = format!("/{}", "x/".repeat(LONG / 2));
    let many = |value: Value| Value::Array(vec![value; SOME]);
    vec![
        ("/mounts", json!([bind(&path, "/tmp", "ro")])),
        ("/mounts", json!([bind("/mnt", &path, "ro")])),
        ("/mounts", json!([bind("/mnt", "/tmp", &long)])),
        ("/mounts", mounts(SOME)),
        ("/mounts", json!([{"destination": "/mnt", "type": "tmpfs", "options": many(json!("size=1m"))}])),
        ("/mounts", json!([{"destination": "/mnt", "type": long, "source": "none"}])),
        ("/root/path", json!(path)),
        ("/hostname", json!(long)),
        ("/process/cwd", json!(path)),
        ("/process/args", json!([path])),
        ("/process/user/additionalGids", json!(vec![1; MANY])),
        ("/process/rlimits", json!([{"type": long, "soft": 1, "hard": 1}])),
        ("/process/apparmorProfile", json!(long)),
        ("/process/selinuxLabel", json!(long)),
        ("/linux/cgroupsPath", json!(path)),
        ("/linux/namespaces", json!([{"type": "mount"}, {"type": "pid", "path": path}])),
        ("/linux/namespaces", many(json!({"type": "mount"}))),
        ("/linux/maskedPaths", json!([path])),
        ("/linux/maskedPaths", many(json!("/proc/keys"))),
        ("/linux/readonlyPaths", many(json!("/proc/sys"))),
        ("/linux/sysctl", json!({format!("net.{long}"): "1"})),
        ("/linux/devices", many(json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3}))),
        ("/linux/uidMappings", many(json!({"containerID": 0, "hostID": 0, "size": 1}))),
        ("/hooks", json!({"prestart": many(json!({"path": "/bin/true"}))})),
        ("/hooks", json!({"createContainer": [{"path": path}]})),
    ]
}

/// Runs a bundle whose `field` is a giant, with so much of the machine and no more.
fn run_giant(bundle: &mut Bundle, (field, value): (&str, Value), memory: bool, command: &Command) -> Outcome {
    let plain = bundle.config.clone();
    let (parent, name) = field.rsplit_once('/').unwrap();
    bundle.config.pointer_mut(parent).unwrap()[name] = value;
    bundle.write();
    bundle.config = plain;
    let mut bounded = Command::new("prlimit");
    bounded.arg(format!("--cpu={SECONDS}"));
    if memory {
        bounded.arg(format!("--as={BYTES}"));
    }
    testkit::run(bounded.arg(command.get_program()).args(command.get_args()))
}

held!(no_giant_keeps_us_busy, [root, user] needs [program("prlimit")], |brig| {
    let (mut ran, mut bundle) = (0, brig.bundle("bundle", &["true"]));
    let command = brig.runtime(&["run", "--bundle", at(&bundle), "brig-test-giant"]);
    for (number, (field, value)) in giants().into_iter().enumerate() {
        let outcome = run_giant(&mut bundle, (field, value), true, &command);
        let told: Vec<_> = outcome.stderr.lines().filter(|line| !line.contains("warning")).collect();
        let short = format!("{number} {field}: {} {:.300}", outcome.code, outcome.stderr);
        // Not ended by a signal; refused in one line, which does not repeat the giant; and nothing of it is left.
        assert!((0..128).contains(&outcome.code) && told.len() == usize::from(outcome.code != 0), "{short}");
        assert!(told.iter().all(|line| line.len() < 9000 && !line.contains("panicked")), "{short}");
        assert_eq!(brig.runtime_containers(), Vec::<String>::new(), "{short}");
        // The kernel takes no options of a bind mount.
        ran += usize::from(outcome.code == 0);
    }
    assert!(ran < 4, "{ran} giants ran");
});

control!(runc_works_until_it_is_ended, Target::Debian("runc", "1.1.5"), [root] needs [program("prlimit")], |brig| {
    let mut bundle = brig.bundle("bundle", &["true"]);
    let command = command_by("runc", brig, &["run", "--bundle", at(&bundle), "brig-test-runc"]);
    let outcome = run_giant(&mut bundle, ("/mounts", mounts(MANY)), false, &command);
    outcome.code != 0 && outcome.stderr.contains("during container init")
});
