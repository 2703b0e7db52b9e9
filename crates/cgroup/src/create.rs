//! Making the directories.

use oci::runtime::Resources;
use rustix::io::Errno;

use crate::cgroup::{Cgroup, Driver, Member, Planned, Saved};
use crate::directory::Directory;
use crate::layout::{Hierarchy, Version};
use crate::path::{CgroupPath, ancestors};
use crate::systemd::SystemdBus;
use crate::{Controller, Controllers, Error, Layout, Result, Warning};

/// How often a directory is made again after another container's end removed its parent meanwhile.
const ATTEMPTS: usize = 16;

/// On v1 a JVM reads no limit unless it finds all of these, and then sizes its heap by the whole machine.
const READ_TOGETHER: Controllers = Controllers::NONE
    .with(Controller::Cpu)
    .with(Controller::Cpuacct)
    .with(Controller::Cpuset)
    .with(Controller::Memory);

/// Which v1 hierarchies the container joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchies {
    /// Those that the limits need, and one to list, freeze and kill with: fast.
    Needed,
    /// All, for engines that read a container's statistics by themselves.
    All,
}

/// What cgroup is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The container's id.
    pub id: &'a str,
    /// `linux.cgroupsPath`: absolute below the mount points, relative below the delegated cgroup, or
    /// `slice:prefix:name` for systemd. `None` is `brig-<id>` below the delegated cgroup.
    pub path: Option<&'a str>,
    /// Who makes it.
    pub driver: Driver,
    /// Whether the caller is not the machine's root: below its own delegated cgroup, and devices are not
    /// filtered where the kernel does not let us.
    pub rootless: bool,
    /// Whether others live in the cgroup already (pods): it may be occupied and is never killed by removal.
    pub shared: bool,
    /// The bus of [`Driver::Systemd`].
    pub systemd: Option<SystemdBus<'a>>,
    /// Which v1 hierarchies are joined.
    pub hierarchies: Hierarchies,
    /// Controllers wanted for statistics or later limits, beside those that the limits need.
    pub controllers: Controllers,
}

/// Why a directory was not made: a state of the machine, to be reported, or an error of the request.
enum Refusal {
    Kernel(Errno),
    Error(Error),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Kernel(errno)
    }
}

/// Where a directory will be made in one hierarchy.
#[derive(Debug)]
struct Place<'l> {
    hierarchy: &'l Hierarchy,
    controllers: Controllers,
    /// The mount point and the path below it, and how much of that is the caller's own cgroup.
    found: Result<(Directory, String, usize), Errno>,
}

/// A cgroup that is about to be made: what may be there afterwards is known before any of it is.
///
/// A creator that can be killed keeps [`Self::to_saved`] first, and whoever cleans up after him finds the directories.
#[derive(Debug)]
pub struct Prepared<'l> {
    layout: &'l Layout,
    request: Request<'l>,
    wanted: Controllers,
    places: Vec<Place<'l>>,
}

impl<'l> Prepared<'l> {
    /// Looks where the directories go; makes nothing. `resources` as in [`Cgroup::create`].
    ///
    /// # Errors
    /// [`Error::BadPath`] for a hostile path.
    pub fn new(layout: &'l Layout, request: Request<'l>, resources: &Resources) -> Result<Self> {
        let wanted = Controllers::needed(resources).union(request.controllers);
        let mut prepared = Self { layout, request, wanted, places: Vec::new() };
        if request.driver != Driver::Filesystem {
            return Ok(prepared);
        }
        let path = match request.path {
            Some(path) => CgroupPath::parse(path)?,
            None => CgroupPath::default_for(request.id)?,
        };
        let mut place = |hierarchy: &'l Hierarchy, controllers| {
            let found = find(hierarchy, &request, &path);
            prepared.places.push(Place { hierarchy, controllers, found });
        };
        if let Some(v2) = layout.v2() {
            place(v2, wanted.without(layout.v1_controllers()));
        }
        let joined = v1_of(wanted, false);
        for hierarchy in layout.hierarchies().iter().filter(|hierarchy| hierarchy.version == Version::V1) {
            let needed = hierarchy.controllers.intersects(joined);
            if needed || request.hierarchies == Hierarchies::All {
                place(hierarchy, hierarchy.controllers);
            }
        }
        Ok(prepared)
    }

    /// What is kept until the cgroup is made: its directories may be there and are empty.
    #[must_use]
    pub fn to_saved(&self) -> Saved {
        let planned = self.places.iter().filter_map(|place| {
            let (root, path, _) = place.found.as_ref().ok()?;
            let kept = ancestors(path).take_while(|ancestor| root.open(ancestor).is_ok()).count();
            Some(Planned {
                version: place.hierarchy.version,
                mount: place.hierarchy.mount.clone(),
                path: path.clone(),
                kept,
            })
        });
        Saved { planned: planned.collect(), ..self.empty().to_saved() }
    }

    fn empty(&self) -> Cgroup {
        Cgroup {
            driver: self.request.driver,
            unit: None,
            bus: None,
            told: Vec::new(),
            rootless: self.request.rootless,
            shared: self.request.shared,
            members: Vec::new(),
            planned: Vec::new(),
            missing: Controllers::NONE,
            v1_controllers: self.layout.v1_controllers(),
        }
    }

    /// Makes it, as [`Cgroup::create`]. `resources` are those of [`Self::new`].
    ///
    /// # Errors
    /// As [`Cgroup::create`].
    pub fn make(self, resources: &Resources) -> Result<(Cgroup, Vec<Warning>)> {
        let mut made = self.empty();
        match self.request.driver {
            Driver::Filesystem => {}
            Driver::Systemd => return made.create_scope(self.layout, &self.request, resources),
            Driver::None => return Ok((made, Vec::new())),
        }
        let mut warnings = Vec::new();
        if let Err(error) = self.make_all(&mut made, &mut warnings) {
            // Nothing of a refused container may stay, and the first error tells more than a second.
            drop(made.remove());
            return Err(error);
        }
        if made.members.is_empty() {
            made.driver = Driver::None;
            let first = warnings.drain(..).find_map(|warning| match warning {
                Warning::Hierarchy { path, errno } => Some((path, errno)),
                _ => None,
            });
            warnings.push(Warning::NoCgroup { reason: first });
        }
        Ok((made, warnings))
    }

    fn make_all(self, made: &mut Cgroup, warnings: &mut Vec<Warning>) -> Result<()> {
        for place in self.places {
            let (hierarchy, controllers) = (place.hierarchy, place.controllers);
            if hierarchy.version == Version::V1 && self.request.hierarchies == Hierarchies::Needed {
                let joined = v1_of(self.wanted, !made.members.is_empty());
                if !controllers.intersects(joined) {
                    continue;
                }
            }
            match make_member(place, &self.request, warnings) {
                Ok(member) => made.members.push(member),
                Err(Refusal::Error(error)) => return Err(error),
                Err(Refusal::Kernel(errno)) => {
                    made.missing = made.missing.union(controllers);
                    warnings.push(Warning::Hierarchy { path: hierarchy.mount.clone(), errno });
                }
            }
        }
        Ok(())
    }
}

/// The controllers whose v1 hierarchies are joined. The freezer is v1's way to list and kill: needless beside another
/// directory that can.
fn v1_of(wanted: Controllers, has_other: bool) -> Controllers {
    let wanted = if has_other { wanted } else { wanted.with(Controller::Freezer) };
    if READ_TOGETHER.intersects(wanted) { wanted.union(READ_TOGETHER) } else { wanted }
}

impl Cgroup {
    /// Makes the cgroup and, on v2, enables the controllers that the limits need; applies no limit yet.
    ///
    /// `resources` is everything that will be applied, defaults and requests. Where no directory can be made
    /// the result has [`Driver::None`] and a warning, and [`Cgroup::apply`] refuses each requested limit.
    ///
    /// # Errors
    /// [`Error::BadPath`] for a hostile path, [`Error::Occupied`] when the cgroup exists and has processes.
    pub fn create(
        layout: &Layout,
        request: &Request<'_>,
        resources: &Resources,
    ) -> Result<(Self, Vec<Warning>)> {
        Prepared::new(layout, *request, resources)?.make(resources)
    }
}

/// The mount point of a hierarchy and the path of the new directory below it.
fn find(
    hierarchy: &Hierarchy,
    request: &Request<'_>,
    path: &CgroupPath,
) -> Result<(Directory, String, usize), Errno> {
    // Something mounted over it, as container engines mask things: the hierarchy is not there for us.
    let root = Directory::open_mount(&hierarchy.mount, hierarchy.version)?.ok_or(Errno::NODEV)?;
    let base = if request.rootless { delegated(&root, hierarchy.own.as_deref()) } else { "" };
    Ok((root, path.below(base), base.len()))
}

fn make_member(
    place: Place<'_>,
    request: &Request<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Member, Refusal> {
    let Place { hierarchy, controllers, found } = place;
    let (root, path, base) = found?;
    // Directories that were there before stay when the container goes.
    let (kept, existed) = make_path(&root, &path)?;
    let directory = root.open(&path)?;
    let identity = directory.identity()?;
    let member = Member {
        version: hierarchy.version,
        controllers,
        mount: hierarchy.mount.clone(),
        path,
        identity,
        root,
        directory,
        kept,
    };
    if existed && !request.shared && crate::process::occupied(&member.directory)? {
        return Err(Refusal::Error(Error::Occupied { path: member.shown() }));
    }
    match hierarchy.version {
        Version::V2 => warnings.extend(enable(&member, base, controllers)),
        Version::V1 if controllers.contains(Controller::Cpuset) => inherit_cpuset(&member)?,
        Version::V1 => {}
    }
    Ok(member)
}

/// Opens a directory that systemd made.
pub(crate) fn open_member(
    hierarchy: &Hierarchy,
    path: String,
    controllers: Controllers,
) -> Result<Member, Errno> {
    let root = Directory::open_mount(&hierarchy.mount, hierarchy.version)?.ok_or(Errno::INVAL)?;
    let directory = root.open(&path)?;
    let identity = directory.identity()?;
    let (version, mount) = (hierarchy.version, hierarchy.mount.clone());
    // All of the path is systemd's.
    let kept = path.split('/').count();
    Ok(Member { version, controllers, mount, path, identity, root, directory, kept })
}

/// Makes `path` and what is missing above it. Returns how many components existed, and whether all did.
fn make_path(root: &Directory, path: &str) -> Result<(usize, bool), Errno> {
    let depth = path.split('/').count();
    for _ in 0..ATTEMPTS {
        // One call is enough unless this is the first container.
        match root.make(path) {
            Ok(()) => return Ok((depth - 1, false)),
            Err(Errno::EXIST) => return Ok((depth, true)),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        let mut kept = 0;
        for ancestor in ancestors(path) {
            match root.make(ancestor) {
                Err(Errno::EXIST) => kept += 1,
                // A parent that is removed at this moment: begin again.
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        match root.make(path) {
            Ok(()) => return Ok((kept, false)),
            Err(Errno::NOENT) => {}
            Err(Errno::EXIST) => return Ok((depth, true)),
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::NOENT)
}

/// Returns the topmost cgroup on this process's path that it may write: what was delegated to it. Its own
/// cgroup holds its own processes, and on v2 those forbid limits on children.
fn delegated<'o>(root: &Directory, own: Option<&'o str>) -> &'o str {
    let own = own.unwrap_or("");
    let may =
        |path: &&str| root.open(path).is_ok_and(|dir| dir.writable(".") && dir.writable("cgroup.procs"));
    std::iter::once("").chain(ancestors(own)).find(may).unwrap_or(own)
}

/// Enables `controllers` in every ancestor of the directory, from the root down; the first `base` bytes of its path are the
/// delegated cgroup's.
fn enable(member: &Member, base: usize, controllers: Controllers) -> Option<Warning> {
    let wanted = controllers.iter().filter(|controller| controller.is_v2());
    let wanted = wanted.fold(Controllers::NONE, Controllers::with);
    if wanted.is_empty() {
        return None;
    }
    let enabled_in = |directory: &Directory| {
        let list = directory.read("cgroup.subtree_control").unwrap_or_default();
        Controllers::parse(&list, ' ')
    };
    let parent_path = member.path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let parent = member.root.open(parent_path).ok()?;
    let missing = wanted.without(enabled_in(&parent));
    if missing.is_empty() {
        return None;
    }
    let mut refusal = None;
    for ancestor in std::iter::once("").chain(ancestors(&member.path)) {
        let Ok(directory) = member.root.open(ancestor) else { continue };
        let missing = wanted.without(enabled_in(&directory));
        if missing.is_empty() {
            continue;
        }
        // What the parent does not have cannot be enabled: its limits are reported when they are applied.
        let available = Controllers::parse(&directory.read("cgroup.controllers").unwrap_or_default(), ' ');
        let text: Vec<String> = missing
            .iter()
            .filter(|controller| available.contains(*controller))
            .map(|controller| format!("+{controller}"))
            .collect();
        if text.is_empty() {
            continue;
        }
        let all = directory.write("cgroup.subtree_control", &text.join(" "));
        // The kernel takes all or none: try one by one, so that one bad controller costs only itself.
        let result = all.or_else(|first| {
            let one = |word: &String| directory.write("cgroup.subtree_control", word).is_err();
            let failed = text.iter().filter(|word| one(word)).count();
            if failed == 0 { Ok(()) } else { Err(first) }
        });
        // Above the delegated cgroup it is not ours to enable anything.
        if let Err(errno) = result
            && ancestor.len() >= base
        {
            let path = format!("{}/{ancestor}/cgroup.subtree_control", member.mount).replace("//", "/");
            refusal.get_or_insert(Warning::NotDelegated { path, controllers: missing.to_string(), errno });
        }
    }
    refusal
}

/// Copies the cpus and memory nodes down to directories that have none: on v1 they start empty, and then
/// no process can be moved in.
fn inherit_cpuset(member: &Member) -> Result<(), Errno> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let mut inherited = member.root.read(file)?;
        for path in ancestors(&member.path).chain(std::iter::once(member.path.as_str())) {
            let directory = member.root.open(path)?;
            let own = directory.read(file)?;
            if own.trim().is_empty() {
                directory.write(file, inherited.trim())?;
            } else {
                inherited = own;
            }
        }
    }
    Ok(())
}
