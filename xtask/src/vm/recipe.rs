//! What the virtual machines are made of. The cache is keyed by all of it.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The Debian release of the userland; the kernel is its backport.
pub(super) const RELEASE: &str = "bookworm";
/// Where the packages come from.
pub(super) const MIRROR: &str = "http://deb.debian.org/debian";
/// The package whose newest dependency is the kernel: small, without drivers for real hardware.
pub(super) const KERNEL: &str = "linux-image-cloud-amd64/bookworm-backports";

/// A newer emulator than the release's own 7.2, which has faults that break the guest's kernel. It is unpacked in the cache, not installed; where it does not start, the installed one is taken.
pub(super) const EMULATOR: &[&str] = &[
    "qemu-system-x86/bookworm-backports",
    "qemu-system-data/bookworm-backports",
    "seabios/bookworm-backports",
];

/// What the userland holds beside Debian's essential packages.
pub(super) const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "dbus-user-session",
    "libpam-systemd",
    "udev",
    "kmod",
    "apparmor",
    "selinux-policy-default",
    "selinux-basics",
    "policycoreutils",
    "semodule-utils",
    "iproute2",
    "procps",
    "uidmap",
    "busybox-static",
    "strace",
];

/// The scripts that run inside, and on the host while the image is made: file name and text.
pub(super) const SCRIPTS: &[(&str, &str)] = &[
    ("initrd.sh", include_str!("guest/initrd.sh")),
    ("init.sh", include_str!("guest/init.sh")),
    ("prepare.sh", include_str!("guest/prepare.sh")),
    ("agent.sh", include_str!("guest/agent.sh")),
    ("login.sh", include_str!("guest/login.sh")),
    ("serve.sh", include_str!("guest/serve.sh")),
    ("agent.service", include_str!("guest/agent.service")),
    ("agent.target", include_str!("guest/agent.target")),
    ("install.sh", include_str!("guest/install.sh")),
    ("label.sh", include_str!("guest/label.sh")),
    ("container.cil", include_str!("guest/container.cil")),
];

/// What a machine has besides its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flavour {
    /// A small init of ours, no systemd.
    Plain,
    /// systemd, dbus, logind; AppArmor is on, as Debian ships it.
    AppArmor,
    /// The same userland with SELinux enforcing.
    SeLinux,
}

impl Flavour {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::AppArmor, Self::SeLinux];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::AppArmor => "apparmor",
            Self::SeLinux => "selinux",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flavour| flavour.name() == name)
    }

    /// The kernel's command line. Tests know their flavour by `brig.vm`.
    pub(super) fn kernel_arguments(self) -> String {
        let own = match self {
            Self::Plain => "brig_init=/brig/init",
            Self::AppArmor => "systemd.unit=brig-agent.target",
            Self::SeLinux => "systemd.unit=brig-agent.target security=selinux selinux=1 enforcing=1",
        };
        // Emulation: no mitigations, no clock source tournament. Panic means reboot, which QEMU turns into an exit.
        format!(
            "console=ttyS0 quiet panic=-1 mitigations=off audit=1 tsc=reliable no_timer_check nokaslr \
             net.ifnames=0 hugepages=8 brig.vm={} {own}",
            self.name()
        )
    }
}

/// QEMU's arguments that make the machine itself. A snapshot can be loaded only into the machine it was made of.
///
/// Two processors and two memory nodes, so that a cpuset has something to choose; on one thread of the host: on two the
/// guest now and then runs a breakpoint that its kernel has taken out of its own code already, and dies of it (the first
/// quota of a boot patches the scheduler). QEMU 7.2's `cmpxchg16b` loses flags, which crashes the kernel's allocator:
/// `cx16=off`.
pub(super) const MACHINE: &[&str] = &[
    "-machine",
    "q35,usb=off",
    "-accel",
    "tcg,tb-size=512,thread=single",
    "-cpu",
    "max,cx16=off",
    "-m",
    "1024",
    "-smp",
    "2",
    "-object",
    "memory-backend-ram,id=memory0,size=640M",
    "-object",
    "memory-backend-ram,id=memory1,size=384M",
    "-numa",
    "node,memdev=memory0,cpus=0",
    "-numa",
    "node,memdev=memory1,cpus=1",
    "-display",
    "none",
    "-nodefaults",
    "-no-reboot",
];

/// Sizes of the disks in MiB: root, build, swap. The files have holes.
pub(super) const ROOT_SIZE: u64 = 4_096;
pub(super) const BUILD_SIZE: u64 = 512;
pub(super) const SWAP_SIZE: u64 = 256;

/// The key of the userland: it changes with the packages only.
pub(super) fn userland_key() -> String {
    key(&(RELEASE, MIRROR, KERNEL, EMULATOR, PACKAGES))
}

/// The key of a flavour's snapshot: it changes with anything, the emulator's version too.
pub(super) fn snapshot_key(flavour: Flavour, emulator: &str) -> String {
    key(&(
        userland_key(),
        SCRIPTS,
        MACHINE,
        flavour.kernel_arguments(),
        (ROOT_SIZE, BUILD_SIZE, SWAP_SIZE),
        emulator,
    ))
}

fn key(what: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_where_the_recipe_does() {
        let keys = Flavour::ALL.map(|flavour| snapshot_key(flavour, "7.2"));
        assert!(keys[0] != keys[1] && keys[1] != keys[2]);
        assert_eq!(keys[0], snapshot_key(Flavour::Plain, "7.2"));
        assert_ne!(keys[0], snapshot_key(Flavour::Plain, "10.0"));
    }

    #[test]
    fn flavours_have_names() {
        for flavour in Flavour::ALL {
            assert_eq!(Flavour::named(flavour.name()), Some(flavour));
        }
        assert_eq!(Flavour::named("fedora"), None);
    }
}
