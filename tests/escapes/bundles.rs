//! Bundles that attack, and who runs them: the product, the test build without a defence, Debian's old runtimes.

use std::process::Command;

use serde_json::{Value, json};
use testkit::{Bundle, Outcome, find_program};
use tests::Brig;

/// The bundle's directory, as an argument.
pub(crate) fn path(bundle: &Bundle) -> &str {
    bundle.path().to_str().unwrap()
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
    let id = format!("brig-test-{program}");
    let mut command = Command::new(find_program(program).unwrap());
    command.arg("--root").arg(brig.directory().join(program)).args(["run", "--bundle", path(bundle), &id]);
    testkit::run(&mut command)
}
