//! What compiles is a program that the kernel's own checks accept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::runtime::Seccomp;
use seccomp::Arch;

fuzz_target!(|bytes: &[u8]| {
    let Ok(profile) = serde_json::from_slice::<Seccomp>(bytes) else { return };
    if let Ok(compiled) = seccomp::compile(&profile, Arch::X86_64) {
        let instructions = compiled.program.instructions();
        assert!(seccomp::emulate::Program::check(instructions).is_ok(), "{profile:?}");
    }
});
