//! Small root file systems, made from the host's static busybox: no test downloads anything.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::find_program;

/// Makes a busybox root file system in `directory` (which need not exist). Needs `program("busybox")`.
///
/// Every applet is a symbolic link in `/bin`; the accounts are root, nobody and `user` (1000).
///
/// # Panics
/// When a file cannot be written.
pub fn busybox_rootfs(directory: &Path) {
    for (name, mode) in [
        ("bin", 0o755),
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("home/user", 0o755),
        ("proc", 0o555),
        ("root", 0o700),
        ("run", 0o755),
        ("sys", 0o555),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("var", 0o755),
        ("var/tmp", 0o1777),
    ] {
        let path = directory.join(name);
        fs::create_dir_all(&path).expect("directory in our own directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("mode");
    let busybox = find_program("busybox").expect("busybox, which the test needs");
    fs::copy(&busybox, directory.join("bin/busybox")).expect("copy busybox");
    let applets = Command::new(&busybox).arg("--list").output().expect("busybox --list").stdout;
    for applet in String::from_utf8_lossy(&applets).lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", directory.join("bin").join(applet)).expect("link in our own directory");
    }
    for (name, text) in [
        (
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nuser:x:1000:1000::/home/user:/bin/sh\n",
        ),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\nuser:x:1000:\nextra:x:1234:user\n"),
        ("etc/hostname", "from-image\n"),
    ] {
        fs::write(directory.join(name), text).expect("file in our own directory");
    }
}

/// Makes a plain tar of a busybox root file system, as `brig import` takes it, owned by root throughout.
///
/// # Panics
/// When `tar` fails.
#[must_use]
pub fn busybox_tar(directory: &Path) -> PathBuf {
    let rootfs = directory.join("busybox-rootfs");
    busybox_rootfs(&rootfs);
    let archive = directory.join("busybox.tar");
    tar(&rootfs, &archive);
    fs::remove_dir_all(&rootfs).expect("our own directory");
    archive
}

/// Packs a directory's contents into a plain tar owned by root.
///
/// # Panics
/// When `tar` fails.
pub fn tar(directory: &Path, archive: &Path) {
    let status = Command::new("tar")
        .args(["--numeric-owner", "--owner=0", "--group=0", "--sort=name", "-C"])
        .arg(directory)
        .arg("-cf")
        .arg(archive)
        .arg(".")
        .status()
        .expect("tar");
    assert!(status.success(), "tar -cf {}", archive.display());
    fs::set_permissions(archive, fs::Permissions::from_mode(0o644)).expect("mode");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TempDir;

    #[test]
    fn a_rootfs_has_a_shell_and_accounts() {
        crate::needs!(program("busybox"));
        let directory = TempDir::new();
        busybox_rootfs(&directory.join("rootfs"));
        assert_eq!(fs::read_link(directory.join("rootfs/bin/sh")).unwrap(), Path::new("busybox"));
        assert!(fs::read_to_string(directory.join("rootfs/etc/passwd")).unwrap().starts_with("root:x:0:0"));
        assert!(fs::metadata(busybox_tar(directory.path())).unwrap().len() > 500_000);
    }
}
