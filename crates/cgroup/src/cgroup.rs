//! A container's cgroup: one directory in each hierarchy that is needed.

use std::os::fd::{AsFd, BorrowedFd};

use oci::runtime::Resources;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::directory::Directory;
use crate::error::{Unapplied, permission_hint};
use crate::layout::Version;
use crate::plan::plan;
use crate::systemd::Property;
use crate::{Controller, Controllers, Error, Result, Warning};

/// Who makes the cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Driver {
    /// This crate, by `mkdir`.
    Filesystem,
    /// systemd, as a delegated scope.
    Systemd,
    /// Nobody: the container stays in the cgroup of its creator.
    None,
}

/// Whether somebody asked for the limits that are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// They were requested: one that cannot be applied is an error.
    Requested,
    /// They are our defaults: one that cannot be applied is a warning.
    Default,
}

/// The directory in one hierarchy.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) version: Version,
    /// The v1 controllers, or the ones that v2 was asked for.
    pub(crate) controllers: Controllers,
    pub(crate) mount: String,
    /// Relative to the mount point.
    pub(crate) path: String,
    pub(crate) identity: u64,
    /// The mount point, from which the directory is removed.
    pub(crate) root: Directory,
    pub(crate) directory: Directory,
    /// How many of the path's first components existed before.
    pub(crate) kept: usize,
}

impl Member {
    /// Returns the directory's path for messages.
    pub(crate) fn shown(&self) -> String {
        format!("{}/{}", self.mount, self.path)
    }
}

/// The cgroup of one container.
#[derive(Debug)]
pub struct Cgroup {
    pub(crate) driver: Driver,
    pub(crate) unit: Option<String>,
    /// The socket of the bus that the unit's systemd is on.
    pub(crate) bus: Option<String>,
    /// What systemd was told when the unit was made.
    pub(crate) told: Vec<Property>,
    pub(crate) rootless: bool,
    pub(crate) shared: bool,
    pub(crate) members: Vec<Member>,
    /// What a creator was about to make who then was killed.
    pub(crate) planned: Vec<Planned>,
    /// Controllers whose hierarchy exists and where no directory could be made.
    pub(crate) missing: Controllers,
    /// Controllers that v1 hierarchies of this machine have taken.
    pub(crate) v1_controllers: Controllers,
}

/// What `state.json` keeps of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    pub(crate) driver: Driver,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bus: Option<String>,
    #[serde(default)]
    pub(crate) rootless: bool,
    #[serde(default)]
    pub(crate) shared: bool,
    pub(crate) v1: Controllers,
    pub(crate) members: Vec<SavedMember>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) planned: Vec<Planned>,
}

/// A directory that may have been made; nothing was ever put into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Planned {
    pub(crate) version: Version,
    pub(crate) mount: String,
    pub(crate) path: String,
    /// How many of the path's first components existed before.
    pub(crate) kept: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedMember {
    version: Version,
    controllers: Controllers,
    mount: String,
    path: String,
    identity: u64,
    kept: usize,
}

impl Saved {
    /// Returns the directories with the controllers of each, for `state` output and messages.
    pub fn paths(&self) -> impl Iterator<Item = (Controllers, String)> {
        self.members.iter().map(|member| (member.controllers, format!("{}/{}", member.mount, member.path)))
    }
}

impl Cgroup {
    /// Returns the value to store, from which [`Self::from_saved`] finds the same directories again.
    pub fn to_saved(&self) -> Saved {
        let member = |member: &Member| SavedMember {
            version: member.version,
            controllers: member.controllers,
            mount: member.mount.clone(),
            path: member.path.clone(),
            identity: member.identity,
            kept: member.kept,
        };
        Saved {
            driver: self.driver,
            unit: self.unit.clone(),
            bus: self.bus.clone(),
            rootless: self.rootless,
            shared: self.shared,
            v1: self.v1_controllers,
            members: self.members.iter().map(member).collect(),
            planned: self.planned.clone(),
        }
    }

    /// Opens what is left of a stored cgroup. Directories that are gone, or that somebody removed and made
    /// anew, are left out.
    ///
    /// # Errors
    /// [`Error::Operation`] when a directory that exists cannot be opened.
    pub fn from_saved(saved: &Saved) -> Result<Self> {
        let mut members = Vec::with_capacity(saved.members.len());
        for member in &saved.members {
            members.extend(member.open()?);
        }
        Ok(Self {
            driver: saved.driver,
            unit: saved.unit.clone(),
            bus: saved.bus.clone(),
            told: Vec::new(),
            rootless: saved.rootless,
            shared: saved.shared,
            members,
            planned: saved.planned.clone(),
            missing: Controllers::NONE,
            v1_controllers: saved.v1,
        })
    }

    /// Returns who made the cgroup.
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// Returns the directories with the controllers of each.
    pub fn paths(&self) -> impl Iterator<Item = (Controllers, String)> {
        self.members.iter().map(|member| (member.controllers, member.shown()))
    }

    /// Returns the directory in the unified hierarchy, for `CLONE_INTO_CGROUP` (which v1 answers with
    /// `EBADF`). After it, [`Self::add_v1`] completes the membership.
    pub fn v2_dir(&self) -> Option<BorrowedFd<'_>> {
        self.v2_directory().map(AsFd::as_fd)
    }

    pub(crate) fn v2_directory(&self) -> Option<&Directory> {
        self.v2_member().map(|member| &member.directory)
    }

    pub(crate) fn v2_member(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.version == Version::V2)
    }

    /// Returns the member that lists, freezes and kills: v2's, else the freezer's, else any.
    pub(crate) fn main_member(&self) -> Option<&Member> {
        let freezer = || self.members.iter().find(|m| m.controllers.contains(Controller::Freezer));
        self.v2_member().or_else(freezer).or(self.members.first())
    }

    pub(crate) fn member_of(&self, controller: Controller) -> Option<&Member> {
        let bound = |m: &&Member| m.version == Version::V1 && m.controllers.contains(controller);
        let unified = || self.v2_member().filter(|_| controller.is_v2() && !self.is_v1(controller));
        self.members.iter().find(bound).or_else(unified)
    }

    pub(crate) fn directory_of(&self, controller: Controller) -> Option<&Directory> {
        self.member_of(controller).map(|member| &member.directory)
    }

    /// Tells whether this machine has the controller on v1.
    pub(crate) fn is_v1(&self, controller: Controller) -> bool {
        self.v1_controllers.contains(controller)
    }

    /// Explains why there is no directory for `controller`.
    pub(crate) fn without_directory(&self, controller: Controller, file: String, value: String) -> Unapplied {
        let hint = if self.driver == Driver::None || self.missing.contains(controller) {
            permission_hint(Errno::ACCESS)
        } else if self.is_v1(controller) {
            Some(
                "the container was created outside this controller's hierarchy: create it anew with the limit",
            )
        } else {
            Some("this kernel does not have the controller, or it is not mounted")
        };
        Unapplied { controller, file, value, errno: None, hint }
    }

    /// Applies limits; only what `resources` names is changed.
    ///
    /// A non-empty device list becomes the whole policy: everything it does not allow is denied, later rules
    /// win. In a rootless container a device policy that cannot be set is only a warning, because the
    /// kernel gives its user namespace no device nodes anyway.
    ///
    /// # Errors
    /// [`Error::BadValue`] for values that make no sense (nothing was applied then); with
    /// [`Strictness::Requested`] [`Error::Limit`] for the first limit that could not be applied.
    pub fn apply(&self, resources: &Resources, strictness: Strictness) -> Result<Vec<Warning>> {
        let version = |controller| if self.is_v1(controller) { Version::V1 } else { Version::V2 };
        let steps = plan(resources, version)?;
        let mut warnings: Vec<Warning> = self.tell_systemd(resources, strictness)?.into_iter().collect();
        let mut note = |unapplied: Unapplied, strictness| match strictness {
            Strictness::Requested => Err(Error::Limit(Box::new(unapplied))),
            Strictness::Default => {
                warnings.push(Warning::Unapplied(unapplied));
                Ok(())
            }
        };
        if !resources.devices.is_empty()
            && let Err(unapplied) = self.apply_devices(&resources.devices)?
        {
            note(unapplied, if self.rootless { Strictness::Default } else { strictness })?;
        }
        for step in steps {
            if let Err(unapplied) = step.run(self) {
                note(unapplied, strictness)?;
            }
        }
        if let Some(memory) = &resources.memory {
            let ignored = [
                ("memory.kernel", memory.kernel.is_some()),
                ("memory.useHierarchy", memory.use_hierarchy.is_some()),
            ];
            warnings.extend(
                ignored.iter().filter(|(_, given)| *given).map(|(field, _)| Warning::Ignored { field }),
            );
        }
        Ok(warnings)
    }

    /// Makes the kernel kill all processes of the cgroup together when it kills one for lack of memory
    /// (`memory.oom.group`, v2 only).
    ///
    /// # Errors
    /// [`Error::Limit`] on v1 or when the kernel refuses.
    pub fn set_oom_group(&self, together: bool) -> Result<()> {
        let value = if together { "1" } else { "0" };
        let file = "memory.oom.group";
        let member = self.member_of(Controller::Memory).filter(|member| member.version == Version::V2);
        let Some(member) = member else {
            let unapplied = self.without_directory(Controller::Memory, file.to_owned(), value.to_owned());
            return Err(Error::Limit(Box::new(unapplied)));
        };
        member.directory.write(file, value).map_err(|errno| {
            let hint = permission_hint(errno);
            let (file, value, errno) = (file.to_owned(), value.to_owned(), Some(errno));
            Error::Limit(Box::new(Unapplied { controller: Controller::Memory, file, value, errno, hint }))
        })
    }
}

impl SavedMember {
    fn open(&self) -> Result<Option<Member>> {
        let failed = |errno| Error::Operation {
            operation: "open",
            path: format!("{}/{}", self.mount, self.path),
            errno,
        };
        let root = match Directory::open_mount(&self.mount, self.version) {
            Ok(Some(root)) => root,
            Ok(None) | Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let directory = match root.open(&self.path) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        if directory.identity().map_err(failed)? != self.identity {
            return Ok(None);
        }
        Ok(Some(Member {
            version: self.version,
            controllers: self.controllers,
            mount: self.mount.clone(),
            path: self.path.clone(),
            identity: self.identity,
            root,
            directory,
            kept: self.kept,
        }))
    }
}
