//! What is left over beside the containers, and what of it can be mended.
//!
//! A container's own files are never touched: what is removed here names, or belongs to, a container that is not there.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use volume::Volumes;

use crate::containers::{Containers, STATES};
use crate::error::{Error, Result};
use crate::network::NETWORKS;
use crate::value::name::ContainerId;
use crate::volumes;

/// Directories below the run directory that have an entry for each container.
const RUN: [&str; 6] = [STATES, "alive", "etc", "s", "mcs", NETWORKS];
/// The directory of claimed id ranges: each file holds a container's id.
const CLAIMS: &str = "ids";

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum LeftOver {
    /// A name of a container that is not there.
    #[error("the name `{name}` belongs to no container")]
    Name {
        /// The name.
        name: String,
    },
    /// A container whose record cannot be read.
    #[error("the record of container `{id}` cannot be read: `brig rm` removes it")]
    Record {
        /// Its id.
        id: String,
    },
    /// A container that has lost its name.
    #[error("container `{id}` is not found by its name `{name}`")]
    Nameless {
        /// Its id.
        id: String,
        /// The name that its record has.
        name: String,
    },
    /// Run-time files of a container that is not there.
    #[error("`{path}` belongs to a container that is not there")]
    Runtime {
        /// Path below the run directory.
        path: String,
    },
    /// A volume that a killed command was making or removing.
    #[error("`volumes/{name}` is half a volume")]
    HalfVolume {
        /// Its name on the disk.
        name: String,
    },
    /// A volume whose description cannot be read.
    #[error("{reason}")]
    Volume {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A container's volume that is gone.
    #[error("volume `{name}` of container `{id}` is not there")]
    NoVolume {
        /// Its name.
        name: String,
        /// The container.
        id: String,
    },
    /// A secret that no container can get.
    #[error("{reason}")]
    Secret {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl Containers<'_> {
    /// Looks for what is left over, sorted; changes nothing. Containers that are being made meanwhile may show.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`].
    pub fn check(&self) -> Result<Vec<LeftOver>> {
        let ids = self.ids()?;
        // Asked when it counts: others make containers meanwhile, the directory first and the rest after it.
        let is_known = |text: &str| rustix::fs::lstat(self.root().join("containers").join(text)).is_ok();
        let mut found = Vec::new();
        let volumes = volumes::open(self.store())?;
        check_volumes(&volumes, &mut found)?;
        self.check_secrets(&mut found)?;
        let names = self.names_directory()?;
        let holder = |name: &str| {
            let target = rustix::fs::readlinkat(&names, name, Vec::new()).ok()?.into_string().ok()?;
            target.strip_prefix("../containers/").and_then(ContainerId::parse)
        };
        for name in entries(&names)? {
            if !holder(&name).is_some_and(|id| is_known(id.as_str())) {
                found.push(LeftOver::Name { name });
            }
        }
        for id in &ids {
            match self.record(id) {
                Ok(Some(record)) => {
                    for point in record.mounts.iter().filter(|point| point.kind == "volume") {
                        if volume::Name::new(&point.name).is_ok_and(|name| !volumes.is_there(&name)) {
                            found.push(LeftOver::NoVolume { name: point.name.clone(), id: id.to_string() });
                        }
                    }
                    if let Some(name) = record.name
                        && holder(&name).as_ref() != Some(id)
                    {
                        found.push(LeftOver::Nameless { id: id.to_string(), name });
                    }
                }
                // Half made: the next sweep takes it.
                Ok(None) => {}
                Err(_) => found.push(LeftOver::Record { id: id.to_string() }),
            }
        }
        for directory in RUN {
            let opened = self.runtime_directory(directory)?;
            for name in entries(&opened)? {
                if ContainerId::parse(&name).is_some() && !is_known(&name) && !self.is_locked(&name)? {
                    found.push(LeftOver::Runtime { path: format!("{directory}/{name}") });
                }
            }
        }
        let claims = self.runtime_directory(CLAIMS)?;
        for name in entries(&claims)? {
            let owner = files::root::read_bounded(&claims, &name, 4096).ok().flatten().unwrap_or_default();
            let owner = String::from_utf8_lossy(&owner).trim().to_owned();
            if ContainerId::parse(&owner).is_some() && !is_known(&owner) {
                found.push(LeftOver::Runtime { path: format!("{CLAIMS}/{name}") });
            }
        }
        found.sort();
        Ok(found)
    }

    /// Mends what [`Self::check`] finds: says what was done, or why nothing was.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn repair(&self) -> Result<Vec<(LeftOver, std::result::Result<&'static str, String>)>> {
        self.sweep()?;
        let mend = |left: &LeftOver| match left {
            LeftOver::Name { name } => rustix::fs::unlinkat(self.names_directory()?, name, AtFlags::empty())
                .map(|()| "removed")
                .map_err(|source| system("remove name", name, source)),
            LeftOver::Nameless { id, name } => {
                let target = format!("../containers/{id}");
                rustix::fs::symlinkat(target, self.names_directory()?, name)
                    .map(|()| "given back")
                    .map_err(|source| system("reserve name", name, source))
            }
            LeftOver::Runtime { path } => {
                let (directory, name) = path.split_once('/').unwrap_or((path, ""));
                match (directory, ContainerId::parse(name)) {
                    // With its cgroup, and what is left of its processes.
                    (STATES, Some(id)) => self.forget_process(&id)?,
                    // With the program that connected it.
                    (NETWORKS, Some(id)) => self.disconnect(&id)?,
                    _ => {}
                }
                files::remove_tree(self.runtime_directory(directory)?, name)?;
                Ok("removed")
            }
            LeftOver::Record { id } => Err(Error::Helper {
                message: format!("remove it with `brig rm -f {}`", &id[..12.min(id.len())]),
            }),
            LeftOver::HalfVolume { .. } => {
                volumes::open(self.store())?.sweep()?;
                Ok("removed")
            }
            LeftOver::Volume { name, .. } => Err(Error::Helper {
                message: format!("its files are in `{}`: save them, then `brig volume rm {name}`", {
                    let name = volume::Name::new(name)?;
                    volumes::open(self.store())?.mountpoint(&name).display().to_string()
                }),
            }),
            LeftOver::NoVolume { name, .. } => Err(Error::Helper {
                message: format!("what was in it is lost; `brig volume create {name}` makes an empty one"),
            }),
            LeftOver::Secret { name, .. } => Err(Error::Helper {
                message: format!("give it its value again: `brig secret create --replace {name} FILE`"),
            }),
        };
        let found = self.check()?;
        Ok(found
            .into_iter()
            .map(|left| {
                let outcome = mend(&left).map_err(|error| error.to_string());
                (left, outcome)
            })
            .collect())
    }

    /// What no container could be given.
    fn check_secrets(&self, found: &mut Vec<LeftOver>) -> Result<()> {
        for (name, error) in secret::Secrets::open(self.store().root())?.check()? {
            found.push(LeftOver::Secret { name, reason: files::chain(&error) });
        }
        Ok(())
    }

    fn is_locked(&self, id: &str) -> Result<bool> {
        match files::lock::is_held(self.runtime_directory("alive")?, id) {
            Ok(held) => Ok(held),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn names_directory(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(self.root().join("names"), flags, Mode::empty())
            .map_err(|source| system("open", "names", source))
    }
}

fn check_volumes(volumes: &Volumes, found: &mut Vec<LeftOver>) -> Result<()> {
    found.extend(volumes.left_over()?.into_iter().map(|name| LeftOver::HalfVolume { name }));
    for name in volumes.names()? {
        match volumes.meta(&name) {
            // Removed meanwhile.
            Err(error) if error.is_missing() => {}
            Err(error) => {
                let reason = files::chain(&error);
                found.push(LeftOver::Volume { name: name.to_string(), reason });
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn system(action: &'static str, path: &str, source: rustix::io::Errno) -> Error {
    Error::System { action, path: path.into(), source }
}

/// The names in a directory that are text.
fn entries(directory: &OwnedFd) -> Result<Vec<String>> {
    let failed = |source| system("list", "a directory of the engine", source);
    let mut names = Vec::new();
    for entry in Dir::read_from(directory.as_fd()).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Ok(name) = entry.file_name().to_str()
            && name != "."
            && name != ".."
            && entry.file_type() != FileType::Unknown
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
