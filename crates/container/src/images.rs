//! Images that are mounted in containers (`--mount type=image`): as they are, by the ids of the container.

use rustix::fd::BorrowedFd;
use store::Lease;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::options::Options;
use crate::run::{Site, find};
use crate::value::mount::MountKind;
use crate::value::name::ContainerId;

fn asked(options: &Options) -> impl Iterator<Item = (usize, &str)> {
    options.mounts.iter().enumerate().filter_map(|(at, mount)| match &mount.kind {
        MountKind::Image { image } => Some((at, image.as_str())),
        _ => None,
    })
}

/// Keeps them from being removed as long as the container is there. The caller holds the store lock.
///
/// # Errors
/// [`Error::Store`] for one that is not there.
pub(crate) fn hold(site: &Site<'_>, directory: BorrowedFd<'_>, options: &Options) -> Result<()> {
    for (at, image) in asked(options) {
        store::hold_mounted(directory, at, &find(site, image)?)?;
    }
    Ok(())
}

/// Finds where their layers are: of those that the container holds, and of those of a preview as they are now.
pub(crate) fn look(site: &Site<'_>, id: &ContainerId, options: &Options, host: &mut Host) -> Result<()> {
    for (at, image) in asked(options) {
        let lease = match site.store.mounted_in(id.as_str(), at)? {
            Some(lease) => lease,
            None => Lease::of(&find(site, image)?),
        };
        let path = |chain| site.store.layer_path(chain).to_string_lossy().into_owned();
        let layers: Vec<String> = lease.layers.iter().rev().map(path).collect();
        if layers.is_empty() {
            return Err(Error::value("--mount", image.escape_debug().to_string(), "the image has no files"));
        }
        host.images.insert(at, layers);
    }
    Ok(())
}
