//! K11: readable kernel files that are side channels or maps of the kernel: power and interrupt counters, addresses, keys.

use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::doors::{Door, are_open, are_open_under_podman, assert_closed};

pub(crate) const ROW: Row = Row {
    id: "K11",
    title: "reading kernel files: power and interrupt counters, addresses, keys",
    faults: &["CVE-2020-8694", "GO-2023-2412", "GHSA-6fw5-f8r9-fgfm"],
    kinds: &[Kind::Inside],
    defence: "container/src/kernel_files.rs: masked, more than Docker and podman together",
};

/// Hidden by default.
const DOORS: &[Door] = &[
    ("masked files", "/proc/acpi"),
    ("masked files", "/proc/asound"),
    ("masked files", "/proc/bus/pci"),
    ("masked files", "/proc/config.gz"),
    ("masked files", "/proc/interrupts"),
    ("masked files", "/proc/kallsyms"),
    ("masked files", "/proc/kcore"),
    ("masked files", "/proc/key-users"),
    ("masked files", "/proc/keys"),
    ("masked files", "/proc/kmsg"),
    ("masked files", "/proc/kpagecount"),
    ("masked files", "/proc/kpageflags"),
    ("masked files", "/proc/latency_stats"),
    ("masked files", "/proc/modules"),
    ("masked files", "/proc/pagetypeinfo"),
    ("masked files", "/proc/sched_debug"),
    ("masked files", "/proc/scsi"),
    ("masked files", "/proc/slabinfo"),
    ("masked files", "/proc/timer_list"),
    ("masked files", "/proc/timer_stats"),
    ("masked files", "/proc/vmallocinfo"),
    ("masked files", "/sys/class/powercap"),
    ("masked files", "/sys/devices/virtual/powercap"),
    ("masked files", "/sys/firmware"),
    ("masked files", "/sys/fs/bpf"),
    ("masked files", "/sys/fs/pstore"),
    ("masked files", "/sys/kernel/debug"),
    ("masked files", "/sys/kernel/security"),
    ("masked files", "/sys/kernel/tracing"),
    ("masked files", "/sys/module"),
];

held!(hidden_by_default, [root, user, bare], |brig| {
    assert_closed(brig, &[], DOORS);
    assert_closed(brig, &["--profile=strict"], DOORS);
});

control!(shown_by_podman, Target::Debian("podman", "4.3.1"), [root], |brig| {
    are_open_under_podman(
        brig,
        &[
            ("masked files", "/proc/interrupts"),
            ("masked files", "/proc/kallsyms"),
            ("masked files", "/proc/kpagecount"),
            ("masked files", "/proc/slabinfo"),
            ("masked files", "/proc/vmallocinfo"),
            ("masked files", "/proc/config.gz"),
            ("masked files", "/sys/module"),
        ],
    )
});

control!(shown_when_unmasked, Target::Opened("--unmask=ALL"), [root, user], |brig| {
    are_open(
        brig,
        &["--unmask=ALL"],
        &[
            ("masked files", "/proc/interrupts"),
            ("masked files", "/proc/kallsyms"),
            ("masked files", "/proc/keys"),
            ("masked files", "/proc/key-users"),
            ("masked files", "/proc/config.gz"),
            ("masked files", "/sys/firmware"),
            ("masked files", "/sys/module"),
        ],
    )
});
