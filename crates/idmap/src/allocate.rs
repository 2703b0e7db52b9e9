//! A range of host ids of its own for every rootful container (`--userns=auto`).
//!
//! A [`Pool`] says which host ids may be given out; a claim is a file named by its range in a directory
//! on the runtime file system (which a reboot empties). Its flock(2) is held by the process that starts
//! the container, its content names the container, so a range is free again when nobody holds the lock
//! *and* that container is gone. No lock is shared by two ranges: starts do not wait for each other.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, Map, Side, Span, SubordinateTable, account};

/// Ids of a usual container, and the size of the slots that a pool is cut into.
pub const SLOT: u32 = 65_536;

/// The user name whose line in `/etc/subuid` and `/etc/subgid` sets the pool.
///
/// Not podman's `containers` and not `root`, which LXC uses: two engines that share a line without
/// sharing their records would give the same ids to two containers.
pub const POOL_OWNER: &str = "brig";

/// First id of the pool where no line sets one: 2,000,224,256, the first slot above what SSSD maps
/// directory users to by default (`ldap_idmap_range_max` 2,000,200,000), above shadow-utils' `SUB_UID_MAX`
/// (600,100,000) and systemd-nspawn's containers (up to 1,879,048,191).
pub const DEFAULT_START: u32 = 2_000_224_256;

/// Ids of that pool: up to systemd's foreign range at 2,147,352,576, that is 2,245 containers at once.
/// All are below 2^31, where some programs take an id for negative.
pub const DEFAULT_COUNT: u32 = 2_147_352_576 - DEFAULT_START;

/// Longest name of a claim's owner in bytes.
const MAX_OWNER: usize = 128;

/// Host ids that may be given to containers, as aligned slots of [`SLOT`] ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Where slots may lie, in order of preference.
    spans: Vec<Span>,
    /// What belongs to somebody else.
    taken: Vec<Span>,
}

impl Pool {
    /// A pool of these spans, without the slots that touch an id in `taken`.
    #[must_use]
    pub const fn new(spans: Vec<Span>, taken: Vec<Span>) -> Self {
        Self { spans, taken }
    }

    /// The pool of this host: the ids that both `<etc>/subuid` and `<etc>/subgid` give to [`POOL_OWNER`],
    /// else the default range; without the ids of other users, of real accounts, and without those that
    /// the caller's own namespace does not have.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotRegular`], [`Error::TooBig`].
    pub fn of_host(etc: &Path) -> Result<Self, Error> {
        let tables = [Side::Uid, Side::Gid]
            .map(|side| Ok::<_, Error>(SubordinateTable::read(etc, side)?.unwrap_or_default()));
        let [uids, gids] = tables;
        let (uids, gids) = (uids?, gids?);
        let own = |table: &SubordinateTable| {
            table.entries.iter().filter(|row| row.owner == POOL_OWNER).map(|row| row.span).collect::<Vec<_>>()
        };
        let mut spans = intersect(&own(&uids), &own(&gids));
        if spans.is_empty() {
            spans.push(Span { start: DEFAULT_START, count: DEFAULT_COUNT });
        }
        let others = uids.entries.iter().chain(&gids.entries).filter(|row| row.owner != POOL_OWNER);
        let mut taken: Vec<Span> = others.map(|row| row.span).collect();
        taken.extend(account::read_passwd(etc)?.iter().map(|row| Span { start: row.uid, count: 1 }));
        taken.extend(account::read_group(etc)?.iter().map(|row| Span { start: row.gid, count: 1 }));
        let (uid_map, gid_map) = crate::own_maps()?;
        Ok(Self { spans, taken }.within(&uid_map).within(&gid_map))
    }

    /// The part of the pool that a map has inside: in a nested container only those ids exist.
    #[must_use]
    pub fn within(mut self, map: &Map) -> Self {
        let inside: Vec<Span> =
            map.ranges().iter().map(|range| Span { start: range.container_id, count: range.size }).collect();
        self.spans = intersect(&self.spans, &inside);
        self
    }

    /// How many slots lie in the pool, taken ones included.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.spans.iter().map(|span| span.count / SLOT).sum()
    }

    /// The first id of slot `index` and the slots that follow it in the same span, itself included.
    fn slot(&self, mut index: u32) -> Option<(u32, u32)> {
        for span in &self.spans {
            let here = span.count / SLOT;
            if index < here {
                return Some((span.start + index * SLOT, here - index));
            }
            index -= here;
        }
        None
    }

    fn is_taken(&self, span: Span) -> bool {
        self.taken.iter().any(|other| other.overlaps(span))
    }
}

/// A range of host ids that is one container's alone while this value lives, and after that for as long
/// as the container does.
#[derive(Debug)]
pub struct Claim {
    span: Span,
    files: Vec<(String, OwnedFd)>,
}

impl Claim {
    /// The ids, the same numbers for users and groups. `count` is what was asked for.
    #[must_use]
    pub const fn span(&self) -> Span {
        self.span
    }

    /// The map that gives the container ids from 0.
    ///
    /// # Errors
    /// None in practice: a claim is a good range.
    pub fn map(&self) -> Result<Map, Error> {
        Map::contiguous(0, self.span.start, self.span.count)
    }

    /// The locked files. A process that outlives this one and watches the container keeps them open.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.files.iter().map(|(_, file)| file.as_fd())
    }

    /// Gives the range back at once. Dropping a claim instead leaves it to its container.
    ///
    /// # Errors
    /// [`Error::Io`] where a claim's file could not be removed; the lock is released all the same.
    pub fn release(self, directory: BorrowedFd<'_>) -> Result<(), Error> {
        let mut result = Ok(());
        for (name, _lock) in &self.files {
            // Still locked: nobody can have taken the name over.
            if let Err(error) = remove(directory, name) {
                result = Err(error);
            }
        }
        result
    }
}

/// Claims `size` ids for `owner` (the container's id).
///
/// The search starts at a slot that the owner's name decides, so simultaneous starts rarely meet and the
/// same container gets the same ids again where it can. `is_alive` tells whether an earlier owner, whose
/// claim nobody holds locked, still runs; it is asked only then.
///
/// # Errors
/// [`Error::NoFreeRange`], [`Error::BadOwner`], [`Error::Io`].
pub fn claim(
    directory: BorrowedFd<'_>,
    pool: &Pool,
    owner: &str,
    size: u32,
    is_alive: impl Fn(&str) -> bool,
) -> Result<Claim, Error> {
    if !is_owner(owner) {
        return Err(Error::BadOwner { owner: owner.chars().take(MAX_OWNER).collect() });
    }
    let slots = pool.slots();
    let needed = size.div_ceil(SLOT).max(1);
    if size == 0 || needed > slots {
        return Err(Error::NoFreeRange { size });
    }
    let first = hash(owner) % slots;
    for step in 0..slots {
        // Slots are below 65,536 in number: no overflow.
        let Some((start, following)) = pool.slot((first + step) % slots) else { continue };
        if needed > following || pool.is_taken(Span { start, count: needed * SLOT }) {
            continue;
        }
        if let Some(files) = claim_run(directory, start, needed, owner, &is_alive)? {
            return Ok(Claim { span: Span { start, count: size }, files });
        }
    }
    Err(Error::NoFreeRange { size })
}

/// Gives back what a dead container held, by the range that its record names.
///
/// # Errors
/// [`Error::Io`]. A claim that another owner has taken meanwhile is left alone, without error.
pub fn release(directory: BorrowedFd<'_>, span: Span, owner: &str) -> Result<(), Error> {
    for index in 0..span.count.div_ceil(SLOT) {
        let name = slot_name(span.start.saturating_add(index * SLOT));
        let Some(file) = lock(directory, &name, OFlags::empty(), Some(owner))? else { continue };
        if content(&file, &name)? == owner {
            remove(directory, &name)?;
        }
    }
    Ok(())
}

/// Claims neighbouring slots, all or none.
fn claim_run(
    directory: BorrowedFd<'_>,
    start: u32,
    slots: u32,
    owner: &str,
    is_alive: impl Fn(&str) -> bool,
) -> Result<Option<Vec<(String, OwnedFd)>>, Error> {
    let mut files: Vec<(String, OwnedFd)> = Vec::with_capacity(1);
    for index in 0..slots {
        let name = slot_name(start + index * SLOT);
        if let Some(file) = claim_slot(directory, &name, owner, &is_alive)? {
            files.push((name, file));
            continue;
        }
        for (name, _lock) in &files {
            remove(directory, name)?;
        }
        return Ok(None);
    }
    Ok(Some(files))
}

fn claim_slot(
    directory: BorrowedFd<'_>,
    name: &str,
    owner: &str,
    is_alive: impl Fn(&str) -> bool,
) -> Result<Option<OwnedFd>, Error> {
    let Some(file) = lock(directory, name, OFlags::CREATE, None)? else { return Ok(None) };
    let before = content(&file, name)?;
    if before == owner {
        return Ok(Some(file));
    }
    if !before.is_empty() && is_alive(&before) {
        return Ok(None);
    }
    let fail = |errno| io("write", name, errno);
    rustix::fs::ftruncate(&file, 0).map_err(fail)?;
    let written = rustix::io::pwrite(&file, owner.as_bytes(), 0).map_err(fail)?;
    if written == owner.len() { Ok(Some(file)) } else { Err(fail(Errno::NOSPC)) }
}

/// Opens and locks a claim's file; `None` where another process holds it, or where it does not exist and
/// was not to be made.
///
/// One that holds it for `owner` is waited for: whoever started the container has the lock until it heard of the start.
fn lock(
    directory: BorrowedFd<'_>,
    name: &str,
    create: OFlags,
    owner: Option<&str>,
) -> Result<Option<OwnedFd>, Error> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | create;
    loop {
        let file = match rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file,
            Err(Errno::NOENT) if create.is_empty() => return Ok(None),
            Err(errno) => return Err(io("open", name, errno)),
        };
        let locked = match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if owner.is_some() && owner == Some(content(&file, name)?.as_str()) => {
                rustix::fs::flock(&file, FlockOperation::LockExclusive)
            }
            locked => locked,
        };
        match locked {
            Ok(()) => {}
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(io("lock", name, errno)),
        }
        // Between open and lock the former holder may have removed the file: a lock on a nameless file
        // keeps nobody out. Only a lock holder removes, so one look after locking is enough.
        let here = rustix::fs::fstat(&file).map_err(|errno| io("stat", name, errno))?;
        if here.st_nlink > 0 {
            return Ok(Some(file));
        }
    }
}

fn content(file: &OwnedFd, name: &str) -> Result<String, Error> {
    let mut buffer = [0; MAX_OWNER];
    let count = rustix::io::pread(file, &mut buffer, 0).map_err(|errno| io("read", name, errno))?;
    Ok(String::from_utf8_lossy(&buffer[..count]).into_owned())
}

fn remove(directory: BorrowedFd<'_>, name: &str) -> Result<(), Error> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(io("remove", name, errno)),
    }
}

fn io(what: &'static str, name: &str, errno: Errno) -> Error {
    Error::Io { what, path: name.into(), errno }
}

fn slot_name(start: u32) -> String {
    start.to_string()
}

fn is_owner(owner: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=MAX_OWNER).contains(&owner.len()) && owner.bytes().all(good)
}

/// FNV-1a: spreads names over slots; nothing depends on who can guess it.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |state, byte| (state ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The ids that are in both lists, in the order of the first.
fn intersect(left: &[Span], right: &[Span]) -> Vec<Span> {
    let mut both = Vec::new();
    for &a in left {
        for &b in right {
            if a.overlaps(b) {
                let start = a.start.max(b.start);
                both.push(Span { start, count: a.last().min(b.last()) - start + 1 });
            }
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(std::path::PathBuf, OwnedFd);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("idmap-{name}-{}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            let fd = rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
            Self(path, fd)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn pool(slots: u32) -> Pool {
        Pool::new(vec![Span { start: DEFAULT_START, count: slots * SLOT }], Vec::new())
    }

    #[test]
    fn the_default_pool_is_what_its_comment_says() {
        let pool = Pool::new(vec![Span { start: DEFAULT_START, count: DEFAULT_COUNT }], Vec::new());
        assert_eq!(pool.slots(), 2245);
        assert_eq!(DEFAULT_START % SLOT, 0);
    }

    #[test]
    fn every_owner_gets_a_range_of_its_own_until_none_is_left() {
        let directory = Directory::new("own");
        let pool = pool(4);
        let claims: Vec<_> = ["a", "b", "c", "d"]
            .map(|owner| claim(directory.1.as_fd(), &pool, owner, SLOT, |_| true).unwrap())
            .into();
        let mut starts: Vec<_> = claims.iter().map(|claim| claim.span().start).collect();
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts.len(), 4);
        let full = claim(directory.1.as_fd(), &pool, "e", SLOT, |_| true);
        assert!(matches!(full, Err(Error::NoFreeRange { size: SLOT })));
        // The lock is gone, the container is not: still taken.
        drop(claims);
        assert!(claim(directory.1.as_fd(), &pool, "e", SLOT, |_| true).is_err());
        // Only `b` is dead: its range is the one that is free.
        let second = claim(directory.1.as_fd(), &pool, "e", SLOT, |owner| owner != "b").unwrap();
        release(directory.1.as_fd(), second.span(), "b").unwrap();
        drop(second);
        assert_eq!(claim(directory.1.as_fd(), &pool, "a", SLOT, |_| true).unwrap().span().count, SLOT);
    }

    #[test]
    fn released_claims_leave_no_file() {
        let directory = Directory::new("release");
        let pool = pool(8);
        let big = claim(directory.1.as_fd(), &pool, "big", 3 * SLOT - 5, |_| true).unwrap();
        assert_eq!(big.files.len(), 3);
        assert_eq!(big.map().unwrap().count(), u64::from(3 * SLOT - 5));
        big.release(directory.1.as_fd()).unwrap();
        let span = claim(directory.1.as_fd(), &pool, "small", 1000, |_| true).unwrap().span();
        release(directory.1.as_fd(), span, "other").unwrap();
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 1);
        release(directory.1.as_fd(), span, "small").unwrap();
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0);
    }

    // Seen to fail where what is locked was passed over: the claim stayed, of a container that was gone.
    #[test]
    fn a_claim_is_given_back_while_the_starter_has_it() {
        let directory = Directory::new("starter");
        let claim = claim(directory.1.as_fd(), &pool(8), "short", SLOT, |_| true).unwrap();
        let span = claim.span();
        // Another's claim is left alone at once.
        release(directory.1.as_fd(), span, "other").unwrap();
        std::thread::scope(|scope| {
            let releasing = scope.spawn(|| release(directory.1.as_fd(), span, "short"));
            for _ in 0..20 {
                if releasing.is_finished() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            drop(claim);
            releasing.join().unwrap().unwrap();
        });
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0);
    }

    #[test]
    fn ids_of_others_are_not_given_out() {
        let directory = Directory::new("others");
        let taken = vec![
            Span { start: DEFAULT_START + 5, count: 1 },
            Span { start: DEFAULT_START + 2 * SLOT, count: 1 },
        ];
        let pool = Pool::new(vec![Span { start: DEFAULT_START, count: 3 * SLOT }], taken);
        let only = claim(directory.1.as_fd(), &pool, "x", SLOT, |_| true).unwrap();
        assert_eq!(only.span().start, DEFAULT_START + SLOT);
        assert!(claim(directory.1.as_fd(), &pool, "y", SLOT, |_| true).is_err());
        assert!(claim(directory.1.as_fd(), &pool, "z", 2 * SLOT, |_| true).is_err());
    }

    #[test]
    fn a_pool_stays_inside_the_own_namespace() {
        let nested = Map::contiguous(0, 100_000, 4 * SLOT).unwrap();
        let pool = Pool::new(vec![Span { start: SLOT, count: 100 * SLOT }], Vec::new()).within(&nested);
        assert_eq!(pool.slots(), 3);
        assert_eq!(pool.slot(2), Some((3 * SLOT, 1)));
        assert_eq!(pool.slot(3), None);
    }

    #[test]
    fn files_under_etc_set_the_pool() {
        let directory = Directory::new("etc");
        let write = |name: &str, text: &str| std::fs::write(directory.0.join(name), text).unwrap();
        assert_eq!(Pool::of_host(&directory.0).unwrap().slots(), 2245);
        write("subuid", "ann:100000:65536\nbrig:1000000:655360\n");
        write("subgid", "brig:1065536:655360\n");
        write("passwd", "bob:x:1131073:1::/:\n");
        let pool = Pool::of_host(&directory.0).unwrap();
        assert_eq!(pool.spans, [Span { start: 1_065_536, count: 589_824 }]);
        assert!(pool.is_taken(Span { start: 1_131_072, count: SLOT }));
        assert!(pool.is_taken(Span { start: 100_000, count: 1 }));
    }

    #[test]
    fn owners_are_names() {
        for (owner, good) in [("a1_.-", true), ("", false), ("a/b", false), ("a b", false), ("a\n", false)] {
            assert_eq!(is_owner(owner), good, "{owner:?}");
        }
        assert!(!is_owner(&"a".repeat(129)));
    }
}
