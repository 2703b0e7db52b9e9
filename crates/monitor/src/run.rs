//! The loop.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::termios::Winsize;
use rustix::time::{ClockId, clock_gettime};

use crate::client::{self, Client};
use crate::control;
use crate::health::{Checks, Schedule};
use crate::log::{Log, Stream};
use crate::memory::Kills;
use crate::pair::{Holder, Side, Worker, split};
use crate::{Life, Settings, Status, notify, now};

/// Directory of log files in a container's directory.
const LOG: &str = "log";
/// `^D`: what ends the input of a program that reads from a terminal.
const END_OF_FILE: u8 = 4;
/// Bytes for the standard input that wait here; a client that sends more waits.
const MAX_INPUT: usize = 64 << 10;
/// How long the loop leaves a log's full receiver alone, and a terminal that nobody has open, in milliseconds.
const PAUSE: i64 = 100;
/// How long nothing happens, in milliseconds, before memory is given back.
const SETTLED: i64 = 300;
/// How long clients that are behind get at the end to take the last output, in milliseconds.
const LAST_WORDS: i64 = 5_000;
/// Most bytes that wait in a terminal of the container's, or more.
const MOST_WAITING: usize = 1 << 20;
/// How often and with how many nanoseconds between it is asked how another one's child ended.
const ASK_ATTEMPTS: usize = 100;
/// See [`ASK_ATTEMPTS`].
const ASK_PAUSE: i64 = 10_000_000;
/// The exit code where nobody can say it.
const UNKNOWN: u8 = 255;

/// Why the loop is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The container ended with this exit code, or 128 and the signal that ended it.
    Exited(u8),
    /// The pause before its next start is over.
    Start,
    /// A person ended it in the pause before its next start.
    Stopped,
}

/// What is left of the loop.
#[derive(Debug)]
pub struct Ended {
    /// The settings, whose descriptors the next program gets.
    pub settings: Settings,
    /// Why.
    pub outcome: Outcome,
}

/// How the loop ends in this process.
pub(crate) enum Watched {
    /// There is nothing more to watch.
    Over {
        /// What is left.
        ended: Ended,
        /// Whether nobody waits for this process to end, so that it goes on by itself.
        alone: bool,
    },
    /// The holder was killed: this process holds from now on, for the worker that it made of itself.
    Holds(Settings, Worker),
}

struct Loop {
    settings: Settings,
    /// Who waits for this process to be killed.
    holder: Option<Holder>,
    log: Option<Log>,
    clients: Vec<Client>,
    /// Bytes for the standard input that the container did not take yet.
    input: Vec<u8>,
    /// The standard input ends once they are written.
    ending: bool,
    /// Nobody has the terminal open: it is looked at again after a pause.
    hung_up: bool,
    /// The checks of its health.
    checks: Option<Checks>,
    /// Kills for want of memory.
    kills: Kills,
    /// The service manager was told that it is up.
    is_told: bool,
    /// Nothing has happened for a while, and what an idle process does not need was given back.
    idle: bool,
    /// When the container is killed, on the monotonic clock in milliseconds.
    deadline: Option<i64>,
}

/// Watches the container until it ends, writes its `life.json`.
///
/// # Errors
/// What the system says; the container runs on then.
pub(crate) fn watch(settings: Settings, holder: Option<Holder>) -> Result<Watched, Errno> {
    let log = settings.process.as_ref().and_then(|_| open_log(&settings));
    let limit = match settings.process {
        Some(_) => settings.timeout.map(|seconds| i64::from(seconds) * 1000),
        None => Some(i64::from(settings.pause)),
    };
    let deadline = limit.map(|limit| milliseconds().saturating_add(limit));
    let checks = settings.process.as_ref().and_then(|_| checks_of(&settings));
    let kills = Kills::new(&settings);
    let mut state = Loop {
        kills,
        is_told: false,
        settings,
        holder,
        log,
        checks,
        clients: Vec::new(),
        input: Vec::new(),
        ending: false,
        hung_up: false,
        idle: false,
        deadline,
    };
    if let Some(client) = state.settings.client.take() {
        state.clients.push(Client::new(client));
    }
    if let Some(log) = &mut state.log {
        log.retry();
    }
    loop {
        if let Some(outcome) = state.turn()? {
            let alone = state.holder.as_ref().is_none_or(Holder::is_gone);
            return Ok(Watched::Over { ended: Ended { settings: state.settings, outcome }, alone });
        }
        if state.holder.as_ref().is_some_and(Holder::is_gone) {
            // Where that is not possible it goes on alone.
            match split() {
                Ok(Side::Works(holder)) => state.holder = Some(holder),
                Ok(Side::Holds(worker)) => return Ok(Watched::Holds(state.settings, worker)),
                Err(_) => state.holder = None,
            }
        }
    }
}

/// Without a log the container lives on: what it writes goes to clients only.
fn open_log(settings: &Settings) -> Option<Log> {
    let run = rustix::io::fcntl_dupfd_cloexec(&settings.streams, 3).ok()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(&settings.directory, LOG, flags, Mode::empty()).ok()?;
    Log::open(settings.log.clone(), run, directory).ok()
}

/// The checks that are to be done from now on.
fn checks_of(settings: &Settings) -> Option<Checks> {
    let schedule = Schedule::now(settings.directory.as_fd(), settings.health)?;
    Some(Checks::new(schedule, milliseconds()))
}

fn milliseconds() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

impl Loop {
    /// Waits for something to happen and acts upon it; the outcome when it is over.
    fn turn(&mut self) -> Result<Option<Outcome>, Errno> {
        let stalled = self.log.as_ref().is_some_and(Log::is_stalled);
        let paused = stalled || self.hung_up;
        let due = [self.deadline, self.checks.as_ref().and_then(Checks::due)];
        let [deadline, check] = due.map(|at| at.map(|at| (at - milliseconds()).max(0)));
        let settled = (!self.idle).then_some(SETTLED);
        let wait = [paused.then_some(PAUSE), deadline, check, settled];
        let wait = wait.into_iter().flatten().min();
        let (count, [ended, writable, connecting, memory, notified]) = {
            let settings = &self.settings;
            let mut waited = Vec::with_capacity(8 + self.clients.len());
            waited.push(match &settings.process {
                Some(process) => PollFd::new(process, PollFlags::IN),
                None => PollFd::new(&settings.lock, PollFlags::empty()),
            });
            waited.push(PollFd::new(&settings.listener, PollFlags::IN));
            let input = self.input_end().filter(|_| !self.input.is_empty());
            // In a slot of its own in every turn: without input one that is never ready.
            waited.push(match input {
                Some(to) => PollFd::from_borrowed_fd(to, PollFlags::OUT),
                None => PollFd::new(&settings.lock, PollFlags::empty()),
            });
            waited.push(match self.kills.file(settings) {
                Some(file) => PollFd::new(file, PollFlags::PRI),
                None => PollFd::new(&settings.lock, PollFlags::empty()),
            });
            waited.push(match &settings.notify {
                Some(socket) => PollFd::new(socket, PollFlags::IN),
                None => PollFd::new(&settings.lock, PollFlags::empty()),
            });
            if let Some(holder) = &self.holder {
                // A hang-up is reported unasked; what it says is read at the end.
                waited.push(PollFd::new(holder.pipe(), PollFlags::empty()));
            }
            if self.may_read() {
                for from in [&settings.stdout, &settings.stderr].into_iter().flatten() {
                    waited.push(PollFd::new(from, PollFlags::IN));
                }
                if let Some(master) = settings.master.as_ref().filter(|_| !self.hung_up) {
                    waited.push(PollFd::new(master, PollFlags::IN));
                }
            }
            if let Some(process) = self.checks.as_ref().and_then(Checks::process) {
                waited.push(PollFd::from_borrowed_fd(process, PollFlags::IN));
            }
            for client in &self.clients {
                let mut events = PollFlags::empty();
                events.set(PollFlags::IN, self.input.len() < MAX_INPUT);
                events.set(PollFlags::OUT, client.is_behind());
                waited.push(PollFd::from_borrowed_fd(client.socket(), events));
            }
            let limit = wait.map(|wait| Timespec { tv_sec: wait / 1000, tv_nsec: wait % 1000 * 1_000_000 });
            let count = match poll(&mut waited, limit.as_ref()) {
                Err(Errno::INTR) => return Ok(None),
                result => result?,
            };
            (count, [0, 2, 1, 3, 4].map(|at| !waited[at].revents().is_empty()))
        };
        if memory || ended {
            // Before all else: systemd is about to remove the cgroup.
            self.kills.look(&self.settings);
        }
        self.idle = count == 0 && !paused;
        if paused && let Some(log) = &mut self.log {
            log.retry();
        }
        self.hung_up = false;
        if self.idle {
            // It goes on without, too.
            sys::memory::release().ok();
        }
        if notified {
            notify::forward(&self.settings, &mut self.is_told);
        }
        if connecting {
            self.accept();
        }
        self.serve();
        if writable || self.ending || !self.input.is_empty() {
            self.write_input();
        }
        if self.may_read() {
            self.read_output()?;
        }
        if let Some(checks) = &mut self.checks {
            let settings = &self.settings;
            checks.turn(milliseconds(), &settings.root, &settings.runroot, &settings.id);
        }
        let is_late = self.deadline.is_some_and(|at| at <= milliseconds());
        let Some(process) = &self.settings.process else {
            let stopped = self.settings.life.stopped_by_user;
            return Ok(if stopped { Some(Outcome::Stopped) } else { is_late.then_some(Outcome::Start) });
        };
        if is_late {
            self.deadline = None;
            // It may have ended by itself.
            pidfd_send_signal(process, Signal::KILL).ok();
        }
        if !ended {
            return Ok(None);
        }
        let process = rustix::io::fcntl_dupfd_cloexec(process, 3)?;
        self.drain();
        let code = reap(process.as_fd(), self.settings.life.pid, self.holder.as_ref())?;
        self.finish(code);
        Ok(Some(Outcome::Exited(code)))
    }

    fn input_end(&self) -> Option<BorrowedFd<'_>> {
        self.settings.stdin.as_ref().or(self.settings.master.as_ref()).map(AsFd::as_fd)
    }

    /// Whether output is read: not while a client has no room for it, as in any pipeline, nor while the log has none.
    fn may_read(&self) -> bool {
        let log_is_full = self.log.as_ref().is_some_and(|log| log.is_stalled() && !log.drops());
        !log_is_full && !self.clients.iter().any(Client::is_behind)
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(socket) = accept_with(&self.settings.listener, flags) {
            if self.clients.len() < client::MOST {
                self.clients.push(Client::new(socket));
            }
        }
    }

    /// What clients say, and what they had no room for.
    fn serve(&mut self) {
        let mut clients = std::mem::take(&mut self.clients);
        clients.retain_mut(|client| (!client.is_behind() || client.catch_up()) && self.hear(client));
        self.clients = clients;
    }

    /// Takes a client's packets; false when it is gone.
    fn hear(&mut self, client: &mut Client) -> bool {
        let mut buffer = [0; control::BLOCK + 1];
        while self.input.len() < MAX_INPUT {
            let (kind, length) = match control::get(client.socket(), &mut buffer) {
                Ok(Some(packet)) => packet,
                Err(Errno::AGAIN | Errno::INTR) => return true,
                Ok(None) | Err(_) => return false,
            };
            let data = &buffer[..length];
            match (kind, data) {
                (control::ATTACH, [wants]) => {
                    client.attach(*wants);
                    if !client.send(control::DONE, &[]) {
                        return false;
                    }
                }
                (control::INPUT, _) if self.input_end().is_some() => self.input.extend_from_slice(data),
                (control::END_OF_INPUT, _) => self.ending = true,
                (control::RESIZE, [rows, high_rows, columns, high_columns]) => {
                    let size = Winsize {
                        ws_row: u16::from_le_bytes([*rows, *high_rows]),
                        ws_col: u16::from_le_bytes([*columns, *high_columns]),
                        ws_xpixel: 0,
                        ws_ypixel: 0,
                    };
                    if let Some(master) = &self.settings.master {
                        // A terminal that closed meanwhile has no size.
                        rustix::termios::tcsetwinsize(master, size).ok();
                    }
                }
                (control::HEALTH, _) => {
                    let schedule = Schedule::now(self.settings.directory.as_fd(), self.settings.health);
                    match &mut self.checks {
                        Some(checks) => checks.change(schedule, milliseconds()),
                        checks => *checks = checks_of(&self.settings),
                    }
                }
                (control::STOPPING, _) => {
                    self.settings.life.stopped_by_user = true;
                    self.write_life();
                    if !client.send(control::DONE, &[]) {
                        return false;
                    }
                }
                // Input without anybody to take it; of a newer client what is not understood.
                _ => {}
            }
        }
        true
    }

    fn write_input(&mut self) {
        while !self.input.is_empty() {
            let Some(to) = self.input_end() else { break };
            match rustix::io::write(to, &self.input) {
                Ok(count) => drop(self.input.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody inside reads any more.
                Err(_) => self.input.clear(),
            }
        }
        self.input = Vec::new();
        if std::mem::take(&mut self.ending) {
            match &self.settings.master {
                Some(_) => self.input.push(END_OF_FILE),
                None if self.settings.stdin_once => self.settings.stdin = None,
                None => {}
            }
        }
    }

    /// One block of each stream.
    fn read_output(&mut self) -> Result<usize, Errno> {
        let mut count = 0;
        for stream in [Stream::Stdout, Stream::Stderr] {
            count += self.read_stream(stream)?;
        }
        Ok(count + self.read_terminal())
    }

    fn read_stream(&mut self, stream: Stream) -> Result<usize, Errno> {
        let Self { settings, log, clients, .. } = self;
        let fifo = match stream {
            Stream::Stdout => &settings.stdout,
            Stream::Stderr => &settings.stderr,
        };
        let Some(fifo) = fifo else { return Ok(0) };
        let nobody = clients.is_empty();
        let mut show = |bytes: &[u8]| clients.retain_mut(|client| client.output(stream, bytes));
        match log {
            Some(log) if nobody => log.take(stream, fifo.as_fd(), None),
            Some(log) => log.take(stream, fifo.as_fd(), Some(&mut show)),
            None => {
                let mut buffer = [0; control::BLOCK];
                match rustix::io::read(fifo, &mut buffer) {
                    Ok(length) => {
                        show(&buffer[..length]);
                        Ok(length)
                    }
                    Err(Errno::AGAIN | Errno::INTR) => Ok(0),
                    Err(errno) => Err(errno),
                }
            }
        }
    }

    fn read_terminal(&mut self) -> usize {
        let Some(master) = &self.settings.master else { return 0 };
        let mut buffer = [0; control::BLOCK];
        match rustix::io::read(master, &mut buffer) {
            Ok(length) if length > 0 => {
                let bytes = &buffer[..length];
                self.clients.retain_mut(|client| client.output(Stream::Stdout, bytes));
                if let Some(log) = &mut self.log {
                    log.feed(Stream::Stdout, bytes);
                }
                length
            }
            Err(Errno::AGAIN | Errno::INTR) => 0,
            // The last slave is closed (EIO): it may be opened again by its name.
            _ => {
                self.hung_up = true;
                0
            }
        }
    }

    /// What the container wrote before it ended, and no more: in the host's pid namespace some of it may live on and
    /// write without an end.
    fn drain(&mut self) {
        let sizes = [&self.settings.stdout, &self.settings.stderr, &self.settings.master];
        let sizes = sizes.map(|from| {
            from.as_ref().map_or(0, |from| rustix::pipe::fcntl_getpipe_size(from).unwrap_or(MOST_WAITING))
        });
        let end = milliseconds() + LAST_WORDS;
        for (at, mut left) in sizes.into_iter().enumerate() {
            while left > 0 {
                if !self.may_read() && !self.wait_for_clients(end) {
                    // They had their time.
                    self.clients.retain(|client| !client.is_behind());
                }
                if let Some(log) = &mut self.log {
                    log.wait();
                }
                let read = match at {
                    0 => self.read_stream(Stream::Stdout),
                    1 => self.read_stream(Stream::Stderr),
                    _ => Ok(self.read_terminal()),
                };
                match read {
                    Ok(0) | Err(_) => break,
                    Ok(count) => left = left.saturating_sub(count),
                }
            }
        }
        if let Some(log) = &mut self.log {
            log.finish();
        }
        self.wait_for_clients(end);
    }

    /// Waits until no client is behind; false where that took too long.
    fn wait_for_clients(&mut self, end: i64) -> bool {
        loop {
            self.clients.retain_mut(|client| !client.is_behind() || client.catch_up());
            let left = end - milliseconds();
            let mut waited: Vec<PollFd<'_>> = self
                .clients
                .iter()
                .filter(|client| client.is_behind())
                .map(|client| PollFd::from_borrowed_fd(client.socket(), PollFlags::OUT))
                .collect();
            if waited.is_empty() {
                return true;
            }
            let limit = Timespec { tv_sec: left / 1000, tv_nsec: left % 1000 * 1_000_000 };
            if left <= 0 || poll(&mut waited, Some(&limit)).is_err() {
                return false;
            }
        }
    }

    fn write_life(&self) {
        // A full disk: the next command finds the process, or that it is gone.
        drop(self.settings.life.write(self.settings.directory.as_fd()));
    }

    fn finish(&mut self, code: u8) {
        self.settings.life.oom_killed |= self.kills.were(&self.settings, code);
        let life = &mut self.settings.life;
        *life =
            Life { status: Status::Exited, pid: 0, finished: now(), exit_code: code, ..std::mem::take(life) };
        self.write_life();
        self.clients.retain_mut(|client| client.send(control::ENDED, &[code]));
        self.wait_for_clients(milliseconds() + LAST_WORDS);
        self.clients.clear();
    }
}

/// Takes the exit status of the ended process. Of the holder's child that one says it; of another's the kernel does once that
/// one took it (Linux 6.15), or `/proc` does until then; 255 where nobody does.
fn reap(process: BorrowedFd<'_>, pid: i32, holder: Option<&Holder>) -> Result<u8, Errno> {
    loop {
        match waitid(WaitId::PidFd(process), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            Err(Errno::CHILD) => {
                let told = holder.and_then(Holder::exit_status).and_then(code_of);
                return Ok(told.or_else(|| ask(process, pid)).unwrap_or(UNKNOWN));
            }
            Err(errno) => return Err(errno),
            Ok(status) => {
                let status = status.ok_or(Errno::CHILD)?;
                let code =
                    status.exit_status().or_else(|| status.terminating_signal().map(|number| 128 + number));
                return Ok(u8::try_from(code.unwrap_or(1) & 0xff).unwrap_or(1));
            }
        }
    }
}

/// The exit code of a status as wait(2) has it.
fn code_of(status: i32) -> Option<u8> {
    let (code, signal) = (status >> 8 & 0xff, status & 0x7f);
    u8::try_from(if signal == 0 { code } else { 128 + signal }).ok()
}

fn ask(process: BorrowedFd<'_>, pid: i32) -> Option<u8> {
    for _ in 0..ASK_ATTEMPTS {
        let status = match sys::process::exit_status(process) {
            Ok(Some(status)) => Some(status),
            // Its parent has not taken it yet, or the kernel is older.
            Ok(None) | Err(_) => zombie_status(pid),
        };
        if let Some(status) = status {
            return code_of(status);
        }
        let pause = Timespec { tv_sec: 0, tv_nsec: ASK_PAUSE };
        poll(&mut [], Some(&pause)).ok();
    }
    None
}

/// The status of a process that nobody waited for yet: the last field of `/proc/<pid>/stat`, which is 0 for who may not
/// look at it.
fn zombie_status(pid: i32) -> Option<i32> {
    let path = format!("/proc/{pid}/stat");
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let bytes = files::read_all(file, 4096).ok()?;
    let (_, rest) = std::str::from_utf8(&bytes).ok()?.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    if fields.next()? != "Z" {
        return None;
    }
    fields.last()?.parse().ok().filter(|status| *status != 0)
}
