//! OCI bundles: a root file system and a `config.json` that a test can change field by field.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A bundle directory with a busybox root file system and a configuration.
#[derive(Debug)]
pub struct Bundle {
    directory: PathBuf,
    /// What `config.json` will hold; change it, then call [`Bundle::write`].
    pub config: Value,
}

impl Bundle {
    /// Makes a bundle in `directory`, in place of one that is there, that runs `args` as root of a container with
    /// every namespace but user and network. Needs `program("busybox")`.
    ///
    /// # Panics
    /// When a file cannot be written.
    #[must_use]
    pub fn new(directory: &Path, args: &[&str]) -> Self {
        if directory.exists() {
            fs::remove_dir_all(directory).expect("the bundle before this one");
        }
        crate::busybox_rootfs(&directory.join("rootfs"));
        let bundle = Self { directory: directory.to_owned(), config: configuration(args) };
        bundle.write();
        bundle
    }

    /// Gives the configuration a user namespace: each row is container id, host id, count.
    pub fn map_ids(&mut self, uids: &[(u32, u32, u32)], gids: &[(u32, u32, u32)]) {
        let rows = |rows: &[(u32, u32, u32)]| -> Value {
            rows.iter()
                .map(|(inside, outside, count)| json!({"containerID": inside, "hostID": outside, "size": count}))
                .collect()
        };
        let linux = &mut self.config["linux"];
        linux["uidMappings"] = rows(uids);
        linux["gidMappings"] = rows(gids);
        linux["namespaces"].as_array_mut().expect("our own shape").push(json!({"type": "user"}));
    }

    /// Writes `config.json`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self) {
        let text = serde_json::to_string_pretty(&self.config).expect("JSON of our own");
        fs::write(self.directory.join("config.json"), text).expect("config.json");
    }

    /// The bundle directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// The root file system.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.directory.join("rootfs")
    }
}

/// The capabilities of a bundle, which are those of the `standard` profile.
pub const CAPABILITIES: [&str; 8] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
];

fn configuration(args: &[&str]) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
            "cwd": "/",
            "capabilities": {"bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES},
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "bundle",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]}
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
            "maskedPaths": ["/proc/kcore", "/proc/keys"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}
