//! A machine that looks as if it had AppArmor, and files that look as those that take its labels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the engine writes to ask for the profile `brig-test-profile`.
pub(crate) const LABEL: &str = "exec brig-test-profile";

/// Makes the directory `proc` look as one where a container's first process asks for its label; answers the file.
pub(crate) fn label_lands_in(proc: &Path) -> PathBuf {
    for process in ["1", "self"] {
        let directory = proc.join(process).join("attr/apparmor");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("exec"), "").unwrap();
        fs::write(directory.join("current"), "brig-test-profile (enforce)\n").unwrap();
    }
    proc.join("1/attr/apparmor/exec")
}

/// The command in a mount namespace where the module says that it is on; the kernel has none.
pub(crate) fn with_apparmor(command: &Command) -> Command {
    let script = "mount -t tmpfs brig-test /sys/module && mkdir -p /sys/module/apparmor/parameters && \
                  echo Y > /sys/module/apparmor/parameters/enabled && exec \"$@\"";
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--mount", "sh", "-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    wrapped
}
