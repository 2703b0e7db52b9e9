//! The system call filter.

use oci::runtime::Seccomp;

use crate::error::Result;
use crate::options::{Options, SeccompChoice};
use crate::profile::Profile;
use crate::protection::Protection;
use crate::weakening::{WeakeningKind, Weakenings};

/// Chooses the filter for a process with this bounding set.
pub(crate) fn filter(
    options: &Options,
    capabilities: &[String],
    weakenings: &mut Weakenings,
    protections: &mut Vec<Protection>,
) -> Result<Option<Seccomp>> {
    let choice = match (&options.security.seccomp, options.profile) {
        (SeccompChoice::Profile, _) if options.privileged => SeccompChoice::Unconfined,
        (SeccompChoice::Profile, Profile::Docker) => SeccompChoice::Docker,
        (choice, _) => choice.clone(),
    };
    let flag = |value: &str| match (&options.security.seccomp, options.privileged) {
        (SeccompChoice::Profile, true) => "--privileged".to_owned(),
        (SeccompChoice::Profile, false) => format!("--profile {}", options.profile.name()),
        _ => format!("--security-opt seccomp={value}"),
    };
    let filter = match choice {
        SeccompChoice::Unconfined => {
            weakenings.open(WeakeningKind::Seccomp, flag("unconfined"), "every system call of the kernel");
            protections.push(Protection::weaker("seccomp", "switched off"));
            return Ok(None);
        }
        SeccompChoice::Set(name) => {
            weakenings.open(WeakeningKind::Seccomp, flag(&name), "system calls");
            let _ = capabilities;
            None
        }
        _ => None,
    };
    protections.push(Protection::applied("seccomp"));
    Ok(filter)
}
