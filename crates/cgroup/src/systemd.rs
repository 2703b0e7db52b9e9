//! A container as a transient systemd scope, delegated so that the rest of this crate may write into it.
//!
//! systemd is told the limits too: it writes its own view of a unit into the kernel's files whenever it
//! reloads. Device policies are not: our eBPF program holds beside whatever systemd attaches. Only cgroup v2
//! (systemd 258 has no other). No property comes from an annotation or any other text of the bundle but the
//! typed resources and a checked `slice:prefix:name` (CVE-2024-3154).

use std::path::Path;

use oci::runtime::Resources;

use crate::cgroup::{Cgroup, Driver};
use crate::create::{Request, open_member};
use crate::{Controllers, Error, Layout, Result, Strictness, Warning};

#[cfg(feature = "systemd")]
mod bus;
#[cfg(feature = "systemd")]
mod connection;
#[cfg(test)]
#[cfg(feature = "systemd")]
mod fake;
#[cfg(feature = "systemd")]
mod message;
mod property;
#[cfg(test)]
#[cfg(feature = "systemd")]
mod real_bus;
mod unit;
#[cfg(feature = "systemd")]
mod wire;

pub(crate) use property::Property;
use unit::Unit;

/// The bus of the systemd that makes the scope.
#[derive(Clone, Copy, Debug)]
pub struct SystemdBus<'a> {
    /// Its socket: `/run/dbus/system_bus_socket` or, for a user's own systemd, `$XDG_RUNTIME_DIR/bus`, as
    /// the caller knows it.
    pub socket: &'a Path,
    /// The process that the scope begins with: systemd makes no empty ones. It is in the cgroup after
    /// [`Cgroup::create`].
    pub leader: i32,
}

impl Cgroup {
    /// Starts the scope and opens its directory.
    pub(crate) fn create_scope(
        mut self,
        layout: &Layout,
        request: &Request<'_>,
        resources: &Resources,
    ) -> Result<(Self, Vec<Warning>)> {
        let unit = Unit::new(request.id, request.path, request.rootless)?;
        let refuse = |reason: &str| Error::Systemd {
            operation: "StartTransientUnit",
            unit: unit.name.clone(),
            reason: reason.to_owned(),
        };
        let bus = request.systemd.ok_or_else(|| refuse("the caller named no bus"))?;
        let v2 = layout
            .v2()
            .filter(|_| layout.v1_controllers().is_empty())
            .ok_or_else(|| refuse("this machine has cgroup v1 controllers: use the file system driver"))?;
        let leader = u32::try_from(bus.leader).map_err(|_| refuse("there is no process to begin with"))?;
        let socket = bus.socket.to_str().ok_or_else(|| refuse("the bus's path is not UTF-8"))?;
        let limits = property::limits(resources)?;
        let properties = property::scope(&unit, request.id, leader, &limits);
        let path = start(bus.socket, &unit.name, &properties)?;
        self.driver = Driver::Systemd;
        self.unit = Some(unit.name);
        self.bus = Some(socket.to_owned());
        self.told = limits;
        let controllers = Controllers::needed(resources).union(request.controllers);
        match open_member(v2, path.trim_start_matches('/').to_owned(), controllers) {
            Ok(member) => self.members.push(member),
            Err(errno) => {
                drop(self.stop_unit());
                return Err(Error::Create { path: format!("{}{path}", v2.mount), errno });
            }
        }
        Ok((self, Vec::new()))
    }

    /// Tells systemd of limits that it does not know yet.
    pub(crate) fn tell_systemd(
        &self,
        resources: &Resources,
        strictness: Strictness,
    ) -> Result<Option<Warning>> {
        let (Some(unit), Some(bus)) = (&self.unit, &self.bus) else { return Ok(None) };
        let mut limits = property::limits(resources)?;
        limits.retain(|property| !self.told.contains(property));
        if limits.is_empty() {
            return Ok(None);
        }
        match (set(Path::new(bus), unit, &limits), strictness) {
            (Err(Error::Systemd { operation, unit, reason }), Strictness::Default) => {
                Ok(Some(Warning::Systemd { operation, unit, reason }))
            }
            (result, _) => result.map(|()| None),
        }
    }

    /// Whether systemd made the cgroup, as a scope.
    #[must_use]
    pub const fn is_scope(&self) -> bool {
        self.unit.is_some()
    }

    /// Has systemd move a process into the scope, for a caller who may not: one in a login session, whose processes the kernel
    /// lets nobody but root move to the cgroups of the user's own systemd.
    ///
    /// # Errors
    /// [`Error::Systemd`].
    pub fn attach(&self, pid: i32) -> Result<()> {
        let (Some(unit), Some(bus)) = (&self.unit, &self.bus) else { return Ok(()) };
        let refuse = || Error::Systemd {
            operation: "AttachProcessesToUnit",
            unit: unit.clone(),
            reason: "there is no process to move".to_owned(),
        };
        attach(Path::new(bus), unit, u32::try_from(pid).map_err(|_| refuse())?)
    }

    /// Stops the scope and forgets its failure, if it failed.
    pub(crate) fn stop_unit(&self) -> Result<()> {
        match (&self.unit, &self.bus) {
            (Some(unit), Some(bus)) => stop(Path::new(bus), unit),
            _ => Ok(()),
        }
    }
}

#[cfg(feature = "systemd")]
use bus::{attach, set, start, stop};

#[cfg(not(feature = "systemd"))]
mod absent {
    use super::{Error, Path, Property, Result};

    fn absent(operation: &'static str, unit: &str) -> Error {
        let reason = "this program was built without the feature `systemd`".to_owned();
        Error::Systemd { operation, unit: unit.to_owned(), reason }
    }

    pub(super) fn attach(_: &Path, unit: &str, _: u32) -> Result<()> {
        Err(absent("AttachProcessesToUnit", unit))
    }

    pub(super) fn start(_: &Path, unit: &str, _: &[Property]) -> Result<String> {
        Err(absent("StartTransientUnit", unit))
    }

    pub(super) fn set(_: &Path, unit: &str, _: &[Property]) -> Result<()> {
        Err(absent("SetUnitProperties", unit))
    }

    pub(super) fn stop(_: &Path, unit: &str) -> Result<()> {
        Err(absent("StopUnit", unit))
    }
}
#[cfg(not(feature = "systemd"))]
use absent::{attach, set, start, stop};

/// Entrances for the fuzz targets.
#[cfg(all(feature = "fuzzing", feature = "systemd"))]
pub mod fuzzing {
    use oci::runtime::Resources;

    use super::message::{Message, PREFIX_BYTES};
    use super::wire::{Order, Reader};
    use crate::Result;

    /// Takes bytes for a message; the bytes that we would send for what was read.
    ///
    /// # Panics
    /// When a message that was read has another length than its start announces, or is read in another way once it
    /// was written again.
    #[must_use]
    pub fn message(bytes: &[u8]) -> Option<Vec<u8>> {
        let size = bytes.first_chunk::<PREFIX_BYTES>().map(Message::size);
        let message = Message::decode(bytes).ok()?;
        assert_eq!(size.and_then(std::result::Result::ok), Some(bytes.len()));
        let sent = message.encode().ok()?;
        // A body is passed on as it came, so only one in our own order is read again.
        if message.order == Order::Little {
            assert_eq!(Message::decode(&sent).ok().as_ref(), Some(&message));
        }
        Some(sent)
    }

    /// Reads values one after the other, as the letters of a signature say, and counts them.
    #[must_use]
    pub fn values(bytes: &[u8], signature: &str, is_big: bool) -> usize {
        let mut reader = Reader::new(bytes, if is_big { Order::Big } else { Order::Little });
        let mut letters = signature.char_indices();
        let count = letters.by_ref().map_while(|(at, letter)| {
            match letter {
                'o' => reader.path().map(drop),
                _ => reader.skip(&signature[at..at + letter.len_utf8()]),
            }
            .ok()
        });
        let count = count.count();
        assert!(reader.at() <= bytes.len());
        count
    }

    /// The end of a job that a message tells of: its path and how it ended.
    #[must_use]
    pub fn removed(bytes: &[u8]) -> Option<(String, String)> {
        let message = Message::decode(bytes).ok()?;
        let (path, result) = super::bus::removed(&message).ok()?;
        Some((path.to_owned(), result.to_owned()))
    }

    /// Limits as properties of a unit, counted.
    ///
    /// # Errors
    /// [`Error::BadValue`](crate::Error::BadValue).
    pub fn limits(resources: &Resources) -> Result<usize> {
        super::property::limits(resources).map(|list| list.len())
    }
}
