//! Bundles that attack, and who runs them: the product, the test build without a defence, Debian's old runtimes.

use std::process::Command;

use serde_json::{Value, json};
use testkit::{Bundle, Outcome, find_program};
use tests::Brig;

/// The bundle's directory, as an argument.
pub(crate) fn path(bundle: &Bundle) -> &str {
    bundle.path().to_str().unwrap()
}

/// The same by a name that does not meet that of a need in the body of a part.
pub(crate) fn at(bundle: &Bundle) -> &str {
    path(bundle)
}

/// A mount of a kernel file system.
pub(crate) fn mount(destination: &str, kind: &str) -> Value {
    json!({"destination": destination, "type": kind, "source": kind, "options": ["nosuid", "noexec"]})
}

/// A bind mount.
pub(crate) fn bind(destination: &str, source: &std::path::Path) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind"]})
}

/// Runs the bundle by `brig`; with a build that has seams, without the defence that `weaken` names.
pub(crate) fn run(brig: &Brig, bundle: &Bundle, weaken: &str) -> Outcome {
    let mut command = brig.runtime(&["run", "--bundle", path(bundle), "brig-test-attack"]);
    testkit::run(command.env("BRIG_WEAKEN", weaken))
}

/// Runs the bundle by Debian's `runc` or `crun`, with a state directory of the part's own.
pub(crate) fn run_by(program: &str, brig: &Brig, bundle: &Bundle) -> Outcome {
    testkit::run(&mut command_by(program, brig, &["run", "--bundle", path(bundle), &id_by(program)]))
}

/// What [`run_by`] calls its container.
pub(crate) fn id_by(program: &str) -> String {
    format!("brig-test-{program}")
}

/// `runc` or `crun` with these arguments and a state directory of the part's own.
///
/// This crun ends where there is a cgroup v2 beside v1, so it does not get to see that.
pub(crate) fn command_by(program: &str, brig: &Brig, arguments: &[&str]) -> Command {
    let path = find_program(program).unwrap();
    let mut command = match (program, testkit::cgroup_v1_mount("devices"), testkit::cgroup_v2_mount()) {
        ("crun", Some(_), Some(unified)) => {
            let mut command = Command::new(find_program("unshare").unwrap());
            let script = "umount \"$0\" && exec \"$@\"";
            command.args(["--mount", "sh", "-c", script]).arg(unified).arg(path);
            command
        }
        _ => Command::new(path),
    };
    command.arg("--root").arg(brig.directory().join(program)).args(arguments);
    command
}
