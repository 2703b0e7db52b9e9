//! D5: the name of a plugin, a hook or a profile climbs to a program that is executed.

use serde_json::json;
use testkit::{Bundle, Outcome};
use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::bundles::{at, command_by};
use crate::trojans::Trojans;

pub(crate) const ROW: Row = Row {
    id: "D5",
    title: "names that climb to a program",
    faults: &["CVE-2021-20206"],
    kinds: &[Kind::Static],
    defence: "runtime/src/hooks.rs: a hook is an absolute path; sys/src/program.rs: a name has no `/`",
};

/// A bundle with programs beside it and in it, which paths lead to that are relative to wherever the runtime is.
fn bundle(brig: &Brig, trojans: &Trojans) -> Bundle {
    let bundle = brig.bundle("bundle", &["true"]);
    trojans.add(&bundle.path().join("trojan"));
    trojans.add(&brig.directory().join("trojan"));
    bundle
}

fn hook(bundle: &mut Bundle, kind: &str, path: &str) {
    bundle.config["hooks"] = json!({kind: [{"path": path}]});
    bundle.write();
}

const HOOKS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Runs it from its own directory, as engines do.
fn run_there(brig: &Brig, bundle: &Bundle) -> Outcome {
    let mut command = brig.other("/usr/bin/env");
    command.arg("-C").arg(bundle.path()).arg(brig.program()).arg("runtime").arg("--root").arg(brig.state());
    testkit::run(command.args(["run", "--bundle", at(bundle), "brig-test-climb"]))
}

held!(a_hook_is_an_absolute_path, [root, user], |brig| {
    let trojans = Trojans::new(brig.directory());
    let mut bundle = bundle(brig, &trojans);
    for path in ["../trojan", "trojan", ""] {
        for kind in HOOKS {
            hook(&mut bundle, kind, path);
            let outcome = run_there(brig, &bundle);
            // The last two are warnings by runtime-spec.
            if !kind.starts_with("post") {
                assert_ne!(outcome.code, 0, "{kind} `{path}`: {outcome}");
            }
            assert_eq!(trojans.executed(), "", "{kind} `{path}`");
        }
    }
});

held!(no_name_is_a_program, [root, user], |brig| {
    brig.import_busybox();
    let trojans = Trojans::new(brig.directory());
    trojans.add(&brig.directory().join("trojan"));
    let absolute = brig.directory().join("trojan");
    let climb = format!("{}{}", "../".repeat(20), absolute.display());
    for name in ["../trojan", "ps", &climb] {
        for flag in [
            "--network",
            "--userns",
            "--pid",
            "--ipc",
            "--uts",
            "--cgroupns",
            "--name",
            "--hostname",
            "--runtime",
            "--security-opt=seccomp",
            "--security-opt=apparmor",
            "--security-opt=label",
            "--log-driver",
            "--hooks-dir",
            "--annotation=run.oci.handler",
            "--annotation=io.containerd.runtime",
            "--label=io.containerd.runc.v2.binary",
            "--env=PATH",
            "--device",
            "--cap-add",
        ] {
            let flag = format!("{flag}={name}");
            let mut command = trojans.beside(brig, ".:/usr/bin", brig.program(), &[]);
            command.arg("--root").arg(brig.store()).arg("--runroot").arg(brig.directory().join("run"));
            drop(testkit::run(command.args(["run", "--rm", &flag, "busybox", "true"])));
            assert_eq!(trojans.executed(), "", "{flag}");
        }
    }
});

control!(runc_executes_it, Target::Debian("runc", "1.1.5"), [root], |brig| {
    let trojans = Trojans::new(brig.directory());
    let mut bundle = bundle(brig, &trojans);
    hook(&mut bundle, "prestart", "../trojan");
    let mut command = command_by("runc", brig, &["run", "--bundle", at(&bundle), "brig-test-climb-runc"]);
    drop(testkit::run(command.current_dir(bundle.path())));
    trojans.executed().contains("trojan")
});
