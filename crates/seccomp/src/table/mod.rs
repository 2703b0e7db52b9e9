//! Call numbers by name, one generated file per architecture.

mod aarch64;
mod arm;
mod riscv64;
mod x32;
mod x86;
mod x86_64;

use crate::arch::Arch;

pub(crate) fn calls(arch: Arch) -> &'static [(&'static str, u32)] {
    match arch {
        Arch::X86_64 => x86_64::CALLS,
        Arch::X86 => x86::CALLS,
        Arch::X32 => x32::CALLS,
        Arch::Aarch64 => aarch64::CALLS,
        Arch::Arm => arm::CALLS,
        Arch::Riscv64 => riscv64::CALLS,
    }
}
