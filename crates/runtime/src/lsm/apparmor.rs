//! AppArmor: whether it is on, which profile is loaded, loading one, and reading its answers.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, MemfdFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::facts::read_small;

/// Says `Y` where the kernel runs AppArmor, also where securityfs is not mounted.
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
/// Takes questions about labels from anybody: one open and one write, whatever the number of profiles.
const QUESTIONS: &str = "/sys/kernel/security/apparmor/.access";
/// Where Debian, Ubuntu, SUSE and Arch keep the parser. Never `$PATH`: it runs as root.
const PARSERS: [&str; 2] = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];
/// Longest time in seconds for a profile to be compiled; it takes some 20 ms.
const PATIENCE: i64 = 30;
/// Most bytes of the parser's complaint that are shown.
const MAX_COMPLAINT: usize = 400;
/// `AA_CLASS_FILE`: the class of the question that is asked about a label; the answer is not looked at.
const CLASS_FILE: u8 = 2;

/// Whether the kernel runs AppArmor.
#[must_use]
pub fn is_on() -> bool {
    read_small(ENABLED).is_some_and(|text| text.starts_with('Y'))
}

/// Whether a profile is loaded, as seen from this process's policy namespace.
///
/// # Errors
/// The kernel's answer where it cannot be asked: `ENOENT` without securityfs.
pub fn is_loaded(profile: &str) -> Result<bool, Errno> {
    let file = rustix::fs::open(QUESTIONS, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mut question = Vec::with_capacity(profile.len() + 16);
    for part in [&b"label\0"[..], profile.as_bytes(), &[0, CLASS_FILE], b"/"] {
        question.extend_from_slice(part);
    }
    match rustix::io::write(&file, &question) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The profile that confines this process already, as in a container; none where it is free.
#[must_use]
pub fn own_profile() -> Option<String> {
    let text = read_small("/proc/thread-self/attr/apparmor/current")?;
    let label = text.trim_end_matches(['\n', '\0']);
    // A profile in mode `unconfined` is a name for programs that may make user namespaces, no wall.
    let free = label.is_empty() || label == "unconfined" || label.ends_with(" (unconfined)");
    (!free).then(|| label.rsplit_once(" (").map_or(label, |(name, _)| name).to_owned())
}

/// The program that loads profiles; none where it is not installed.
///
/// # Errors
/// Its path where somebody but root can change it.
pub fn parser() -> Result<Option<&'static Path>, &'static Path> {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    for path in PARSERS {
        if rustix::fs::access(path, Access::EXEC_OK).is_err() {
            continue;
        }
        let safe = rustix::fs::stat(path)
            .is_ok_and(|stat| stat.st_uid == 0 && stat.st_mode & WRITABLE_BY_OTHERS == 0);
        return if safe { Ok(Some(Path::new(path))) } else { Err(Path::new(path)) };
    }
    Ok(None)
}

/// Compiles profiles and gives them to the kernel, as root. Profiles of the same names are replaced.
///
/// Must run before any clone of a container: it starts a program of the host.
///
/// # Errors
/// Why not, in one line.
pub fn load(text: &str) -> Result<(), String> {
    let parser = match parser() {
        Ok(Some(path)) => path,
        Ok(None) => return Err("`apparmor_parser` is not installed".to_owned()),
        Err(path) => return Err(format!("`{}` can be changed by others than root", path.display())),
    };
    let input = memory_file(text.as_bytes()).map_err(|errno| format!("make a memory file: {errno}"))?;
    let complaint = memory_file(b"").map_err(|errno| format!("make a memory file: {errno}"))?;
    let said = rustix::io::fcntl_dupfd_cloexec(&complaint, 3)
        .map_err(|errno| format!("make a memory file: {errno}"))?;
    // `--skip-cache`: nothing of the file system takes part but the parser and its configuration.
    let mut child = Command::new(parser)
        .args(["--replace", "--skip-cache", "--quiet"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(input))
        .stdout(Stdio::null())
        .stderr(Stdio::from(said))
        .spawn()
        .map_err(|error| format!("`{}`: {error}", parser.display()))?;
    match wait(&mut child) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("`{}` said: {}", parser.display(), first_line(&complaint))),
        Err(errno) => {
            // It may have ended by itself; an error of ending it would say less than the first.
            child.kill().ok();
            child.wait().ok();
            Err(format!("`{}`: {errno}", parser.display()))
        }
    }
}

fn memory_file(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let file = rustix::fs::memfd_create(c"brig-profile", MemfdFlags::CLOEXEC)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = &rest[written..];
    }
    rustix::fs::seek(&file, SeekFrom::Start(0))?;
    Ok(file)
}

/// Whether it ended well.
fn wait(child: &mut Child) -> Result<bool, Errno> {
    let end = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let limit = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)], Some(&limit)) {
            Ok(0) => return Err(Errno::TIMEDOUT),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let status = child.wait().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::CHILD))?;
    Ok(status.success())
}

fn first_line(file: &OwnedFd) -> String {
    let mut bytes = [0; MAX_COMPLAINT];
    let length = rustix::io::pread(file, &mut bytes, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..length]);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing");
    line.chars().filter(|character| !character.is_control()).collect()
}

/// Whether a label that the kernel shows, such as `a (enforce)` or the stack `a//&b (enforce)`, confines by all that
/// `wanted` asks for. More is no less: the kernel itself stacks profiles (`apparmor_restrict_unprivileged_unconfined`
/// of Linux 6.7). Does not allocate.
pub(super) fn confines(shown: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && parts(wanted).all(|wanted| parts(shown).any(|shown| is_same(shown, wanted)))
}

/// The profile itself, or one that it lets its programs change to below it (`profile//child`).
fn is_same(shown: &[u8], wanted: &[u8]) -> bool {
    let name = without_mode(shown);
    name == wanted || name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(b"//"))
}

fn parts(label: &[u8]) -> impl Iterator<Item = &[u8]> {
    const STACKED: &[u8] = b"//&";
    let mut rest = Some(label);
    std::iter::from_fn(move || {
        let label = rest?;
        let place = label.windows(STACKED.len()).position(|window| window == STACKED);
        rest = place.map(|place| &label[place + STACKED.len()..]);
        Some(&label[..place.unwrap_or(label.len())])
    })
}

fn without_mode(shown: &[u8]) -> &[u8] {
    const MODES: [&[u8]; 6] =
        [b" (enforce)", b" (complain)", b" (kill)", b" (unconfined)", b" (user)", b" (mixed)"];
    MODES.iter().find_map(|mode| shown.strip_suffix(*mode)).unwrap_or(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_and_children_confine_and_others_do_not() {
        for (shown, wanted, expected) in [
            ("p (enforce)", "p", true),
            ("p (complain)", "p", true),
            ("p//child (enforce)", "p", true),
            ("unconfined//&p (enforce)", "p", true),
            ("p (enforce)//&q (complain)", "p", true),
            ("p//&q (enforce)", "q//&p", true),
            ("p (enforce)", "p//&q", false),
            ("p//child (enforce)", "p//chi", false),
            ("pp (enforce)", "p", false),
            ("unconfined", "p", false),
            ("q//&unconfined (enforce)", "p", false),
            ("a b (enforce)", "a b", true),
            ("a (x) (enforce)", "a (x)", true),
            ("", "p", false),
            ("p", "", false),
        ] {
            assert_eq!(confines(shown.as_bytes(), wanted.as_bytes()), expected, "{shown} {wanted}");
        }
    }

    #[test]
    fn a_machine_without_it_says_so() {
        if is_on() {
            return;
        }
        assert_eq!(is_loaded("unconfined"), Err(Errno::NOENT));
        assert_eq!(own_profile(), None);
    }
}
