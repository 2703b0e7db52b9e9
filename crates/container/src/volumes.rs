//! The volumes of a container: named by flags, by the image, by other containers; made, filled, held, and removed with it.

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci::image::Config;
use rustix::fs::{Mode, OFlags, XattrFlags};
use store::{Ownership, Snapshot, Store};
use volume::{Device, Held, Meta, Name, Owner, Volumes, What};

use crate::containers::Containers;
use crate::copy_up::copy_up;
use crate::error::{Error, Result};
use crate::host::{Host, VolumeSource, resolve};
use crate::lookup;
use crate::options::Options;
use crate::record::MountPoint;
use crate::run::Site;
use crate::spec::mounts::same;
use crate::value::mount::{MountKind, MountRequest};
use crate::value::name::ContainerId;
use crate::weaken::{self, Defence};

/// Most volumes that an image may name: each makes a directory.
const MAX_IMAGE_VOLUMES: usize = 128;
/// Most mounts of one container, those of its image and of other containers too.
const MAX_MOUNTS: usize = 1024;
/// How often a volume that others remove is made anew.
const ATTEMPTS: usize = 64;
/// Where an image's volume would hide what the engine mounts.
const KERNEL_TREES: &[&str] = &["/proc", "/sys", "/dev"];
/// What every container may use, whatever its categories.
const LABEL: &[u8] = b"system_u:object_r:container_file_t:s0\0";

/// Volumes that are held until the container's record names them.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    held: Vec<Held>,
    made: Vec<Name>,
    /// What should be said about the image's volumes.
    pub(crate) warnings: Vec<String>,
}

/// The volumes of a store.
///
/// # Errors
/// [`Error::Volume`].
pub fn open(store: &Store) -> Result<Volumes> {
    let owner = match store.ownership() {
        Ownership::Kept => Owner::Root,
        Ownership::Mapped { uid, gid } => Owner::Mapped { uid: uid.clone(), gid: gid.clone() },
    };
    Ok(Volumes::open(store.root(), store.path(), owner)?)
}

/// Makes a volume, for `brig volume create` and for mounts that name one that is not there.
///
/// # Errors
/// [`Error::Volume`].
pub fn create(volumes: &Volumes, name: &Name, meta: &Meta) -> Result<What> {
    let what = volumes.create(name, meta)?;
    if what == What::Made && runtime::lsm::selinux::is_on() {
        // Where the policy does not know it, or the caller may not, containers say so when they are refused.
        rustix::fs::setxattr(volumes.mountpoint(name), "security.selinux", LABEL, XattrFlags::empty()).ok();
    }
    Ok(what)
}

/// The containers that name a volume, by their short ids.
///
/// # Errors
/// [`Error::System`]; a record that cannot be read is an error, since it could name it.
pub fn users(containers: &Containers<'_>, name: &Name) -> Result<Vec<String>> {
    let mut users = Vec::new();
    for id in containers.ids()? {
        if let Some(record) = containers.record(&id)?
            && record.mounts.iter().any(|mount| mount.kind == "volume" && mount.name == name.as_str())
        {
            users.push(id.short().to_owned());
        }
    }
    Ok(users)
}

/// The names of all volumes that containers name.
///
/// # Errors
/// As [`users`].
pub fn used(containers: &Containers<'_>) -> Result<HashSet<String>> {
    let mut used = HashSet::new();
    for id in containers.ids()? {
        if let Some(record) = containers.record(&id)? {
            used.extend(
                record.mounts.into_iter().filter(|mount| mount.kind == "volume").map(|mount| mount.name),
            );
        }
    }
    Ok(used)
}

/// The volumes that go with a container.
pub(crate) fn anonymous(containers: &Containers<'_>, id: &ContainerId) -> Vec<Name> {
    let Ok(Some(record)) = containers.record(id) else { return Vec::new() };
    let of = |mount: &MountPoint| mount.anonymous.then(|| Name::new(&mount.name).ok()).flatten();
    record.mounts.iter().filter_map(of).collect()
}

/// Removes volumes that no other container names. Goes on after an error and reports the first.
pub(crate) fn remove(containers: &Containers<'_>, store: &Store, names: &[Name]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let volumes = open(store)?;
    let mut first = Ok(());
    for name in names {
        match volumes.remove(name, |name| users(containers, name)) {
            Ok(()) | Err(Error::Volume(volume::Error::Missing(_) | volume::Error::InUse { .. })) => {}
            Err(error) => first = first.and(Err(error)),
        }
    }
    first
}

/// Settles which volumes the container has: names for those without, those of the image and of `--volumes-from`; makes
/// what is missing and copies in what the image has there.
///
/// # Errors
/// What is wrong with a volume or a container that was named; what was made for this container only is removed again.
pub(crate) fn settle(
    site: &Site<'_>,
    config: &Config,
    options: &mut Options,
    snapshot: &Snapshot,
) -> Result<Settled> {
    let mut settled = Settled::default();
    absolute_sources(options)?;
    from_containers(site, options)?;
    from_image(config, options, &mut settled.warnings)?;
    if options.mounts.len() > MAX_MOUNTS {
        return Err(Error::value("--volume", options.mounts.len().to_string(), "too many mounts"));
    }
    if !options.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Volume { .. })) {
        return Ok(settled);
    }
    let volumes = open(site.store)?;
    for mount in &mut options.mounts {
        if let Err(error) = settle_one(&volumes, mount, snapshot, &mut settled) {
            settled.give_up(site);
            return Err(error);
        }
    }
    Ok(settled)
}

impl Settled {
    /// Removes what was made for a container that will not be.
    pub(crate) fn give_up(self, site: &Site<'_>) {
        drop(self.held);
        // There is an error already, and it is the one to tell; `brig volume prune` takes what is left.
        drop(remove(site.containers, site.store, &self.made));
    }
}

fn settle_one(
    volumes: &Volumes,
    mount: &mut MountRequest,
    snapshot: &Snapshot,
    settled: &mut Settled,
) -> Result<()> {
    let MountKind::Volume { name, anonymous, copy, subpath } = &mut mount.kind else { return Ok(()) };
    let created_at = runtime::state::now();
    let meta = Meta { created_at, anonymous: *anonymous && name.is_empty(), ..Meta::default() };
    let known = if name.is_empty() { Name::anonymous()? } else { Name::new(name)? };
    let held = hold_or_make(volumes, &known, &meta)?;
    if meta.anonymous {
        settled.made.push(known.clone());
    }
    known.as_str().clone_into(name);
    held.check_limit()?;
    if *copy && subpath.is_none() && matches!(volume::device(&held.meta.options)?, Device::Directory { .. }) {
        fill(volumes, &held, &mount.target, snapshot)?;
    }
    settled.held.push(held);
    Ok(())
}

/// Of those who remove it meanwhile, one after the other, none is in the way for ever.
fn hold_or_make(volumes: &Volumes, name: &Name, meta: &Meta) -> Result<Held> {
    for _ in 0..ATTEMPTS {
        match volumes.hold(name) {
            Err(error) if error.is_missing() => drop(create(volumes, name, meta)?),
            other => return Ok(other?),
        }
    }
    Ok(volumes.hold(name)?)
}

/// Copies what the image has at a path into a volume that has nothing yet.
fn fill(volumes: &Volumes, held: &Held, target: &str, snapshot: &Snapshot) -> Result<()> {
    // Without root's rights over the layers one cannot always tell; then the copying process finds out.
    let nothing = matches!(image_directory(snapshot, target), Ok(None));
    if nothing {
        return Ok(());
    }
    let Some(filling) = held.fill(volumes)? else { return Ok(()) };
    volumes.owner().work("fill", held.name.as_str(), || match image_directory(snapshot, target) {
        Ok(Some(image)) => copy_up(&image, &held.data).map_err(|failure| failure.to_string()),
        Ok(None) => Ok(()),
        Err(errno) => Err(format!("look for `{}` in the image: {errno}", target.escape_debug())),
    })?;
    filling.done()?;
    Ok(())
}

/// What an image has at a path.
fn image_directory(snapshot: &Snapshot, target: &str) -> rustix::io::Result<Option<lookup::Merged>> {
    if weaken::is_off(Defence::CopyUp) {
        // What an engine does that joins paths.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = snapshot.lower.first().ok_or(rustix::io::Errno::NOENT)?;
        let joined = target.trim_start_matches('/');
        return Ok(rustix::fs::openat(top, joined, flags, Mode::empty()).ok().map(|found| vec![found]));
    }
    lookup::directory(&snapshot.lower, target)
}

/// A later start may be typed elsewhere.
fn absolute_sources(options: &mut Options) -> Result<()> {
    for mount in &mut options.mounts {
        if let MountKind::Bind { source, .. } | MountKind::Overlay { source } = &mut mount.kind
            && !source.starts_with('/')
        {
            let here = rustix::process::getcwd(Vec::new()).map_err(|errno| Error::System {
                action: "find the path of",
                path: PathBuf::from("."),
                source: errno,
            })?;
            let joined = Path::new(std::ffi::OsStr::from_bytes(here.to_bytes())).join(&*source);
            *source = joined
                .to_str()
                .map(str::to_owned)
                .ok_or_else(|| Error::value("--volume", joined.to_string_lossy(), "the path is not UTF-8"))?;
        }
    }
    Ok(())
}

/// `--volumes-from CONTAINER[:ro|rw]`.
fn from_containers(site: &Site<'_>, options: &mut Options) -> Result<()> {
    for text in &options.volumes_from {
        let (name, words) = text.split_once(':').unwrap_or((text, ""));
        let mut read_only = None;
        for word in words.split(',').filter(|word| !word.is_empty()) {
            match word {
                "ro" => read_only = Some(true),
                "rw" => read_only = Some(false),
                "z" => {}
                _ => return Err(Error::value("--volumes-from", text, "use CONTAINER[:ro|rw]")),
            }
        }
        let id = site.containers.find(name)?;
        let record =
            site.containers.record(&id)?.ok_or_else(|| Error::NoContainer { name: name.to_owned() })?;
        for point in &record.mounts {
            if options.mounts.iter().any(|mount| same(&mount.target, &point.destination)) {
                continue;
            }
            let typed = format!("--volumes-from {text}");
            let mut mount = match point.kind.as_str() {
                "volume" => {
                    // It goes with its first container, unless another still names it.
                    let (name, anonymous) = (point.name.clone(), point.anonymous);
                    MountRequest::of_volume(typed, name, anonymous, &point.destination)
                }
                "bind" => MountRequest::of_bind(typed, point.source.clone(), &point.destination),
                _ => continue,
            };
            mount.read_only = !point.rw || read_only == Some(true);
            options.mounts.push(mount);
        }
    }
    Ok(())
}

/// What the image declares as volumes, where nothing else is mounted.
fn from_image(config: &Config, options: &mut Options, warnings: &mut Vec<String>) -> Result<()> {
    if options.ignore_image_volumes {
        return Ok(());
    }
    let count = config.volumes.len();
    if count > MAX_IMAGE_VOLUMES {
        return Err(Error::Image {
            field: "Volumes",
            value: count.to_string(),
            reason: format!("more than {MAX_IMAGE_VOLUMES}"),
        });
    }
    for declared in &config.volumes {
        let target = crate::spec::clean(declared);
        let is_kernels = KERNEL_TREES.iter().any(|tree| Path::new(&target).starts_with(tree));
        if target == "/" || is_kernels || target.chars().any(char::is_control) {
            warnings.push(format!("the image's volume `{}` is ignored", declared.escape_debug()));
            continue;
        }
        if options.mounts.iter().any(|mount| same(&mount.target, &target)) {
            continue;
        }
        let typed = format!("the image's volume `{}`", declared.escape_debug());
        options.mounts.push(MountRequest::of_volume(typed, String::new(), true, &target));
    }
    Ok(())
}

/// Holds the volumes of a container that exists, while its specification is made anew.
///
/// # Errors
/// [`Error::NoVolume`] for one that is gone.
pub(crate) fn hold(store: &Store, options: &Options) -> Result<Vec<Held>> {
    let mut held = Vec::new();
    let mut volumes = None;
    for mount in &options.mounts {
        let MountKind::Volume { name, .. } = &mount.kind else { continue };
        if volumes.is_none() {
            volumes = Some(open(store)?);
        }
        if let Some(volumes) = &volumes {
            let volume = volumes.hold(&Name::new(name)?).map_err(|error| match error.is_missing() {
                true => Error::NoVolume { name: name.clone() },
                false => error.into(),
            })?;
            volume.check_limit()?;
            held.push(volume);
        }
    }
    Ok(held)
}

/// Looks at what the mounts of volumes lead to. One that is not there yet, as in a preview, stands for an empty one.
pub(crate) fn look(site: &Site<'_>, options: &Options, host: &mut Host) -> Result<()> {
    let mut volumes = None;
    for (at, mount) in options.mounts.iter().enumerate() {
        let MountKind::Volume { name, subpath, .. } = &mount.kind else { continue };
        if volumes.is_none() {
            volumes = Some(open(site.store)?);
        }
        let Some(volumes) = &volumes else { continue };
        let known = if name.is_empty() { Name::new("anonymous")? } else { Name::new(name)? };
        let source = match volumes.hold(&known) {
            Ok(held) => source_of(&held, subpath.as_deref())?,
            Err(error) if error.is_missing() => VolumeSource::Directory {
                path: volumes.mountpoint(&known).to_string_lossy().into_owned(),
                identity: (0, 0),
            },
            Err(error) => return Err(error.into()),
        };
        if let VolumeSource::Bind { source, .. } = &source {
            host.sources.insert(source.clone(), resolve(source)?);
        }
        host.volumes.insert(at, source);
    }
    Ok(())
}

pub(crate) fn source_of(held: &Held, subpath: Option<&str>) -> Result<VolumeSource> {
    match volume::device(&held.meta.options)? {
        Device::Tmpfs(_) | Device::Bind { .. } if subpath.is_some() => {
            Err(Error::value("--mount", subpath.unwrap_or_default(), "this volume is no directory of brig's"))
        }
        Device::Tmpfs(tmpfs) => Ok(VolumeSource::Tmpfs(tmpfs)),
        Device::Bind { source, read_only } => Ok(VolumeSource::Bind { source, read_only }),
        Device::Directory { .. } => directory_of(held, subpath),
    }
}

/// The directory of a volume, or one in it. Another container may change what is in it meanwhile: the path is resolved in
/// the volume, and the runtime compares what it then opens with what was found here.
fn directory_of(held: &Held, subpath: Option<&str>) -> Result<VolumeSource> {
    let flags = OFlags::PATH;
    if let Some(path) = subpath
        && weaken::is_off(Defence::Subpath)
    {
        let path = held.path.join(path).to_string_lossy().into_owned();
        let stat = rustix::fs::stat(path.as_str()).map_err(|source| Error::System {
            action: "look at",
            path: held.path.clone(),
            source,
        })?;
        return Ok(VolumeSource::Directory { path, identity: (stat.st_dev, stat.st_ino) });
    }
    let opened = match subpath {
        Some(path) => files::root::open(&held.data, path, flags).map_err(|error| match error.errno() {
            Some(errno) => {
                Error::Subpath { name: held.name.to_string(), path: path.to_owned(), source: errno }
            }
            None => error.into(),
        })?,
        None => files::root::open(&held.data, ".", flags)?,
    };
    let fail = |source| Error::System { action: "look at", path: held.path.clone(), source };
    let stat = rustix::fs::fstat(&opened).map_err(fail)?;
    let link = format!("/proc/self/fd/{}", opened.as_fd().as_raw_fd());
    let path = rustix::fs::readlink(link, Vec::new()).map_err(fail)?;
    let path = path.into_string().map_err(|_| fail(rustix::io::Errno::ILSEQ))?;
    Ok(VolumeSource::Directory { path, identity: (stat.st_dev, stat.st_ino) })
}

/// The mounts as the record keeps them.
pub(crate) fn points(store: &Store, options: &Options) -> Vec<MountPoint> {
    let mut points = Vec::with_capacity(options.mounts.len());
    for mount in &options.mounts {
        let mode = mount.typed.strip_prefix("--volume ").and_then(|typed| typed.splitn(3, ':').nth(2));
        let mut point = MountPoint {
            destination: mount.target.clone(),
            mode: mode.unwrap_or_default().to_owned(),
            rw: !mount.read_only,
            ..MountPoint::default()
        };
        let propagation = || mount.propagation.clone().unwrap_or_else(|| "rprivate".to_owned());
        match &mount.kind {
            MountKind::Bind { source, .. } => {
                (point.kind, point.source, point.propagation) =
                    ("bind".into(), source.clone(), propagation());
            }
            MountKind::Image { image } => {
                (point.kind, point.source) = ("image".to_owned(), image.clone());
            }
            MountKind::Overlay { source } => {
                (point.kind, point.source) = ("overlay".to_owned(), source.clone());
            }
            MountKind::Tmpfs { .. } => "tmpfs".clone_into(&mut point.kind),
            MountKind::Volume { name, anonymous, .. } => {
                (point.kind, point.name) = ("volume".to_owned(), name.clone());
                (point.driver, point.anonymous) = ("local".to_owned(), *anonymous);
                let path = store.path().join("volumes").join(name).join("data");
                point.source = path.to_string_lossy().into_owned();
            }
        }
        points.push(point);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_images_cannot_climb() {
        for (path, expected) in [
            ("/data", "/data"),
            ("data/", "/data"),
            ("/../../../etc", "/etc"),
            ("../../x/./y", "/x/y"),
            ("/a/../..", "/"),
            ("", "/"),
            (".", "/"),
        ] {
            assert_eq!(crate::spec::clean(path), expected, "{path}");
        }
    }

    #[test]
    fn an_images_volumes_yield_to_what_was_asked_for() {
        let config = Config {
            volumes: ["/a", "b/", "/../c", "/proc/1/root", "/", "/sys", "/devices"].map(str::to_owned).into(),
            ..Config::default()
        };
        let mounts = vec![crate::value::mount::parse_volume("/srv:/a/").unwrap()];
        let mut options = Options { mounts, ..Options::default() };
        let mut warnings = Vec::new();
        from_image(&config, &mut options, &mut warnings).unwrap();
        let mut targets: Vec<_> = options.mounts.iter().map(|mount| mount.target.as_str()).collect();
        targets.sort_unstable();
        assert_eq!(targets, ["/a/", "/b", "/c", "/devices"]);
        assert_eq!(warnings.len(), 3);
    }

    #[test]
    fn an_image_has_so_many_volumes() {
        let volumes = (0..=MAX_IMAGE_VOLUMES).map(|number| format!("/v{number}")).collect();
        let config = Config { volumes, ..Config::default() };
        assert!(from_image(&config, &mut Options::default(), &mut Vec::new()).is_err());
    }
}
