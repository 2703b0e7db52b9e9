//! The calls that are refused by name, and the capabilities and sets that open them.
//!
//! `EPERM` where programs ask for a privilege they lack and say so; `ENOSYS` (no row, or `closed`)
//! where they fall back. A capability opens what it is for and nothing else.

use super::{ENOSYS, NamedSet, Open, Row};

/// The privilege is not there.
pub(super) const EPERM: u32 = 1;

/// Bits of capability sets (linux/capability.h).
pub(super) mod capability {
    pub(in crate::standard) const DAC_READ_SEARCH: u64 = 1 << 2;
    pub(in crate::standard) const NET_ADMIN: u64 = 1 << 12;
    pub(in crate::standard) const NET_RAW: u64 = 1 << 13;
    pub(in crate::standard) const SYS_MODULE: u64 = 1 << 16;
    pub(in crate::standard) const SYS_RAWIO: u64 = 1 << 17;
    pub(in crate::standard) const SYS_CHROOT: u64 = 1 << 18;
    pub(in crate::standard) const SYS_PTRACE: u64 = 1 << 19;
    pub(in crate::standard) const SYS_PACCT: u64 = 1 << 20;
    pub(in crate::standard) const SYS_ADMIN: u64 = 1 << 21;
    pub(in crate::standard) const SYS_BOOT: u64 = 1 << 22;
    pub(in crate::standard) const SYS_NICE: u64 = 1 << 23;
    pub(in crate::standard) const SYS_TIME: u64 = 1 << 25;
    pub(in crate::standard) const SYS_TTY_CONFIG: u64 = 1 << 26;
    pub(in crate::standard) const AUDIT_WRITE: u64 = 1 << 29;
    pub(in crate::standard) const SYSLOG: u64 = 1 << 34;
    pub(in crate::standard) const PERFMON: u64 = 1 << 38;
    pub(in crate::standard) const BPF: u64 = 1 << 39;
}

use capability::*;

const fn refuse(calls: &'static [&'static str]) -> Row {
    Row { calls, open: Open::Never, closed: EPERM, when: &[] }
}

const fn gate(calls: &'static [&'static str], closed: u32, holders: u64, sets: &'static [NamedSet]) -> Row {
    Row { calls, open: Open::To(holders, sets), closed, when: &[] }
}

pub(super) const ROWS: &[Row] = &[
    // Mounting: the way out in CVE-2022-0492 and CVE-2022-0185; engines inside need it.
    gate(
        &[
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "open_tree_attr",
            "pivot_root",
            "umount",
            "umount2",
        ],
        EPERM,
        SYS_ADMIN,
        &[NamedSet::Nested],
    ),
    // Namespaces: a new user namespace makes the kernel's privileged half reachable
    // (CVE-2022-0185, CVE-2023-32233, CVE-2024-1086); engines and browsers' sandboxes need it.
    gate(&["setns", "unshare"], EPERM, SYS_ADMIN, &[NamedSet::Nested]),
    // Names of the machine: hostname(1) as root, engines inside.
    gate(&["setdomainname", "sethostname"], EPERM, SYS_ADMIN, &[NamedSet::Nested]),
    // Key rings: shared beyond namespaces (CVE-2016-0728); engines inside make session rings.
    gate(&["add_key", "keyctl", "request_key"], EPERM, 0, &[NamedSet::Nested]),
    // Jails of old services, dpkg --root, debootstrap.
    gate(&["chroot"], EPERM, SYS_CHROOT, &[NamedSet::Nested]),
    // Debuggers, strace, sanitizers' leak checks, crash handlers.
    gate(
        &["kcmp", "pidfd_getfd", "process_vm_readv", "process_vm_writev", "ptrace"],
        EPERM,
        SYS_PTRACE,
        &[NamedSet::Debug],
    ),
    // Memory managers of other processes: Android's, systemd-oomd's.
    gate(&["process_madvise"], EPERM, SYS_PTRACE | SYS_NICE, &[]),
    // Programs in the kernel (CVE-2021-3490, CVE-2022-23222): tracing and network agents.
    gate(&["bpf"], EPERM, BPF | SYS_ADMIN, &[]),
    // perf, continuous profilers.
    gate(&["perf_event_open"], EPERM, PERFMON | SYS_ADMIN, &[]),
    // Nobody: a second way to make calls, past this filter (CVE-2022-29582, CVE-2023-2598,
    // CVE-2024-0582); node, postgres and tokio go on without.
    refuse(&["io_uring_enter", "io_uring_register", "io_uring_setup"]),
    // Nobody: winning kernel races; QEMU's post-copy and some garbage collectors want it.
    refuse(&["userfaultfd"]),
    // Opening files by number, past every directory's permission (shocker, 2014): file servers.
    gate(&["name_to_handle_at", "open_by_handle_at"], EPERM, DAC_READ_SEARCH, &[]),
    // The kernel's log: dmesg.
    gate(&["syslog"], EPERM, SYSLOG | SYS_ADMIN, &[]),
    // Disk quotas, file monitors of the whole system, profilers of old.
    gate(
        &["fanotify_init", "fanotify_mark", "lookup_dcookie", "quotactl", "quotactl_fd"],
        EPERM,
        SYS_ADMIN,
        &[],
    ),
    // Loading code into the kernel.
    gate(&["create_module", "delete_module", "finit_module", "init_module"], EPERM, SYS_MODULE, &[]),
    // Nobody: another kernel.
    refuse(&["kexec_file_load", "kexec_load"]),
    // Init programs: in a pid namespace it ends the container.
    gate(&["reboot"], EPERM, SYS_BOOT, &[]),
    // Nobody: the machine's swap, kernel tables of old.
    refuse(&["nfsservctl", "swapoff", "swapon", "uselib"]),
    // Process accounting.
    gate(&["acct"], EPERM, SYS_PACCT, &[]),
    // Ports of the hardware.
    gate(&["ioperm", "iopl"], EPERM, SYS_RAWIO, &[]),
    // chrony and ntpd: the machine's clock.
    gate(
        &[
            "adjtimex",
            "clock_adjtime",
            "clock_adjtime64",
            "clock_settime",
            "clock_settime64",
            "settimeofday",
            "stime",
        ],
        EPERM,
        SYS_TIME,
        &[],
    ),
    // login programs that own the terminal.
    gate(&["vhangup"], EPERM, SYS_TTY_CONFIG, &[]),
    // numactl, databases with NUMA tuning, ionice, chrt.
    gate(
        &[
            "get_mempolicy",
            "ioprio_set",
            "mbind",
            "migrate_pages",
            "move_pages",
            "sched_setattr",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
        EPERM,
        SYS_NICE,
        &[],
    ),
    // findmnt and systemd since Linux 6.8; they fall back to /proc.
    gate(&["listmount", "listns", "statmount"], ENOSYS, SYS_ADMIN, &[NamedSet::Nested]),
    // id, systemd: labels since Linux 6.8; they fall back to /proc/self/attr.
    gate(&["lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr"], ENOSYS, SYS_ADMIN, &[]),
];
