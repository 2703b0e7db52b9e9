//! The volumes and host paths of a container that does not run, mounted for a helper as its start would mount them.
//!
//! Each source is opened anew in the helper's mount namespace and compared with what the guard, or the volume's lock, saw;
//! each target is resolved below the container's root (CVE-2019-10152: a link in the image leads nowhere else).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use monitor::{Life, Status};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags};
use store::Store;
use sys::mount::{Attributes, Reach, attribute, set_attributes};
use volume::Held;

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::guard;
use crate::host::{VolumeSource, resolve};
use crate::kept::Kept;
use crate::spec::mounts::depth;
use crate::value::mount::{MountKind, MountRequest};
use crate::value::name::ContainerId;
use crate::volumes;
use crate::weaken::{self, Defence};

/// What a container that does not run has mounted, while this lives.
#[derive(Debug, Default)]
pub(super) struct Mounted {
    points: Vec<Point>,
    /// Whether it never ran: the targets may not be there.
    pub(super) is_new: bool,
    // Nobody removes a volume while we write to it.
    _volumes: Vec<Held>,
}

#[derive(Debug)]
struct Point {
    target: String,
    source: PathBuf,
    identity: (u64, u64),
    is_directory: bool,
    is_recursive: bool,
    is_read_only: bool,
}

impl Mounted {
    /// Looks at what a start would mount today. What lives in memory, or is thrown away at the end, is not there.
    pub(super) fn of(store: &Store, containers: &Containers<'_>, id: &ContainerId) -> Result<Self> {
        let directory = containers.directory_of(id)?;
        let options = match Kept::read(directory.as_fd(), id) {
            Ok(kept) => kept.options,
            // It goes away at its end, and is never started again.
            Err(Error::NotStartable { .. }) => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let held = volumes::hold(store, &options)?;
        let own = [store.path().to_owned(), containers.runroot().to_owned()];
        let life = Life::read(directory.as_fd()).unwrap_or_default();
        let mut mounted =
            Self { points: Vec::new(), is_new: life.status == Status::Created, _volumes: Vec::new() };
        for request in &options.mounts {
            let point = match &request.kind {
                MountKind::Bind { source, recursive } => {
                    let mut point = bind(request, source, &own, &options.allowed_host_paths)?;
                    point.is_recursive = *recursive;
                    Some(point)
                }
                MountKind::Volume { name, subpath, .. } => {
                    let volume = held.iter().find(|held| held.name.as_str() == name);
                    let volume = volume.ok_or_else(|| Error::NoVolume { name: name.clone() })?;
                    match volumes::source_of(volume, subpath.as_deref())? {
                        VolumeSource::Directory { path, identity } => Some(Point {
                            target: request.target.clone(),
                            source: path.into(),
                            identity,
                            is_directory: true,
                            is_recursive: false,
                            is_read_only: request.read_only,
                        }),
                        VolumeSource::Bind { source, read_only } => {
                            let read_only = request.read_only || read_only;
                            let request = MountRequest { read_only, ..request.clone() };
                            Some(bind(&request, &source, &own, &options.allowed_host_paths)?)
                        }
                        VolumeSource::Tmpfs(_) => None,
                    }
                }
                MountKind::Image { .. } | MountKind::Tmpfs { .. } | MountKind::Overlay { .. } => None,
            };
            mounted.points.extend(point);
        }
        mounted.points.sort_by_key(|point| depth(&point.target));
        mounted._volumes = held;
        Ok(mounted)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// In the helper: attaches the root file system somewhere, and the mounts to it. `place` is any directory of the
    /// helper's namespace that it needs no more.
    pub(super) fn attach(
        &self,
        root: OwnedFd,
        place: BorrowedFd<'_>,
        is_mount: bool,
        is_writable: bool,
    ) -> std::result::Result<OwnedFd, String> {
        let said = |action: &str, path: &Path| {
            let text = format!("{action} `{}` for the copy", path.display());
            move |errno: Errno| format!("{text}: {errno}")
        };
        // Nothing of it may reach the host.
        let private = Attributes::propagation(u64::from(MountPropagationFlags::PRIVATE.bits()));
        let here = Path::new("/");
        set_attributes(CWD, c"/", Reach::Tree, &private).map_err(said("set the propagation of", here))?;
        if is_mount {
            move_to(&root, place).map_err(said("attach the root file system over", here))?;
        }
        for point in &self.points {
            files::pause::at("cp.mount");
            let source = point.clone_source(is_writable)?;
            let target = point.make_target(&root, is_writable)?;
            move_to(&source, target.as_fd()).map_err(said("mount over", Path::new(&point.target)))?;
        }
        Ok(root)
    }
}

impl Point {
    /// A clone of the source's mount, attached nowhere.
    fn clone_source(&self, is_writable: bool) -> std::result::Result<OwnedFd, String> {
        let said = |action: &str, errno: Errno| format!("{action} `{}`: {errno}", self.source.display());
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let found = rustix::fs::openat(CWD, &self.source, flags, Mode::empty())
            .map_err(|errno| said("open", errno))?;
        let stat = rustix::fs::fstat(&found).map_err(|errno| said("look at", errno))?;
        if (stat.st_dev, stat.st_ino) != self.identity && !weaken::is_off(Defence::CopyView) {
            return Err(format!("`{}` was replaced meanwhile", self.source.display()));
        }
        let mut flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let mut reach = Reach::One;
        if self.is_recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
            reach = Reach::Tree;
        }
        let tree = rustix::mount::open_tree(&found, c"", flags).map_err(|errno| said("clone", errno))?;
        let read_only = if self.is_read_only || !is_writable { attribute::RDONLY } else { 0 };
        let set = Attributes::new(attribute::NOSUID | attribute::NODEV | read_only, 0);
        set_attributes(tree.as_fd(), c"", reach, &set).map_err(|errno| said("restrict", errno))?;
        Ok(tree)
    }

    /// What is mounted over, in the container's root file system; made where a start would make it.
    fn make_target(&self, root: &OwnedFd, is_writable: bool) -> std::result::Result<OwnedFd, String> {
        let target = match (is_writable, self.is_directory) {
            (false, _) => files::root::open(root, &self.target, OFlags::PATH),
            (true, true) => files::root::make_dirs(root, &self.target, 0o755),
            (true, false) => files::root::make_file(root, &self.target, 0o644),
        };
        target.map_err(|error| format!("open the target `{}`: {}", self.target, files::chain(&error)))
    }
}

fn move_to(from: &OwnedFd, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(from, c"", to, c"", flags)
}

/// A host path, past the guard of today.
fn bind(request: &MountRequest, source: &str, own: &[PathBuf], allowed: &[PathBuf]) -> Result<Point> {
    let found = resolve(source)?;
    if let Some(reason) = guard::refuse(&found.resolved, found.socket, request.read_only, own, allowed) {
        return Err(Error::HostPath { path: found.resolved, reason });
    }
    Ok(Point {
        target: request.target.clone(),
        source: found.resolved,
        identity: found.identity,
        is_directory: found.directory,
        is_recursive: true,
        is_read_only: request.read_only,
    })
}
