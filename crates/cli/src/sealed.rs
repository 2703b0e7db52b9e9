//! Running from a read-only mount of our own program.
//!
//! What `/proc/<pid>/exe` of a process of ours shows can be written to once the process has ended, by whoever got
//! hold of it (CVE-2019-5736). Nobody can who is in another user namespace or may not trace: but a container that
//! shares ours and has CAP_SYS_PTRACE. For that one the program is executed once more, through a mount that
//! belongs to no tree and is read-only: what is opened through it answers `EROFS`, and nobody can make it
//! writable, since it is in no mount namespace. It costs a fraction of a millisecond and copies nothing.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use oci::runtime::{NamespaceKind, Spec};
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use sys::exec::StringArray;
use sys::mount::{Attributes, Reach, attribute, set_attributes};

use crate::error::Failure;

/// Executes this program again from a read-only mount, with the same words and environment; returns when it is
/// in one already, and where the caller is not root: his containers have a user namespace of their own.
pub(crate) fn run_read_only() -> Result<(), Errno> {
    if !rustix::process::geteuid().is_root() || is_left_out() {
        return Ok(());
    }
    let program = rustix::fs::openat(CWD, c"/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::fstatvfs(&program)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let mount = read_only(&program)?;
    let words = strings(std::env::args_os())?;
    let environment = environment()?;
    Err(sys::exec::execve_descriptor(mount.as_fd(), &words, &environment))
}

/// As [`run_read_only`], with the error of a command for people.
pub(crate) fn seal() -> Result<(), Failure> {
    run_read_only()
        .map_err(|errno| Failure::environment(format!("execute brig from a read-only mount: {errno}")))
}

/// Whether a test left this defence out, to see that it matters: never in a product.
#[cfg(not(feature = "test-weaken"))]
const fn is_left_out() -> bool {
    false
}

#[cfg(feature = "test-weaken")]
#[expect(clippy::disallowed_methods, reason = "the test build takes what it leaves out from there")]
fn is_left_out() -> bool {
    std::env::var("BRIG_WEAKEN").is_ok_and(|names| names.split(',').any(|name| name == "read-only"))
}

fn read_only(program: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = rustix::mount::open_tree(program, c"", flags)?;
    set_attributes(mount.as_fd(), c"", Reach::One, &Attributes::new(attribute::RDONLY, 0))?;
    Ok(mount)
}

#[expect(clippy::disallowed_methods, reason = "the program that is executed is this one")]
fn environment() -> Result<StringArray, Errno> {
    strings(std::env::vars_os().map(|(name, value)| {
        let mut entry = name;
        entry.push("=");
        entry.push(value);
        entry
    }))
}

fn strings(words: impl Iterator<Item = OsString>) -> Result<StringArray, Errno> {
    let words = words.map(|word| CString::new(word.into_vec()).map_err(|_| Errno::INVAL));
    Ok(StringArray::new(words.collect::<Result<_, _>>()?))
}

/// Whether a new container of this specification has, while it is made, neighbours who share our user namespace.
pub(crate) fn has_neighbours(spec: &Spec) -> bool {
    let namespaces = spec.linux.as_ref().map_or(&[][..], |linux| &linux.namespaces);
    let creates =
        |kind| namespaces.iter().any(|it| it.kind == kind && it.path.as_deref().is_none_or(str::is_empty));
    !creates(NamespaceKind::User) && !creates(NamespaceKind::Pid)
}

/// Whether a process is in our user namespace; one that cannot be looked at counts as if it were.
pub(crate) fn shares_user_namespace(pid: i32) -> bool {
    let inode = |process: &str| {
        rustix::fs::stat(format!("/proc/{process}/ns/user")).map(|stat| (stat.st_dev, stat.st_ino))
    };
    match (inode("self"), inode(&pid.to_string())) {
        (Ok(own), Ok(theirs)) => own == theirs,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_of_a_shared_pid_namespace() {
        for (namespaces, expected) in [
            (r#"[{"type":"pid"},{"type":"mount"}]"#, false),
            (r#"[{"type":"mount"}]"#, true),
            (r#"[{"type":"pid","path":"/proc/1/ns/pid"},{"type":"mount"}]"#, true),
            (r#"[{"type":"user"},{"type":"mount"}]"#, false),
        ] {
            let spec = format!(r#"{{"ociVersion":"1.0.2","linux":{{"namespaces":{namespaces}}}}}"#);
            let spec: Spec = serde_json::from_str(&spec).unwrap();
            assert_eq!(has_neighbours(&spec), expected, "{namespaces}");
        }
    }
}
