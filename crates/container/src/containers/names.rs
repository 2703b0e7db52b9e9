//! Names of containers, and changes of the records that hold them.

use std::os::fd::AsFd;

use files::lock::{self, Lock};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::{Containers, RECORD, open, random, system, write_json};
use crate::error::{Error, Result};
use crate::record::Record;
use crate::value::generated::generate;
use crate::value::name::{ContainerId, Name};

/// Most names that are generated for one container.
const MOST_ATTEMPTS: u32 = 100;

impl Containers<'_> {
    /// Reserves a generated name. Two words are soon taken among thousands of containers; then digits follow.
    pub(super) fn take_any_name(&self, id: &ContainerId) -> Result<Name> {
        let mut attempt = 0;
        loop {
            let bytes = random()?;
            let name = generate([bytes[0], bytes[1], bytes[2], bytes[3]], attempt);
            match self.take_name(&name, id) {
                Ok(()) => return Ok(name),
                Err(Error::NameInUse { .. }) if attempt < MOST_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// `symlink(2)` reserves: of two that ask for one name, one gets it. A name left by a dead container
    /// that was not meant to stay is taken over.
    pub(super) fn take_name(&self, name: &Name, id: &ContainerId) -> Result<()> {
        for attempt in 0..2 {
            match rustix::fs::symlinkat(format!("../containers/{id}"), &self.names, name.as_str()) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(system("reserve name", name.as_str())(errno)),
            }
            let Some(holder) = self.holder(name.as_str())? else { continue };
            if attempt > 0 || !self.sweep_one(&holder)? {
                return Err(Error::NameInUse { name: name.to_string(), id: holder.short().to_owned() });
            }
        }
        Err(Error::NameInUse { name: name.to_string(), id: "another one".to_owned() })
    }

    /// The container that a name points to.
    pub(super) fn holder(&self, name: &str) -> Result<Option<ContainerId>> {
        match rustix::fs::readlinkat(&self.names, name, Vec::new()) {
            Ok(target) => Ok(target
                .to_str()
                .ok()
                .and_then(|target| target.strip_prefix("../containers/"))
                .and_then(ContainerId::parse)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(system("read name", name)(errno)),
        }
    }

    /// Changes a container's record, as it is now and not as it was read before.
    ///
    /// # Errors
    /// [`Error::NoContainer`], [`Error::System`], [`Error::Files`].
    pub fn change_record(&self, id: &ContainerId, change: impl FnOnce(&mut Record)) -> Result<()> {
        let (_held, mut record) = self.held_record(id)?;
        change(&mut record);
        self.write_record(id, &record)
    }

    /// Writes a container's record anew; the caller holds it.
    pub(crate) fn write_record(&self, id: &ContainerId, record: &Record) -> Result<()> {
        write_json(self.directory_of(id)?.as_fd(), RECORD, record)
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// [`Error::NameInUse`], [`Error::NoContainer`], [`Error::System`], [`Error::Files`].
    pub fn rename(&self, id: &ContainerId, name: &Name) -> Result<()> {
        let (_held, mut record) = self.held_record(id)?;
        self.take_name(name, id)?;
        let old = record.name.replace(name.to_string());
        if let Err(error) = self.write_record(id, &record) {
            // The first error is the one to tell.
            drop(self.drop_name(name.as_str(), id));
            return Err(error);
        }
        match old.filter(|old| old != name.as_str()) {
            Some(old) => self.drop_name(&old, id),
            None => Ok(()),
        }
    }

    /// Keeps a container's record and name as they are: of two that change them each would write the other's change away, and
    /// who gives another name and who removes the container would leave a name behind. None where there is no container.
    pub(crate) fn hold_record(&self, id: &ContainerId) -> Result<Option<Lock>> {
        let directory = match open(self.containers.as_fd(), id.as_str()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(system("open", id.as_str())(errno)),
        };
        Ok(Some(lock::exclusive(directory)?))
    }

    /// Takes a name away if it is still this container's.
    pub(super) fn drop_name(&self, name: &str, id: &ContainerId) -> Result<()> {
        if self.holder(name)?.as_ref() != Some(id) {
            return Ok(());
        }
        match rustix::fs::unlinkat(&self.names, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(system("remove name", name)(errno)),
        }
    }

    /// A container's record, which nobody else changes meanwhile.
    ///
    /// # Errors
    /// [`Error::NoContainer`], [`Error::System`], [`Error::Files`].
    pub(crate) fn held_record(&self, id: &ContainerId) -> Result<(Lock, Record)> {
        let missing = || Error::NoContainer { name: id.short().to_owned() };
        let held = self.hold_record(id)?.ok_or_else(missing)?;
        Ok((held, self.record(id)?.ok_or_else(missing)?))
    }
}
