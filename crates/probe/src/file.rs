//! Kernel files that have to be masked or read-only, devices, and what was inherited.

use rustix::fs::{Access, AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::report::{Report, errno_name};

/// Files and directories that tell of the machine, with what they tell.
const MASKED: [(&str, &str); 30] = [
    ("/proc/acpi", "hardware"),
    ("/proc/asound", "other users' sound"),
    ("/proc/bus/pci", "hardware"),
    ("/proc/config.gz", "which bugs this kernel has"),
    ("/proc/interrupts", "keystroke timing (GHSA-6fw5-f8r9-fgfm)"),
    ("/proc/kallsyms", "kernel addresses"),
    ("/proc/kcore", "all memory"),
    ("/proc/key-users", "other users' keys"),
    ("/proc/keys", "other users' keys"),
    ("/proc/kmsg", "kernel addresses"),
    ("/proc/kpagecount", "physical pages"),
    ("/proc/kpageflags", "physical pages"),
    ("/proc/latency_stats", "other processes' timing"),
    ("/proc/modules", "which code is loaded"),
    ("/proc/pagetypeinfo", "physical pages"),
    ("/proc/sched_debug", "other processes"),
    ("/proc/scsi", "disks; can detach them"),
    ("/proc/slabinfo", "heap layout for exploits"),
    ("/proc/timer_list", "other processes, kernel addresses"),
    ("/proc/timer_stats", "other processes"),
    ("/proc/vmallocinfo", "kernel addresses"),
    ("/sys/class/powercap", "power side channel (CVE-2020-8694)"),
    ("/sys/devices/virtual/powercap", "power side channel (CVE-2020-8694)"),
    ("/sys/firmware", "hardware tables"),
    ("/sys/fs/bpf", "pinned programs of others"),
    ("/sys/fs/pstore", "crash dumps"),
    ("/sys/kernel/debug", "kernel internals"),
    ("/sys/kernel/security", "security policy"),
    ("/sys/kernel/tracing", "other processes"),
    ("/sys/module", "which code is loaded"),
];

/// Files that change the machine, with how. They are opened for writing, and nothing is written.
const READ_ONLY: [(&str, &str); 47] = [
    ("/proc/sysrq-trigger", "crashes or reboots the machine"),
    ("/proc/sys/kernel/core_pattern", "runs a program as root outside"),
    ("/proc/sys/kernel/modprobe", "runs a program as root outside"),
    ("/proc/sys/kernel/hotplug", "runs a program as root outside"),
    ("/proc/sys/kernel/usermodehelper/bset", "capabilities of the kernel's helpers"),
    ("/proc/sys/kernel/randomize_va_space", "weakens every process"),
    ("/proc/sys/kernel/kptr_restrict", "kernel addresses"),
    ("/proc/sys/kernel/yama/ptrace_scope", "weakens every process"),
    ("/proc/sys/kernel/unprivileged_bpf_disabled", "opens bpf"),
    ("/proc/sys/fs/binfmt_misc/register", "runs a program as root outside"),
    ("/proc/sys/fs/protected_symlinks", "weakens every process"),
    ("/proc/sys/fs/suid_dumpable", "memory of set-id programs"),
    ("/proc/sys/vm/panic_on_oom", "crashes the machine"),
    ("/proc/sys/vm/drop_caches", "slows the machine"),
    ("/proc/sys/vm/mmap_min_addr", "weakens the kernel"),
    ("/proc/sys/net/ipv4/ip_forward", "routes for others"),
    ("/proc/irq/default_smp_affinity", "interrupts"),
    ("/sys/kernel/uevent_helper", "runs a program as root outside"),
    ("/sys/kernel/mm/transparent_hugepage/enabled", "slows the machine"),
    ("/sys/kernel/profiling", "kernel internals"),
    ("/sys/power/state", "puts the machine to sleep"),
    ("/proc/sys/kernel/core_uses_pid", "core dumps outside"),
    ("/proc/sys/kernel/core_pipe_limit", "core dumps outside"),
    ("/proc/sys/kernel/poweroff_cmd", "runs a program as root outside"),
    ("/proc/sys/kernel/panic", "crashes the machine"),
    ("/proc/sys/kernel/panic_on_oops", "crashes the machine"),
    ("/proc/sys/kernel/sysrq", "crashes or reboots the machine"),
    ("/proc/sys/kernel/dmesg_restrict", "kernel messages"),
    ("/proc/sys/kernel/printk", "kernel messages"),
    ("/proc/sys/kernel/perf_event_paranoid", "opens perf events"),
    ("/proc/sys/kernel/kexec_load_disabled", "another kernel"),
    ("/proc/sys/kernel/io_uring_disabled", "opens io_uring"),
    ("/proc/sys/kernel/pid_max", "processes of everybody"),
    ("/proc/sys/kernel/threads-max", "processes of everybody"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "opens user namespaces"),
    ("/proc/sys/user/max_user_namespaces", "opens user namespaces"),
    ("/proc/sys/fs/file-max", "files of everybody"),
    ("/proc/sys/fs/protected_hardlinks", "weakens every process"),
    ("/proc/sys/fs/protected_regular", "weakens every process"),
    ("/proc/sys/vm/overcommit_memory", "memory of everybody"),
    ("/proc/sys/vm/swappiness", "slows the machine"),
    ("/proc/sys/vm/unprivileged_userfaultfd", "opens userfaultfd"),
    ("/proc/sys/net/core/bpf_jit_harden", "weakens the kernel"),
    ("/proc/sys/dev/tty/legacy_tiocsti", "typing into terminals"),
    ("/sys/kernel/mm/ksm/run", "side channels"),
    ("/sys/class/net/lo/mtu", "the host's network"),
    ("/sys/fs/cgroup/cgroup.procs", "leaves its limits"),
];

/// Nodes that every container has.
const DEVICES: [&str; 8] = ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"];

/// Most entries of a directory that are looked at.
const MAX_ENTRIES: usize = 4096;

pub(crate) fn rows(report: &mut Report, mounts: &str) {
    for (path, why) in MASKED {
        let (closed, answer) = masked(path);
        report.door("masked files", path, closed, answer, why);
    }
    for (path, why) in READ_ONLY {
        let (closed, answer) = read_only(path);
        report.door("read-only files", path, closed, answer, why);
    }
    release_agents(report, mounts);
    devices(report);
    descriptors(report);
}

/// Closed is: not there, not readable, or empty.
fn masked(path: &str) -> (bool, String) {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(errno) => return (true, absent(errno)),
    };
    let kind = rustix::fs::fstat(&file).map(|stat| FileType::from_raw_mode(stat.st_mode));
    // Records of the first are gone for everybody once they were read, and the others take the kernel
    // milliseconds to write: that they could be opened, and are no null device, is enough.
    if matches!(path, "/proc/kmsg" | "/proc/pagetypeinfo" | "/proc/vmallocinfo")
        && kind == Ok(FileType::RegularFile)
    {
        return (false, "readable".to_owned());
    }
    if kind == Ok(FileType::Directory) {
        let Ok(entries) = Dir::read_from(&file) else { return (true, "cannot be listed".to_owned()) };
        let count = entries
            .filter_map(Result::ok)
            .filter(|entry| !matches!(entry.file_name().to_bytes(), b"." | b".."))
            .take(MAX_ENTRIES)
            .count();
        return (count == 0, if count == 0 { "empty".to_owned() } else { format!("{count} entries") });
    }
    // A multiple of 8: the page files refuse anything else.
    let mut bytes = [0; 64];
    match rustix::io::read(&file, &mut bytes) {
        Ok(0) => (true, "empty".to_owned()),
        Ok(_) => (false, "readable".to_owned()),
        Err(errno) => (true, absent(errno)),
    }
}

fn read_only(path: &str) -> (bool, String) {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(_) => (false, "writable".to_owned()),
        Err(errno) => (true, absent(errno)),
    }
}

fn absent(errno: Errno) -> String {
    if errno == Errno::NOENT { "absent".to_owned() } else { errno_name(errno) }
}

/// `release_agent` of every cgroup v1 hierarchy that is visible here (CVE-2022-0492).
fn release_agents(report: &mut Report, mounts: &str) {
    const WHY: &str = "runs a program as root outside (CVE-2022-0492)";
    let mut seen = 0;
    let mut writable = Vec::new();
    for mount in crate::mount::parse(mounts).filter(|mount| mount.kind == "cgroup").take(32) {
        seen += 1;
        let path = format!("{}/release_agent", mount.target);
        if !read_only(&path).0 {
            writable.push(path);
        }
    }
    let answer = if seen == 0 {
        "no cgroup v1 here".to_owned()
    } else if writable.is_empty() {
        format!("none of {seen} writable")
    } else {
        format!("{} of {seen} writable: {}", writable.len(), writable[0])
    };
    report.door("read-only files", "cgroup release_agent", writable.is_empty(), answer, WHY);
}

fn devices(report: &mut Report) {
    const GROUP: &str = "devices";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(directory) = rustix::fs::open("/dev", flags, Mode::empty()) else {
        report.info(GROUP, "/dev", "cannot be read", "the machine's hardware");
        return;
    };
    let (mut usual, mut others) = (0, Vec::new());
    for entry in Dir::read_from(&directory).into_iter().flatten().filter_map(Result::ok).take(MAX_ENTRIES) {
        // Asked anew: the directory knows the file below a bind mount, not the node that is on it.
        let Ok(stat) = rustix::fs::statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::CharacterDevice | FileType::BlockDevice)
        {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        if DEVICES.contains(&name.as_str()) {
            usual += 1;
        } else if rustix::fs::accessat(&directory, entry.file_name(), Access::READ_OK, AtFlags::EACCESS)
            .is_ok()
        {
            // Judged by its mode alone: opening an unknown device can start, rewind or reset it.
            others.push(name);
        }
    }
    report.info(GROUP, "usual nodes", format!("{usual} of {}", DEVICES.len()), "what every program expects");
    let answer = if others.is_empty() {
        "none".to_owned()
    } else {
        others.sort_unstable();
        format!("{}: {}", others.len(), others.iter().take(6).cloned().collect::<Vec<_>>().join(" "))
    };
    report.door(GROUP, "other readable nodes", others.is_empty(), answer, "the machine's hardware");
    // Devices that can be opened without consequence, and should not be.
    for (path, why) in [
        ("/dev/mem", "all memory"),
        ("/dev/kmsg", "the kernel's log"),
        ("/dev/kvm", "virtual machines"),
        ("/dev/fuse", "file systems in the hands of a program"),
        ("/dev/net/tun", "packets of its own making"),
    ] {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let result = rustix::fs::open(path, flags, Mode::empty());
        let answer = result.as_ref().map_or_else(|errno| absent(*errno), |_| "opened".to_owned());
        report.door(GROUP, path, result.is_err(), answer, why);
    }
}

/// Descriptors beyond the standard streams (CVE-2024-21626), and terminals from outside among those.
fn descriptors(report: &mut Report) {
    const GROUP: &str = "inherited";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut extra = Vec::new();
    if let Ok(directory) = rustix::fs::open("/proc/self/fd", flags, Mode::empty()) {
        // Counted by what they refer to: our own look at the directory is among them.
        for entry in Dir::read_from(&directory).into_iter().flatten().filter_map(Result::ok).take(MAX_ENTRIES)
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(number) = name.parse::<u32>() else { continue };
            let target = rustix::fs::readlinkat(&directory, entry.file_name(), Vec::new())
                .map(|target| target.to_string_lossy().into_owned())
                .unwrap_or_default();
            if number > 2 && !(target.starts_with("/proc/") && target.ends_with("/fd")) {
                extra.push(format!("{number}={target}"));
            }
        }
        let answer = if extra.is_empty() { "none".to_owned() } else { extra.join(" ") };
        report.door(
            GROUP,
            "descriptors above 2",
            extra.is_empty(),
            answer,
            "the caller's files (CVE-2024-21626)",
        );
    } else {
        report.info(GROUP, "descriptors above 2", "cannot be read", "the caller's files (CVE-2024-21626)");
    }
    terminals(report, GROUP);
}

fn terminals(report: &mut Report, group: &'static str) {
    const WHY: &str = "the caller's own terminal could be written and typed into";
    let own = ["/dev/pts", "/dev/console"].map(|path| rustix::fs::stat(path).ok());
    let mut foreign = Vec::new();
    let mut terminals = 0;
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for (number, stream) in streams.into_iter().enumerate() {
        if !rustix::termios::isatty(stream) {
            continue;
        }
        terminals += 1;
        let Ok(stat) = rustix::fs::fstat(stream) else { continue };
        // A terminal of the container's own is on its own devpts, or is what is bound to /dev/console.
        let is_own = own.iter().flatten().any(|known| known.st_dev == stat.st_dev);
        if !is_own {
            foreign.push(number.to_string());
        }
    }
    if terminals == 0 {
        report.door(group, "terminal", true, "none", WHY);
    } else {
        let answer =
            if foreign.is_empty() { "its own".to_owned() } else { format!("stream {}", foreign.join(", ")) };
        report.door(group, "terminal", foreign.is_empty(), answer, WHY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_judged_by_what_can_be_read() {
        assert_eq!(masked("/nonexistent"), (true, "absent".to_owned()));
        assert_eq!(masked("/dev/null"), (true, "empty".to_owned()));
        assert_eq!(masked("/proc/self/status"), (false, "readable".to_owned()));
        assert!(!masked("/").0);
        assert_eq!(read_only("/nonexistent"), (true, "absent".to_owned()));
        assert_eq!(read_only("/dev/null"), (false, "writable".to_owned()));
    }
}
