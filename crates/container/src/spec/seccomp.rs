//! The system call filter.

use oci::runtime::Seccomp;
use seccomp::profile::{Facts, resolve};
use seccomp::standard::{self, NamedSet};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::options::{Options, SeccompChoice};
use crate::profile::Profile;
use crate::protection::Protection;
use crate::weakening::{WeakeningKind, Weakenings};

/// Chooses the filter for a process with this bounding set.
pub(crate) fn filter(
    options: &Options,
    capabilities: &[String],
    host: &Host,
    weakenings: &mut Weakenings,
    protections: &mut Vec<Protection>,
) -> Result<Option<Seccomp>> {
    let by_profile = options.security.seccomp == SeccompChoice::Profile;
    let mut open = |value: &str, opens: &str| {
        let flag = match (by_profile, options.privileged) {
            (true, true) => "--privileged".to_owned(),
            (true, false) => format!("--profile {}", options.profile.name()),
            (false, _) => format!("--security-opt seccomp={value}"),
        };
        weakenings.open(WeakeningKind::Seccomp, flag, opens);
    };
    let bits = bits(capabilities);
    let filter = match (&options.security.seccomp, options.profile) {
        (SeccompChoice::Unconfined, _) => None,
        (SeccompChoice::Profile, _) if options.privileged => None,
        (SeccompChoice::Profile, Profile::Standard) => Some(standard::profile(bits, &[])),
        (SeccompChoice::Profile, Profile::Strict) => Some(standard::profile(bits, &[NamedSet::Strict])),
        (SeccompChoice::Docker, _) | (SeccompChoice::Profile, Profile::Docker) => {
            open("docker", "the system calls of Docker's profile");
            Some(standard::profile(bits, &[NamedSet::Docker]))
        }
        (SeccompChoice::Set(name), _) => {
            let Some(set) = NamedSet::from_name(name) else {
                return Err(Error::value("--security-opt", format!("seccomp={name}"), "no such set"));
            };
            if set != NamedSet::Strict {
                open(name, &format!("the system calls of the set `{name}`"));
            }
            Some(standard::profile(bits, &[set]))
        }
        (SeccompChoice::Custom { path, json }, _) => {
            let bad = |reason: String| Error::value("--security-opt", format!("seccomp={path}"), reason);
            let native =
                seccomp::Arch::native().ok_or_else(|| bad("this machine's calls are not known".into()))?;
            let facts = Facts { capabilities: bits, native, kernel: host.kernel };
            let filter = resolve(json, &facts).map_err(|error| bad(error.to_string()))?;
            open(path, "the system calls of your own profile, which replaces ours");
            Some(filter)
        }
    };
    if filter.is_none() {
        open("unconfined", "every system call of the kernel");
        protections.push(Protection::weaker("seccomp", "switched off"));
    } else {
        protections.push(Protection::applied("seccomp"));
    }
    Ok(filter)
}

/// The set as the kernel numbers it.
fn bits(capabilities: &[String]) -> u64 {
    capabilities.iter().filter_map(|name| oci::runtime::capability_bit(name)).fold(0, |bits, bit| bits | bit)
}
