//! What only another machine can show: pure cgroup v2, systemd, AppArmor, SELinux. `cargo xtask vm` runs these tests in
//! virtual machines, each in a fresh one; elsewhere they are skipped, aloud. See `docs/vm.md`.
#![forbid(unsafe_code)]

mod apparmor;
mod container;
mod cpu;
mod devices;
mod engine;
mod first;
mod io;
mod machine;
mod memory;
mod modules;
mod propagation;
mod quota;
mod scope;
mod selinux;
mod session;
mod tasks;
mod userns;

pub(crate) use machine::Machine;

/// Declares a test, the machines and the people it is for:
/// `vm_test!(name, [plain, apparmor], [root, user], |machine| { ... });` makes the tests `name::plain::root`,
/// `name::plain::user`, `name::apparmor::root` and `name::apparmor::user`. `cargo xtask vm` reads flavour and person
/// from these names.
macro_rules! vm_test {
    ($name:ident, [$($flavour:ident),+ $(,)?], $people:tt, |$machine:ident| $body:block) => {
        mod $name {
            #[allow(unused_imports, reason = "a test may use only its argument")]
            use super::*;
            fn test($machine: &$crate::Machine) $body
            $(mod $flavour {
                $crate::vm_test!(@ $flavour, $people);
            })+
        }
    };
    (@ $flavour:ident, [$($person:ident),+ $(,)?]) => {
        $(
            #[test]
            fn $person() {
                testkit::needs!(vm(stringify!($flavour)));
                super::test(&$crate::Machine::of(stringify!($flavour), stringify!($person)));
            }
        )+
    };
}
pub(crate) use vm_test;
