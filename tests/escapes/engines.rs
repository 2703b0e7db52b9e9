//! Debian's engines, with directories of the part's own and without a network.

use std::process::Command;

use testkit::{Outcome, find_program};
use tests::Brig;

/// Podman 4.3 with these arguments, and `runtime` below it.
pub(crate) fn podman_over(runtime: &str, brig: &Brig, arguments: &[&str]) -> Command {
    let mut command = match testkit::cgroup_v2_mount() {
        // See `bundles::command_by`.
        Some(unified) if runtime == "crun" => {
            let mut command = Command::new(find_program("unshare").unwrap());
            command.args(["--mount", "sh", "-c", "umount \"$0\" && exec podman \"$@\""]).arg(unified);
            command
        }
        _ => Command::new(find_program("podman").unwrap()),
    };
    for (flag, name) in [("--root", "podman"), ("--runroot", "podman-run"), ("--tmpdir", "podman-tmp")] {
        command.arg(flag).arg(brig.directory().join(name));
    }
    command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", runtime]);
    command.env("TMPDIR", brig.directory()).args(arguments);
    command
}

/// Podman over runc.
pub(crate) fn podman(brig: &Brig, arguments: &[&str]) -> Outcome {
    testkit::run(&mut podman_over("runc", brig, arguments))
}

/// `podman run` of the archive that [`tests::attack::image`] left behind, without a network.
pub(crate) fn podman_run(brig: &Brig, image: &str, flags: &[&str], words: &[&str]) -> Outcome {
    let fixed =
        ["run", "--rm", "--net", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
    podman(brig, &[&fixed, flags, &[image], words].concat())
}

/// Gives podman the archive that [`tests::attack::image`] left behind.
pub(crate) fn podman_import(brig: &Brig, image: &str, instructions: &[&str]) {
    let archive = brig.directory().join(format!("{image}.tar"));
    let changes: Vec<&str> = instructions.iter().flat_map(|instruction| ["-c", *instruction]).collect();
    podman(brig, &[&["import"], &changes[..], &[archive.to_str().unwrap(), image]].concat()).success();
}

/// Removes what podman left: its layers are in the part's own directory, its locks are in shared memory.
pub(crate) fn forget_podman(brig: &Brig) {
    drop(podman(brig, &["rm", "--all", "--force"]));
    drop(podman(brig, &["rmi", "--all", "--force"]));
    drop(podman(brig, &["system", "reset", "--force"]));
}
