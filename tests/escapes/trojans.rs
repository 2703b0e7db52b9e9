//! Programs of the attacker's with the names of programs that engines execute: they write down that they ran.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::Brig;

/// What engines execute of the host, of their own and of containers.
const NAMES: [&str; 50] = [
    "newuidmap",
    "newgidmap",
    "getent",
    "getsubids",
    "ps",
    "apparmor_parser",
    "aa-exec",
    "sh",
    "bash",
    "mount",
    "umount",
    "modprobe",
    "ip",
    "nft",
    "iptables",
    "ip6tables",
    "xz",
    "unxz",
    "gzip",
    "gunzip",
    "unpigz",
    "pigz",
    "zstd",
    "bzip2",
    "tar",
    "git",
    "fusermount",
    "fusermount3",
    "fuse-overlayfs",
    "slirp4netns",
    "pasta",
    "conmon",
    "runc",
    "crun",
    "nsenter",
    "unshare",
    "catatonit",
    "criu",
    "systemctl",
    "systemd-run",
    "losetup",
    "mkfs.ext4",
    "restorecon",
    "chcon",
    "tty",
    "stty",
    "pager",
    "less",
    "brig",
    "brig-runtime",
];

/// A directory full of them.
pub(crate) struct Trojans {
    directory: PathBuf,
    log: PathBuf,
}

impl Trojans {
    /// Makes them in `directory`, where everybody may add more. One that an engine cannot go on without does the
    /// work of the program in `/usr/bin` afterwards.
    pub(crate) fn new(directory: &Path) -> Self {
        let trojans = Self { directory: directory.join("trojans"), log: directory.join("executed") };
        fs::create_dir(&trojans.directory).unwrap();
        fs::set_permissions(&trojans.directory, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(&trojans.log, "").unwrap();
        fs::set_permissions(&trojans.log, fs::Permissions::from_mode(0o666)).unwrap();
        for name in NAMES {
            trojans.add(&trojans.directory.join(name));
        }
        trojans
    }

    /// One more, at that place.
    pub(crate) fn add(&self, place: &Path) {
        let log = self.log.display();
        let name = place.file_name().unwrap().to_str().unwrap();
        let script = format!(
            "#!/bin/busybox sh\necho \"{name} $*\" >>{log}\n[ -x /usr/bin/{name} ] && exec /usr/bin/{name} \"$@\"\n"
        );
        fs::write(place, script).unwrap();
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// What was executed, one line each.
    pub(crate) fn executed(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// `command` from the trojans' directory and with this `PATH`. What makes the person a user keeps its own.
    pub(crate) fn beside(&self, brig: &Brig, search: &str, program: &Path, arguments: &[&str]) -> Command {
        let mut command = brig.other("/usr/bin/env");
        command.arg("-C").arg(&self.directory).arg(format!("PATH={search}")).arg(program).args(arguments);
        command
    }
}
