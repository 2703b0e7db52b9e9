use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags};

use super::{Attempt, Switches};
use crate::subordinate::outside_service;
use crate::{Error, Side, Subordinate, SubordinateTable, account, read};

/// Most names of `/etc` that are looked at for misspelt files.
const MAX_NAMES: usize = 10_000;

/// Whether the user in question is root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Uid 0: maps are written directly, from a range of their own.
    Root,
    /// Anybody else: needs subordinate ids.
    User,
}

/// `newuidmap` or `newgidmap`, as installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelperFile {
    /// Where.
    pub path: PathBuf,
    /// Whether it is set-user-id root or carries a file capability.
    pub privileged: bool,
    /// Whether its file system is mounted nosuid.
    pub nosuid: bool,
}

/// Everything that a judgement about ids rests on.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whom it is about.
    pub privilege: Privilege,
    /// His uid.
    pub uid: u32,
    /// His subordinate ids and name, from wherever they come.
    pub subordinate: Subordinate,
    /// Whether subordinate ids come from a directory service (nsswitch.conf), not from the two files.
    pub from_service: bool,
    /// Login names and uids of `/etc/passwd`.
    pub accounts: Vec<(String, u32)>,
    /// Group ids of `/etc/group`, with their names.
    pub groups: Vec<(String, u32)>,
    /// `/etc/subuid`, where it exists.
    pub subuid: Option<SubordinateTable>,
    /// `/etc/subgid`, where it exists.
    pub subgid: Option<SubordinateTable>,
    /// Names in `/etc` that look like one of the two, and are not.
    pub lookalikes: Vec<String>,
    /// `newuidmap`, where installed.
    pub newuidmap: Option<HelperFile>,
    /// `newgidmap`, where installed.
    pub newgidmap: Option<HelperFile>,
    /// What may refuse user namespaces.
    pub switches: Switches,
    /// What became of making one.
    pub attempt: Attempt,
}

impl Facts {
    /// Reads this host.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotRegular`], [`Error::TooBig`] for files under `/etc`.
    pub fn of_host(uid: u32) -> Result<Self, Error> {
        Self::read(Path::new("/etc"), Path::new("/proc/sys"), uid)
    }

    /// Reads a host whose configuration is below `etc` and whose sysctls are below `sysctls`.
    ///
    /// # Errors
    /// As [`Self::of_host`].
    pub fn read(etc: &Path, sysctls: &Path, uid: u32) -> Result<Self, Error> {
        let switch = read::optional(&etc.join("nsswitch.conf"))?.unwrap_or_default();
        Ok(Self {
            privilege: if uid == 0 { Privilege::Root } else { Privilege::User },
            uid,
            subordinate: Subordinate::for_user(etc, uid)?,
            from_service: outside_service(&switch, "subid"),
            accounts: account::read_passwd(etc)?.into_iter().map(|row| (row.name, row.uid)).collect(),
            groups: account::read_group(etc)?.into_iter().map(|row| (row.name, row.gid)).collect(),
            subuid: SubordinateTable::read(etc, Side::Uid)?,
            subgid: SubordinateTable::read(etc, Side::Gid)?,
            lookalikes: lookalikes(etc),
            newuidmap: helper_file(Side::Uid),
            newgidmap: helper_file(Side::Gid),
            switches: Switches::read(sysctls),
            attempt: Attempt::make(),
        })
    }

    /// One of the two tables.
    pub(super) const fn table(&self, side: Side) -> Option<&SubordinateTable> {
        match side {
            Side::Uid => self.subuid.as_ref(),
            Side::Gid => self.subgid.as_ref(),
        }
    }
}

/// Files in `/etc` whose names are one or two edits from `subuid` or `subgid`.
fn lookalikes(etc: &Path) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(directory) = rustix::fs::open(etc, flags, Mode::empty()) else { return Vec::new() };
    let Ok(entries) = rustix::fs::Dir::read_from(&directory) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .filter_map(Result::ok)
        .take(MAX_NAMES)
        .filter(|entry| {
            matches!(entry.file_type(), FileType::RegularFile | FileType::Symlink | FileType::Unknown)
        })
        .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| is_lookalike(name))
        .collect();
    found.sort_unstable();
    found
}

/// `subuid-` and `subgid-` are shadow-utils' own backups, and `.lock`, `.dpkg-*` files have an owner too.
fn is_lookalike(name: &str) -> bool {
    let real = ["subuid", "subgid"];
    let own = name.ends_with('-') || name.contains('.') || real.contains(&name);
    !own && real.iter().any(|real| crate::spelling::distance(name, real) <= 2)
}

fn helper_file(side: Side) -> Option<HelperFile> {
    const SET_USER_ID: u32 = 0o4000;
    let path = sys::program::find(side.program())?;
    let stat = rustix::fs::stat(&path).ok()?;
    let mut value = [0_u8; 64];
    let capability = rustix::fs::getxattr(&path, "security.capability", &mut value[..]).is_ok();
    let privileged = capability || (stat.st_mode & SET_USER_ID != 0 && stat.st_uid == 0);
    let nosuid =
        rustix::fs::statvfs(&path).is_ok_and(|answer| answer.f_flag.contains(StatVfsMountFlags::NOSUID));
    Some(HelperFile { path, privileged, nosuid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike() {
        for (name, expected) in [
            ("eubgid", true),
            ("subgids", true),
            ("subuids", true),
            ("sub_gid", true),
            ("subguid", true),
            ("subuid", false),
            ("subgid-", false),
            ("subuid.lock", false),
            ("sudoers", false),
            ("passwd", false),
        ] {
            assert_eq!(is_lookalike(name), expected, "{name}");
        }
    }

    #[test]
    fn this_host_can_be_read() {
        let facts = Facts::of_host(0).unwrap();
        assert_eq!(facts.privilege, Privilege::Root);
        assert!(facts.accounts.iter().any(|(name, uid)| name == "root" && *uid == 0));
    }
}
