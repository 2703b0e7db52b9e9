//! Which program connects containers on this host.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, CWD, Mode};

/// The device that makes the container's interface.
const TUN: &str = "/dev/net/tun";
/// Its directory, and its number.
pub(crate) const DEVICE: (&CStr, (u32, u32)) = (c"/dev/net", (10, 200));
/// Its name there.
pub(crate) const NODE: &CStr = c"tun";

/// A program that connects containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Passt's `pasta`.
    Pasta(PathBuf),
    /// `slirp4netns`: slower, and who connects to a published port seems to be the gateway.
    Slirp(PathBuf),
    /// None; the reason.
    Missing(String),
}

impl Provider {
    /// Looks for one.
    #[must_use]
    pub fn find() -> Self {
        Self::choose(Self::pasta(), Self::slirp(), has_tun())
    }

    /// Passt's program, where it is there.
    #[must_use]
    pub fn pasta() -> Option<PathBuf> {
        sys::program::find("pasta")
    }

    /// The other one, where it is there.
    #[must_use]
    pub fn slirp() -> Option<PathBuf> {
        sys::program::find("slirp4netns")
    }

    fn choose(pasta: Option<PathBuf>, slirp: Option<PathBuf>, tun: bool) -> Self {
        match (pasta, slirp) {
            (None, None) => {
                Self::Missing("neither `pasta` of passt nor `slirp4netns` is installed".to_owned())
            }
            _ if !tun => Self::Missing(format!("`{TUN}` cannot be opened")),
            (Some(pasta), _) => Self::Pasta(pasta),
            (None, Some(slirp)) => Self::Slirp(slirp),
        }
    }
}

/// Whether every user of the host may open the device, as udev has it.
pub(crate) fn is_tun_for_all() -> bool {
    let for_others = Mode::ROTH | Mode::WOTH;
    rustix::fs::stat(TUN).is_ok_and(|node| Mode::from_raw_mode(node.st_mode).contains(for_others))
}

fn has_tun() -> bool {
    rustix::fs::accessat(
        CWD,
        Path::new(TUN),
        Access::READ_OK | Access::WRITE_OK,
        rustix::fs::AtFlags::EACCESS,
    )
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pasta_first() {
        let (pasta, slirp) =
            (|| Some(PathBuf::from("/usr/bin/pasta")), || Some(PathBuf::from("/usr/bin/slirp4netns")));
        assert!(matches!(Provider::choose(pasta(), slirp(), true), Provider::Pasta(_)));
        assert!(matches!(Provider::choose(None, slirp(), true), Provider::Slirp(_)));
        assert!(matches!(Provider::choose(None, None, true), Provider::Missing(_)));
        assert!(matches!(Provider::choose(pasta(), slirp(), false), Provider::Missing(_)));
    }
}
