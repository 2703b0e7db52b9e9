//! Appending: lock, look at the head, write one line, write the head.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use files::lock::{self, Lock};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::head::{CHAINS, Head, Heads};
use crate::line::{Lines, MAX_LINE, segment_name, segments};
use crate::record::{Dropped, Kind, Seal};
use crate::{Error, Record, Result};

/// Size in bytes from which on the next record starts another segment.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;
/// Segments of one chain that are kept: half a gibibyte, some million commands.
pub const KEPT_SEGMENTS: u64 = 32;
/// How often a busy chain is tried before the next one is, and how long between. An append takes some 50 microseconds.
const TRIES: u32 = 100;
const BETWEEN: Duration = Duration::from_micros(200);
/// Most bytes that a killed writer may have left: what is more was put there by somebody else, and is sealed by its length only.
const MOST_TORN: u64 = 1024 * 1024;

/// The journal of one store.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    directory: OwnedFd,
    segment_bytes: u64,
    kept: u64,
}

impl Journal {
    /// Opens the journal of the store at `root`, and makes its directory (mode 0700) where there is none.
    ///
    /// # Errors
    /// Where the store is missing, or the directory cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        let store = files::open_directory(root)?;
        match rustix::fs::mkdirat(&store, "journal", Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::system("make", "journal", errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&store, "journal", flags, Mode::empty())
            .map_err(|errno| Error::system("open", "journal", errno))?;
        Ok(Self { path: root.join("journal"), directory, segment_bytes: SEGMENT_BYTES, kept: KEPT_SEGMENTS })
    }

    /// The same with other bounds, for tests.
    #[must_use]
    pub fn with_bounds(self, segment_bytes: u64, kept: u64) -> Self {
        Self { segment_bytes, kept: kept.max(1), ..self }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Appends a record, whose number and hash are filled in here, and returns the line that was written.
    ///
    /// A gap that is found before is sealed by a record of its own.
    ///
    /// # Errors
    /// [`Error::Busy`] where every chain is held, [`Error::System`] on a full disk: nothing was appended then.
    pub fn append(&self, record: Record) -> Result<String> {
        let (chain, _held) = self.lock()?;
        let heads = Heads::open(&self.directory, true)?.ok_or(Error::Busy)?;
        let all = heads.read()?;
        let mut writer = Writer { journal: self, heads, chain, others: beside(&all, chain) };
        let (mut head, seal) = writer.recover(all[chain].as_ref())?;
        if let Some(seal) = seal {
            let record = Record {
                time_nano: record.time_nano,
                kind: Kind::Chain,
                command: "seal".to_owned(),
                seal: Some(seal),
                ..Record::default()
            };
            writer.write(&mut head, record)?;
        }
        if head.size >= self.segment_bytes {
            head.segment += 1;
            head.size = 0;
            if let Some(dropped) = writer.drop_old(&head)? {
                let record = Record {
                    time_nano: record.time_nano,
                    kind: Kind::Chain,
                    command: "drop".to_owned(),
                    dropped: Some(dropped),
                    ..Record::default()
                };
                writer.write(&mut head, record)?;
            }
        }
        writer.write(&mut head, record)
    }

    /// The first chain that is free. A lock that is held for long belongs to a process that was stopped.
    fn lock(&self) -> Result<(usize, Lock)> {
        for chain in 0..CHAINS {
            for attempt in 0..TRIES {
                if attempt > 0 {
                    std::thread::sleep(BETWEEN);
                }
                if let Some(held) =
                    lock::try_exclusive(lock::open(&self.directory, format!("{chain}.lock"))?)?
                {
                    return Ok((chain, held));
                }
            }
        }
        Err(Error::Busy)
    }
}

fn beside(heads: &[Option<Head>; CHAINS], chain: usize) -> std::collections::BTreeMap<usize, u64> {
    let others = heads.iter().enumerate().filter(|(other, _)| *other != chain);
    others.filter_map(|(other, head)| Some((other, head.as_ref()?.sequence))).collect()
}

/// One append, while its chain is locked.
struct Writer<'a> {
    journal: &'a Journal,
    heads: Heads,
    chain: usize,
    others: std::collections::BTreeMap<usize, u64>,
}

impl Writer<'_> {
    fn segment(&self, segment: u64) -> Result<OwnedFd> {
        let name = segment_name(self.chain, segment);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.journal.directory, &name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| Error::system("open", name, errno))
    }

    fn size(&self, file: &OwnedFd) -> Result<u64> {
        let stat = rustix::fs::fstat(file).map_err(|errno| Error::system("stat", "(segment)", errno))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    fn write(&mut self, head: &mut Head, mut record: Record) -> Result<String> {
        record.sequence = head.sequence + 1;
        record.previous.clone_from(&head.hash);
        record.beside.clone_from(&self.others);
        let mut line = to_line(&record);
        if line.len() > MAX_LINE {
            record.arguments.clear();
            record.error = record.error.chars().take(MAX_LINE / 16).collect();
            record.objects.truncate(16);
            line = to_line(&record);
        }
        if line.len() > MAX_LINE {
            return Err(Error::TooLong { bytes: line.len(), limit: MAX_LINE });
        }
        let file = self.segment(head.segment)?;
        if let Err(error) = files::write_all(&file, format!("{line}\n").as_bytes()) {
            // A full disk: half a line goes away again. Where that fails, too, the next writer seals it.
            let _cut = rustix::fs::ftruncate(&file, head.size);
            return Err(error.into());
        }
        head.sequence += 1;
        head.hash = oci::Digest::of(line.as_bytes()).hex();
        head.size += u64::try_from(line.len() + 1).expect("64 KiB");
        self.heads.write(self.chain, head)?;
        Ok(line)
    }

    /// The true end of the chain, and what is missing or torn there: usually nothing, by one look at the size.
    fn recover(&self, head: Option<&Head>) -> Result<(Head, Option<Seal>)> {
        let Some(head) = head else {
            let existing = &segments(&self.journal.directory)?[self.chain];
            let Some(last) = existing.last() else { return Ok((Head::start(), None)) };
            let (first, start) = (existing[0], Head { segment: *last, ..Head::start() });
            let found = if first == *last { self.follow(start, 0, false)? } else { self.rescan(*last)? };
            return Ok((found.0, Some(found.1.unwrap_or_default())));
        };
        let file = self.segment(head.segment)?;
        let size = self.size(&file)?;
        if size == head.size {
            return Ok((head.clone(), None));
        }
        if size > head.size {
            return self.follow(head.clone(), head.size, false);
        }
        // Shorter than its head says: what is left is followed from its beginning.
        let (found, seal) = self.rescan(head.segment)?;
        let mut seal = seal.unwrap_or_default();
        seal.lost = head.sequence.saturating_sub(found.sequence);
        Ok((found, Some(seal)))
    }

    /// Reads a segment from its start, believing its first record.
    fn rescan(&self, segment: u64) -> Result<(Head, Option<Seal>)> {
        self.follow(Head { segment, ..Head::start() }, 0, true)
    }

    /// Follows whole, chained records from `offset` on; the first that is none starts what is torn.
    fn follow(&self, mut head: Head, offset: u64, trust_first: bool) -> Result<(Head, Option<Seal>)> {
        let file = self.segment(head.segment)?;
        let size = self.size(&file)?;
        head.size = offset;
        let copy = file.try_clone().map_err(|error| {
            Error::system("copy", "(segment)", Errno::from_io_error(&error).unwrap_or(Errno::MFILE))
        })?;
        let mut lines = Lines::new(copy, offset)?;
        let mut is_first = trust_first;
        while let Some(line) = lines.next()? {
            let Some(record) = line.record() else { break };
            if !is_first && (record.sequence != head.sequence + 1 || record.previous != head.hash) {
                break;
            }
            is_first = false;
            head.sequence = record.sequence;
            head.hash = line.hash();
            head.size = line.offset + line.length;
        }
        if head.size == size {
            return Ok((head, None));
        }
        let torn_at = head.size;
        let mut last = [0];
        let ends = rustix::io::pread(&file, &mut last, size - 1)
            .map_err(|errno| Error::system("read", "(segment)", errno))?;
        let mut end = size;
        if ends == 1 && last[0] != b'\n' {
            files::write_all(&file, b"\n")?;
            end += 1;
        }
        head.size = end;
        let sha256 = torn_hash(&file, torn_at, end)?;
        Ok((head, Some(Seal { offset: torn_at, torn: end - torn_at, sha256, lost: 0 })))
    }

    /// Removes the segments that are too many; says up to which record they went.
    fn drop_old(&self, head: &Head) -> Result<Option<Dropped>> {
        let existing = &segments(&self.journal.directory)?[self.chain];
        let last_old = head.segment.saturating_sub(self.journal.kept);
        let mut dropped = None;
        for segment in existing.iter().filter(|segment| **segment <= last_old) {
            if let Some(file) = crate::line::open(&self.journal.directory, self.chain, *segment)? {
                let mut lines = Lines::new(file, 0)?;
                while let Some(line) = lines.next()? {
                    if let Some(record) = line.record() {
                        dropped = Some(Dropped { sequence: record.sequence, sha256: line.hash() });
                    }
                }
            }
            let name = segment_name(self.chain, *segment);
            rustix::fs::unlinkat(&self.journal.directory, &name, AtFlags::empty())
                .map_err(|errno| Error::system("remove", name, errno))?;
        }
        Ok(dropped)
    }
}

/// SHA-256 of a torn part; of what nobody of ours can have left only the first megabyte.
pub(crate) fn torn_hash(file: impl AsFd, from: u64, to: u64) -> Result<String> {
    let length = usize::try_from((to - from).min(MOST_TORN)).expect("a megabyte");
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let offset = from + u64::try_from(filled).expect("a megabyte");
        match rustix::io::pread(&file, &mut bytes[filled..], offset) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system("read", "(segment)", errno)),
        }
    }
    Ok(oci::Digest::of(&bytes[..filled]).hex())
}

fn to_line(record: &Record) -> String {
    serde_json::to_string(record).expect("a record is texts and numbers")
}
