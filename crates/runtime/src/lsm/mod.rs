//! Security modules: the AppArmor profile and the SELinux label of a container.
//!
//! The kernel takes a label for the next `execve` from the process itself and from nobody else, through a file of
//! procfs. Published escapes had the engine write it into a file of the image (CVE-2019-16884, CVE-2023-28642,
//! CVE-2025-52881). So the container's process writes through a procfs of its own that is attached nowhere, reads
//! back what the kernel took, and the parent compares once more after the `execve`.
//!
//! What it deliberately does not do: choose a label; that is `container`'s.

pub mod apparmor;
pub mod selinux;

use std::ffi::{CStr, CString};

use oci::runtime::{Process, Spec};
use rustix::io::Errno;

use crate::plan::{Plan, Step};
use crate::{Error, Result};

/// Which security module a label is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// AppArmor: profiles by name.
    AppArmor,
    /// SELinux: contexts of four parts.
    Selinux,
}

impl Module {
    /// What its label is to a container, in messages.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::AppArmor => "the AppArmor profile",
            Self::Selinux => "the SELinux label",
        }
    }

    /// The file below `/proc/<pid>` that takes the label of the next `execve`.
    ///
    /// AppArmor has a directory of its own since Linux 5.8, below the supported kernels: the shared `attr/exec` is
    /// never used for it, since it may be another module's.
    #[must_use]
    pub const fn next(self) -> &'static CStr {
        match self {
            Self::AppArmor => c"attr/apparmor/exec",
            Self::Selinux => c"attr/exec",
        }
    }

    /// The file below `/proc/<pid>` that shows the label in force.
    #[must_use]
    pub const fn current(self) -> &'static str {
        match self {
            Self::AppArmor => "attr/apparmor/current",
            Self::Selinux => "attr/current",
        }
    }

    /// What is written to ask for `label`.
    fn request(self, label: &str) -> String {
        match self {
            Self::AppArmor => format!("exec {label}"),
            Self::Selinux => label.to_owned(),
        }
    }
}

/// One label, laid out for the child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Whose.
    pub module: Module,
    /// File below `/proc/<own pid>`.
    pub file: CString,
    /// What is written.
    pub written: CString,
    /// What the file must show then.
    pub wanted: CString,
}

impl Label {
    /// The label of what is executed next; none for a text with a NUL.
    #[must_use]
    pub fn of_next(module: Module, label: &str) -> Option<Self> {
        Self::new(module, module.next(), label)
    }

    /// The label of keys that the process makes until its next `execve`; SELinux only.
    #[must_use]
    pub fn of_keys(label: &str) -> Option<Self> {
        Self::new(Module::Selinux, c"attr/keycreate", label)
    }

    fn new(module: Module, file: &CStr, label: &str) -> Option<Self> {
        Some(Self {
            module,
            file: file.to_owned(),
            written: CString::new(module.request(label)).ok()?,
            wanted: CString::new(label).ok()?,
        })
    }

    /// Whether it is the label of the container's process, and not only of what it makes.
    #[must_use]
    pub fn is_of_process(&self) -> bool {
        self.file.as_c_str() == self.module.next()
    }

    /// Whether `answer`, read from procfs, is this label. Does not allocate.
    #[must_use]
    pub fn is_shown_by(&self, answer: &[u8]) -> bool {
        let end = answer.iter().position(|byte| matches!(byte, 0 | b'\n')).unwrap_or(answer.len());
        let (answer, wanted) = (&answer[..end], self.wanted.to_bytes());
        match self.module {
            Module::AppArmor => apparmor::confines(answer, wanted),
            Module::Selinux => answer == wanted,
        }
    }
}

/// Writes the SELinux labels of a spec as the policy does, so that what the kernel shows can be compared.
///
/// # Errors
/// [`Error::Label`] for one that the policy does not have.
pub(crate) fn settle(spec: &mut Spec) -> Result<()> {
    let mount_label = spec.linux.as_mut().and_then(|linux| linux.mount_label.as_mut());
    let process_label = spec.process.as_mut().and_then(|process| process.selinux_label.as_mut());
    [process_label, mount_label].into_iter().flatten().try_for_each(settle_label)
}

/// The labels of a process that joins: its own, else the container's.
pub(crate) fn inherit(process: &mut Process, container: &Spec) -> Result<()> {
    let Some(container) = &container.process else { return Ok(()) };
    let given = |label: &Option<String>| label.as_deref().is_some_and(|label| !label.is_empty());
    if !given(&process.apparmor_profile) {
        process.apparmor_profile.clone_from(&container.apparmor_profile);
    }
    match &mut process.selinux_label {
        Some(label) if !label.is_empty() => settle_label(label),
        label => {
            label.clone_from(&container.selinux_label);
            Ok(())
        }
    }
}

fn settle_label(label: &mut String) -> Result<()> {
    // Where SELinux is off the plan refuses the label.
    if label.is_empty() || !selinux::is_on() {
        return Ok(());
    }
    *label = selinux::canonical(label).map_err(|errno| Error::Label { label: label.clone(), errno })?;
    Ok(())
}

/// What a failed step says of the labels: one that is not there, or one that the program may not start under.
pub(crate) fn refused(plan: &Plan, step: usize, errno: Errno) -> Option<Error> {
    let text = |label: &Label| (label.module.what(), label.wanted.to_string_lossy().into_owned());
    if let Some(Step::Label(label)) = plan.steps.get(step) {
        let (what, label) = text(label);
        return Some(Error::UnknownLabel { what, label });
    }
    let of_process = plan.steps.iter().find_map(|step| match step {
        Step::Label(label) if label.is_of_process() => Some(text(label)),
        _ => None,
    });
    let (what, label) = of_process.filter(|_| matches!(errno, Errno::ACCESS | Errno::PERM))?;
    Some(Error::Confined { what, label, errno })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_shown_whole_or_not() {
        let check = |module, wanted, answer: &[u8], expected| {
            let label = Label::of_next(module, wanted).unwrap();
            assert_eq!(label.is_shown_by(answer), expected, "{wanted}: {}", answer.escape_ascii());
        };
        let context = "system_u:system_r:container_t:s0:c1,c2";
        check(Module::Selinux, context, b"system_u:system_r:container_t:s0:c1,c2", true);
        check(Module::Selinux, context, b"system_u:system_r:container_t:s0:c1,c2\0", true);
        check(Module::Selinux, context, b"system_u:system_r:container_t:s0:c1,c2\n", true);
        check(Module::Selinux, context, b"system_u:system_r:container_t:s0:c1,c20", false);
        check(Module::Selinux, context, b"unconfined_u:unconfined_r:unconfined_t:s0", false);
        check(Module::Selinux, context, b"", false);
        check(Module::AppArmor, "brig", b"brig (enforce)\n", true);
        check(Module::AppArmor, "brig", b"brig", true);
        check(Module::AppArmor, "brig", b"brigand (enforce)\n", false);
        check(Module::AppArmor, "brig", b"unconfined\n", false);
        check(Module::AppArmor, "brig", b"exec brig", false);
        check(Module::AppArmor, "brig", b"", false);
        check(Module::AppArmor, "unconfined", b"unconfined\n", true);
    }

    #[test]
    fn apparmor_is_told_what_to_do_and_selinux_the_label() {
        assert_eq!(Label::of_next(Module::AppArmor, "p").unwrap().written.as_c_str(), c"exec p");
        assert_eq!(Label::of_next(Module::Selinux, "l").unwrap().written.as_c_str(), c"l");
        let keys = Label::of_keys("l").unwrap();
        assert!(!keys.is_of_process() && keys.file.as_c_str() == c"attr/keycreate");
        assert!(Label::of_next(Module::AppArmor, "a\0b").is_none());
    }
}
