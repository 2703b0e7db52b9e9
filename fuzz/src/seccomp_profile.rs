//! Profiles as JSON, OCI's and Docker's: a refusal of bounded length, or a filter that the kernel's checks accept, that is the same each time, and that answers every ABI.

use oci::runtime::Seccomp;
use seccomp::emulate::{Data, Program};
use seccomp::profile::{Facts, resolve};
use seccomp::{Action, Arch, compile};

/// Most bytes of an input.
pub const MAX_LEN: usize = 8192;

/// Checks one input.
pub fn check(bytes: &[u8]) {
    if let Ok(profile) = serde_json::from_slice::<Seccomp>(bytes) {
        let again = serde_json::to_vec(&profile).expect("a profile is made of strings and numbers");
        assert_eq!(serde_json::from_slice::<Seccomp>(&again).ok().as_ref(), Some(&profile));
        check_profile(&profile);
    }
    for (capabilities, kernel) in [(0, (5, 14)), (u64::MAX >> 23, (6, 18))] {
        match resolve(bytes, &Facts { capabilities, native: Arch::X86_64, kernel }) {
            Ok(profile) => check_profile(&profile),
            Err(error) => assert!(error.to_string().len() < 16 << 10),
        }
    }
}

fn check_profile(profile: &Seccomp) {
    for native in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
        let compiled = match compile(profile, native) {
            Ok(compiled) => compiled,
            Err(error) => {
                assert!(error.to_string().len() < 16 << 10);
                continue;
            }
        };
        assert_eq!(compile(profile, native).ok().as_ref(), Some(&compiled));
        let instructions = compiled.program.instructions();
        let program = Program::check(instructions).unwrap_or_else(|error| panic!("{error}: {profile:?}"));
        // A foreign ABI never gets more than the profile's default, unless it is listed.
        for arch in Arch::ALL {
            let listed = arch == native || profile.architectures.iter().any(|name| Arch::from_oci(name) == Some(arch));
            let shares = |name: &String| Arch::from_oci(name).is_some_and(|other| other.audit() == arch.audit());
            let listed = listed || arch.audit() == native.audit() || profile.architectures.iter().any(shares);
            for number in [0, 1, 16, 0x4000_0000, u32::MAX] {
                let data = Data { number, arch: arch.audit(), ..Data::default() };
                let action = Action::decode(program.run(&data));
                assert!(program.steps(&data) <= instructions.len());
                assert!(listed || matches!(action, Action::KillProcess | Action::Errno(38)), "{arch:?}: {action:?}");
            }
        }
    }
}
