//! Containers on disk: their directories, their names, and which of them live.
//!
//! `$ROOT/containers/<id>/` holds what outlives a reboot, `$RUN/c/<id>/` is the runtime's record of a process,
//! `$RUN/alive/<id>` is locked by whoever watches the container. The lock is taken before the directory is made, so a directory whose lock is free has no
//! watcher; one that was not meant to stay, and whose process is gone, is then removed by the next command
//! (`docs/disk-layout.md`). A killed engine leaves nothing else behind.

mod names;
mod removal;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use files::atomic::{self, Durability};
use files::lock::{self, Lock};
use runtime::state::StateRoot;
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;
use serde::Serialize;
use store::Store;

use crate::error::{Error, Result};
use crate::record::Record;
use crate::value::name::{ContainerId, Name};
use crate::weaken::{self, Defence};

/// File in a container's directory: what it is.
const RECORD: &str = "config.json";
/// Most bytes of it.
const MAX_RECORD: u64 = 4 << 20;

/// The containers of one store.
#[derive(Debug)]
pub struct Containers<'a> {
    store: &'a Store,
    containers: OwnedFd,
    names: OwnedFd,
    alive: OwnedFd,
    runroot: OwnedFd,
    run_path: PathBuf,
    states: StateRoot,
}

/// A container that this process watches.
#[derive(Debug)]
pub struct Reserved {
    /// Its id.
    pub id: ContainerId,
    /// Its directory below the store.
    pub directory: OwnedFd,
    /// Path of that directory, for the sources of bind mounts.
    pub path: PathBuf,
    pub(crate) name: Option<Name>,
    /// Held for as long as the container is watched.
    pub(crate) alive: Lock,
}

/// What stands for the container that was made last: no name of a container begins so.
pub const LATEST: &str = "@latest";
/// Name of the run-time directory with the runtime's records.
pub(crate) const STATES: &str = "c";
/// Name of the run-time directory with what the engine makes for `/etc`.
const ETC: &str = "etc";
/// Name of the run-time directory with fifos and monitors' sockets.
pub(crate) const STREAMS: &str = "s";
/// How often a lock is tried that readers hold for a moment.
const LOCK_ATTEMPTS: usize = 1000;

fn system(action: &'static str, object: impl Into<PathBuf>) -> impl FnOnce(Errno) -> Error {
    let path = object.into();
    move |source| Error::System { action, path, source }
}

fn directory(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(system("make directory", name)(errno)),
    }
    open(parent, name).map_err(system("open", name))
}

fn open(parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

impl<'a> Containers<'a> {
    /// Opens the containers of a store; `runroot` is made if it is missing (its parent is not).
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn open(store: &'a Store, runroot: &Path) -> Result<Self> {
        let run = match rustix::fs::mkdir(runroot, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => files::open_directory(runroot)?,
            Err(errno) => return Err(system("make directory", runroot)(errno)),
        };
        let stat = rustix::fs::fstat(&run).map_err(system("stat", runroot))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(system("use (it is not private to you)", runroot)(Errno::ACCESS));
        }
        Ok(Self {
            store,
            containers: directory(store.root(), "containers")?,
            names: directory(store.root(), "names")?,
            alive: directory(run.as_fd(), "alive")?,
            states: StateRoot::open(&runroot.join(STATES))?,
            runroot: run,
            run_path: runroot.to_owned(),
        })
    }

    /// The directory of the store.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.store.path()
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        self.store
    }

    /// Whose the files of images are.
    pub(crate) fn ownership(&self) -> &store::Ownership {
        self.store.ownership()
    }

    /// The run-time directory that [`Self::open`] was given.
    #[must_use]
    pub fn runroot(&self) -> &Path {
        &self.run_path
    }

    /// Where the runtime keeps its records.
    #[must_use]
    pub fn states(&self) -> &StateRoot {
        &self.states
    }

    /// A directory of the engine's beside the containers', made if it is missing.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn runtime_directory(&self, name: &str) -> Result<OwnedFd> {
        directory(self.runroot.as_fd(), name)
    }

    /// Where the files are that the engine makes for a container's `/etc`: they are made anew at each start, so
    /// they lie with the run-time state.
    #[must_use]
    pub fn etc(&self, id: &ContainerId) -> PathBuf {
        self.run_path.join(ETC).join(id.as_str())
    }

    /// Makes that directory.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn make_etc(&self, id: &ContainerId) -> Result<OwnedFd> {
        let all = self.runtime_directory(ETC)?;
        directory(all.as_fd(), id.as_str())
    }

    /// Makes a container's directories under a new id and reserves its name.
    ///
    /// # Errors
    /// [`Error::NameInUse`], [`Error::System`].
    pub fn reserve(&self, name: Option<&Name>) -> Result<Reserved> {
        let id = ContainerId::from_bytes(random()?);
        let alive = lock::exclusive(lock::open(&self.alive, id.as_str())?)?;
        rustix::fs::mkdirat(&self.containers, id.as_str(), Mode::RWXU)
            .map_err(system("make directory", id.as_str()))?;
        files::pause::at("container.reserved");
        let opened = open(self.containers.as_fd(), id.as_str()).map_err(system("open", id.as_str()))?;
        let path = self.store.path().join("containers").join(id.as_str());
        let mut reserved = Reserved { id, directory: opened, path, name: None, alive };
        let taken = match name {
            Some(name) => self.take_name(name, &reserved.id).map(|()| name.clone()),
            None => self.take_any_name(&reserved.id),
        };
        match taken {
            Ok(name) => reserved.name = Some(name),
            Err(error) => {
                self.remove(reserved)?;
                return Err(error);
            }
        }
        Ok(reserved)
    }

    /// Finds a container by name, id, or the unambiguous start of an id; [`LATEST`] is the one that was made last.
    ///
    /// # Errors
    /// [`Error::NoContainer`], [`Error::System`].
    pub fn find(&self, text: &str) -> Result<ContainerId> {
        if text == LATEST {
            let made = |id: ContainerId| {
                let record = self.record(&id).ok()??;
                Some(((record.created, record.created_nanoseconds), id))
            };
            let last = self.ids()?.into_iter().filter_map(made).max_by_key(|(time, _)| *time);
            return last.map(|(_, id)| id).ok_or_else(|| Error::NoContainer { name: text.to_owned() });
        }
        if let Ok(name) = Name::new(text)
            && let Some(id) = self.holder(name.as_str())?
        {
            return Ok(id);
        }
        let mut found =
            self.ids()?.into_iter().filter(|id| !text.is_empty() && id.as_str().starts_with(text));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(id),
            _ => Err(Error::NoContainer { name: text.to_owned() }),
        }
    }

    /// Reads what is kept about a container; `None` for one that is half made.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`]; a record that cannot be read is an error.
    pub fn record(&self, id: &ContainerId) -> Result<Option<Record>> {
        let found = match open(self.containers.as_fd(), id.as_str()) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(system("open", id.as_str())(errno)),
        };
        record_in(&found, id)
    }

    /// Lets a container that stays go unwatched.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn leave(&self, reserved: Reserved) -> Result<()> {
        let forgotten = self.forget(&reserved.id);
        drop(reserved);
        forgotten
    }

    /// Becomes the watcher of a container that nobody watches.
    ///
    /// # Errors
    /// [`Error::Running`] where somebody does, [`Error::NoContainer`], [`Error::System`], [`Error::Files`].
    pub fn watch(&self, id: &ContainerId) -> Result<Reserved> {
        let directory = self.directory_of(id)?;
        let alive = self.lock(id)?.ok_or_else(|| Error::Running { id: id.short().to_owned() })?;
        self.reserved(id, directory, alive)
    }

    /// As [`Self::watch`], by the lock that a process before this one held.
    ///
    /// # Errors
    /// [`Error::NoContainer`], [`Error::System`], [`Error::Files`].
    pub fn watch_on(&self, id: &ContainerId, lock: OwnedFd) -> Result<Reserved> {
        let directory = self.directory_of(id)?;
        let alive = lock::try_exclusive(lock)?.ok_or_else(|| Error::Running { id: id.short().to_owned() })?;
        self.reserved(id, directory, alive)
    }

    fn reserved(&self, id: &ContainerId, directory: OwnedFd, alive: Lock) -> Result<Reserved> {
        let name = self.record(id)?.and_then(|record| record.name).and_then(|name| Name::new(&name).ok());
        // What a watcher that was killed said of an end before this start.
        rustix::fs::ftruncate(&alive, 0).map_err(system("empty", id.as_str()))?;
        let path = self.path_of(id);
        Ok(Reserved { id: id.clone(), directory, path, name, alive })
    }

    /// Takes the lock of a container; `None` where a watcher has it.
    fn lock(&self, id: &ContainerId) -> Result<Option<Lock>> {
        for _ in 0..LOCK_ATTEMPTS {
            let Some(lock) = lock::try_exclusive(lock::open(&self.alive, id.as_str())?)? else {
                if lock::is_held(&self.alive, id.as_str())? {
                    return Ok(None);
                }
                // Only looked at by others, or just given up.
                std::thread::yield_now();
                continue;
            };
            let stat = rustix::fs::fstat(&lock).map_err(system("stat", id.as_str()))?;
            if stat.st_nlink > 0 {
                return Ok(Some(lock));
            }
            // Its watcher removed it as we opened it: another one may have the new file.
        }
        Ok(None)
    }

    /// Whether a living process watches a container.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn is_watched(&self, id: &ContainerId) -> Result<bool> {
        Ok(lock::is_held(&self.alive, id.as_str())?)
    }

    /// The lock file of a container, to wait for its watcher's end; `None` where nobody watches.
    ///
    /// # Errors
    /// [`Error::System`].
    pub(crate) fn open_lock(&self, id: &ContainerId) -> Result<Option<OwnedFd>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::openat(&self.alive, id.as_str(), flags, Mode::empty()) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(system("open", id.as_str())(errno)),
        }
    }

    /// Opens a container's directory below the store.
    ///
    /// # Errors
    /// [`Error::NoContainer`], [`Error::System`].
    pub fn directory_of(&self, id: &ContainerId) -> Result<OwnedFd> {
        match open(self.containers.as_fd(), id.as_str()) {
            Err(Errno::NOENT) => Err(Error::NoContainer { name: id.to_string() }),
            result => result.map_err(system("open", id.as_str())),
        }
    }

    /// Path of a container's directory below the store.
    #[must_use]
    pub fn path_of(&self, id: &ContainerId) -> PathBuf {
        self.store.path().join("containers").join(id.as_str())
    }

    /// Opens a container's directory of fifos; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn streams_of(&self, id: &ContainerId) -> Result<Option<OwnedFd>> {
        let all = self.runtime_directory(STREAMS)?;
        match open(all.as_fd(), id.as_str()) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(system("open", id.as_str())(errno)),
        }
    }

    /// Makes that directory anew.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`].
    pub(crate) fn make_streams(&self, id: &ContainerId) -> Result<OwnedFd> {
        let all = self.runtime_directory(STREAMS)?;
        files::remove_tree(&all, id.as_str())?;
        directory(all.as_fd(), id.as_str())
    }

    /// Removes what there is of a container in the run directory; it is made anew at the next start.
    ///
    /// # Errors
    /// [`Error::System`], [`Error::Files`].
    pub(crate) fn clear_runtime(&self, id: &ContainerId) -> Result<()> {
        let disconnected = self.disconnect(id);
        files::remove_tree(self.runtime_directory(STREAMS)?, id.as_str())?;
        files::remove_tree(self.runtime_directory(ETC)?, id.as_str())?;
        disconnected
    }

    /// Removes the lock file of a container.
    fn forget(&self, id: &ContainerId) -> Result<()> {
        atomic::remove(self.alive.as_fd(), id.as_str(), Durability::Volatile)?;
        Ok(())
    }

    /// The ids of all containers, in no order.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn ids(&self) -> Result<Vec<ContainerId>> {
        let mut ids = Vec::new();
        for entry in Dir::read_from(&self.containers).map_err(system("list", "containers"))? {
            let entry = entry.map_err(system("list", "containers"))?;
            ids.extend(entry.file_name().to_str().ok().and_then(ContainerId::parse));
        }
        Ok(ids)
    }

    /// The names of all containers that somebody may watch or that the runtime may know; no other has a process.
    pub(crate) fn active(&self) -> Result<BTreeSet<String>> {
        let mut active = self.states.names()?;
        for entry in Dir::read_from(&self.alive).map_err(system("list", "alive"))? {
            let entry = entry.map_err(system("list", "alive"))?;
            active.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(active)
    }

    /// Whether somebody watches a container or its process still runs.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn is_alive(&self, id: &ContainerId) -> Result<bool> {
        if weaken::is_off(Defence::Lock) {
            return Ok(false);
        }
        match lock::is_held(&self.alive, id.as_str()) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error.into()),
        }
        match runtime::Container::load(&self.states, id.as_str()) {
            // Who creates it would hold the lock; one that was killed leaves a process, or none.
            Ok(container) => Ok(container.saved().is_alive()),
            Err(runtime::Error::NoContainer(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Reserved {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<&Name> {
        self.name.as_ref()
    }

    /// Writes what is kept about the container. It is whole for every reader; a power cut may lose it, and
    /// with it the container, which is then swept.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn write_record(&self, record: &Record) -> Result<()> {
        self.write_json(RECORD, record)
    }

    /// Writes a value into the container's directory.
    ///
    /// # Errors
    /// [`Error::Files`].
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        write_json(self.directory.as_fd(), name, value)
    }

    /// Tells whoever waits for the container how it ended: they hold the file open, which is about to be removed.
    pub(crate) fn tell_exit_code(&self, code: u8) {
        // Who finds nothing there asks `life.json`.
        rustix::io::pwrite(&self.alive, code.to_string().as_bytes(), 0).ok();
    }
}

fn write_json(directory: BorrowedFd<'_>, name: &str, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec(value).expect("strings, numbers and maps with string keys");
    atomic::write(directory, name, &bytes, 0o600, Durability::Volatile)?;
    Ok(())
}

fn random() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let length = rustix::rand::getrandom(&mut bytes[..], GetRandomFlags::empty())
        .map_err(system("read", "getrandom(2)"))?;
    if length == bytes.len() { Ok(bytes) } else { Err(system("read", "getrandom(2)")(Errno::IO)) }
}

/// The record in a container's directory; `None` where it is not written yet.
pub(crate) fn record_in(directory: impl AsFd, id: &ContainerId) -> Result<Option<Record>> {
    let Some(bytes) = files::read_own(directory, RECORD, MAX_RECORD)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Damaged { id: id.to_string(), source })
}

#[cfg(test)]
mod tests {
    use store::Ownership;

    use super::*;

    fn store(base: &Path) -> Store {
        Store::open(&base.join("root"), Ownership::Kept).unwrap()
    }

    fn record(reserved: &Reserved, remove: bool) -> Record {
        Record {
            id: reserved.id.to_string(),
            name: reserved.name.as_ref().map(ToString::to_string),
            remove,
            ..Record::default()
        }
    }

    /// What `kill -9` leaves: the directories without the lock.
    fn kill(reserved: Reserved) -> ContainerId {
        let id = reserved.id.clone();
        drop(reserved);
        id
    }

    #[test]
    fn a_name_belongs_to_one() {
        let base = testkit::TempDir::new();
        let store = store(base.path());
        let containers = Containers::open(&store, &base.path().join("run")).unwrap();
        let name = Name::new("web").unwrap();
        let first = containers.reserve(Some(&name)).unwrap();
        assert!(matches!(containers.reserve(Some(&name)), Err(Error::NameInUse { .. })));
        assert_eq!(containers.ids().unwrap(), std::slice::from_ref(&first.id));
        assert_eq!(containers.find("web").unwrap(), first.id);
        assert_eq!(containers.find(first.id.short()).unwrap(), first.id);
        assert!(containers.find("other").is_err());
        containers.remove(first).unwrap();
        assert_eq!(containers.ids().unwrap(), []);
        containers.reserve(Some(&name)).unwrap();
    }

    // Seen to fail without the lock of `rename`: the new name belonged to no container, for ever.
    #[test]
    fn who_renames_what_is_removed_leaves_no_name() {
        let base = testkit::TempDir::new();
        let store = store(base.path());
        let containers = Containers::open(&store, &base.path().join("run")).unwrap();
        let reserved = containers.reserve(Some(&Name::new("web").unwrap())).unwrap();
        reserved.write_record(&record(&reserved, false)).unwrap();
        let id = kill(reserved);
        let new = Name::new("next").unwrap();
        let held = containers.hold_record(&id).unwrap().unwrap();
        let renamed = std::thread::scope(|scope| {
            let renaming = scope.spawn(|| containers.rename(&id, &new));
            // It cannot come further than to wait; without the lock it ends.
            for _ in 0..20 {
                if renaming.is_finished() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            containers.drop_name("web", &id).unwrap();
            containers.remove_files(&id).unwrap();
            drop(held);
            renaming.join().unwrap()
        });
        assert!(matches!(renamed, Err(Error::NoContainer { .. })), "{renamed:?}");
        assert_eq!(containers.holder("next").unwrap(), None);
    }

    #[test]
    fn a_sweep_spares_the_living_and_what_stays() {
        let base = testkit::TempDir::new();
        let store = store(base.path());
        let containers = Containers::open(&store, &base.path().join("run")).unwrap();
        let living = containers.reserve(None).unwrap();
        let half_made = kill(containers.reserve(Some(&Name::new("half").unwrap())).unwrap());
        let reserved = containers.reserve(Some(&Name::new("gone").unwrap())).unwrap();
        reserved.write_record(&record(&reserved, true)).unwrap();
        std::fs::create_dir_all(reserved.path.join("upper/a/b")).unwrap();
        let gone = kill(reserved);
        let reserved = containers.reserve(Some(&Name::new("stays").unwrap())).unwrap();
        reserved.write_record(&record(&reserved, false)).unwrap();
        let stays = kill(reserved);
        assert_eq!(containers.sweep().unwrap(), 2);
        let mut left = containers.ids().unwrap();
        left.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        let mut expected = vec![living.id.clone(), stays];
        expected.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        assert_eq!(left, expected);
        assert!(!containers.is_alive(&half_made).unwrap() && !containers.is_alive(&gone).unwrap());
        assert!(containers.find("half").is_err() && containers.find("gone").is_err());
        assert_eq!(containers.sweep().unwrap(), 0);
        assert!(matches!(containers.delete(&living.id, false), Err(Error::Running { .. })));
        containers.delete(&containers.find("stays").unwrap(), false).unwrap();
        assert_eq!(containers.ids().unwrap(), std::slice::from_ref(&living.id));
        assert!(containers.find("stays").is_err());
    }

    #[test]
    fn a_sweep_finds_what_the_runtime_had_begun() {
        let base = testkit::TempDir::new();
        let store = store(base.path());
        let containers = Containers::open(&store, &base.path().join("run")).unwrap();
        for begun in [false, true] {
            let reserved = containers.reserve(None).unwrap();
            let directory = containers.states().reserve(reserved.id.as_str()).unwrap();
            if begun {
                let state = serde_json::json!({
                    "id": reserved.id.as_str(), "pid": 0, "startTime": 0, "bundle": "/", "created": "",
                    "owner": 0, "cgroup": null, "spec": { "ociVersion": "1.3.0" },
                });
                let (text, volatile) = (state.to_string(), Durability::Volatile);
                atomic::write(directory.as_fd(), "state.json", text.as_bytes(), 0o600, volatile).unwrap();
            }
            // Killed in the middle of an atomic write.
            std::fs::write(base.path().join("run/c").join(reserved.id.as_str()).join(".brig-part-0"), "")
                .unwrap();
            let id = kill(reserved);
            assert_eq!(containers.sweep().unwrap(), 1);
            assert!(!base.path().join("run/c").join(id.as_str()).exists(), "begun: {begun}");
        }
    }

    #[test]
    fn the_name_of_a_dead_container_is_taken_over() {
        let base = testkit::TempDir::new();
        let store = store(base.path());
        let containers = Containers::open(&store, &base.path().join("run")).unwrap();
        let name = Name::new("web").unwrap();
        let reserved = containers.reserve(Some(&name)).unwrap();
        reserved.write_record(&record(&reserved, true)).unwrap();
        kill(reserved);
        let next = containers.reserve(Some(&name)).unwrap();
        assert_eq!(containers.ids().unwrap(), std::slice::from_ref(&next.id));
    }

    #[test]
    fn a_container_whose_process_runs_is_alive_without_a_watcher() {
        let base = testkit::TempDir::new();
        let store = store(base.path());
        let containers = Containers::open(&store, &base.path().join("run")).unwrap();
        let reserved = containers.reserve(None).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let start = runtime::state::start_time(pid).unwrap();
        let directory = containers.states().reserve(reserved.id.as_str()).unwrap();
        let name = reserved.id.clone();
        let write = |start: u64| {
            let state = serde_json::json!({
                "id": name.as_str(), "pid": pid, "startTime": start, "bundle": "/", "created": "",
                "owner": 0, "cgroup": null, "spec": { "ociVersion": "1.3.0" },
            });
            atomic::write(
                directory.as_fd(),
                "state.json",
                state.to_string().as_bytes(),
                0o600,
                Durability::Volatile,
            )
            .unwrap();
        };
        write(start);
        let id = reserved.id.clone();
        drop(reserved);
        assert!(containers.is_alive(&id).unwrap());
        write(start + 1);
        assert!(!containers.is_alive(&id).unwrap());
        assert_eq!(containers.sweep().unwrap(), 1);
        assert!(!base.path().join("run/c").join(id.as_str()).exists());
    }
}
