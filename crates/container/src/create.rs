//! A container that waits for its first start.

use std::os::fd::AsFd;

use idmap::allocate::Claim;
use monitor::Life;

use crate::error::Result;
use crate::lsm::Categories;
use crate::run::{Ready, Site, claims};
use crate::value::name::ContainerId;

impl Ready {
    /// Leaves the container for a later start: it holds nothing of the machine's meanwhile.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`], [`Error::Ids`].
    pub fn set_aside(self, site: &Site<'_>) -> Result<ContainerId> {
        let id = self.reserved.id.clone();
        // Before the lock goes: who is not known to wait would be swept.
        Life::default().write(self.reserved.directory.as_fd())?;
        let given = give_back(site, self.claim, self.categories);
        given.and(site.containers.clear_runtime(&id)).and(site.containers.leave(self.reserved))?;
        Ok(id)
    }
}

/// Gives back the ids and categories of a container that does not run.
pub(crate) fn give_back(site: &Site<'_>, claim: Option<Claim>, categories: Option<Categories>) -> Result<()> {
    let released = match claim {
        Some(claim) => claims(site).and_then(|directory| Ok(claim.release(directory.as_fd())?)),
        None => Ok(()),
    };
    released.and(categories.map_or(Ok(()), Categories::release))
}
