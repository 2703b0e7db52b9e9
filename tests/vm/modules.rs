//! What the tests of security modules share: bundles under `brig-runtime`, and the unprivileged person.

use std::process::Command;

use testkit::{Bundle, Outcome};

use crate::Machine;

/// A bundle of the test's own whose first process is `script`.
pub(crate) fn bundle(machine: &Machine, name: &str, script: &str) -> Bundle {
    Bundle::new(&machine.directory().join(name), &["sh", "-c", script])
}

/// `brig-runtime` with a state directory of the test's own.
pub(crate) fn runtime(machine: &Machine, arguments: &[&str]) -> Command {
    runtime_of(testkit::brig(), machine, arguments)
}

/// Runs a bundle to its end.
pub(crate) fn run_bundle(machine: &Machine, bundle: &Bundle, id: &str) -> Outcome {
    bundle.write();
    testkit::run(&mut runtime(machine, &["run", "--bundle", &bundle.path().to_string_lossy(), id]))
}

/// The same with a defence left out: see `crates/runtime/src/weaken.rs`.
pub(crate) fn run_weakened(machine: &Machine, bundle: &Bundle, id: &str, defence: &str) -> Outcome {
    bundle.write();
    let program = std::env::var_os("BRIG_TEST_BIN").expect("`cargo xtask vm` brings `brig-test`");
    let arguments = ["run", "--bundle", &bundle.path().to_string_lossy(), id];
    testkit::run(runtime_of(program.as_ref(), machine, &arguments).env("BRIG_WEAKEN", defence))
}

fn runtime_of(program: &std::path::Path, machine: &Machine, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg("runtime").arg("--root").arg(machine.directory().join("state")).args(arguments);
    command
}

/// Starts a bundle that stays, runs `inside` while it does, and removes it.
pub(crate) fn while_running(machine: &Machine, bundle: &Bundle, id: &str, inside: impl FnOnce()) {
    bundle.write();
    let path = bundle.path().to_string_lossy().into_owned();
    testkit::run_detached(&mut runtime(machine, &["create", "--bundle", &path, id])).success();
    testkit::run(&mut runtime(machine, &["start", id])).success();
    inside();
    testkit::run(&mut runtime(machine, &["delete", "--force", id])).success();
}

/// Runs a shell script as the machine's unprivileged user, `brig` being `$brig`.
pub(crate) fn as_user(script: &str) -> Outcome {
    let line =
        format!("export XDG_RUNTIME_DIR=/run/user/1000 brig={}; cd && {script}", testkit::brig().display());
    testkit::run(Command::new("su").args(["-l", "user", "-c", &line]))
}

/// Runs a shell command as root.
pub(crate) fn as_root(script: &str) -> Outcome {
    testkit::run(Command::new("sh").args(["-c", script]))
}

/// Gives the unprivileged user the busybox image as `busybox`.
pub(crate) fn import_for_user(machine: &Machine) {
    let archive = testkit::busybox_tar(machine.directory());
    let import = format!(
        "cat {} | su -l user -c 'export XDG_RUNTIME_DIR=/run/user/1000; cat > busybox.tar'",
        archive.display()
    );
    as_root(&import).success();
    as_user("$brig import busybox.tar busybox").success();
}
