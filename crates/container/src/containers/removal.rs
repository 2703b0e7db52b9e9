//! Taking containers away: by their owner, at their end, and what a killed command left.

use std::os::fd::{AsFd, OwnedFd};

use idmap::{NamespaceRequest, in_user_namespace};
use monitor::Life;
use rustix::fs::{AtFlags, Dir, Mode};
use rustix::io::Errno;
use store::Ownership;

use super::{Containers, Reserved, STATES, open, system};
use crate::error::{Error, Result};
use crate::overlays::{DIRECTORY as OVERLAYS, WORK};
use crate::stop;
use crate::value::name::ContainerId;
use crate::volumes;
use crate::wait;
use crate::weaken::{self, Defence};

impl Containers<'_> {
    /// Removes a container that this process made.
    ///
    /// Goes on after an error and reports the first; what is left is removed by the next sweep.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`], [`Error::Ids`].
    pub fn remove(&self, reserved: Reserved) -> Result<()> {
        let id = reserved.id.clone();
        let held = self.hold_record(&id)?;
        // Whatever became of its record, it goes.
        let renamed = self.record(&id).ok().flatten().and_then(|record| record.name);
        let named = match renamed.or_else(|| reserved.name.as_ref().map(ToString::to_string)) {
            Some(name) => self.drop_name(&name, &id),
            None => Ok(()),
        };
        let volumes = volumes::anonymous(self, &id);
        drop(reserved.directory);
        files::pause::at("container.removing");
        let removed = self.remove_files(&id).and_then(|()| volumes::remove(self, self.store, &volumes));
        // The lock goes last: until then nobody takes the rest for left over.
        drop(held);
        let unlocked = self.forget(&id);
        named.and(removed).and(unlocked)
    }

    /// Removes every container that nobody watches, whose process is gone and that was not meant to stay.
    /// Returns how many.
    ///
    /// # Errors
    /// As [`Self::is_alive`] and [`Self::remove`]; a container that cannot be removed does not stop the rest.
    pub fn sweep(&self) -> Result<usize> {
        let mut removed = 0;
        let mut first = None;
        for id in self.ids()? {
            match self.sweep_one(&id) {
                Ok(gone) => removed += usize::from(gone),
                Err(error) => first = first.or(Some(error)),
            }
        }
        first.map_or(Ok(removed), Err)
    }

    pub(super) fn sweep_one(&self, id: &ContainerId) -> Result<bool> {
        if self.is_alive(id)? {
            return Ok(false);
        }
        let record = self.record(id)?;
        if record.as_ref().is_some_and(|record| !record.remove || self.waits_for_start(id)) {
            return Ok(false);
        }
        let _watched = match self.watch(id) {
            // Another command takes care of it just now.
            Err(Error::NoContainer { .. } | Error::Running { .. }) if !weaken::is_off(Defence::Lock) => {
                return Ok(false);
            }
            Err(error) if !weaken::is_off(Defence::Lock) => return Err(error),
            result => result.ok(),
        };
        let volumes = volumes::anonymous(self, id);
        self.discard(id)?;
        volumes::remove(self, self.store, &volumes)?;
        Ok(true)
    }

    /// Whether a container was made, and never started.
    fn waits_for_start(&self, id: &ContainerId) -> bool {
        let life = self.directory_of(id).ok().and_then(|directory| Life::read(directory.as_fd()));
        life.is_some_and(|life| life.status == monitor::Status::Created)
    }

    /// Removes a container that stayed; with `force` also one that runs, whose processes are killed.
    ///
    /// # Errors
    /// [`Error::Running`], and as [`Self::sweep`].
    pub fn delete(&self, id: &ContainerId, force: bool) -> Result<()> {
        if force {
            stop::end(self, id)?;
        } else {
            wait::settled(self, id)?;
            if self.is_alive(id)? {
                return Err(Error::Running { id: id.short().to_owned() });
            }
        }
        // Nobody starts it from here on.
        let _watched = match self.watch(id) {
            // It was to go away at its end.
            Err(Error::NoContainer { .. }) => return self.forget(id),
            result => result?,
        };
        self.discard(id)
    }

    /// As [`Self::delete`], with the volumes that nobody named and no other container has.
    ///
    /// # Errors
    /// As [`Self::delete`], and [`Error::Volume`].
    pub fn delete_with_volumes(&self, id: &ContainerId, force: bool) -> Result<()> {
        let volumes = volumes::anonymous(self, id);
        self.delete(id, force)?;
        volumes::remove(self, self.store, &volumes)
    }

    pub(super) fn discard(&self, id: &ContainerId) -> Result<()> {
        let _held = self.hold_record(id)?;
        match self.record(id)?.and_then(|record| record.name) {
            Some(name) => self.drop_name(&name, id)?,
            None => self.drop_names_of(id)?,
        }
        self.forget_process(id)?;
        self.remove_files(id)?;
        self.forget(id)
    }

    /// Removes the cgroup of a container and what else the runtime keeps of its process, which is killed if it lives.
    pub(crate) fn forget_process(&self, id: &ContainerId) -> Result<()> {
        match runtime::Container::load(&self.states, id.as_str()) {
            Ok(container) => self.delete_process(id, container)?,
            Err(runtime::Error::NoContainer(_)) => {}
            Err(error) => return Err(error.into()),
        }
        // Half-written files, or a directory without any.
        files::remove_tree(self.runtime_directory(STATES)?, id.as_str())?;
        Ok(())
    }

    /// A container that died before its record was written may have a name already.
    fn drop_names_of(&self, id: &ContainerId) -> Result<()> {
        for entry in Dir::read_from(&self.names).map_err(system("list", "names"))? {
            let entry = entry.map_err(system("list", "names"))?;
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                self.drop_name(name, id)?;
            }
        }
        Ok(())
    }

    pub(super) fn remove_files(&self, id: &ContainerId) -> Result<()> {
        // Before the directory by which a sweep would find them.
        self.clear_runtime(id)?;
        self.release_quota(id)?;
        self.remove_overlay_work(id);
        self.remove_tree(&self.containers, id.as_str(), id)
    }

    /// Removes what was written into overlays of host directories: it goes with the container's end.
    pub(crate) fn remove_overlays(&self, id: &ContainerId) -> Result<()> {
        match open(self.containers.as_fd(), id.as_str()) {
            Ok(container) => self.remove_tree(&container, OVERLAYS, id),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(system("open", id.as_str())(errno)),
        }
    }

    fn remove_tree(&self, parent: &OwnedFd, name: &str, id: &ContainerId) -> Result<()> {
        match (files::remove_tree(parent, name), self.store.ownership()) {
            (Ok(_), _) => Ok(()),
            // Files of the container belong to subordinate ids, or lie in directories that only root of the
            // user namespace can empty.
            (Err(_), Ownership::Mapped { uid, gid }) => {
                let request = NamespaceRequest { uid, gid, also_new: 0, answer_limit: 4096 };
                let outcome = in_user_namespace(&request, || match files::remove_tree(parent, name) {
                    Ok(_) => (0, Vec::new()),
                    Err(error) => (1, error.to_string().into_bytes()),
                })?;
                match outcome.answer.is_empty() {
                    true => Ok(()),
                    false => Err(Error::Remove {
                        id: id.to_string(),
                        reason: String::from_utf8_lossy(&outcome.answer).into_owned(),
                    }),
                }
            }
            (Err(error), Ownership::Kept) => Err(error.into()),
        }
    }

    /// The limit of its writable layer goes while its directory says which it is.
    fn release_quota(&self, id: &ContainerId) -> Result<()> {
        if !matches!(self.store.ownership(), Ownership::Kept) {
            return Ok(());
        }
        let container = open(self.containers.as_fd(), id.as_str());
        match container.and_then(|container| open(container.as_fd(), WORK)) {
            Ok(work) => Ok(files::quota::release(work)?),
            // Half made, or half removed.
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(system("open", id.as_str())(errno)),
        }
    }

    /// Removes the directory that overlayfs made in `work`: its mode is 0, so that a plain user, whose it is,
    /// cannot look into it but can remove it while it is empty. Saves a user namespace for most containers;
    /// where it does not work, that comes next.
    pub(crate) fn remove_overlay_work(&self, id: &ContainerId) {
        let work =
            open(self.containers.as_fd(), id.as_str()).and_then(|container| open(container.as_fd(), WORK));
        if let Ok(work) = work {
            // A volatile overlay leaves a mark inside.
            rustix::fs::chmodat(&work, "work", Mode::RWXU, AtFlags::empty()).ok();
            files::remove_tree(&work, "work").ok();
        }
    }
}
