//! Defences of the engine that a test build can leave out, so that an attack is seen to succeed without them.
//!
//! In a build with the feature `test-weaken`, `BRIG_WEAKEN` names those to leave out, separated by commas; ours begin
//! with `engine-`, and `runtime` and `files` have others. In any other build [`is_off`] is a constant: the weakened
//! branches are not compiled.

/// A defence of escapes.md section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defence {
    /// A user that is written as a number is that number (CVE-2016-3697, CVE-2024-40635).
    Numbers,
    /// Nothing is inheritable (CVE-2022-24769).
    Inheritable,
    /// Files of an image are read up to a limit (CVE-2026-47262).
    FileLimit,
    /// Who holds a container's lock keeps its name and its files (CVE-2020-14370).
    Lock,
    /// `cp` works in the container's namespaces, and below its root (CVE-2018-15664).
    CopyView,
    /// What is copied into a volume is found in the image, by descriptor (CVE-2022-23648).
    CopyUp,
    /// A part of a volume is found in the volume, and is what is mounted (CVE-2023-0778 and its kin).
    Subpath,
}

impl Defence {
    /// Its name in `BRIG_WEAKEN`.
    #[cfg(feature = "test-weaken")]
    const fn name(self) -> &'static str {
        match self {
            Self::Numbers => "engine-numbers",
            Self::Inheritable => "engine-inheritable",
            Self::FileLimit => "engine-file-limit",
            Self::Lock => "engine-lock",
            Self::CopyView => "engine-copy-view",
            Self::CopyUp => "engine-copy-up",
            Self::Subpath => "engine-subpath",
        }
    }
}

/// Whether a test left the defence out.
#[cfg(not(feature = "test-weaken"))]
#[inline(always)]
pub(crate) const fn is_off(_defence: Defence) -> bool {
    false
}

/// Whether a test left the defence out.
///
/// # Panics
/// When a name is unknown: a control that weakens nothing would show nothing.
#[cfg(feature = "test-weaken")]
pub(crate) fn is_off(defence: Defence) -> bool {
    const ALL: [Defence; 7] = [
        Defence::Numbers,
        Defence::Inheritable,
        Defence::FileLimit,
        Defence::Lock,
        Defence::CopyView,
        Defence::CopyUp,
        Defence::Subpath,
    ];
    let names = std::env::var("BRIG_WEAKEN").unwrap_or_default();
    let ours = names.split(',').filter(|name| name.starts_with("engine-"));
    ours.fold(false, |off, name| {
        assert!(
            ALL.iter().any(|known| known.name() == name),
            "`BRIG_WEAKEN` names the unknown defence `{name}`"
        );
        off || name == defence.name()
    })
}
