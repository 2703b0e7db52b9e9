//! Being told instead of asking: lack of memory, the last process's end, stalls.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{OFlags, inotify};
use rustix::io::Errno;

use crate::cgroup::{Cgroup, Member};
use crate::layout::Version;
use crate::{Controller, Error, Result};

/// Where v2 counts what happens for want of memory.
const EVENTS: &str = "memory.events";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The limit was reached and the kernel could not reclaim enough.
    Oom,
    /// The kernel killed this many processes since the last look.
    OomKill(u64),
    /// Processes were throttled above `memory.high` this often (v2).
    High(u64),
    /// The limit was hit this often (v2).
    Max(u64),
    /// The cgroup got its first process, or lost its last one (v2).
    Populated(bool),
}

/// A resource whose stalls can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Waiting for a CPU.
    Cpu,
    /// Waiting for memory.
    Memory,
    /// Waiting for I/O.
    Io,
}

/// Counters as they were at the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    oom: u64,
    oom_kill: u64,
    high: u64,
    max: u64,
    populated: bool,
}

/// A source of events: wait until its descriptor can be read, then call [`Events::read`].
#[derive(Debug)]
pub struct Events {
    source: OwnedFd,
    kind: Kind,
    last: Counters,
}

#[derive(Debug)]
enum Kind {
    /// inotify on `memory.events` and `cgroup.events`; either may be missing.
    V2 { memory: Option<OwnedFd>, core: Option<OwnedFd> },
    /// An eventfd registered for `memory.oom_control`.
    V1 { control: OwnedFd },
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl Cgroup {
    /// Starts to watch for lack of memory and, on v2, for the cgroup's emptiness.
    ///
    /// # Errors
    /// [`Error::NoCgroup`] when the memory controller has no directory and there is no v2 directory,
    /// [`Error::Operation`].
    pub fn events(&self) -> Result<Events> {
        let operation = "watch";
        let memory = self.member_of(Controller::Memory);
        let member = memory.or(self.v2_member()).ok_or(Error::NoCgroup { operation })?;
        let events = match member.version {
            Version::V1 => v1(member),
            Version::V2 => v2(member),
        };
        events.map_err(|errno| Error::Operation { operation, path: member.shown(), errno })
    }

    /// The files whose `oom_kill` counts the kernel's kills for want of memory: the cgroup's own, and that of the one around it,
    /// which counts them too. For a scope only: systemd removes it with its last process, and then an open file of it
    /// says `ENODEV`; other cgroups stay until they are removed, and [`Self::stats`] says it.
    #[must_use]
    pub fn kill_counts(&self) -> Option<(OwnedFd, Option<OwnedFd>)> {
        let member = self.v2_member().filter(|_| self.is_scope())?;
        let own = member.directory.file(EVENTS, OFlags::RDONLY).ok()?;
        let around = member.path.rsplit_once('/').and_then(|(parent, _)| {
            let parent = member.root.open(parent.trim_start_matches('/')).ok()?;
            parent.file(EVENTS, OFlags::RDONLY).ok()
        });
        Some((own, around))
    }

    /// Arms a trigger: the descriptor answers a poll for `POLLPRI` each time that tasks stalled for
    /// `stall` microseconds within `window` microseconds (500,000 to 10,000,000; whole multiples of
    /// 2,000,000 without `CAP_SYS_RESOURCE`). Closing it disarms.
    ///
    /// # Errors
    /// [`Error::NoCgroup`] without a v2 directory, [`Error::Operation`].
    pub fn pressure_trigger(&self, resource: Resource, stall: u32, window: u32) -> Result<OwnedFd> {
        let operation = "watch the pressure of";
        let member = self.v2_member().ok_or(Error::NoCgroup { operation })?;
        let file = match resource {
            Resource::Cpu => "cpu.pressure",
            Resource::Memory => "memory.pressure",
            Resource::Io => "io.pressure",
        };
        let failed = |errno| Error::Operation { operation, path: member.shown(), errno };
        let fd = member.directory.file(file, OFlags::RDWR | OFlags::NONBLOCK).map_err(failed)?;
        // The kernel wants the closing NUL.
        let text = format!("some {stall} {window}\0");
        rustix::io::write(&fd, text.as_bytes()).map_err(failed)?;
        Ok(fd)
    }
}

fn v1(member: &Member) -> Result<Events, Errno> {
    use std::os::fd::AsRawFd;
    let source = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control = member.directory.file("memory.oom_control", OFlags::RDONLY)?;
    let registration = format!("{} {}", source.as_raw_fd(), control.as_raw_fd());
    member.directory.write("cgroup.event_control", &registration)?;
    let mut events = Events { source, kind: Kind::V1 { control }, last: Counters::default() };
    events.last = events.look();
    Ok(events)
}

fn v2(member: &Member) -> Result<Events, Errno> {
    let source = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let open = |file| match member.directory.file(file, OFlags::RDONLY) {
        Err(Errno::NOENT) => Ok(None),
        other => other.map(Some),
    };
    let kind = Kind::V2 { memory: open(EVENTS)?, core: open("cgroup.events")? };
    if let Kind::V2 { memory, core } = &kind {
        use std::os::fd::AsRawFd;
        for fd in [memory, core].into_iter().flatten() {
            // inotify takes paths only; this one names the very file that is open.
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            inotify::add_watch(&source, path, inotify::WatchFlags::MODIFY)?;
        }
    }
    let mut events = Events { source, kind, last: Counters::default() };
    events.last = events.look();
    Ok(events)
}

impl Events {
    /// Returns what happened since the last call; never blocks.
    ///
    /// # Errors
    /// [`Error::Read`] when the source itself is broken. A removed cgroup just has no events.
    pub fn read(&mut self) -> Result<Vec<Event>> {
        let rang = self.drain().map_err(|errno| Error::Read { path: "cgroup events".to_owned(), errno })?;
        let now = self.look();
        let before = std::mem::replace(&mut self.last, now);
        let mut events = Vec::new();
        // v1 has no counter for it, but rings for nothing else, the removal aside.
        let v1 = matches!(self.kind, Kind::V1 { .. });
        if now.oom > before.oom || (v1 && rang && now.oom_kill > before.oom_kill) {
            events.push(Event::Oom);
        }
        let mut more = |now: u64, before: u64, event: fn(u64) -> Event| {
            if now > before {
                events.push(event(now - before));
            }
        };
        more(now.oom_kill, before.oom_kill, Event::OomKill);
        more(now.high, before.high, Event::High);
        more(now.max, before.max, Event::Max);
        if now.populated != before.populated {
            events.push(Event::Populated(now.populated));
        }
        Ok(events)
    }

    /// Empties the source, so that it only wakes for news. Tells whether there was anything.
    fn drain(&mut self) -> Result<bool, Errno> {
        match &self.kind {
            Kind::V1 { .. } => {
                let mut count = [0_u8; 8];
                match rustix::io::read(&self.source, &mut count) {
                    Ok(_) => Ok(true),
                    Err(Errno::AGAIN) => Ok(false),
                    Err(errno) => Err(errno),
                }
            }
            Kind::V2 { .. } => {
                let mut buffer = [MaybeUninit::uninit(); 1024];
                let mut reader = inotify::Reader::new(&self.source, &mut buffer);
                let mut any = false;
                loop {
                    match reader.next() {
                        Ok(_) => any = true,
                        Err(Errno::AGAIN) => return Ok(any),
                        Err(errno) => return Err(errno),
                    }
                }
            }
        }
    }

    fn look(&self) -> Counters {
        let mut now = self.last;
        // A removed cgroup's files answer ENODEV: nothing new then, but its processes are gone.
        match &self.kind {
            Kind::V1 { control } => {
                for (name, value) in pairs(&again(control).unwrap_or_default()) {
                    match name {
                        "oom_kill" => now.oom_kill = value,
                        // A state, not a count: counted upwards each time it is seen to begin.
                        "under_oom" if value == 1 => now.oom = self.last.oom + 1,
                        _ => {}
                    }
                }
            }
            Kind::V2 { memory, core } => {
                let memory = memory.as_ref().and_then(|fd| again(fd).ok());
                for (name, value) in pairs(&memory.unwrap_or_default()) {
                    match name {
                        "oom" => now.oom = value,
                        "oom_kill" => now.oom_kill = value,
                        "high" => now.high = value,
                        "max" => now.max = value,
                        _ => {}
                    }
                }
                if let Some(fd) = core {
                    let text = again(fd).unwrap_or_default();
                    now.populated = pairs(&text).any(|(name, value)| name == "populated" && value == 1);
                }
            }
        }
        now
    }
}

/// Reads an open file from its beginning.
fn again(fd: &OwnedFd) -> Result<String, Errno> {
    let mut content = [0_u8; 1024];
    let read = rustix::io::pread(fd, &mut content, 0)?;
    Ok(String::from_utf8_lossy(&content[..read]).into_owned())
}

pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name, value.trim().parse().ok()?))
    })
}
