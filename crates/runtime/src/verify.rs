//! After the start: compare what the kernel shows of the container's first process with the plan.
//!
//! The payload runs already and may have tightened what it was given, so only looser is a mismatch.

use std::os::fd::OwnedFd;

use oci::runtime::NamespaceKind;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::lsm::Label;
use crate::plan::{Plan, Step};
use crate::weaken::{self, Defence};
use crate::{Error, Result, launch};

/// Longest file of `/proc/<pid>` that is read in bytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Kinds with the names of their files in `/proc/<pid>/ns`.
pub(crate) const NAMESPACE_FILES: [(NamespaceKind, &str); 8] = [
    (NamespaceKind::User, "user"),
    (NamespaceKind::Cgroup, "cgroup"),
    (NamespaceKind::Ipc, "ipc"),
    (NamespaceKind::Uts, "uts"),
    (NamespaceKind::Network, "net"),
    (NamespaceKind::Pid, "pid"),
    (NamespaceKind::Time, "time"),
    (NamespaceKind::Mount, "mnt"),
];

/// Compares; a process that ended meanwhile has nothing left to compare.
///
/// `process` is `/proc/<pid>`, opened before the process could have been reaped.
pub(crate) fn verify(plan: &Plan, process: &OwnedFd) -> Result<()> {
    match compare(plan, process) {
        Err(Gone::Process) => Ok(()),
        Err(Gone::Mismatch(error)) => Err(error),
        Ok(()) => Ok(()),
    }
}

enum Gone {
    Process,
    Mismatch(Error),
}

fn compare(plan: &Plan, process: &OwnedFd) -> Result<(), Gone> {
    let status = read(process, "status")?;
    if field(&status, "State").is_none_or(|state| state.starts_with(['Z', 'X'])) {
        return Err(Gone::Process);
    }
    for step in &plan.steps {
        match step {
            Step::Identity(identity) => {
                let sets = &identity.capabilities;
                for (name, what, allowed) in [
                    ("CapBnd", "the bounding set", sets.bounding),
                    ("CapPrm", "the permitted set", sets.bounding | sets.permitted | sets.inheritable),
                    ("CapAmb", "the ambient set", sets.ambient),
                ] {
                    let found = field(&status, name).and_then(|hex| u64::from_str_radix(hex, 16).ok());
                    require(what, found.is_some_and(|found| found & !allowed == 0), &allowed, found)?;
                }
            }
            Step::NoNewPrivileges => {
                let found = field(&status, "NoNewPrivs");
                require("no_new_privs", found == Some("1"), &1, found)?;
            }
            Step::Label(label) if label.is_of_process() && !weaken::is_off(Defence::LabelVerify) => {
                if plan.steps.contains(&Step::Init) {
                    // Pid 1 is ours and executes nothing: the label is the payload's, its only child.
                    compare_label(label, &only_child(process, &status)?)?;
                } else {
                    compare_label(label, process)?;
                }
            }
            Step::Filter => {
                let found = field(&status, "Seccomp");
                // 3 is `SECCOMP_MODE_DEAD` of Linux 5.16: the filter just killed the process.
                let filtered = matches!(found, Some("2" | "3"));
                require("the seccomp mode", filtered, &2, found)?;
            }
            _ => {}
        }
    }
    compare_maps(plan, process)?;
    compare_namespaces(plan, process)?;
    compare_mounts(plan, process)
}

/// Compares the label of a process that joined a container.
pub(crate) fn verify_label(plan: &Plan, process: &OwnedFd) -> Result<()> {
    let labels = plan.steps.iter().filter_map(|step| match step {
        Step::Label(label) if label.is_of_process() => Some(label),
        _ => None,
    });
    for label in labels {
        if let Err(Gone::Mismatch(error)) = compare_label(label, process) {
            return Err(error);
        }
    }
    Ok(())
}

/// The payload behind a pid 1 of ours, as `/proc/<pid>`.
fn only_child(process: &OwnedFd, status: &str) -> Result<OwnedFd, Gone> {
    let name = format!("task/{}/children", field(status, "Pid").unwrap_or_default());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let children = rustix::fs::openat(process, name.as_str(), flags, Mode::empty())
        .map_err(|errno| Gone::Mismatch(Error::system("open", name, errno)))?;
    let text = files::read_all(&children, MAX_FILE).map_err(|error| Gone::Mismatch(Error::Files(error)))?;
    let text = String::from_utf8_lossy(&text);
    let pid = text.split_ascii_whitespace().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    launch::open_process(pid.ok_or(Gone::Process)?).map_err(|error| match error {
        Error::System { errno: Errno::NOENT | Errno::SRCH, .. } => Gone::Process,
        error => Gone::Mismatch(error),
    })
}

/// The label in force (CVE-2019-16884). Nobody can hide it from us: reading it takes no right over the process.
fn compare_label(label: &Label, process: &OwnedFd) -> Result<(), Gone> {
    let name = label.module.current();
    let failed = |errno| match errno {
        Errno::NOENT | Errno::SRCH => Gone::Process,
        errno => Gone::Mismatch(Error::system("read", name, errno)),
    };
    let file =
        rustix::fs::openat(process, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    let mut answer = [0; 4096];
    let length = rustix::io::read(&file, &mut answer).map_err(failed)?;
    let shown = &answer[..length];
    let found = String::from_utf8_lossy(shown);
    let found = found.trim_end_matches(['\0', '\n']);
    require(label.module.what(), label.is_shown_by(shown), &label.wanted.to_string_lossy(), Some(found))
}

fn compare_maps(plan: &Plan, process: &OwnedFd) -> Result<(), Gone> {
    if !plan.namespaces.creates(NamespaceKind::User) {
        return Ok(());
    }
    for (name, what, planned) in
        [("uid_map", "the user id map", &plan.uid_map), ("gid_map", "the group id map", &plan.gid_map)]
    {
        let text = read(process, name)?;
        // The kernel sorts nothing, but the host's ids are shown as the reader's namespace sees them.
        let found: Vec<(u32, u32)> = text
            .lines()
            .filter_map(|line| {
                let mut numbers = line.split_ascii_whitespace().map(|number| number.parse::<u32>().ok());
                Some((numbers.next()??, numbers.nth(1)??))
            })
            .collect();
        let mut found = found;
        let mut wanted: Vec<(u32, u32)> =
            planned.iter().map(|range| (range.container_id, range.size)).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        require(what, found == wanted, &format!("{wanted:?}"), Some(format!("{found:?}")))?;
    }
    Ok(())
}

fn compare_namespaces(plan: &Plan, process: &OwnedFd) -> Result<(), Gone> {
    for (kind, name) in NAMESPACE_FILES {
        if !plan.namespaces.creates(kind) {
            continue;
        }
        let theirs = namespace_inode(process, name)?;
        let own = rustix::fs::stat(format!("/proc/self/ns/{name}")).map(|stat| stat.st_ino).ok();
        require("a namespace", own != Some(theirs), &format!("{name} of its own"), Some("the caller's"))?;
    }
    Ok(())
}

fn namespace_inode(process: &OwnedFd, name: &str) -> Result<u64, Gone> {
    let path = format!("ns/{name}");
    match rustix::fs::statat(process, path.as_str(), rustix::fs::AtFlags::empty()) {
        Ok(stat) => Ok(stat.st_ino),
        // Of a process that hides, or is gone, nothing can be told: the first is not ours to see through.
        Err(Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM) => Err(Gone::Process),
        Err(errno) => Err(Gone::Mismatch(Error::system("stat", path, errno))),
    }
}

/// `/proc/sys` read-only, and no mount of the host left: the root's parent is not shown inside.
/// A path as `mountinfo` shows it (proc_pid_mountinfo(5)).
fn escape(path: &str) -> String {
    path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

fn compare_mounts(plan: &Plan, process: &OwnedFd) -> Result<(), Gone> {
    let mounts = read(process, "mountinfo")?;
    let options_at = |point: &str| {
        mounts.lines().rev().find_map(|line| {
            let mut fields = line.split(' ');
            (fields.nth(4)? == point).then(|| fields.next())?
        })
    };
    for step in &plan.steps {
        let (path, wanted, what) = match step {
            Step::Readonly(path) => (path.to_text(), "ro", "a read-only path"),
            Step::ReadonlyRoot => ("/".to_owned(), "ro", "the read-only root"),
            Step::NosuidRoot => ("/".to_owned(), "nosuid", "the nosuid root"),
            _ => continue,
        };
        if let Some(options) = options_at(&escape(&path)) {
            let is_set = options.split(',').any(|option| option == wanted);
            require(what, is_set, &format!("{path} {wanted}"), Some(format!("{path} {options}")))?;
        }
    }
    Ok(())
}

fn require(
    what: &'static str,
    holds: bool,
    expected: &dyn ToString,
    found: Option<impl ToString>,
) -> Result<(), Gone> {
    if holds {
        return Ok(());
    }
    let found = found.map_or_else(|| "unknown".to_owned(), |found| found.to_string());
    Err(Gone::Mismatch(Error::Mismatch { what, expected: expected.to_string(), found }))
}

fn read(process: &OwnedFd, name: &str) -> Result<String, Gone> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(process, name, flags, Mode::empty()) {
        Ok(file) => file,
        // Of a process that is ending, mountinfo cannot be opened any more (EINVAL).
        Err(Errno::NOENT | Errno::SRCH | Errno::INVAL | Errno::ACCESS | Errno::PERM) => {
            return Err(Gone::Process);
        }
        Err(errno) => return Err(Gone::Mismatch(Error::system("open", name, errno))),
    };
    match files::read_all(&file, MAX_FILE) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        // mountinfo of a zombie is EINVAL, of one that was reaped ESRCH.
        Err(files::Error::System { errno: Errno::SRCH | Errno::INVAL, .. }) => Err(Gone::Process),
        Err(error) => Err(Gone::Mismatch(Error::Files(error))),
    }
}

fn field<'t>(status: &'t str, name: &str) -> Option<&'t str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::escape;

    // A read-only path with a space was never found in mountinfo, and so never compared.
    #[test]
    fn paths_are_escaped_as_the_kernel_does() {
        for (path, shown) in [
            ("/plain", "/plain"),
            ("/a b", "/a\\040b"),
            ("/a\\b", "/a\\134b"),
            ("/\t\n", "/\\011\\012"),
            ("/é", "/é"),
        ] {
            assert_eq!(escape(path), shown);
        }
    }
}
