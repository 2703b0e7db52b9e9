//! K10: kernel files that run a program as root outside, crash the machine or weaken every process.
//!
//! They are opened for writing; nothing is written. In a container with a user namespace of its own they are
//! also not its root's: three defences hold, and the control leaves all of them out.

use std::fs;

use tests::escape::{Kind, Row, Target};
use tests::{Brig, control, held};

use crate::doors::{Door, are_open, assert_closed};

pub(crate) const ROW: Row = Row {
    id: "K10",
    title: "writing kernel files: core_pattern, sysrq, helpers, sysctls",
    faults: &["CVE-2022-0811", "CVE-2025-31133"],
    kinds: &[Kind::Inside],
    defence: "container/src/kernel_files.rs: read-only and masked, no CAP_SYS_ADMIN, read back after the start",
};

/// Closed by default.
const DOORS: &[Door] = &[
    ("read-only files", "/proc/sysrq-trigger"),
    ("read-only files", "/proc/sys/kernel/core_pattern"),
    ("read-only files", "/proc/sys/kernel/modprobe"),
    ("read-only files", "/proc/sys/kernel/hotplug"),
    ("read-only files", "/proc/sys/kernel/usermodehelper/bset"),
    ("read-only files", "/proc/sys/kernel/randomize_va_space"),
    ("read-only files", "/proc/sys/kernel/kptr_restrict"),
    ("read-only files", "/proc/sys/kernel/unprivileged_bpf_disabled"),
    ("read-only files", "/proc/sys/fs/binfmt_misc/register"),
    ("read-only files", "/proc/sys/fs/protected_symlinks"),
    ("read-only files", "/proc/sys/fs/suid_dumpable"),
    ("read-only files", "/proc/sys/vm/panic_on_oom"),
    ("read-only files", "/proc/sys/vm/drop_caches"),
    ("read-only files", "/proc/sys/vm/mmap_min_addr"),
    ("read-only files", "/proc/irq/default_smp_affinity"),
    ("read-only files", "/sys/kernel/uevent_helper"),
    ("read-only files", "/sys/kernel/profiling"),
    ("read-only files", "/sys/power/state"),
    ("read-only files", "/proc/sys/kernel/core_uses_pid"),
    ("read-only files", "/proc/sys/kernel/core_pipe_limit"),
    ("read-only files", "/proc/sys/kernel/poweroff_cmd"),
    ("read-only files", "/proc/sys/kernel/panic"),
    ("read-only files", "/proc/sys/kernel/panic_on_oops"),
    ("read-only files", "/proc/sys/kernel/sysrq"),
    ("read-only files", "/proc/sys/kernel/dmesg_restrict"),
    ("read-only files", "/proc/sys/kernel/printk"),
    ("read-only files", "/proc/sys/kernel/perf_event_paranoid"),
    ("read-only files", "/proc/sys/kernel/kexec_load_disabled"),
    ("read-only files", "/proc/sys/kernel/io_uring_disabled"),
    ("read-only files", "/proc/sys/kernel/pid_max"),
    ("read-only files", "/proc/sys/kernel/threads-max"),
    ("read-only files", "/proc/sys/user/max_user_namespaces"),
    ("read-only files", "/proc/sys/fs/file-max"),
    ("read-only files", "/proc/sys/fs/protected_hardlinks"),
    ("read-only files", "/proc/sys/fs/protected_regular"),
    ("read-only files", "/proc/sys/vm/overcommit_memory"),
    ("read-only files", "/proc/sys/vm/swappiness"),
    ("read-only files", "/proc/sys/vm/unprivileged_userfaultfd"),
    ("read-only files", "/proc/sys/net/ipv4/ip_forward"),
    ("read-only files", "/proc/sys/net/core/bpf_jit_harden"),
    ("read-only files", "/proc/sys/dev/tty/legacy_tiocsti"),
    ("read-only files", "/sys/kernel/mm/ksm/run"),
    ("read-only files", "/sys/class/net/lo/mtu"),
    ("read-only files", "/sys/fs/cgroup/cgroup.procs"),
];

/// Those that this kernel was built with.
const BUILT: &[Door] = &[
    ("read-only files", "/proc/sys/kernel/core_pattern"),
    ("read-only files", "/proc/sys/kernel/usermodehelper/bset"),
    ("read-only files", "/proc/sys/kernel/randomize_va_space"),
    ("read-only files", "/proc/sys/kernel/poweroff_cmd"),
    ("read-only files", "/proc/sys/kernel/panic"),
    ("read-only files", "/proc/sys/fs/suid_dumpable"),
    ("read-only files", "/proc/sys/vm/panic_on_oom"),
    ("read-only files", "/sys/power/state"),
];

/// The settings themselves, as the host has them.
fn settings() -> Vec<Option<String>> {
    DOORS
        .iter()
        .filter(|(_, path)| !path.contains("drop_caches"))
        .map(|(_, path)| fs::read_to_string(path).ok())
        .collect()
}

fn check(brig: &Brig) {
    let before = settings();
    assert!(DOORS.len() >= 40);
    assert_closed(brig, &[], DOORS);
    assert_closed(brig, &["--profile=strict"], DOORS);
    assert_eq!(settings(), before);
}

held!(closed_by_default, [root, user, bare], |brig| {
    check(brig);
});

// Without masks and read-only mounts the user namespace alone has to hold.
held!(closed_by_the_user_namespace_alone, [root, user], |brig| {
    assert_closed(brig, &["--unmask=ALL"], BUILT);
});

control!(open_where_all_is_opened, Target::Opened("--privileged --userns=host"), [root], |brig| {
    are_open(brig, &["--privileged", "--userns=host"], BUILT)
});
