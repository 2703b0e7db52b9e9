//! Which hierarchies this machine has, where they are mounted, and where this process is in them.

use std::borrow::Cow;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::directory::{Directory, read_more};
use crate::{Controller, Controllers, Error, Result};

/// Where nearly every machine mounts cgroup v2.
const V2_MOUNT: &str = "/sys/fs/cgroup";
/// Largest mount table read, in bytes: about 60,000 mounts.
const MOUNTINFO_BYTES: usize = 16 << 20;
/// Largest `/proc/self/cgroup` read, in bytes: 14 lines of at most a path each.
const CGROUP_BYTES: usize = 128 << 10;

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// One hierarchy per controller or group of controllers.
    V1,
    /// The unified hierarchy.
    V2,
}

/// What kind of machine this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only the unified hierarchy.
    V2,
    /// Only v1 hierarchies.
    V1,
    /// v1 hierarchies, and the unified one beside them.
    Hybrid,
    /// No cgroup file system is mounted.
    None,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its version.
    pub version: Version,
    /// The controllers bound to it; empty on v2, which has all that v1 has not taken.
    pub controllers: Controllers,
    /// The name of a v1 hierarchy without controllers, such as `systemd`.
    pub name: Option<String>,
    /// The mount point.
    pub mount: String,
    /// This process's cgroup relative to the mount point, `""` at its root; `None` when it is not below it.
    pub own: Option<String>,
}

/// The hierarchies of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    hierarchies: Vec<Hierarchy>,
}

impl Layout {
    /// Reads `/proc/self/cgroup`, and `/proc/self/mountinfo` unless v2 is mounted at its usual place.
    ///
    /// # Errors
    /// [`Error::Read`] when `/proc` cannot be read, [`Error::TooLarge`] beyond 16 MiB of mounts.
    pub fn detect() -> Result<Self> {
        let memberships = read_bounded("/proc/self/cgroup", CGROUP_BYTES)?;
        let memberships = Memberships::parse(&memberships);
        if let Some(layout) = Self::usual_v2(&memberships) {
            return Ok(layout);
        }
        let path = "/proc/self/mountinfo";
        let read = |errno| Error::Read { path: path.to_owned(), errno };
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(read)?;
        let mut table = Vec::with_capacity(8192);
        let mut parser = Parser::new(&memberships);
        let mut parsed = 0;
        // A machine may have thousands of mounts, and the kernel formats each line that is read: stop as
        // soon as every hierarchy of `/proc/self/cgroup` was seen.
        while !parser.complete() && read_more(&fd, &mut table).map_err(read)? {
            if table.len() > MOUNTINFO_BYTES {
                return Err(Error::TooLarge { path: path.to_owned(), limit: MOUNTINFO_BYTES });
            }
            while let Some(length) = table[parsed..].iter().position(|byte| *byte == b'\n') {
                parser.line(&table[parsed..parsed + length]);
                parsed += length + 1;
            }
        }
        Ok(parser.finish())
    }

    /// Recognises the pure v2 machine by one `fstatfs`, without the mount table.
    fn usual_v2(memberships: &Memberships) -> Option<Self> {
        if !memberships.v1.is_empty() {
            return None;
        }
        let mount = Directory::open_mount(V2_MOUNT, Version::V2).ok()??;
        let own = memberships.v2.as_deref()?.trim_start_matches('/');
        // A bind mount of a part of the hierarchy does not hold the path: then only the table helps.
        mount.open(own).ok()?;
        let hierarchy = Hierarchy {
            version: Version::V2,
            controllers: Controllers::NONE,
            name: None,
            mount: V2_MOUNT.to_owned(),
            own: Some(own.to_owned()),
        };
        Some(Self { hierarchies: vec![hierarchy] })
    }

    /// Parses the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
    pub fn parse(mountinfo: &[u8], cgroup: &str) -> Self {
        let memberships = Memberships::parse(cgroup);
        let mut parser = Parser::new(&memberships);
        mountinfo.split(|byte| *byte == b'\n').for_each(|line| parser.line(line));
        parser.finish()
    }

    /// Returns the kind of machine.
    pub fn kind(&self) -> Kind {
        let has = |version| self.hierarchies.iter().any(|hierarchy| hierarchy.version == version);
        match (has(Version::V1), has(Version::V2)) {
            (false, true) => Kind::V2,
            (true, false) => Kind::V1,
            (true, true) => Kind::Hybrid,
            (false, false) => Kind::None,
        }
    }

    /// Returns the hierarchies in the mount table's order.
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.hierarchies
    }

    /// Returns the unified hierarchy.
    pub fn v2(&self) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.version == Version::V2)
    }

    /// Returns the hierarchy that has `controller`: v1's where one is bound to it, else the unified one.
    pub fn hierarchy_of(&self, controller: Controller) -> Option<&Hierarchy> {
        let bound = self.hierarchies.iter().find(|hierarchy| hierarchy.controllers.contains(controller));
        bound.or_else(|| self.v2().filter(|_| controller.is_v2()))
    }

    /// Returns the controllers that v1 hierarchies have taken.
    pub fn v1_controllers(&self) -> Controllers {
        self.hierarchies.iter().fold(Controllers::NONE, |set, hierarchy| set.union(hierarchy.controllers))
    }
}

fn read_bounded(path: &str, limit: usize) -> Result<String> {
    let read = |errno| Error::Read { path: path.to_owned(), errno };
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(read)?;
    let mut content = Vec::new();
    while read_more(&fd, &mut content).map_err(read)? {
        if content.len() > limit {
            return Err(Error::TooLarge { path: path.to_owned(), limit });
        }
    }
    String::from_utf8(content).map_err(|_| read(Errno::ILSEQ))
}

/// The lines of `/proc/self/cgroup`.
#[derive(Debug, Default)]
struct Memberships {
    /// The path in the unified hierarchy.
    v2: Option<String>,
    /// Controllers (or `name=...`) and path of each v1 hierarchy.
    v1: Vec<(String, String)>,
}

impl Memberships {
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(id), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if id == "0" && controllers.is_empty() {
                found.v2 = Some(path.to_owned());
            } else {
                found.v1.push((controllers.to_owned(), path.to_owned()));
            }
        }
        found
    }

    /// Returns the path in the v1 hierarchy that shares a controller or the name with `options`.
    fn path_of(&self, options: &str) -> Option<&str> {
        let member = |list: &str, wanted: &str| list.split(',').any(|one| one == wanted);
        self.v1
            .iter()
            .find(|(controllers, _)| controllers.split(',').any(|one| member(options, one)))
            .map(|(_, path)| path.as_str())
    }
}

/// Collects the cgroup mounts of a mount table, line by line.
struct Parser<'a> {
    memberships: &'a Memberships,
    hierarchies: Vec<(Hierarchy, String)>,
}

impl<'a> Parser<'a> {
    fn new(memberships: &'a Memberships) -> Self {
        Self { memberships, hierarchies: Vec::new() }
    }

    /// Tells whether every hierarchy that this process is a member of was found.
    fn complete(&self) -> bool {
        let wanted = self.memberships.v1.len() + usize::from(self.memberships.v2.is_some());
        wanted > 0 && self.hierarchies.len() >= wanted
    }

    /// Takes one line: `id parent dev root point options [tags] - type source super-options`.
    fn line(&mut self, line: &[u8]) {
        // Most lines are other file systems: refuse them before anything is decoded.
        let Some(separator) = find(line, b" - cgroup") else { return };
        let (Ok(head), Ok(tail)) =
            (std::str::from_utf8(&line[..separator]), std::str::from_utf8(&line[separator + 3..]))
        else {
            return;
        };
        let mut tail = tail.split(' ');
        let version = match tail.next() {
            Some("cgroup") => Version::V1,
            Some("cgroup2") => Version::V2,
            _ => return,
        };
        let options = tail.nth(1).unwrap_or("");
        let mut head = head.split(' ');
        let (Some(root), Some(mount)) = (head.nth(3), head.next()) else { return };
        let root = unescape(root);
        let (own, controllers, name) = match version {
            Version::V2 => (self.memberships.v2.as_deref(), Controllers::NONE, None),
            Version::V1 => {
                let name = options.split(',').find_map(|option| option.strip_prefix("name="));
                let controllers = Controllers::parse(options, ',');
                (self.memberships.path_of(options), controllers, name.map(str::to_owned))
            }
        };
        let found = Hierarchy {
            version,
            controllers,
            name,
            mount: unescape(mount).into_owned(),
            own: own.and_then(|path| below(path, &root)).map(str::to_owned),
        };
        let same = |(other, _): &&mut (Hierarchy, String)| {
            (other.version, other.controllers, &other.name) == (version, controllers, &found.name)
        };
        match self.hierarchies.iter_mut().find(same) {
            // Bind mounts show a part of the hierarchy: the one with the shortest root shows most.
            Some((_, known)) if known.len() <= root.len() => {}
            Some(entry) => *entry = (found, root.into_owned()),
            None => self.hierarchies.push((found, root.into_owned())),
        }
    }

    fn finish(self) -> Layout {
        Layout { hierarchies: self.hierarchies.into_iter().map(|(hierarchy, _)| hierarchy).collect() }
    }
}

/// Returns `path` relative to `root`, both absolute.
fn below<'p>(path: &'p str, root: &str) -> Option<&'p str> {
    let rest = if root == "/" { path } else { path.strip_prefix(root)? };
    let inside = rest.is_empty() || rest.starts_with('/');
    // A process outside its own cgroup namespace's root is shown as `/../...`.
    let outside = rest.split('/').any(|component| component == "..");
    (inside && !outside).then(|| rest.trim_start_matches('/'))
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

/// Decodes the octal escapes (`\040`) of a mount table field.
fn unescape(field: &str) -> Cow<'_, str> {
    if !field.contains('\\') {
        return Cow::Borrowed(field);
    }
    let bytes = field.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(value) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            decoded.push(value);
            at += 4;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).map_or(Cow::Borrowed(field), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: version, controllers or name, mount point, own path.
    fn check(mountinfo: &str, cgroup: &str, kind: Kind, expected: &[&str]) {
        let layout = Layout::parse(mountinfo.as_bytes(), cgroup);
        assert_eq!(layout.kind(), kind);
        let rows: Vec<String> = layout
            .hierarchies()
            .iter()
            .map(|h| {
                let what = h.name.clone().unwrap_or_else(|| h.controllers.to_string());
                format!("{:?} [{what}] {} {:?}", h.version, h.mount, h.own.as_deref().unwrap_or("-"))
            })
            .collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn pure_v2_with_systemd() {
        check(
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
             31 23 0:27 / /sys/fs/pstore rw - pstore pstore rw\n",
            "0::/user.slice/user-1000.slice/session-2.scope\n",
            Kind::V2,
            &["V2 [] /sys/fs/cgroup \"user.slice/user-1000.slice/session-2.scope\""],
        );
    }

    #[test]
    fn v1_with_joined_controllers_and_hybrid_systemd() {
        check(
            "25 17 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
             26 25 0:23 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n\
             27 25 0:24 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd\n\
             28 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw shared:12 - cgroup cgroup rw,cpu,cpuacct\n\
             29 25 0:26 / /sys/fs/cgroup/blkio rw shared:13 - cgroup cgroup rw,blkio\n",
            "3:blkio:/user.slice\n2:cpu,cpuacct:/user.slice\n1:name=systemd:/user.slice/s.scope\n0::/user.slice/s.scope\n",
            Kind::Hybrid,
            &[
                "V2 [] /sys/fs/cgroup/unified \"user.slice/s.scope\"",
                "V1 [systemd] /sys/fs/cgroup/systemd \"user.slice/s.scope\"",
                "V1 [cpu cpuacct] /sys/fs/cgroup/cpu,cpuacct \"user.slice\"",
                "V1 [io] /sys/fs/cgroup/blkio \"user.slice\"",
            ],
        );
    }

    #[test]
    fn container_without_a_cgroup_namespace() {
        check(
            "600 599 0:30 /docker/0abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
             601 599 0:31 /docker/0abc /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n",
            "5:pids:/docker/0abcdef\n4:memory:/docker/0abc/child\n",
            Kind::V1,
            &["V1 [memory] /sys/fs/cgroup/memory \"child\"", "V1 [pids] /sys/fs/cgroup/pids \"-\""],
        );
    }

    #[test]
    fn outside_the_cgroup_namespace_is_nowhere() {
        check(
            "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "0::/../other\n",
            Kind::V2,
            &["V2 [] /sys/fs/cgroup \"-\""],
        );
        check(
            "30 23 0:26 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "0::/../other\n",
            Kind::V2,
            &["V2 [] /sys/fs/cgroup \"other\""],
        );
    }

    #[test]
    fn the_widest_mount_wins_and_escapes_are_decoded() {
        check(
            "30 23 0:26 /a /mnt/part rw - cgroup2 cgroup2 rw\n\
             31 23 0:26 / /mnt/wh\\040ole rw - cgroup2 none rw\n\
             32 23 0:26 /a/b /mnt/other rw - cgroup2 none rw\n\
             short line - cgroup2\n - cgroup cgroup rw\n",
            "0::/a\n",
            Kind::V2,
            &["V2 [] /mnt/wh ole \"a\""],
        );
    }

    #[test]
    fn nothing_mounted() {
        check("1 0 8:1 / / rw - ext4 /dev/vda rw\n", "0::/\n", Kind::None, &[]);
        check("", "", Kind::None, &[]);
    }

    #[test]
    fn controllers_are_found_in_the_hierarchy_that_has_them() {
        let layout = Layout::parse(
            b"1 1 0:1 / /c/memory rw - cgroup cgroup rw,memory\n2 1 0:2 / /c/unified rw - cgroup2 cgroup2 rw\n",
            "1:memory:/\n0::/\n",
        );
        assert_eq!(layout.hierarchy_of(Controller::Memory).unwrap().mount, "/c/memory");
        assert_eq!(layout.hierarchy_of(Controller::Hugetlb).unwrap().mount, "/c/unified");
        assert!(layout.hierarchy_of(Controller::Freezer).is_none());
    }

    #[test]
    fn this_machine_is_detected() {
        let layout = Layout::detect().unwrap();
        let table = read_bounded("/proc/self/mountinfo", MOUNTINFO_BYTES).unwrap();
        let cgroup = read_bounded("/proc/self/cgroup", CGROUP_BYTES).unwrap();
        assert_eq!(layout.kind(), Layout::parse(table.as_bytes(), &cgroup).kind());
    }
}
