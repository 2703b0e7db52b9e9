//! The architectures whose calls we know.

use crate::table::{self, Calls};

/// Set in every x32 call number (`__X32_SYSCALL_BIT`).
pub(crate) const X32_BIT: u32 = 0x4000_0000;

/// ARM's private calls (`__ARM_NR_BASE`) start here, far above the ordinary ones.
const ARM_PRIVATE: u32 = 0x000f_0000;

/// A system call ABI: a table of call numbers and the width of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86 (i386), also the compatibility ABI of `X86_64`.
    X86,
    /// 32-bit pointers on `X86_64`: the same audit architecture, numbers with bit 30 set.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM (EABI), also the compatibility ABI of `Aarch64`.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
}

impl Arch {
    /// Every architecture with a table.
    pub const ALL: [Self; 6] = [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm, Self::Riscv64];

    /// The architecture this program was built for; `None` where there is no table.
    #[must_use]
    pub const fn native() -> Option<Self> {
        if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            Some(Self::X86_64)
        } else if cfg!(target_arch = "x86_64") {
            Some(Self::X32)
        } else if cfg!(target_arch = "x86") {
            Some(Self::X86)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Aarch64)
        } else if cfg!(target_arch = "arm") {
            Some(Self::Arm)
        } else if cfg!(target_arch = "riscv64") {
            Some(Self::Riscv64)
        } else {
            None
        }
    }

    /// The name in OCI profiles (`SCMP_ARCH_*`).
    #[must_use]
    pub const fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X86 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
            Self::Riscv64 => "SCMP_ARCH_RISCV64",
        }
    }

    /// The name in Docker's and podman's `arches` lists (Go's `GOARCH`, and libseccomp's).
    #[must_use]
    pub const fn go_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::X86 => "x86",
            Self::X32 => "x32",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
            Self::Riscv64 => "riscv64",
        }
    }

    /// Finds an architecture by its OCI name.
    #[must_use]
    pub fn from_oci(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.oci_name() == name)
    }

    /// Whether an OCI name is one that the specification lists but that has no table here.
    pub(crate) fn is_foreign(name: &str) -> bool {
        const FOREIGN: [&str; 17] = [
            "SCMP_ARCH_LOONGARCH64",
            "SCMP_ARCH_M68K",
            "SCMP_ARCH_MIPS",
            "SCMP_ARCH_MIPS64",
            "SCMP_ARCH_MIPS64N32",
            "SCMP_ARCH_MIPSEL",
            "SCMP_ARCH_MIPSEL64",
            "SCMP_ARCH_MIPSEL64N32",
            "SCMP_ARCH_PARISC",
            "SCMP_ARCH_PARISC64",
            "SCMP_ARCH_PPC",
            "SCMP_ARCH_PPC64",
            "SCMP_ARCH_PPC64LE",
            "SCMP_ARCH_S390",
            "SCMP_ARCH_S390X",
            "SCMP_ARCH_SH",
            "SCMP_ARCH_SHEB",
        ];
        FOREIGN.contains(&name)
    }

    /// What `seccomp_data.arch` holds for calls of this ABI (`AUDIT_ARCH_*`).
    #[must_use]
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
        }
    }

    /// Whether arguments are compared on 64 bits; on the others the upper half is not looked at.
    #[must_use]
    pub const fn is_wide(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64 | Self::Riscv64)
    }

    /// All calls, sorted by name.
    #[must_use]
    pub fn calls(self) -> Calls {
        table::calls(self)
    }

    /// The number of a call, x32's bit included.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        self.calls().number(name)
    }

    /// The first name of a number, for messages.
    #[must_use]
    pub fn name(self, number: u32) -> Option<&'static str> {
        self.calls().iter().find(|(_, known)| *known == number).map(|(name, _)| name)
    }

    /// Where the ordinary, growing part of the table ends, if there is more behind it.
    pub(crate) const fn ordinary_end(self) -> Option<u32> {
        match self {
            Self::Arm => Some(ARM_PRIVATE),
            _ => None,
        }
    }

    /// Whether a number belongs to the ordinary part of the table.
    pub(crate) fn is_ordinary(self, number: u32) -> bool {
        self.ordinary_end().is_none_or(|end| number < end)
    }
}

/// Whether any table has this call.
pub(crate) fn is_known(name: &str) -> bool {
    Arch::ALL.into_iter().any(|arch| arch.number(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_plausible() {
        for arch in Arch::ALL {
            assert!(arch.calls().iter().is_sorted_by(|a, b| a.0 < b.0), "{arch:?}");
            assert!(arch.calls().count() > 300, "{arch:?}");
            for (name, number) in arch.calls().iter() {
                assert_eq!(number & X32_BIT != 0, arch == Arch::X32, "{arch:?} {name}");
            }
        }
    }

    #[test]
    fn numbers_are_the_kernels() {
        let rows = [
            (Arch::X86_64, "read", 0),
            (Arch::X86_64, "clone3", 435),
            (Arch::X86, "socketcall", 102),
            (Arch::X86, "socket", 359),
            (Arch::X32, "execve", X32_BIT | 520),
            (Arch::Aarch64, "openat", 56),
            (Arch::Arm, "set_tls", 0xf0005),
            (Arch::Riscv64, "riscv_hwprobe", 258),
            (Arch::Riscv64, "listns", 470),
        ];
        for (arch, name, number) in rows {
            assert_eq!(arch.number(name), Some(number), "{arch:?} {name}");
        }
        assert_eq!(Arch::Aarch64.number("open"), None);
        assert_eq!(
            Arch::native().and_then(|arch| arch.number("getpid")),
            u32::try_from(libc::SYS_getpid).ok()
        );
    }
}
