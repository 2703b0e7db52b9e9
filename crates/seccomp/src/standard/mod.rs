//! Brigantine's own profile: `standard`, its named sets, and the bases that replace it.
//!
//! Rows say which calls are open, to whom, and what a closed one answers; [`profile`] writes them as
//! an OCI profile (so that a bundle can carry it to any runtime), [`program`] as BPF. The BPF for
//! the default capabilities is part of the binary: [`built_in`] finds it without compiling.

mod built_in;
mod refused;
mod rows;
mod strict;

use std::borrow::Cow;

use oci::runtime::{Seccomp, SeccompArg, SeccompRule};

use crate::arch::Arch;
use crate::compile::{Program, compile};
use crate::error::Error;
use crate::profile as file;

/// CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP: the capabilities a container gets
/// unless more are asked for, bit n for capability n.
pub const DEFAULT_CAPABILITIES: u64 = 0x1fb;

/// `ENOSYS`: what unknown calls answer, so that libraries fall back to older ones.
const ENOSYS: u32 = 38;

/// Docker's profile; see `NOTICE` beside it.
const DOCKER: &[u8] = include_bytes!("docker.json");

/// What `--security-opt seccomp=NAME` can add to the standard profile, or put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamedSet {
    /// Adds ptrace and its kin, and the personality that debuggers start programs with.
    Debug,
    /// Adds the 32-bit ABI of the machine. i386 `socketcall` hides its arguments from every filter,
    /// so all socket families of the kernel are within reach.
    Compat32,
    /// Adds namespaces, mounts, keyrings: what an engine inside the container needs.
    Nested,
    /// Replaces the base by Docker's current default profile.
    Docker,
    /// Replaces the base by a list of about 160 calls for one plain service.
    Strict,
}

impl NamedSet {
    /// All sets.
    pub const ALL: [Self; 5] = [Self::Debug, Self::Compat32, Self::Nested, Self::Docker, Self::Strict];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Compat32 => "compat32",
            Self::Nested => "nested",
            Self::Docker => "docker",
            Self::Strict => "strict",
        }
    }

    /// Finds a set by its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }
}

/// Who may make the calls of a row.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// Everyone.
    Always,
    /// Nobody.
    Never,
    /// Holders of one of these capabilities, or containers with one of these sets.
    To(u64, &'static [NamedSet]),
}

/// Calls with one answer.
#[derive(Clone, Copy, Debug)]
struct Row {
    calls: &'static [&'static str],
    open: Open,
    /// The errno where it is not open; `ENOSYS` is the default's and needs no rule.
    closed: u32,
    when: &'static [When],
}

/// A condition of a row on an `int` argument: the lower 32 bits, which is what the kernel reads.
#[derive(Clone, Copy, Debug)]
enum When {
    /// Equal to this.
    Is(u32, u32),
    /// None of these bits.
    Without(u32, u32),
    /// Anything: an explicit "otherwise", tried after all others of its call.
    Otherwise(u32),
}

impl Row {
    /// A rule for one set of facts; `None` where the default already says it.
    fn action(&self, capabilities: u64, sets: &[NamedSet]) -> Option<Option<u32>> {
        let open = match self.open {
            Open::Always => true,
            Open::Never => false,
            Open::To(holders, with) => {
                capabilities & holders != 0 || sets.iter().any(|set| with.contains(set))
            }
        };
        match (open, self.closed) {
            (true, _) => Some(None),
            (false, ENOSYS) => None,
            (false, errno) => Some(Some(errno)),
        }
    }

    fn rule(&self, capabilities: u64, sets: &[NamedSet]) -> Option<SeccompRule> {
        let errno_ret = self.action(capabilities, sets)?;
        Some(SeccompRule {
            names: self.calls.iter().map(ToString::to_string).collect(),
            action: action_name(errno_ret).to_owned(),
            errno_ret,
            args: self.when.iter().map(When::argument).collect(),
        })
    }

    /// Whether `rule` is what [`Row::rule`] would give; allocates nothing.
    fn is(&self, errno_ret: Option<u32>, rule: &SeccompRule) -> bool {
        rule.errno_ret == errno_ret
            && rule.action == action_name(errno_ret)
            && rule.args.len() == self.when.len()
            && rule.args.iter().zip(self.when).all(|(arg, when)| when.is(arg))
            && rule.names.len() == self.calls.len()
            && rule.names.iter().zip(self.calls).all(|(name, call)| name == call)
    }
}

impl When {
    const fn parts(&self) -> (u32, u64, u64, &'static str) {
        match *self {
            Self::Is(index, value) => (index, u32::MAX as u64, value as u64, "SCMP_CMP_MASKED_EQ"),
            Self::Without(index, bits) => (index, bits as u64, 0, "SCMP_CMP_MASKED_EQ"),
            Self::Otherwise(index) => (index, 0, 0, "SCMP_CMP_GE"),
        }
    }

    fn argument(&self) -> SeccompArg {
        let (index, value, value_two, op) = self.parts();
        SeccompArg { index, value, value_two, op: op.to_owned() }
    }

    fn is(&self, arg: &SeccompArg) -> bool {
        self.parts() == (arg.index, arg.value, arg.value_two, arg.op.as_str())
    }
}

const fn action_name(errno: Option<u32>) -> &'static str {
    if errno.is_some() { "SCMP_ACT_ERRNO" } else { "SCMP_ACT_ALLOW" }
}

/// The rows of the base, before facts are applied; a row never has a call that another one has
/// under the same conditions.
fn rows(sets: &[NamedSet]) -> impl Iterator<Item = &'static Row> {
    let base: &[Row] = if sets.contains(&NamedSet::Strict) { strict::ROWS } else { rows::ROWS };
    base.iter().chain(refused::ROWS)
}

/// The profile for a container's bounding capabilities (bit n for capability n) and named sets.
///
/// Names every architecture's calls, so one profile serves all machines; with [`NamedSet::Compat32`]
/// it lists the sub-architectures. [`NamedSet::Docker`] is resolved for the machine that this
/// program was built for, and other sets add nothing to it.
pub fn profile(capabilities: u64, sets: &[NamedSet]) -> Seccomp {
    if sets.contains(&NamedSet::Docker) {
        return docker(capabilities);
    }
    let architectures: &[Arch] = match (sets.contains(&NamedSet::Compat32), Arch::native()) {
        (true, Some(Arch::X86_64)) => &[Arch::X86_64, Arch::X86],
        (true, Some(Arch::Aarch64)) => &[Arch::Aarch64, Arch::Arm],
        _ => &[],
    };
    Seccomp {
        default_action: action_name(Some(ENOSYS)).to_owned(),
        default_errno_ret: Some(ENOSYS),
        architectures: architectures.iter().map(|arch| arch.oci_name().to_owned()).collect(),
        syscalls: rows(sets).filter_map(|row| row.rule(capabilities, sets)).collect(),
        ..Seccomp::default()
    }
}

/// The BPF of [`profile`] for the machine that this program was built for.
pub fn program(capabilities: u64, sets: &[NamedSet]) -> Result<Program, Error> {
    let native = Arch::native().ok_or(Error::NoNativeTable)?;
    if sets.is_empty()
        && let Some(program) = stored(capabilities, native)
    {
        return Ok(program);
    }
    Ok(compile(&profile(capabilities, sets), native)?.program)
}

/// Whether `profile` is exactly the default one: a walk over its strings, nothing allocated.
#[must_use]
pub fn is_default(profile: &Seccomp) -> bool {
    let mut rules = profile.syscalls.iter();
    profile.default_action == action_name(Some(ENOSYS))
        && profile.default_errno_ret == Some(ENOSYS)
        && profile.architectures.is_empty()
        && profile.flags.is_none()
        && rows(&[])
            .filter_map(|row| Some((row, row.action(DEFAULT_CAPABILITIES, &[])?)))
            .all(|(row, errno)| rules.next().is_some_and(|rule| row.is(errno, rule)))
        && rules.next().is_none()
}

/// The program in the binary, if `profile` is the default one and `native` has one.
#[must_use]
pub fn built_in(profile: &Seccomp, native: Arch) -> Option<Program> {
    if is_default(profile) { stored(DEFAULT_CAPABILITIES, native) } else { None }
}

fn stored(capabilities: u64, native: Arch) -> Option<Program> {
    // Capabilities that open no row do not matter.
    let gated = |row: &&Row| match row.open {
        Open::To(holders, _) => (capabilities ^ DEFAULT_CAPABILITIES) & holders != 0,
        Open::Always | Open::Never => false,
    };
    if rows(&[]).any(|row| gated(&row)) {
        return None;
    }
    built_in::instructions(native).map(|stored| Program::new(Cow::Borrowed(stored), 0))
}

fn docker(capabilities: u64) -> Seccomp {
    let facts = file::Facts {
        capabilities,
        native: Arch::native().unwrap_or(Arch::X86_64),
        // Above every `minKernel` in it, as our own kernel floor is.
        kernel: (5, 14),
    };
    file::resolve(DOCKER, &facts).expect("docker.json is part of this program and tested")
}

#[cfg(test)]
mod tests;
