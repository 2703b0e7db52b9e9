//! A profile becomes a program.

use std::borrow::Cow;
use std::os::fd::BorrowedFd;

use oci::runtime::Seccomp;
use sys::seccomp::{self as kernel, Instruction};

use crate::action::Action;
use crate::arch::Arch;
use crate::error::{Error, Warning};
use crate::{cache, generate, policy, standard};

/// Rules of one profile; the published ones have under 100.
const RULE_LIMIT: usize = 8192;
/// Names in all rules of one profile; the published ones have under 500.
const NAME_LIMIT: usize = 65_536;
/// Conditions in all rules of one profile; BPF has room for fewer.
const CONDITION_LIMIT: usize = 8192;
/// Architectures and flags of one profile.
const LIST_LIMIT: usize = 64;

/// `ENOSYS`, the default errno with which foreign ABIs are refused kindly.
const ENOSYS: u16 = 38;

/// A filter ready for the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    instructions: Cow<'static, [Instruction]>,
    flags: u32,
    notify: bool,
}

impl Program {
    pub(crate) fn new(instructions: Cow<'static, [Instruction]>, flags: u32) -> Self {
        let answers_notify = |instruction: &Instruction| {
            instruction.code == crate::assemble::code::RETURN && instruction.k == kernel::RET_USER_NOTIF
        };
        let notify = instructions.iter().any(answers_notify);
        Self { instructions, flags, notify }
    }

    /// The BPF, 1 to 4096 instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// What to pass to [`sys::seccomp::install`]: the profile's flags, and `NEW_LISTENER` if the
    /// program notifies. `WAIT_KILLABLE_RECV` (Linux 5.19) is kept only then: the kernel refuses it
    /// without a listener, and TSYNC with a listener needs `TSYNC_ESRCH`.
    #[must_use]
    pub const fn flags(&self) -> u32 {
        let mut flags = self.flags;
        if self.notify {
            flags |= kernel::FLAG_NEW_LISTENER;
            if flags & kernel::FLAG_TSYNC != 0 {
                flags |= kernel::FLAG_TSYNC_ESRCH;
            }
        } else {
            flags &= !kernel::FLAG_WAIT_KILLABLE_RECV;
        }
        flags
    }

    /// Whether some call is answered by a listener.
    #[must_use]
    pub const fn has_notify(&self) -> bool {
        self.notify
    }
}

/// A program, and what of its profile was ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// The filter.
    pub program: Program,
    /// For people; the program is right without them.
    pub warnings: Vec<Warning>,
}

/// Compiles a profile for a machine whose own ABI is `native`.
///
/// `listenerPath` and `listenerMetadata` are the runtime's business and not looked at.
pub fn compile(profile: &Seccomp, native: Arch) -> Result<Compiled, Error> {
    check_sizes(profile)?;
    let flags = flags(profile)?;
    let default = Action::parse(&profile.default_action, profile.default_errno_ret)?;
    if default == Action::Notify {
        return Err(Error::NotifyDefault);
    }
    let mut warnings = Vec::new();
    let mut policies = Vec::with_capacity(1 + profile.architectures.len());
    for arch in architectures(profile, native, &mut warnings)? {
        policies.push(policy::lower(profile, default, arch, &mut warnings)?);
    }
    let foreign = match default {
        Action::Errno(ENOSYS) => default,
        _ => Action::KillProcess,
    };
    let instructions = generate::generate(&policies, foreign.encode())?;
    Ok(Compiled { program: Program::new(Cow::Owned(instructions), flags), warnings })
}

/// Gives a profile's program the cheapest way there is: from the binary if it is Brigantine's
/// default, else from `cache` (a directory of the caller's own), else compiled and then kept there.
///
/// An unreadable, wrong or damaged cache entry is compiled anew; one that cannot be written is not
/// an error. Warnings come only with a fresh compilation.
pub fn load(profile: &Seccomp, native: Arch, cache: Option<BorrowedFd<'_>>) -> Result<Compiled, Error> {
    if let Some(program) = standard::built_in(profile, native) {
        return Ok(Compiled { program, warnings: Vec::new() });
    }
    let Some(directory) = cache else { return compile(profile, native) };
    check_sizes(profile)?;
    let key = cache::Key::of(profile, native);
    if let Some(instructions) = cache::read(directory, &key) {
        let program = Program::new(Cow::Owned(instructions), flags(profile)?);
        return Ok(Compiled { program, warnings: Vec::new() });
    }
    let compiled = compile(profile, native)?;
    // The program is at hand: a full or read-only cache costs the next start time, no safety.
    drop(cache::write(directory, &key, compiled.program.instructions()));
    Ok(compiled)
}

/// Native first, each once.
fn architectures(profile: &Seccomp, native: Arch, warnings: &mut Vec<Warning>) -> Result<Vec<Arch>, Error> {
    let mut architectures = vec![native];
    for name in &profile.architectures {
        match Arch::from_oci(name) {
            Some(arch) if architectures.contains(&arch) => {}
            Some(arch) => architectures.push(arch),
            None if Arch::is_foreign(name) => warnings.push(Warning::ForeignArch(name.clone())),
            None => return Err(Error::UnknownArch { name: name.clone() }),
        }
    }
    Ok(architectures)
}

fn flags(profile: &Seccomp) -> Result<u32, Error> {
    let mut flags = 0;
    for name in profile.flags.iter().flatten() {
        flags |= match name.as_str() {
            "SECCOMP_FILTER_FLAG_TSYNC" => kernel::FLAG_TSYNC,
            "SECCOMP_FILTER_FLAG_LOG" => kernel::FLAG_LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => kernel::FLAG_SPEC_ALLOW,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => kernel::FLAG_WAIT_KILLABLE_RECV,
            _ => return Err(Error::UnknownFlag { name: name.clone() }),
        };
    }
    Ok(flags)
}

fn check_sizes(profile: &Seccomp) -> Result<(), Error> {
    let names = profile.syscalls.iter().map(|rule| rule.names.len()).sum();
    let conditions = profile.syscalls.iter().map(|rule| rule.args.len()).sum();
    let flags = profile.flags.as_ref().map_or(0, Vec::len);
    for (what, count, limit) in [
        ("rules", profile.syscalls.len(), RULE_LIMIT),
        ("names", names, NAME_LIMIT),
        ("conditions", conditions, CONDITION_LIMIT),
        ("architectures", profile.architectures.len(), LIST_LIMIT),
        ("flags", flags, LIST_LIMIT),
    ] {
        if count > limit {
            return Err(Error::TooMany { what, count, limit });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use oci::runtime::{SeccompArg, SeccompRule};

    use super::*;
    use crate::emulate::{Data, emulate};

    fn rule(names: &[&str], action: &str, args: &[(u32, u64, &str)]) -> SeccompRule {
        let arg = |(index, value, op): &(u32, u64, &str)| SeccompArg {
            index: *index,
            value: *value,
            value_two: 0,
            op: (*op).to_owned(),
        };
        SeccompRule {
            names: names.iter().map(ToString::to_string).collect(),
            action: action.to_owned(),
            errno_ret: None,
            args: args.iter().map(arg).collect(),
        }
    }

    fn profile(default: &str, syscalls: Vec<SeccompRule>) -> Seccomp {
        Seccomp { default_action: default.to_owned(), syscalls, ..Seccomp::default() }
    }

    fn answer(program: &Program, arch: Arch, number: u32, first: u64) -> Action {
        let arguments = [first, 0, 0, 0, 0, 0];
        let data = Data { number, arch: arch.audit(), instruction_pointer: 0, arguments };
        emulate(program.instructions(), &data).unwrap()
    }

    const ERRNO: &str = "SCMP_ACT_ERRNO";
    const ALLOW: &str = "SCMP_ACT_ALLOW";

    #[test]
    fn rules_combine_as_documented() {
        let rows: [(&str, Vec<SeccompRule>, u64, Action); 7] = [
            (
                "unconditional wins",
                vec![rule(&["read"], ALLOW, &[(0, 1, "SCMP_CMP_EQ")]), rule(&["read"], "SCMP_ACT_TRAP", &[])],
                1,
                Action::Trap,
            ),
            (
                "the first unconditional wins",
                vec![rule(&["read"], "SCMP_ACT_LOG", &[]), rule(&["read"], ALLOW, &[])],
                0,
                Action::Log,
            ),
            (
                "a rule that is the default is no rule",
                vec![rule(&["read"], ERRNO, &[]), rule(&["read"], ALLOW, &[(0, 1, "SCMP_CMP_EQ")])],
                1,
                Action::Allow,
            ),
            (
                "equality before the rest",
                vec![
                    rule(&["read"], ALLOW, &[(0, 0, "SCMP_CMP_GE")]),
                    rule(&["read"], "SCMP_ACT_TRAP", &[(0, 7, "SCMP_CMP_EQ")]),
                ],
                7,
                Action::Trap,
            ),
            (
                "a conditional rule that is the default counts",
                vec![
                    rule(&["read"], ALLOW, &[(0, 0, "SCMP_CMP_GE")]),
                    rule(&["read"], ERRNO, &[(0, 7, "SCMP_CMP_EQ")]),
                ],
                7,
                Action::Errno(1),
            ),
            (
                "one argument twice is either",
                vec![rule(&["read"], ALLOW, &[(0, 1, "SCMP_CMP_EQ"), (0, 2, "SCMP_CMP_EQ")])],
                2,
                Action::Allow,
            ),
            (
                "two arguments are both",
                vec![rule(&["read"], ALLOW, &[(0, 1, "SCMP_CMP_EQ"), (1, 2, "SCMP_CMP_EQ")])],
                1,
                Action::Errno(1),
            ),
        ];
        for (why, syscalls, first, expected) in rows {
            let program = compile(&profile(ERRNO, syscalls), Arch::X86_64).unwrap().program;
            assert_eq!(answer(&program, Arch::X86_64, 0, first), expected, "{why}");
        }
    }

    #[test]
    fn newer_calls_and_foreign_abis() {
        let rows = [
            (ERRNO, Action::Errno(1), Action::Errno(38), Action::KillProcess),
            ("SCMP_ACT_KILL", Action::KillThread, Action::KillThread, Action::KillProcess),
            ("SCMP_ACT_TRAP", Action::Trap, Action::Trap, Action::KillProcess),
            ("SCMP_ACT_ALLOW", Action::Allow, Action::Allow, Action::KillProcess),
        ];
        for (default, known, newer, foreign) in rows {
            let rules = vec![rule(&["close_range"], "SCMP_ACT_LOG", &[])];
            let program = compile(&profile(default, rules), Arch::X86_64).unwrap().program;
            assert_eq!(answer(&program, Arch::X86_64, 0, 0), known, "{default}");
            assert_eq!(answer(&program, Arch::X86_64, 436, 0), Action::Log, "{default}");
            assert_eq!(answer(&program, Arch::X86_64, 437, 0), newer, "{default}");
            assert_eq!(answer(&program, Arch::X86_64, u32::MAX, 0), known, "{default} skipped by a tracer");
            assert_eq!(answer(&program, Arch::X86_64, 0x4000_0000, 0), foreign, "{default} x32");
            assert_eq!(answer(&program, Arch::X86, 3, 0), foreign, "{default} i386");
        }
    }

    #[test]
    fn hidden_arguments_are_refused_on_i386() {
        let mut socket = profile(ERRNO, vec![rule(&["socket"], ALLOW, &[(0, 1, "SCMP_CMP_EQ")])]);
        socket.architectures.push("SCMP_ARCH_X86".to_owned());
        let compiled = compile(&socket, Arch::X86_64).unwrap();
        assert_eq!(compiled.warnings, [Warning::HiddenRefused("socket".to_owned())]);
        assert_eq!(answer(&compiled.program, Arch::X86, 359, 1), Action::Allow);
        assert_eq!(answer(&compiled.program, Arch::X86, 102, 1), Action::Errno(1), "socketcall");
        let mut deny = profile(ALLOW, vec![rule(&["socket"], "SCMP_ACT_TRAP", &[(0, 40, "SCMP_CMP_EQ")])]);
        deny.architectures.push("SCMP_ARCH_X86".to_owned());
        let program = compile(&deny, Arch::X86_64).unwrap().program;
        assert_eq!(answer(&program, Arch::X86, 102, 1), Action::Trap, "a deny rule holds there too");
        assert_eq!(answer(&program, Arch::X86, 102, 3), Action::Allow, "connect");
        let mut ipc = profile(ERRNO, vec![rule(&["shmget", "send"], ALLOW, &[])]);
        ipc.architectures.push("SCMP_ARCH_X86".to_owned());
        let program = compile(&ipc, Arch::X86_64).unwrap().program;
        assert_eq!(answer(&program, Arch::X86, 117, 23), Action::Allow);
        assert_eq!(answer(&program, Arch::X86, 117, 0x1_0017), Action::Allow, "a version is no call");
        assert_eq!(answer(&program, Arch::X86, 117, 21), Action::Errno(1));
        assert_eq!(answer(&program, Arch::X86, 102, 9), Action::Allow);
    }

    #[test]
    fn flags_follow_the_listener() {
        let flags = |names: &[&str], action: &str| {
            let mut profile = profile(ERRNO, vec![rule(&["mkdir"], action, &[])]);
            profile.flags = Some(names.iter().map(ToString::to_string).collect());
            compile(&profile, Arch::X86_64).unwrap().program.flags()
        };
        let all = [
            "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_LOG",
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ];
        assert_eq!(flags(&all, ALLOW), 0b111);
        assert_eq!(flags(&all, "SCMP_ACT_NOTIFY"), 0b11_1111);
        assert_eq!(flags(&[], "SCMP_ACT_NOTIFY"), kernel::FLAG_NEW_LISTENER);
    }

    #[test]
    fn bad_profiles_are_errors() {
        let ok = || vec![rule(&["read"], ALLOW, &[])];
        let mut bad_arch = profile(ERRNO, ok());
        bad_arch.architectures = vec!["x86_64".to_owned()];
        let mut bad_flag = profile(ERRNO, ok());
        bad_flag.flags = Some(vec!["SECCOMP_FILTER_FLAG_NEW_LISTENER".to_owned()]);
        let conflict = vec![
            rule(&["read"], ALLOW, &[(0, 1, "SCMP_CMP_EQ")]),
            rule(&["read"], "SCMP_ACT_LOG", &[(0, 1, "SCMP_CMP_EQ")]),
        ];
        let rows = [
            ("architecture", bad_arch),
            ("flag", bad_flag),
            ("default", profile("ALLOW", ok())),
            ("notify by default", profile("SCMP_ACT_NOTIFY", ok())),
            ("no names", profile(ERRNO, vec![rule(&[], ALLOW, &[])])),
            ("action", profile(ERRNO, vec![rule(&["read"], "SCMP_ACT_NOPE", &[])])),
            ("operator", profile(ERRNO, vec![rule(&["read"], ALLOW, &[(0, 1, "EQ")])])),
            ("index", profile(ERRNO, vec![rule(&["read"], ALLOW, &[(6, 1, "SCMP_CMP_EQ")])])),
            ("conflict", profile(ERRNO, conflict)),
            ("rules", profile(ERRNO, vec![rule(&["read"], ALLOW, &[]); RULE_LIMIT + 1])),
        ];
        for (why, profile) in rows {
            assert!(compile(&profile, Arch::X86_64).is_err(), "{why}");
        }
    }

    #[test]
    fn unknown_names_and_foreign_tables_are_warnings() {
        let mut odd = profile(ERRNO, vec![rule(&["read", "frobnicate", "frobnicate"], ALLOW, &[])]);
        odd.architectures.push("SCMP_ARCH_S390X".to_owned());
        let compiled = compile(&odd, Arch::X86_64).unwrap();
        let unknown = Warning::UnknownCall("frobnicate".to_owned());
        assert_eq!(compiled.warnings, [Warning::ForeignArch("SCMP_ARCH_S390X".to_owned()), unknown]);
        assert_eq!(answer(&compiled.program, Arch::X86_64, 0, 0), Action::Allow);
    }

    /// Rules that multiply must end, as a program or as an error, not as an endless compilation.
    #[test]
    fn hostile_profiles_end() {
        let ops = ["SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_GT", "SCMP_CMP_NE"];
        let wide = |at: u32| {
            let op = |index: u32| ops[usize::try_from((at + index) % 4).unwrap()];
            let arg = |index: u32| (index, u64::from(at * 7 + index), op(index));
            let args: Vec<(u32, u64, &str)> = (0..6).map(arg).collect();
            let action = if at.is_multiple_of(2) { ALLOW } else { "SCMP_ACT_LOG" };
            rule(&["ioctl"], action, &args)
        };
        for count in [30, 100, 250, 1000] {
            let result = compile(&profile(ERRNO, (1..count).map(wide).collect()), Arch::X86_64);
            match result {
                Ok(compiled) => assert!(compiled.program.instructions().len() <= 4096),
                Err(error) => assert!(matches!(error, Error::TooLong { .. }), "{error}"),
            }
        }
    }
}
