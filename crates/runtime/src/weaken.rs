//! Defences that a test build can leave out, so that an attack test is seen to fail without them.
//!
//! In a build with the feature `test-weaken`, `BRIG_WEAKEN` names those to leave out, separated by commas.
//! In any other build [`is_off`] is a constant: the weakened branches are not compiled.

/// A defence of escapes.md section 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Defence {
    /// Paths are resolved inside the root by `openat2(2)` (CVE-2025-54867, CVE-2026-41579).
    Root = 1,
    /// The payload is executed by the sealed stub (CVE-2019-5736).
    Stub = 2,
    /// Nobody inside may look at the process before it is the payload's (CVE-2016-9962).
    Dumpable = 4,
    /// Files are masked by the host's `/dev/null` (CVE-2025-31133).
    Mask = 8,
    /// Descriptors that the caller left open are closed (CVE-2024-21626).
    Descriptors = 16,
    /// Where the working directory led is checked (CVE-2024-21626).
    Directory = 32,
    /// Kernel files are written through a procfs of our own (CVE-2025-52881).
    Procfs = 64,
    /// Supplementary groups are exactly those of the spec (CVE-2022-36109).
    Groups = 128,
    /// The session keyring is the container's own.
    Keyring = 256,
    /// The source of a bind mount is the file that its path was checked on (CVE-2024-1753).
    Source = 1024,
    /// Security labels are written through a procfs of our own and read back, before and after exec (CVE-2019-16884).
    LabelVerify = 2048,
    /// The caller's standard streams are not handed on (CVE-2016-10124).
    Streams = 4096,
    /// Only settings of the container's own namespaces are set (CVE-2022-0811, GO-2022-0363).
    Sysctl = 8192,
    /// What was mounted is reached by its own descriptor, never by its path again (CVE-2023-27561).
    Mounted = 16384,
    /// A mount goes onto the directory that was resolved and looked at (CVE-2021-30465).
    Destination = 32768,
    /// Nobody joins a container with fewer namespaces than it has.
    Namespaces = 65536,
    /// Nobody joins a container that is being set up.
    HalfMade = 131_072,
    /// No defence: overlays get their layers as descriptors. Without it they are mounted as before Linux 6.13.
    LayerDescriptors = 512,
}

/// Whether a test left the defence out.
#[cfg(not(feature = "test-weaken"))]
#[inline(always)]
pub(crate) const fn is_off(_defence: Defence) -> bool {
    false
}

/// Reads what is to be left out, before clone.
#[cfg(not(feature = "test-weaken"))]
#[inline(always)]
pub(crate) const fn prepare() {}

#[cfg(feature = "test-weaken")]
static OFF: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Whether a test left the defence out.
#[cfg(feature = "test-weaken")]
pub(crate) fn is_off(defence: Defence) -> bool {
    OFF.load(std::sync::atomic::Ordering::Relaxed) & defence as u32 != 0
}

/// Reads what is to be left out, before clone.
///
/// # Panics
/// When a name is unknown: a control that weakens nothing would show nothing.
#[cfg(feature = "test-weaken")]
pub(crate) fn prepare() {
    let names = std::env::var("BRIG_WEAKEN").unwrap_or_default();
    let bits = names.split(',').filter(|name| !name.is_empty()).fold(0, |bits, name| {
        let defence = match name {
            "root" => Defence::Root,
            "stub" => Defence::Stub,
            "dumpable" => Defence::Dumpable,
            "mask" => Defence::Mask,
            "descriptors" => Defence::Descriptors,
            "directory" => Defence::Directory,
            "procfs" => Defence::Procfs,
            "groups" => Defence::Groups,
            "keyring" => Defence::Keyring,
            "source" => Defence::Source,
            "lsm-verify" => Defence::LabelVerify,
            "streams" => Defence::Streams,
            "sysctl" => Defence::Sysctl,
            "mounted" => Defence::Mounted,
            "destination" => Defence::Destination,
            "namespaces" => Defence::Namespaces,
            "half-made" => Defence::HalfMade,
            "layer-descriptors" => Defence::LayerDescriptors,
            // That of the crate `cli`, which knows it.
            "read-only" => return bits,
            // Those of the crate `container`, which knows them.
            other if other.starts_with("engine-") => return bits,
            other => panic!("`BRIG_WEAKEN` names the unknown defence `{other}`"),
        };
        bits | defence as u32
    });
    OFF.store(bits, std::sync::atomic::Ordering::Relaxed);
}
