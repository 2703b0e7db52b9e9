//! Confine the process that unpacks or packs, before it reads the first hostile byte.

use std::os::fd::{AsFd, BorrowedFd};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::limits::Limits;

/// The newest Landlock this was written for; older kernels enforce what they know of it.
const NEWEST: ABI = ABI::V6;

/// Descriptors: one for each open level, and what the caller has.
const SPARE_DESCRIPTORS: u64 = 128;

/// Address space in bytes: a 128 MiB zstd window, and room for the program itself.
const ADDRESS_SPACE: u64 = 2 << 30;

/// How far one protection went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// In force.
    Applied,
    /// In force, but the kernel knows only a part of it.
    Weaker(&'static str),
    /// Not in force.
    Unavailable(&'static str),
}

/// What confines the process now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confinement {
    /// File system: nothing but the given trees can be opened, made, linked, renamed or removed; no network.
    pub landlock: Layer,
    /// No program can give this process rights it has not.
    pub no_new_privs: Layer,
    /// No core dump, no child process (for other users than root), bounded descriptors, memory and file size.
    pub limits: Layer,
    /// System calls: reading, writing and making files, memory and its own end; anything else is `EPERM`.
    pub seccomp: Layer,
}

/// Confines this process, for good, to writing below `root`.
///
/// What is open already stays usable: open the archive first. Call it in a child process that does nothing
/// but [`apply`](crate::apply). It never fails: what could not be had is in the answer, and whether that is
/// enough is the caller's decision.
pub fn confine(root: impl AsFd, limits: &Limits) -> Confinement {
    let wanted = [
        (Resource::Core, 0),
        (Resource::Nproc, 0),
        (Resource::Nofile, limits.depth as u64 + SPARE_DESCRIPTORS),
        (Resource::As, ADDRESS_SPACE),
        (Resource::Fsize, limits.bytes),
    ];
    confine_to(&[root.as_fd()], AccessFs::from_all(NEWEST), &wanted)
}

/// Confines this process, for good, to reading below `roots`.
///
/// For a child that packs: as [`confine`], but nothing can be made or changed. Descriptors and memory keep the
/// caller's limits, because a comparison holds each layer's directory open at each level.
pub fn confine_reading(roots: &[BorrowedFd<'_>]) -> Confinement {
    let access = AccessFs::ReadFile | AccessFs::ReadDir;
    confine_to(roots, access, &[(Resource::Core, 0), (Resource::Nproc, 0)])
}

fn confine_to(
    roots: &[BorrowedFd<'_>],
    access: BitFlags<AccessFs>,
    wanted: &[(Resource, u64)],
) -> Confinement {
    let no_new_privs = match rustix::thread::set_no_new_privs(true) {
        Ok(()) => Layer::Applied,
        Err(_) => Layer::Unavailable("prctl(2) refused"),
    };
    // The filter comes last: the others need calls that it refuses.
    let landlock =
        landlock(roots, access).unwrap_or(Layer::Unavailable("kernel without Landlock ABI 2 (Linux 5.19)"));
    let limits = resources(wanted);
    Confinement { landlock, no_new_privs, limits, seccomp: crate::filter::install() }
}

/// What a confined process lacks on this kernel, beside the system call filter; none where Landlock confines it.
#[must_use]
pub fn lacking() -> Option<&'static str> {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let made = ruleset.handle_access(AccessFs::Refer).and_then(Ruleset::create);
    made.err().map(|_| "the kernel has no Landlock of ABI 2 (Linux 5.19), or it is not enabled")
}

fn landlock(roots: &[BorrowedFd<'_>], access: BitFlags<AccessFs>) -> Result<Layer, RulesetError> {
    let status = Ruleset::default()
        // ABI 1 refuses every hard link from one directory to another, so it is of no use.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(roots.iter().map(|root| Ok::<_, RulesetError>(PathBeneath::new(root, access))))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Layer::Applied,
        RulesetStatus::PartiallyEnforced => Layer::Weaker("kernel with an older Landlock"),
        RulesetStatus::NotEnforced => Layer::Unavailable("Landlock is not enabled"),
    })
}

fn resources(wanted: &[(Resource, u64)]) -> Layer {
    let refused = wanted.iter().filter(|(resource, value)| lower(*resource, *value).is_err()).count();
    if refused == 0 { Layer::Applied } else { Layer::Weaker("setrlimit(2) refused a limit") }
}

fn lower(resource: Resource, value: u64) -> Result<(), Errno> {
    let before = rustix::process::getrlimit(resource);
    let value = before.maximum.map_or(value, |maximum| maximum.min(value));
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
}
