//! Dangerous system calls, each really tried, with arguments that do no harm where they are permitted.
//!
//! How to read an answer: `EPERM`, `EACCES`, `ENOSYS`, `EAFNOSUPPORT` and death mean that the call was
//! refused: closed. Anything else (`EFAULT`, `EINVAL`, `EBADF`, `ESRCH`, a value) was said by the call's own
//! code, behind the filter and behind its check of capabilities: open. The comment at each row says why
//! its arguments are harmless and where in the call they are told apart.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sys::raw::{Answer, Step, try_in_child};

use crate::report::{Report, Verdict, answer_text};
use crate::socket;

/// An address that no process has mapped (`vm.mmap_min_addr`): reading it is EFAULT.
const BAD: usize = 1;

/// A descriptor that is not open: EBADF.
const NO_DESCRIPTOR: usize = usize::MAX;

/// A process that cannot be: above the kernel's limit of 4,194,304.
const NO_PROCESS: usize = 0x3fff_ffff;

const GROUP: &str = "calls";
const FOREIGN: &str = "foreign ABIs";
const NAMESPACES: &str = "new namespaces";
const TERMINAL: &str = "terminal";

/// Something to try, and what its answers mean.
pub(crate) struct Door {
    group: &'static str,
    name: String,
    step: Step,
    why: &'static str,
    /// Whether ordinary programs need it, so that its being open is a fact and no finding.
    is_needed: bool,
    /// Errnos that mean closed, beside the usual ones.
    also_closed: &'static [Errno],
    /// Whether the row is left out of the report: a step that prepares others.
    is_silent: bool,
}

impl Door {
    pub(crate) fn new(group: &'static str, name: &str, step: Step, why: &'static str) -> Self {
        Self { group, name: name.to_owned(), step, why, is_needed: false, also_closed: &[], is_silent: false }
    }

    fn needed(self) -> Self {
        self.needed_if(true)
    }

    pub(crate) fn needed_if(self, is_needed: bool) -> Self {
        Self { is_needed, ..self }
    }

    fn silent(self) -> Self {
        Self { is_silent: true, ..self }
    }

    fn also_closed(self, also_closed: &'static [Errno]) -> Self {
        Self { also_closed, ..self }
    }

    fn verdict(&self, answer: Answer) -> Verdict {
        const CLOSED: [Errno; 4] = [Errno::PERM, Errno::ACCESS, Errno::NOSYS, Errno::AFNOSUPPORT];
        match answer {
            _ if self.is_needed => Verdict::Info,
            Answer::NotApplicable | Answer::NotTried => Verdict::Info,
            Answer::Killed(_) => Verdict::Closed,
            Answer::Errno(errno) if CLOSED.contains(&errno) || self.also_closed.contains(&errno) => {
                Verdict::Closed
            }
            Answer::Errno(_) | Answer::Value(_) => Verdict::Open,
        }
    }
}

/// Tries everything in one child, and writes the rows in the order of their groups.
pub(crate) fn rows(report: &mut Report) {
    let prepared = Prepared::new();
    let mut doors = socket::doors();
    doors.extend(calls(&prepared));
    doors.extend(foreign());
    // What changes the child comes last, the new user namespace at the very end.
    doors.extend(terminal(&prepared));
    doors.extend(namespaces(&prepared));
    let steps: Vec<Step> = doors.iter().map(|door| door.step).collect();
    let answers = try_in_child(&steps);
    for (door, answer) in doors.into_iter().zip(answers) {
        if door.is_silent {
            continue;
        }
        let verdict = door.verdict(answer);
        report.add(door.group, door.name, verdict, answer_text(answer), door.why);
    }
}

/// Descriptors and memory that steps refer to; they live until the child has ended.
struct Prepared {
    /// `/`, as the mount of a file handle.
    root: Option<OwnedFd>,
    /// The own UTS namespace: joining it changes nothing.
    own_uts: Option<OwnedFd>,
    /// A terminal of our own: typing into it disturbs nobody.
    terminal: Option<(OwnedFd, OwnedFd)>,
    /// Where a device node may be made for a moment.
    node: std::ffi::CString,
    /// `struct file_handle` with the 8 bytes of inode 2, generation 0: the root of many file systems, as
    /// in the `shocker` exploit of 2014.
    handle: [u32; 4],
    /// `struct perf_event_attr`, first version: a software clock of this process, without the kernel.
    event: [u64; 8],
    /// One character for a terminal.
    character: [u8; 1],
}

impl Prepared {
    fn new() -> Self {
        let open =
            |path: &str, flags: OFlags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).ok();
        let writable = ["/dev/shm", "/tmp", "/run", "/"]
            .into_iter()
            .find(|path| rustix::fs::access(*path, rustix::fs::Access::WRITE_OK).is_ok())
            .unwrap_or("/tmp");
        let node = format!("{writable}/.probe-{}", rustix::process::getpid().as_raw_nonzero());
        Self {
            root: open("/", OFlags::RDONLY | OFlags::DIRECTORY),
            own_uts: open("/proc/self/ns/uts", OFlags::RDONLY),
            terminal: terminal_pair().ok(),
            node: std::ffi::CString::new(node).unwrap_or_default(),
            handle: [8, 1, 2, 0],
            // type 1 (software) and size 64 in the first word; disabled, exclude_kernel, exclude_hv.
            event: [1 | 64 << 32, 0, 0, 0, 0, 0x61, 0, 0],
            character: [b'x'],
        }
    }
}

fn terminal_pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let theirs = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((ours, theirs))
}

fn descriptor(fd: Option<&OwnedFd>) -> usize {
    fd.and_then(|fd| usize::try_from(fd.as_raw_fd()).ok()).unwrap_or(NO_DESCRIPTOR)
}

const fn native(number: i64, arguments: [usize; 6]) -> Step {
    Step::Native { number, arguments, closes: false }
}

const fn opening(number: i64, arguments: [usize; 6]) -> Step {
    Step::Native { number, arguments, closes: true }
}

fn address(text: &CStr) -> usize {
    text.as_ptr().addr()
}

const AT_FDCWD: usize = libc::AT_FDCWD as usize;

fn calls(prepared: &Prepared) -> Vec<Door> {
    let mut doors = mounts();
    doors.extend(files(prepared));
    doors.extend(processes(prepared));
    doors.extend(kernel());
    doors
}

fn call(name: &str, step: Step, why: &'static str) -> Door {
    Door::new(GROUP, name, step, why)
}

fn mounts() -> Vec<Door> {
    const WHY: &str = "mounts undo masks and read-only paths (CVE-2022-0492, CVE-2022-0185)";
    let root = address(c"/");
    vec![
        // No type and no flag: EINVAL in do_new_mount, which comes after the check of the capability.
        call("mount", native(libc::SYS_mount, [0, root, 0, 0, 0, 0]), WHY),
        // A directory of procfs that nobody can have mounted upon: EINVAL after the check.
        call("umount2", native(libc::SYS_umount2, [address(c"/proc/self/ns"), 8, 0, 0, 0, 0]), WHY),
        // The check comes before the paths are read: EFAULT.
        call("pivot_root", native(libc::SYS_pivot_root, [BAD, BAD, 0, 0, 0, 0]), WHY),
        // A detached copy of one mount; gone with the child. OPEN_TREE_CLONE is 1.
        call("open_tree", opening(libc::SYS_open_tree, [AT_FDCWD, root, 1, 0, 0, 0]), WHY),
        // The check comes before the name is read: EFAULT.
        call("fsopen", opening(libc::SYS_fsopen, [BAD, 0, 0, 0, 0, 0]), WHY),
        call("fsconfig", native(libc::SYS_fsconfig, [NO_DESCRIPTOR, 6, 0, 0, 0, 0]), WHY),
        call("fspick", opening(libc::SYS_fspick, [NO_DESCRIPTOR, BAD, 0, 0, 0, 0]), WHY),
        // The check comes before the flags, which no kernel knows: EINVAL.
        call(
            "move_mount",
            native(libc::SYS_move_mount, [NO_DESCRIPTOR, BAD, NO_DESCRIPTOR, BAD, 0xffff_ffff, 0]),
            WHY,
        ),
        // Size 0 is EINVAL before anything is looked at.
        call("mount_setattr", native(libc::SYS_mount_setattr, [NO_DESCRIPTOR, BAD, 0, 0, 0, 0]), WHY),
        call("swapon", native(libc::SYS_swapon, [BAD, 0, 0, 0, 0, 0]), "the machine's memory"),
        // The check comes before the name; NULL would switch accounting off, so never NULL.
        call(
            "acct",
            native(libc::SYS_acct, [BAD, 0, 0, 0, 0, 0]),
            "a file of the machine's choice is written",
        ),
        // Command 0xff is none: EINVAL.
        call("quotactl", native(libc::SYS_quotactl, [0xff00, BAD, 0, 0, 0, 0]), "the machine's quotas"),
    ]
}

fn files(prepared: &Prepared) -> Vec<Door> {
    let node = prepared.node.as_ptr().addr();
    // /dev/kmsg is 1:11: opening it for reading changes nothing.
    let device = 1 << 8 | 11;
    let character_device = (libc::S_IFCHR | 0o600) as usize;
    let flags = (libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC) as usize;
    let handle = prepared.handle.as_ptr().addr();
    vec![
        // The child's own root is the same directory before and after.
        call(
            "chroot",
            native(libc::SYS_chroot, [address(c"/"), 0, 0, 0, 0, 0]),
            "the classic way out with an open directory",
        ),
        // Made in a scratch directory, tried, and removed again. Without a writable directory: EROFS, ENOENT.
        call(
            "mknod of a device",
            native(libc::SYS_mknodat, [AT_FDCWD, node, character_device, device, 0, 0]),
            "any disk of the machine",
        )
        .also_closed(&[Errno::ROFS, Errno::NOENT]),
        call(
            "open of a made device",
            opening(libc::SYS_openat, [AT_FDCWD, node, flags, 0, 0, 0]),
            "any disk of the machine",
        )
        .also_closed(&[Errno::NOENT, Errno::NXIO]),
        call("unlink", native(libc::SYS_unlinkat, [AT_FDCWD, node, 0, 0, 0, 0]), "").silent(),
        // Without CAP_DAC_READ_SEARCH: EPERM. With it: ESTALE, or the root of the file system, read-only.
        call(
            "open_by_handle_at",
            opening(libc::SYS_open_by_handle_at, [descriptor(prepared.root.as_ref()), handle, 0, 0, 0, 0]),
            "any file of the file system below (shocker, 2014)",
        ),
        call(
            "name_to_handle_at",
            native(libc::SYS_name_to_handle_at, [NO_DESCRIPTOR, BAD, BAD, BAD, 0, 0]),
            "tells handles to guess from",
        ),
        // Flags that no kernel has: EINVAL, or EPERM before.
        call(
            "fanotify_init",
            opening(libc::SYS_fanotify_init, [0x8000_0000, 0, 0, 0, 0, 0]),
            "watches other processes' files",
        ),
        call(
            "memfd_secret",
            opening(libc::SYS_memfd_secret, [0xff, 0, 0, 0, 0, 0]),
            "memory that nobody can inspect",
        ),
        call(
            "vmsplice",
            native(libc::SYS_vmsplice, [NO_DESCRIPTOR, BAD, 1, 0, 0, 0]),
            "page cache bugs (CVE-2022-0847)",
        ),
        // User mode only (flag 1): what an unprivileged process gets at most.
        call(
            "userfaultfd",
            opening(libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0]),
            "stops the kernel in the middle of a copy",
        ),
    ]
}

fn processes(prepared: &Prepared) -> Vec<Door> {
    const MEMORY: &str = "memory of other processes";
    const KEYS: &str = "keys are not in any namespace (CVE-2016-0728)";
    let event = prepared.event.as_ptr().addr();
    vec![
        // Attaching to a process that cannot be: ESRCH.
        call("ptrace", native(libc::SYS_ptrace, [16, NO_PROCESS, 0, 0, 0, 0]), MEMORY),
        // Nothing to copy: 0 before any process is looked for, or ESRCH.
        call("process_vm_readv", native(libc::SYS_process_vm_readv, [NO_PROCESS, 0, 0, 0, 0, 0]), MEMORY),
        call("process_vm_writev", native(libc::SYS_process_vm_writev, [NO_PROCESS, 0, 0, 0, 0, 0]), MEMORY),
        call("process_madvise", native(libc::SYS_process_madvise, [NO_DESCRIPTOR, 0, 0, 0, 0xff, 0]), MEMORY),
        call(
            "pidfd_getfd",
            opening(libc::SYS_pidfd_getfd, [NO_DESCRIPTOR, 0, 0, 0, 0, 0]),
            "descriptors of other processes",
        ),
        call(
            "kcmp",
            native(libc::SYS_kcmp, [NO_PROCESS, NO_PROCESS, 0, 0, 0, 0]),
            "tells kernel addresses apart",
        ),
        // The id of the session keyring (-3), without making one: a number or ENOKEY.
        call("keyctl", native(libc::SYS_keyctl, [0, 0usize.wrapping_sub(3), 0, 0, 0, 0]), KEYS),
        call("add_key", native(libc::SYS_add_key, [BAD, BAD, 0, 0, 0, 0]), KEYS),
        call("request_key", native(libc::SYS_request_key, [BAD, BAD, 0, 0, 0, 0]), KEYS),
        // ADDR_NO_RANDOMIZE, for the child alone.
        call(
            "personality",
            native(libc::SYS_personality, [0x4_0000, 0, 0, 0, 0, 0]),
            "switches address randomisation off",
        ),
        // A disabled software clock of this very process.
        call(
            "perf_event_open",
            opening(libc::SYS_perf_event_open, [event, 0, usize::MAX, usize::MAX, 0, 0]),
            "side channels and a wide attack surface",
        ),
    ]
}

fn kernel() -> Vec<Door> {
    const LOAD: &str = "code in the kernel";
    const CLOCK: &str = "the machine's clock";
    let mut doors = vec![
        // Command 0xffff is none: EINVAL.
        call("bpf", opening(libc::SYS_bpf, [0xffff, 0, 0, 0, 0, 0]), "verifier bugs (CVE-2021-3490)"),
        // The parameters are read first: EFAULT.
        call(
            "io_uring_setup",
            opening(libc::SYS_io_uring_setup, [1, BAD, 0, 0, 0, 0]),
            "CVE-2022-29582, CVE-2023-2598",
        ),
        // More segments than there may be: EINVAL after the check.
        call("kexec_load", native(libc::SYS_kexec_load, [0, 0xffff_ffff, 0, 0, 0, 0]), "another kernel"),
        // No image: the header does not fit, ENOEXEC after the check.
        call("init_module", native(libc::SYS_init_module, [BAD, 0, BAD, 0, 0, 0]), LOAD),
        call("finit_module", native(libc::SYS_finit_module, [NO_DESCRIPTOR, BAD, 0, 0, 0, 0]), LOAD),
        call("delete_module", native(libc::SYS_delete_module, [BAD, 0, 0, 0, 0, 0]), LOAD),
        // A magic number that is none: EINVAL after the check. Never the right one.
        call("reboot", native(libc::SYS_reboot, [0xbad, 0xbad, 0, 0, 0, 0]), "the machine"),
        call("sethostname", native(libc::SYS_sethostname, [BAD, 1, 0, 0, 0, 0]), "names in logs")
            .also_closed(&[]),
        call("settimeofday", native(libc::SYS_settimeofday, [BAD, 0, 0, 0, 0, 0]), CLOCK),
        call("clock_settime", native(libc::SYS_clock_settime, [0, BAD, 0, 0, 0, 0]), CLOCK),
        // SYSLOG_ACTION_SIZE_BUFFER: a number.
        call("syslog", native(libc::SYS_syslog, [10, 0, 0, 0, 0, 0]), "kernel addresses"),
        // No program of an ordinary kind uses it: a libc needs ENOSYS here to fall back.
        call("syscall 9999", native(9999, [0; 6]), "an unknown call has to be ENOSYS").needed(),
        call(
            "landlock ABI",
            native(libc::SYS_landlock_create_ruleset, [0, 0, 1, 0, 0, 0]),
            "lets a program lock itself in",
        )
        .needed(),
    ];
    doors.extend(of_this_architecture());
    doors
}

/// What this instruction set has and others have not.
#[cfg(not(target_arch = "x86_64"))]
fn of_this_architecture() -> Vec<Door> {
    Vec::new()
}

/// What this instruction set has and others have not.
#[cfg(target_arch = "x86_64")]
fn of_this_architecture() -> Vec<Door> {
    vec![
        // For the child alone, which does no port I/O.
        call("iopl", native(libc::SYS_iopl, [3, 0, 0, 0, 0, 0]), "the machine's ports"),
        call("ioperm", native(libc::SYS_ioperm, [0x80, 1, 1, 0, 0, 0]), "the machine's ports"),
        // Reading 0 bytes of a table: 0.
        call(
            "modify_ldt",
            native(libc::SYS_modify_ldt, [0, BAD, 0, 0, 0, 0]),
            "16-bit segments (CVE-2015-5157)",
        ),
    ]
}

/// Entries into the kernel that a filter for the native table does not see.
fn foreign() -> Vec<Door> {
    const WHY: &str = "a filter cannot read arguments of these";
    let call = |name, step| Door::new(FOREIGN, name, step, WHY);
    vec![
        call("i386 getpid", Step::I386 { number: 20, arguments: [0; 5] }),
        call("i386 socketcall AF_VSOCK", Step::I386Socketcall { call: 1, arguments: [40, 1, 0] }),
        call("i386 socketcall AF_ALG", Step::I386Socketcall { call: 1, arguments: [38, 5, 0] }),
        call("x32 getpid", Step::X32 { number: 39, arguments: [0; 6] }),
    ]
}

/// Typing into a terminal on its owner's behalf (CVE-2016-10124), on a terminal of our own.
fn terminal(prepared: &Prepared) -> Vec<Door> {
    /// Above the 32 bits that the kernel reads: fooled filters once (CVE-2019-10063).
    const HIGH: usize = 1 << 32;
    const TIOCSTI: usize = 0x5412;
    const TIOCLINUX: usize = 0x541c;
    const TIOCSCTTY: usize = 0x540e;
    const WHY: &str = "keystrokes for the caller's shell";
    let Some((_, terminal)) = &prepared.terminal else {
        return vec![
            Door::new(TERMINAL, "TIOCSTI", native(-1, [0; 6]), "no terminal could be made to try it on")
                .needed(),
        ];
    };
    let terminal = descriptor(Some(terminal));
    let character = prepared.character.as_ptr().addr();
    let ioctl =
        |request: usize, argument: usize| native(libc::SYS_ioctl, [terminal, request, argument, 0, 0, 0]);
    vec![
        Door::new(TERMINAL, "setsid", native(libc::SYS_setsid, [0; 6]), "").silent(),
        Door::new(TERMINAL, "TIOCSCTTY", ioctl(TIOCSCTTY, 0), "").silent(),
        // EIO: the kernel itself refuses (dev.tty.legacy_tiocsti = 0, Linux 6.2).
        Door::new(TERMINAL, "TIOCSTI", ioctl(TIOCSTI, character), WHY).also_closed(&[Errno::IO]),
        Door::new(TERMINAL, "TIOCSTI, high bits set", ioctl(HIGH | TIOCSTI, character), WHY)
            .also_closed(&[Errno::IO]),
        // A pseudo-terminal has no such request: ENOTTY is the kernel's answer.
        Door::new(TERMINAL, "TIOCLINUX", ioctl(TIOCLINUX, BAD), WHY),
        Door::new(TERMINAL, "TIOCLINUX, high bits set", ioctl(HIGH | TIOCLINUX, BAD), WHY),
    ]
}

fn namespaces(prepared: &Prepared) -> Vec<Door> {
    const WHY: &str = "a full set of capabilities inside, and their kernel code (CVE-2023-32233)";
    let new_user = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    let new = |flag: i32| [flag as usize, 0, 0, 0, 0, 0];
    let uts = [descriptor(prepared.own_uts.as_ref()), libc::CLONE_NEWUTS as usize, 0, 0, 0, 0];
    let door = |name, step, why| Door::new(NAMESPACES, name, step, why);
    vec![
        // The own UTS namespace again.
        door("setns", native(libc::SYS_setns, uts), "other containers' namespaces"),
        // Size 0: EINVAL. A filter cannot read the flags behind the pointer, so it has to be ENOSYS.
        door("clone3", native(libc::SYS_clone3, [BAD, 0, 0, 0, 0, 0]), "flags that a filter cannot read"),
        // A process that ends at once. ENOSPC and EUSERS: the kernel's own limit is 0.
        door("clone(NEWUSER)", Step::Clone { flags: new_user }, WHY)
            .also_closed(&[Errno::NOSPC, Errno::USERS]),
        door("unshare(NEWNS)", native(libc::SYS_unshare, new(libc::CLONE_NEWNS)), "mounts nobody sees"),
        // For the child alone, and its last step.
        door("unshare(NEWUSER)", native(libc::SYS_unshare, new(libc::CLONE_NEWUSER)), WHY)
            .also_closed(&[Errno::NOSPC, Errno::USERS]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_who_gave_them() {
        let door = Door::new(GROUP, "x", native(0, [0; 6]), "");
        for (answer, expected) in [
            (Answer::Errno(Errno::PERM), Verdict::Closed),
            (Answer::Errno(Errno::NOSYS), Verdict::Closed),
            (Answer::Errno(Errno::FAULT), Verdict::Open),
            (Answer::Errno(Errno::INVAL), Verdict::Open),
            (Answer::Value(3), Verdict::Open),
            (Answer::Killed(31), Verdict::Closed),
            (Answer::NotApplicable, Verdict::Info),
            (Answer::NotTried, Verdict::Info),
        ] {
            assert_eq!(door.verdict(answer), expected, "{answer:?}");
        }
        let strict = door.also_closed(&[Errno::IO]);
        assert_eq!(strict.verdict(Answer::Errno(Errno::IO)), Verdict::Closed);
        assert_eq!(strict.needed().verdict(Answer::Value(0)), Verdict::Info);
    }

    #[test]
    fn everything_fits_into_one_batch() {
        let prepared = Prepared::new();
        let steps = socket::doors().len() + calls(&prepared).len() + foreign().len();
        assert!(steps + terminal(&prepared).len() + namespaces(&prepared).len() <= sys::raw::MAX_STEPS);
    }
}
