//! Files of the kernel that a container does not need and that have leaked or been used before.
//!
//! The union of Docker's and podman's lists, and files that map the kernel's memory or code. A mask costs
//! a mount, so each row names what it hides; a path that the kernel does not have costs nothing.

/// Hidden: a directory shows nothing, a file reads as empty.
pub const MASKED: &[&str] = &[
    // Firmware tables, some writable, some that name the machine.
    "/proc/acpi",
    "/sys/firmware",
    // Sound hardware of the host.
    "/proc/asound",
    // Counters that show other tenants' keystrokes and packets (GHSA-6fw5-f8r9-fgfm).
    "/proc/interrupts",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/latency_stats",
    // Memory of the kernel, its layout and its symbols.
    "/proc/kcore",
    "/proc/kallsyms",
    "/proc/modules",
    "/proc/config.gz",
    "/proc/slabinfo",
    "/proc/vmallocinfo",
    "/proc/pagetypeinfo",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/kpagecgroup",
    // Keys, which no namespace separates.
    "/proc/keys",
    "/proc/key-users",
    // Configuration space of the machine's devices, and the parameters of its modules.
    "/proc/bus/pci",
    "/sys/module",
    // SCSI devices can be removed here.
    "/proc/scsi",
    // Power counters leak what other processes compute (CVE-2020-8694).
    "/sys/devices/virtual/powercap",
    // The security module's switches.
    "/sys/fs/selinux",
];

/// Hidden as well where `/sys` is the host's own tree, because file systems are mounted below it there.
pub(crate) const MASKED_HOST_SYS: &[&str] = &[
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/kernel/security",
    "/sys/fs/bpf",
    "/sys/fs/pstore",
    "/sys/fs/fuse/connections",
];

/// What Docker hides, for the profile of that name.
pub(crate) const MASKED_DOCKER: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Visible and read-only.
pub const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The directory whose counters show what a neighbour on the same core does (GHSA-6fw5-f8r9-fgfm).
pub(crate) fn thermal(processor: u32) -> String {
    format!("/sys/devices/system/cpu/cpu{processor}/thermal_throttle")
}
