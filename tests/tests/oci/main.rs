//! Conformance of `brig-runtime` with the OCI runtime specification 1.3, one file per part of it.
//!
//! `BRIG_TEST_RUNTIME=/usr/sbin/runc` tells the same stories of that runtime, which shows what is the
//! specification's and what is ours.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod exec;
mod filesystem;
mod hooks;
mod lifecycle;
mod mounts;
mod namespaces;
mod process;
mod seccomp;
mod terminal;

use std::process::Command;

use serde_json::{Value, json};
use testkit::{Bundle, Outcome};
use tests::Brig;

/// The bundle's path as an argument.
fn path(bundle: &Bundle) -> &str {
    bundle.path().to_str().unwrap()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A bundle that runs this shell script, after `change` saw its configuration.
fn bundle(brig: &Brig, script: &str, change: impl FnOnce(&mut Value)) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["sh", "-c", script]);
    change(&mut bundle.config);
    bundle.write();
    bundle
}

/// Runs a shell script in a container whose configuration `change` saw.
fn shell(brig: &Brig, script: &str, change: impl FnOnce(&mut Value)) -> Outcome {
    let bundle = bundle(brig, script, change);
    brig.runtime_run(&["run", "--bundle", path(&bundle), "brig-test-oci"])
}

/// Runs a shell script and returns what it printed.
fn says(brig: &Brig, script: &str, change: impl FnOnce(&mut Value)) -> String {
    shell(brig, script, change).success().trim().to_owned()
}

/// Adds an entry to a list of the configuration.
fn push(list: &mut Value, entry: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap().push(entry);
}

/// Adds a namespace of the container's own.
fn unshare(config: &mut Value, kind: &str) {
    push(&mut config["linux"]["namespaces"], json!({"type": kind}));
}

/// Takes a namespace away.
fn share(config: &mut Value, kind: &str) {
    config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != kind);
}

fn bind(source: &std::path::Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

/// The pid of a container's first process.
fn pid_of(brig: &Brig, id: &str) -> u64 {
    parse(&brig.runtime_ok(&["state", id]))["pid"].as_u64().unwrap()
}

/// `brig runtime` behind a shell that prepares its surroundings; the script ends in `exec "$@"`.
fn prepared(brig: &Brig, script: &str, arguments: &[&str]) -> Command {
    let runtime = brig.runtime(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(runtime.get_program()).args(runtime.get_args());
    if let Some(directory) = runtime.get_current_dir() {
        command.current_dir(directory).env_clear();
        for (name, value) in runtime.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
    }
    command
}

/// Waits for what another process does, at most half a minute.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("never: {what}");
}
