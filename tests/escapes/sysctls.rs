//! Settings of the kernel that a bundle asks for, and a caller whose namespaces stand for the host's.

use std::process::Command;

use serde_json::{Value, json};
use testkit::Bundle;
use tests::Brig;

/// One setting of each kind of namespace: the kind, the sysctl, a value that nobody has.
pub(crate) const SETTINGS: [(&str, &str, &str); 3] = [
    ("ipc", "kernel.msgmax", "4321"),
    ("uts", "kernel.domainname", "attacked"),
    ("network", "net.ipv4.ip_forward", "1"),
];

/// How a bundle shares a namespace with its caller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shared {
    /// It has none of its own.
    Unlisted,
    /// It joins one by a path, which is the caller's.
    ByPath,
}

/// A bundle that sets `name`, with the caller's namespace of this kind.
pub(crate) fn bundle(brig: &Brig, kind: &str, shared: Shared, name: &str, value: &str) -> Bundle {
    let mut bundle = brig.bundle("bundle", &["true"]);
    let namespaces = bundle.config["linux"]["namespaces"].as_array().unwrap();
    let mut kept: Vec<Value> = namespaces.iter().filter(|other| other["type"] != kind).cloned().collect();
    if matches!(shared, Shared::ByPath) {
        let file = if kind == "network" { "net" } else { kind };
        kept.push(json!({"type": kind, "path": format!("/proc/self/ns/{file}")}));
    }
    bundle.config["linux"]["namespaces"] = kept.into();
    if kind == "uts" {
        bundle.config.as_object_mut().unwrap().remove("hostname");
    }
    if !name.is_empty() {
        bundle.config["linux"]["sysctl"] = json!({name: value});
    }
    bundle.write();
    bundle
}

/// Runs `command` with ipc, network and uts namespaces that are thrown away; answers which of their settings it
/// changed.
pub(crate) fn changed_by(command: &Command, weaken: &str) -> Vec<String> {
    let script = "cd /proc/sys/kernel; see() { for f in msgmax shmmax msgmnb domainname hostname ../net/ipv4/ip_forward; \
                  do echo \"$f=$(cat $f)\"; done; }; see; echo ----; \"$@\" >&2 </dev/null; see";
    let mut caller = Command::new("unshare");
    caller.args(["--ipc", "--net", "--uts", "sh", "-c", script, "sh"]);
    caller.arg(command.get_program()).args(command.get_args()).env("BRIG_WEAKEN", weaken);
    let seen = testkit::run(&mut caller).success();
    let (before, after) = seen.split_once("----\n").unwrap();
    after.lines().filter(|line| !before.lines().any(|old| old == *line)).map(str::to_owned).collect()
}
