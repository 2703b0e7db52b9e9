//! `spec`: a `config.json` to begin with.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;

use clap::Parser;
use files::atomic::{self, Durability};
use oci::runtime::{IdMapping, Namespace, NamespaceKind, Spec};
use serde_json::json;

use super::options::Options;
use super::{Failed, parse};

/// Write a config.json to begin with
#[derive(Debug, Parser)]
struct Flags {
    /// Directory of the bundle
    #[arg(long, short, default_value = ".")]
    bundle: PathBuf,
    /// For a caller who is not root
    #[arg(long)]
    rootless: bool,
}

/// The capabilities of the `standard` profile.
const CAPABILITIES: [&str; 8] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
];

pub(super) fn run(_options: &Options, args: Vec<OsString>) -> Result<u8, Failed> {
    let flags: Flags = parse("spec", args)?;
    let mut spec = standard()?;
    if flags.rootless {
        make_rootless(&mut spec);
    }
    let mut text = serde_json::to_vec_pretty(&spec)?;
    text.push(b'\n');
    let directory = files::open_directory(&flags.bundle)?;
    atomic::write_new(directory.as_fd(), "config.json", &text, 0o644, Durability::Volatile)
        .map_err(|error| format!("{error}: remove the file first to have a new one"))?;
    Ok(0)
}

/// A shell in a terminal, with the protections of the `standard` profile.
fn standard() -> Result<Spec, Failed> {
    let capabilities =
        json!({ "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES });
    let namespaces: Vec<_> = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
        .iter()
        .map(|kind| json!({ "type": kind }))
        .collect();
    let value = json!({
        "ociVersion": oci::runtime::SPEC_VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": capabilities,
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "brig",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
              "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] },
        ],
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": namespaces,
            "maskedPaths": container::MASKED,
            "readonlyPaths": container::READ_ONLY,
        },
    });
    let mut spec: Spec = serde_json::from_value(value)?;
    if let Some(linux) = &mut spec.linux {
        linux.seccomp = Some(seccomp::standard::profile(seccomp::standard::DEFAULT_CAPABILITIES, &[]));
    }
    Ok(spec)
}

/// As `runc spec --rootless`: the caller alone is mapped, and what takes more ids or rights is left out.
fn make_rootless(spec: &mut Spec) {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let map = |host_id| vec![IdMapping { container_id: 0, host_id, size: 1 }];
    for mount in &mut spec.mounts {
        mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
    }
    if let Some(linux) = &mut spec.linux {
        linux.resources = None;
        linux.uid_mappings = map(uid);
        linux.gid_mappings = map(gid);
        linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    }
}
