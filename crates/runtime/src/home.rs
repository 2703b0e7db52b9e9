//! `HOME` of a process whose environment has none, as engines expect it from a runtime.

use std::path::Path;

use oci::runtime::Process;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

/// Most bytes of an image's account file that are read.
const MAX_ACCOUNTS: u64 = 1024 * 1024;
/// What runc gives a user without an account.
const NONE: &str = "/";

/// The entry to add to the environment; `None` where there is one.
///
/// The account file is hostile data: it is opened inside the root, bounded, and only a plain absolute path is
/// taken from it.
pub(crate) fn missing(process: &Process, root: &Path) -> Option<String> {
    if process.env.iter().any(|variable| variable.starts_with("HOME=")) {
        return None;
    }
    let accounts = read(root).unwrap_or_default();
    Some(format!("HOME={}", home_of(&accounts, process.user.uid).unwrap_or(NONE)))
}

fn read(root: &Path) -> Option<String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty()).ok()?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // A path only: opening a device or a fifo of the image would do something.
    let found =
        rustix::fs::openat2(&root, "etc/passwd", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
    let found = found.ok()?;
    let stat = rustix::fs::fstat(&found).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&found));
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?;
    String::from_utf8(files::read_all(&file, MAX_ACCOUNTS).ok()?).ok()
}

/// The home directory of a user id, passwd(5).
fn home_of(accounts: &str, uid: u32) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let home = (fields.nth(2)?.parse() == Ok(uid)).then(|| fields.nth(2))??;
        (home.starts_with('/') && !home.contains('\0')).then_some(home)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_line_by_line() {
        let accounts =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nno:x:5:5::relative:/bin/sh\na:x:7:7:c:/home/a\n";
        for (uid, home) in [(0, Some("/root")), (5, None), (7, Some("/home/a")), (9, None)] {
            assert_eq!(home_of(accounts, uid), home, "{uid}");
        }
    }

    #[test]
    fn a_variable_that_is_there_stays() {
        let process = |env: &[&str]| Process {
            env: env.iter().map(|variable| (*variable).to_owned()).collect(),
            ..Process::default()
        };
        let nowhere = Path::new("/no/such/root");
        assert_eq!(missing(&process(&["HOME=/x"]), nowhere), None);
        assert_eq!(missing(&process(&["HOME="]), nowhere), None);
        assert_eq!(missing(&process(&["A=1", "XHOME=/x"]), nowhere).as_deref(), Some("HOME=/"));
    }
}
