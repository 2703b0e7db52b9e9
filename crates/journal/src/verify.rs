//! Whether every record is there as it was written.

use std::fmt;

use files::lock;

use crate::append::torn_hash;
use crate::head::{CHAINS, Head, Heads, NOTHING};
use crate::line::{Line, Lines, open, segments};
use crate::record::Seal;
use crate::{Journal, Record, Result};

/// Most faults that are told.
const MOST_FAULTS: usize = 1000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whole records.
    pub records: u64,
    /// Records that were dropped on purpose, being the oldest.
    pub dropped: u64,
    /// Torn lines of killed writers, sealed by the next one.
    pub sealed: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A line is not what the next one's hash says: it, or the next, was changed.
    Altered(usize, u64),
    /// Records from, to are not there.
    Missing(usize, u64, u64),
    /// A record stands where an earlier one has been.
    Order(usize, u64),
    /// Bytes that are no record and were never sealed, after this record.
    Unreadable(usize, u64),
    /// Records after this one are gone: so many.
    Cut(usize, u64, u64),
    /// The file that says where the chains end is gone or damaged.
    NoHead(usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Altered(chain, record) => write!(formatter, "chain {chain}: record {record} was altered"),
            Self::Missing(chain, from, to) if from == to => {
                write!(formatter, "chain {chain}: record {from} is missing")
            }
            Self::Missing(chain, from, to) => {
                write!(formatter, "chain {chain}: records {from} to {to} are missing")
            }
            Self::Order(chain, record) => {
                write!(formatter, "chain {chain}: record {record} is not in its place")
            }
            Self::Unreadable(chain, after) => {
                write!(formatter, "chain {chain}: what follows record {after} is no record")
            }
            Self::Cut(chain, last, lost) => write!(
                formatter,
                "chain {chain}: {lost} records after {last} are gone: removed, or lost when the power failed"
            ),
            Self::NoHead(chain) => write!(formatter, "chain {chain}: where it ends is not known any more"),
        }
    }
}

/// Reads all chains and compares them with their hashes, their heads and each other. Memory is bounded.
///
/// A command may append meanwhile: the heads are read first, and a longer chain is none that was cut.
///
/// # Errors
/// [`crate::Error::System`] where a file cannot be read.
pub fn verify(journal: &Journal) -> Result<Report> {
    let directory = journal.directory();
    let heads = match Heads::open(directory, false)? {
        Some(heads) => heads.read()?,
        None => Default::default(),
    };
    let mut report = Report::default();
    let mut ends = [0; CHAINS];
    let mut mentioned = [0; CHAINS];
    for (chain, numbers) in segments(directory)?.iter().enumerate() {
        if numbers.is_empty() && heads[chain].is_none() {
            continue;
        }
        // So that no half of a line is seen; a writer takes another chain meanwhile, and a stopped one is not waited for.
        let _held = lock::try_shared(lock::open(directory, format!("{chain}.lock"))?)?;
        let mut walk = Walk::new(chain, &mut report, &mut mentioned);
        for segment in numbers {
            if let Some(file) = open(directory, chain, *segment)? {
                walk.segment(&file)?;
            }
        }
        ends[chain] = walk.finish(heads[chain].as_ref());
    }
    for (chain, (end, mentioned)) in ends.iter().zip(mentioned).enumerate() {
        let told = report.faults.iter().any(|fault| matches!(fault, Fault::Cut(of, ..) if *of == chain));
        if mentioned > *end && !told {
            report.faults.push(Fault::Cut(chain, *end, mentioned - end));
        }
    }
    Ok(report)
}

struct Walk<'a> {
    chain: usize,
    report: &'a mut Report,
    mentioned: &'a mut [u64; CHAINS],
    sequence: u64,
    hash: String,
    /// The first record's number and what it says is before it, until a drop explains them.
    beginning: Option<(u64, String)>,
    explained: Option<(u64, String)>,
    is_first: bool,
}

impl<'a> Walk<'a> {
    fn new(chain: usize, report: &'a mut Report, mentioned: &'a mut [u64; CHAINS]) -> Self {
        Self {
            chain,
            report,
            mentioned,
            sequence: 0,
            hash: NOTHING.to_owned(),
            beginning: None,
            explained: None,
            is_first: true,
        }
    }

    fn fault(&mut self, fault: Fault) {
        if self.report.faults.len() < MOST_FAULTS {
            self.report.faults.push(fault);
        }
    }

    fn segment(&mut self, file: &std::os::fd::OwnedFd) -> Result<()> {
        let copy = file.try_clone().map_err(|error| {
            let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::MFILE);
            crate::Error::system("copy", "(segment)", errno)
        })?;
        let mut lines = Lines::new(copy, 0)?;
        let mut torn: Option<(u64, u64)> = None;
        while let Some(line) = lines.next()? {
            let Some(record) = line.record() else {
                // Half a line at the end is a writer's that writes now, or a killed one's that the next will seal.
                let (start, _) = torn.unwrap_or((line.offset, 0));
                torn = Some((start, line.offset + line.length));
                continue;
            };
            if let Some((start, end)) = torn.take() {
                let is_sealed = match &record.seal {
                    Some(seal) => Self::seals(seal, file, start, end)?,
                    None => false,
                };
                if is_sealed {
                    self.report.sealed += 1;
                } else {
                    self.fault(Fault::Unreadable(self.chain, self.sequence));
                }
            }
            self.record(&line, &record);
        }
        if torn.is_some() {
            self.fault(Fault::Unreadable(self.chain, self.sequence));
        }
        Ok(())
    }

    fn seals(seal: &Seal, file: &std::os::fd::OwnedFd, start: u64, end: u64) -> Result<bool> {
        Ok(seal.offset == start && seal.torn == end - start && seal.sha256 == torn_hash(file, start, end)?)
    }

    fn record(&mut self, line: &Line, record: &Record) {
        self.report.records += 1;
        for (chain, sequence) in &record.beside {
            if let Some(most) = self.mentioned.get_mut(*chain) {
                *most = (*most).max(*sequence);
            }
        }
        let expected = self.sequence + 1;
        if self.is_first {
            self.is_first = false;
            if record.sequence != 1 || record.previous != NOTHING {
                self.beginning = Some((record.sequence, record.previous.clone()));
            }
        } else if record.sequence > expected {
            self.fault(Fault::Missing(self.chain, expected, record.sequence - 1));
        } else if record.sequence < expected {
            self.fault(Fault::Order(self.chain, record.sequence));
        } else if record.previous != self.hash {
            self.fault(Fault::Altered(self.chain, self.sequence));
        }
        if let Some(lost) = record.seal.as_ref().map(|seal| seal.lost).filter(|lost| *lost > 0) {
            self.fault(Fault::Cut(self.chain, record.sequence - 1, lost));
        }
        if let Some(dropped) = &record.dropped {
            self.report.dropped = self.report.dropped.max(dropped.sequence);
            self.explained = Some((dropped.sequence, dropped.sha256.clone()));
        }
        self.sequence = record.sequence;
        self.hash = line.hash();
    }

    fn finish(mut self, head: Option<&Head>) -> u64 {
        if let Some((first, previous)) = self.beginning.take() {
            let is_explained = self
                .explained
                .take()
                .is_some_and(|(sequence, sha256)| sequence + 1 == first && sha256 == previous);
            if !is_explained {
                self.fault(match first {
                    0 | 1 => Fault::Altered(self.chain, first),
                    _ => Fault::Missing(self.chain, 1, first - 1),
                });
            }
        }
        let has_records = self.sequence > 0;
        match head {
            None if has_records => self.fault(Fault::NoHead(self.chain)),
            None => {}
            Some(head) if head.sequence > self.sequence => {
                self.fault(Fault::Cut(self.chain, self.sequence, head.sequence - self.sequence));
            }
            Some(head) if head.sequence == self.sequence && head.hash != self.hash => {
                self.fault(Fault::Altered(self.chain, self.sequence));
            }
            Some(_) => {}
        }
        self.sequence
    }
}
