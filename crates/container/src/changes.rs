//! What a container changed of its image.

use std::io::{BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use archive::{Change, ChangeKind, Difference, Limits};
use files::meter::Metered;
use oci::image::Config;
use rustix::fs::{Mode, OFlags};
use store::{CommitOptions, Image, Store};

use crate::containers::Containers;
use crate::error::{Error, Result};
use crate::export::{BUFFER, export_layer};
use crate::helper;
use crate::kept::saved_spec;
use crate::record::{ProcessConfig, Record};
use crate::value::name::ContainerId;
use crate::view::running;

/// Lists what a container changed, sorted within each directory. Places that only a mount needs are no change.
///
/// # Errors
/// [`Error::NoContainer`], [`Error::Helper`] for what cannot be read.
pub fn changes(store: &Store, containers: &Containers<'_>, id: &ContainerId) -> Result<Vec<Change>> {
    let sources = Sources::of_container(store, containers, id)?;
    let answer = helper::as_owner(store.ownership(), 0, || {
        let mut found = Vec::new();
        sources.confine();
        sources
            .difference()
            .changes(&Limits::default(), &mut |change| {
                encode(&mut found, &change);
                Ok(())
            })
            .map_err(|error| files::chain(&error))?;
        Ok(found)
    })?;
    Ok(decode(&answer))
}

/// Lists what an image's top layer changes of those below.
///
/// # Errors
/// As [`changes`].
pub fn image_changes(store: &Store, image: &Image) -> Result<Vec<Change>> {
    let mut lower = store.prepare(image)?.lower;
    if lower.is_empty() {
        return Ok(Vec::new());
    }
    let sources = Sources { upper: lower.remove(0), lower, mount_points: Vec::new() };
    let answer = helper::as_owner(store.ownership(), 0, || {
        let mut found = Vec::new();
        sources.confine();
        let visit = &mut |change: Change| {
            encode(&mut found, &change);
            Ok(())
        };
        sources.difference().changes(&Limits::default(), visit).map_err(|error| files::chain(&error))?;
        Ok(found)
    })?;
    Ok(decode(&answer))
}

/// Makes an image of a container: its image's layers, and what it changed as one more; or one layer of all.
///
/// With `pause`, a container that runs is frozen meanwhile where its cgroup allows it; the second value says why not, and
/// what no archive can hold.
///
/// # Errors
/// [`Error::NoContainer`], [`Error::Helper`], and those of [`Store::commit`].
pub fn commit(
    store: &Store,
    containers: &Containers<'_>,
    id: &ContainerId,
    pause: bool,
    mut options: CommitOptions,
) -> Result<(Image, Vec<String>)> {
    let record = containers.record(id)?.ok_or_else(|| Error::NoContainer { name: id.to_string() })?;
    options.created_by = Some(record.command.join(" ")).filter(|command| !command.is_empty());
    let sources = Sources::of_container(store, containers, id)?;
    let lease = store.held_by(id.as_str())?;
    let lease = lease.ok_or_else(|| Error::NoContainer { name: id.to_string() })?;
    let frozen = if pause { Frozen::of(containers, id)? } else { Frozen::Not(None) };
    let base = store.image(&lease.manifest)?.configuration.config;
    options.config = Some(configuration(base, record));
    let mut left_out = Vec::new();
    let image = store.commit(&lease, &options, |file| {
        if options.squash {
            let written = export_layer(store, containers, id, file);
            return written.map(|lines| left_out = lines).map_err(|error| files::chain(&error));
        }
        let packed = helper::as_owner(store.ownership(), 0, || {
            sources.confine();
            let out = BufWriter::with_capacity(BUFFER, Metered::new(file, store.meter()));
            let (mut out, _) =
                sources.difference().pack(out, &Limits::default()).map_err(|e| files::chain(&e))?;
            out.flush().map_err(|error| error.to_string())?;
            Ok(Vec::new())
        });
        packed.map(drop).map_err(|error| files::chain(&error))
    });
    left_out.extend(frozen.thaw());
    Ok((image?, left_out))
}

/// What the container ran with, as the configuration of an image. What the engine itself put into the environment is
/// left out, unless the image has it too.
fn configuration(mut config: Config, record: Record) -> Config {
    const ENGINES: [&str; 4] = ["HOSTNAME", "HOME", "TERM", "container"];
    let process = record.process;
    if process == ProcessConfig::default() {
        return config;
    }
    let name_of = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let images: Vec<String> = config.env.iter().map(|entry| name_of(entry)).collect();
    let is_kept = |entry: &String| {
        let name = name_of(entry);
        !ENGINES.contains(&name.as_str()) || images.contains(&name)
    };
    config.env = process.env.into_iter().filter(is_kept).collect();
    config.user = process.user;
    if process.workdir != "/" {
        config.working_dir = process.workdir;
    }
    config.entrypoint = process.entrypoint.unwrap_or_default();
    config.cmd = process.arguments;
    config.exposed_ports.extend(process.exposed_ports);
    config.labels.extend(record.labels);
    config
}

/// A container that is frozen until this is dropped, however the work ends.
enum Frozen<'a> {
    Now(Box<runtime::Container<'a>>),
    Not(Option<String>),
}

impl<'a> Frozen<'a> {
    fn of(containers: &'a Containers<'_>, id: &ContainerId) -> Result<Self> {
        let container = match runtime::Container::load(containers.states(), id.as_str()) {
            Ok(container) => container,
            Err(runtime::Error::NoContainer(_)) => return Ok(Self::Not(None)),
            Err(error) => return Err(error.into()),
        };
        if container.status() != oci::runtime::Status::Running {
            return Ok(Self::Not(None));
        }
        match container.pause() {
            Ok(()) => Ok(Self::Now(Box::new(container))),
            Err(error) => {
                let note = format!("the container is not paused while it is read: {}", files::chain(&error));
                Ok(Self::Not(Some(note)))
            }
        }
    }

    /// Lets it go on, and says what should be known.
    fn thaw(mut self) -> Option<String> {
        match std::mem::replace(&mut self, Self::Not(None)) {
            Self::Now(ref container) => container
                .resume()
                .err()
                .map(|error| format!("the container stays paused: {}", files::chain(&error))),
            Self::Not(ref note) => note.clone(),
        }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Self::Now(container) = self {
            // Fails where `thaw` was first, or the container is gone.
            container.resume().ok();
        }
    }
}

/// The directories that are compared, opened.
struct Sources {
    upper: OwnedFd,
    lower: Vec<OwnedFd>,
    mount_points: Vec<PathBuf>,
}

impl Sources {
    fn of_container(store: &Store, containers: &Containers<'_>, id: &ContainerId) -> Result<Self> {
        let lease = store.held_by(id.as_str())?;
        let lease = lease.ok_or_else(|| Error::NoContainer { name: id.to_string() })?;
        let lower = lease.layers.iter().rev().map(|chain| store.open_layer(chain));
        let lower = lower.collect::<std::result::Result<Vec<_>, _>>()?;
        let upper = rustix::fs::openat(
            store.root(),
            format!("containers/{id}/upper"),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|source| Error::System {
            action: "open the files of",
            path: id.as_str().into(),
            source,
        })?;
        Ok(Self { upper, lower, mount_points: mount_points(containers, id)? })
    }

    /// In the child: nothing but these directories can be opened from here on.
    fn confine(&self) {
        let roots: Vec<_> = std::iter::once(&self.upper).chain(&self.lower).map(AsFd::as_fd).collect();
        archive::confine_reading(&roots);
    }

    fn difference(&self) -> Difference<'_> {
        Difference { upper: self.upper.as_fd(), lower: &self.lower, mount_points: &self.mount_points }
    }
}

/// Where things are mounted in a container, below its root.
fn mount_points(containers: &Containers<'_>, id: &ContainerId) -> Result<Vec<PathBuf>> {
    let spec = match running(containers, id)? {
        Some(saved) => Some(saved.spec),
        None => saved_spec(containers.directory_of(id)?, id)?,
    };
    let mounts = spec.map(|spec| spec.mounts).unwrap_or_default();
    let below = |mount: oci::runtime::Mount| {
        let path = PathBuf::from(mount.destination);
        path.strip_prefix("/").map(PathBuf::from).ok().filter(|path| !path.as_os_str().is_empty())
    };
    Ok(mounts.into_iter().filter_map(below).collect())
}

/// One letter, the path, a NUL.
fn encode(out: &mut Vec<u8>, change: &Change) {
    out.push(letter(change.kind));
    out.extend_from_slice(&change.path);
    out.push(0);
}

fn decode(bytes: &[u8]) -> Vec<Change> {
    let one = |bytes: &[u8]| {
        let (letter, path) = bytes.split_first()?;
        let kind = [ChangeKind::Modified, ChangeKind::Added, ChangeKind::Deleted]
            .into_iter()
            .find(|kind| self::letter(*kind) == *letter)?;
        Some(Change { kind, path: path.to_vec() })
    };
    bytes.split(|byte| *byte == 0).filter_map(one).collect()
}

fn letter(kind: ChangeKind) -> u8 {
    match kind {
        ChangeKind::Modified => b'C',
        ChangeKind::Added => b'A',
        ChangeKind::Deleted => b'D',
    }
}
