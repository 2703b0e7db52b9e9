//! Layers that other processes of ours receive, each over connections of its own, while this one unpacks.
//!
//! Processes and not threads: the unpacking helper is forked, and whoever forks has no threads (`sys::fork`).

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;

use oci::image::Descriptor;
use registry::Repository;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal};
use store::Store;
use sys::fork::{Child, fork_closure};

use crate::error::{Error, Result};

/// How many receive at a time; docker's number.
const MOST: usize = 3;
/// How often a blob is tried, each time from where it was cut off.
const ATTEMPTS: u32 = 6;
/// The first pause between two; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(500);
/// Most bytes of what a process says of its failure.
const MAX_WORDS: usize = 4096;

/// Blobs on their way.
#[derive(Debug)]
pub(crate) struct Downloads {
    workers: Vec<Worker>,
    blobs: Vec<Descriptor>,
}

/// A process that receives every n-th blob.
#[derive(Debug)]
struct Worker {
    /// Ends it when this is dropped.
    _child: Child,
    says: OwnedFd,
}

impl Downloads {
    /// Starts to receive blobs, the first ones first.
    pub(crate) fn begin(store: &Store, repository: &Repository, blobs: &[Descriptor]) -> Result<Self> {
        let count = MOST.min(blobs.len());
        let mut workers: Vec<Worker> = Vec::with_capacity(count);
        let parent = rustix::process::getpid();
        for number in 0..count {
            let failed = |errno: rustix::io::Errno| Error::Process { reason: errno.to_string() };
            let (says, write) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
            let child = fork_closure(0, || {
                if !ends_with(parent) {
                    return 126;
                }
                let mine = blobs.iter().skip(number).step_by(count);
                work(store, repository, mine, &write)
            })
            .map_err(failed)?;
            workers.push(Worker { _child: child, says });
        }
        Ok(Self { workers, blobs: blobs.to_vec() })
    }

    /// Waits until a blob is here. They are asked for in the order that they were begun in.
    pub(crate) fn wait(&mut self, blob: &Descriptor) -> Result<()> {
        let lost = |reason: &str| Error::Process { reason: reason.to_owned() };
        let at = self.blobs.iter().position(|known| known.digest == blob.digest);
        let at = at.ok_or_else(|| lost("that blob was not asked for"))?;
        let worker = &self.workers[at % self.workers.len()];
        let mut head = [0; 3];
        read_exact(&worker.says, &mut head).map_err(|_| lost("a process ended early"))?;
        let length = usize::from(u16::from_le_bytes([head[1], head[2]]));
        let mut words = vec![0; length.min(MAX_WORDS)];
        read_exact(&worker.says, &mut words).map_err(|_| lost("a process ended early"))?;
        if head[0] == 0 { Ok(()) } else { Err(lost(&String::from_utf8_lossy(&words))) }
    }
}

/// Receives blobs one after the other, and says of each how that went.
fn work<'b>(
    store: &Store,
    repository: &Repository,
    blobs: impl Iterator<Item = &'b Descriptor>,
    says: &OwnedFd,
) -> u8 {
    let fresh = repository.fresh();
    for blob in blobs {
        let result = match &fresh {
            Ok(repository) => receive(store, repository, blob),
            Err(error) => Err(files::chain(error)),
        };
        let words = result.as_ref().err().map(String::as_str).unwrap_or_default();
        let words = &words.as_bytes()[..words.len().min(MAX_WORDS)];
        let length = u16::try_from(words.len()).unwrap_or(0).to_le_bytes();
        let message = [&[u8::from(result.is_err())], &length[..], words].concat();
        // Nobody is left to hear it.
        if files::write_all(says, &message).is_err() || result.is_err() {
            return 1;
        }
    }
    0
}

fn receive(store: &Store, repository: &Repository, blob: &Descriptor) -> std::result::Result<(), String> {
    let mut pause = PAUSE;
    for attempt in 1.. {
        let part = store.part(blob).map_err(|error| files::chain(&error))?;
        // Another process brought it.
        let Some(mut part) = part else { return Ok(()) };
        let before = part.size();
        let mut refused = None;
        let result = part.receive(&mut |from| match repository.blob(blob, from) {
            Ok((reader, begins)) => Ok((Box::new(reader) as Box<dyn Read>, begins)),
            Err(error) => {
                let words = files::chain(&error);
                refused = (!error.is_transient()).then_some(error);
                Err(io::Error::other(words))
            }
        });
        match result {
            Ok(()) => return Ok(()),
            Err(_) if refused.is_some() => {
                return Err(refused.map(|error| files::chain(&error)).unwrap_or_default());
            }
            // Something else than what was asked for does not get better; what broke off goes on where it was.
            Err(error @ store::Error::Given { .. }) if attempt < ATTEMPTS || part.size() > before => {
                drop(error);
                drop(part);
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_secs(16));
            }
            Err(error) => return Err(files::chain(&error)),
        }
    }
    unreachable!("the last attempt returns")
}

/// Has this process end when `parent` does.
fn ends_with(parent: Pid) -> bool {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
        && rustix::process::getppid() == Some(parent)
}

fn read_exact(from: &OwnedFd, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match rustix::io::read(from, &mut *buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => buffer = &mut buffer[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
