//! Settings of the kernel that a bundle asks for, and a caller whose namespaces stand for the host's.

use std::fs;
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
        let file = match kind {
            "network" => "net",
            "mount" => "mnt",
            other => other,
        };
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

/// Runs `command`, which runs `bundle`, with a mount namespace that is thrown away; answers whether its root and mounts
/// are other ones then.
pub(crate) fn moves_the_root(command: &Command, bundle: &Bundle, weaken: &str) -> bool {
    let script = "read before </proc/self/mountinfo; \"$@\" >&2 </dev/null; read after </proc/self/mountinfo; \
                  [ \"$before\" = \"$after\" ] && [ -e \"$0\" ] || echo moved";
    let mut caller = Command::new("unshare");
    caller.args(["--mount", "sh", "-c", script, "/etc/os-release"]);
    caller.arg(command.get_program()).args(command.get_args()).env("BRIG_WEAKEN", weaken);
    let moved = testkit::run(&mut caller).stdout.contains("moved");
    if moved {
        // Who lost its root could not find its cgroups again.
        let name = bundle.config["linux"]["cgroupsPath"].as_str().unwrap().trim_start_matches('/');
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            drop(fs::remove_dir(hierarchy.path().join(name)));
        }
    }
    moved
}
