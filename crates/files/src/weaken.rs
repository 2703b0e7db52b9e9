//! Defences of the image path that a test build can leave out, so that an attack is seen to succeed without them.
//!
//! In a build with the feature `test-weaken`, `BRIG_WEAKEN` names those to leave out, separated by commas (the
//! runtime has names of its own there). In any other build [`is_off`] is a constant: the weakened branches are
//! not compiled. It lives here because `archive` and `store` both ask.

/// A defence of escapes.md section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defence {
    /// Names in an archive are resolved below the layer, and no link is followed (CVE-2021-32760).
    UnpackResolution,
    /// The process that unpacks is confined by Landlock, a filter and limits.
    UnpackConfinement,
    /// Whiteouts have a name, and one that does not climb.
    UnpackWhiteouts,
    /// Device nodes of an archive are left out.
    UnpackDevices,
    /// The attributes of overlayfs and of the host's root are refused.
    UnpackAttributes,
    /// Header and PAX record agree on the size (RUSTSEC-2026-0068, CVE-2025-62518).
    UnpackSizes,
    /// What unpacks to more than 200 times itself is refused.
    UnpackRatio,
    /// Content has the digest that it was named by (CVE-2024-24557).
    BlobDigests,
    /// A link in the place of a blob is not followed.
    BlobLinks,
}

impl Defence {
    /// Its name in `BRIG_WEAKEN`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnpackResolution => "unpack-resolution",
            Self::UnpackConfinement => "unpack-confinement",
            Self::UnpackWhiteouts => "unpack-whiteouts",
            Self::UnpackDevices => "unpack-devices",
            Self::UnpackAttributes => "unpack-attributes",
            Self::UnpackSizes => "unpack-sizes",
            Self::UnpackRatio => "unpack-ratio",
            Self::BlobDigests => "blob-digests",
            Self::BlobLinks => "blob-links",
        }
    }
}

/// Whether a test left the defence out.
#[cfg(not(feature = "test-weaken"))]
#[inline(always)]
#[must_use]
pub const fn is_off(_defence: Defence) -> bool {
    false
}

/// Whether a test left the defence out.
#[cfg(feature = "test-weaken")]
#[must_use]
pub fn is_off(defence: Defence) -> bool {
    let names = std::env::var("BRIG_WEAKEN").unwrap_or_default();
    names.split(',').any(|name| name == defence.name())
}
