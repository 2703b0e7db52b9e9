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
