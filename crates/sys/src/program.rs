//! Which of the host's programs may be executed by name.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, FileType, Mode, access, stat};

/// Where the host's programs are looked for, in this order; on a sane host root alone writes there.
pub const DIRECTORIES: [&str; 6] =
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/run/wrappers/bin"];

/// The path of the host's program of that name, in [`DIRECTORIES`].
///
/// `PATH` does not choose: it may hold `.`, a relative directory or one that others write to (CVE-2025-15558). For the
/// same reason a file that others than root can change is passed over. A name with a `/` is no name (CVE-2021-20206).
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains('/') {
        return None;
    }
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)).find(|path| is_roots(path))
}

/// Whether it is a program that root alone can change.
///
/// Where root has no number, as in a user namespace of one id, it is whoever owns `/`: the whole host is theirs.
fn is_roots(path: &Path) -> bool {
    let Ok(file) = stat(path) else { return false };
    let by_root = file.st_uid == 0 || stat("/").is_ok_and(|root| root.st_uid == file.st_uid);
    let by_others = Mode::from_raw_mode(file.st_mode).intersects(Mode::WGRP | Mode::WOTH);
    let is_file = FileType::from_raw_mode(file.st_mode) == FileType::RegularFile;
    is_file && by_root && !by_others && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_name_is_a_name_in_a_fixed_directory() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        for name in ["", "/bin/sh", "../bin/sh", "./sh", "bin/sh", "no-such-program-anywhere", ".", ".."] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    #[test]
    fn what_others_can_change_is_passed_over() {
        let directory = testkit::TempDir::new();
        let program = directory.join("program");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        let root = rustix::process::geteuid().is_root();
        for (mode, expected) in
            [(0o755, root), (0o4711, root), (0o775, false), (0o757, false), (0o644, false)]
        {
            fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_roots(&program), expected, "{mode:o}");
        }
        assert!(!is_roots(directory.path()));
    }
}
