//! Copying between the caller's standard streams and the container's.
//!
//! A container that is waited for never gets a descriptor of its caller's. Through one of a terminal it could read what
//! is typed there, change its settings, and where TIOCSTI is allowed type itself (CVE-2016-10124, CVE-2017-5226); of a
//! file it could change what was written before, or the mode; of a shared pipe or socket it could take what others
//! sent. It has a terminal or pipes of its own, which also can be opened again as `/dev/stdout` by whoever it runs as.
//! Only `/dev/null` is handed on as it is.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{OptionalActions, Termios};

use crate::keys::DetachKeys;
use crate::weaken::{self, Defence};
use crate::{Error, Result};

/// Bytes that one turn of the relay carries in one direction.
const BLOCK: usize = 32 * 1024;

/// Most bytes that wait in a terminal of the container's, or more.
const MOST_WAITING: usize = 1 << 20;

/// `^D`: what ends the input of a program that reads from a terminal.
const END_OF_FILE: u8 = 4;

/// A stream of the container's: the number it has there.
pub type Stream = (OwnedFd, u32);

/// Copies in both directions until the container ends.
pub(crate) struct Relay {
    outputs: Vec<Output>,
    input: Option<Input>,
    /// Master of the container's terminal, which has a size.
    master: Option<OwnedFd>,
    /// The caller's terminal as it was, to be put back.
    saved: Option<Termios>,
    /// Keys by which the caller leaves the container's terminal.
    keys: Option<DetachKeys>,
    left: bool,
}

/// From the container to the caller.
struct Output {
    /// `None` once nothing comes any more, or nobody wants it.
    from: Option<OwnedFd>,
    to: BorrowedFd<'static>,
    /// Why nothing can be handed on any more. What comes is thrown away then: the container would wait for ever.
    lost: Option<Error>,
}

/// From the caller's standard input to the container.
struct Input {
    /// `None` once its end was handed on.
    to: Option<OwnedFd>,
    /// What to write at the end; a pipe is closed instead.
    end: Option<u8>,
    /// Whether the standard input is read still.
    reading: bool,
    /// What the container did not take yet.
    pending: Vec<u8>,
}

impl Relay {
    /// Pipes in place of the standard streams: the container's ends, and the relay of ours. `None` where there is
    /// nothing to relay.
    pub(crate) fn by_pipes(interactive: bool) -> Result<(Vec<Stream>, Option<Self>)> {
        let (mut theirs, mut outputs, mut input) = (Vec::new(), Vec::new(), None);
        weaken::prepare();
        if weaken::is_off(Defence::Streams) {
            return Ok((theirs, None));
        }
        if interactive && identity(rustix::stdio::stdin())?.is_some() {
            let (reader, writer) = pipe()?;
            theirs.push((reader, 0));
            input = Some(Input::new(writer, None)?);
        }
        let (stdout, stderr) = (identity(rustix::stdio::stdout())?, identity(rustix::stdio::stderr())?);
        if let Some(kind) = &stdout {
            let (ours, writer) = output_pipe(kind)?;
            // What goes to one place stays in order.
            if stdout == stderr {
                let copy = rustix::io::fcntl_dupfd_cloexec(&writer, 3)
                    .map_err(|errno| Error::system("copy", "a pipe", errno))?;
                theirs.push((copy, 2));
            }
            theirs.push((writer, 1));
            outputs.push(Output::new(ours, rustix::stdio::stdout())?);
        }
        if let Some(kind) = stderr.as_ref().filter(|_| stdout != stderr) {
            let (ours, writer) = output_pipe(kind)?;
            theirs.push((writer, 2));
            outputs.push(Output::new(ours, rustix::stdio::stderr())?);
        }
        let relay = (!theirs.is_empty()).then_some(Self {
            outputs,
            input,
            master: None,
            saved: None,
            keys: None,
            left: false,
        });
        Ok((theirs, relay))
    }

    /// The relay of a terminal of the container's, by its master.
    pub(crate) fn for_master(master: OwnedFd, interactive: bool) -> Result<Self> {
        let stdin = rustix::stdio::stdin();
        let mut saved = None;
        if interactive && rustix::termios::isatty(stdin) {
            let state = rustix::termios::tcgetattr(stdin)
                .map_err(|errno| Error::system("read", "the terminal", errno))?;
            let mut raw = state.clone();
            raw.make_raw();
            rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw)
                .map_err(|errno| Error::system("set", "the terminal", errno))?;
            saved = Some(state);
        }
        let copy = || {
            rustix::io::fcntl_dupfd_cloexec(&master, 3)
                .map_err(|errno| Error::system("copy", "the container's terminal", errno))
        };
        let outputs = vec![Output::new(copy()?, rustix::stdio::stdout())?];
        let input = if interactive { Some(Input::new(copy()?, Some(END_OF_FILE))?) } else { None };
        let relay = Self { outputs, input, master: Some(master), saved, keys: None, left: false };
        relay.follow_size();
        Ok(relay)
    }

    /// Lets the caller leave by these keys.
    pub(crate) fn leaving_by(mut self, keys: Option<DetachKeys>) -> Self {
        self.keys = keys;
        self
    }

    /// Whether the caller typed the keys that leave.
    pub(crate) fn is_left(&self) -> bool {
        self.left
    }

    /// The master of the container's terminal.
    pub(crate) fn take_master(&mut self) -> Option<OwnedFd> {
        self.master.take()
    }

    /// Gives the container's terminal the size of the caller's, where there are both.
    pub(crate) fn follow_size(&self) {
        let Some(master) = &self.master else { return };
        for stream in [rustix::stdio::stdin(), rustix::stdio::stdout()] {
            if let Ok(size) = rustix::termios::tcgetwinsize(stream) {
                // A terminal that closed meanwhile has no size to follow.
                rustix::termios::tcsetwinsize(master, size).ok();
                return;
            }
        }
    }

    /// Adds what is waited for. Only what is wanted: a hang-up is reported unasked, again and again.
    pub(crate) fn wait_for<'a>(&'a self, waited: &mut Vec<PollFd<'a>>) {
        for from in self.outputs.iter().filter_map(|output| output.from.as_ref()) {
            waited.push(PollFd::new(from, PollFlags::IN));
        }
        let Some(input) = &self.input else { return };
        match &input.to {
            Some(to) if !input.pending.is_empty() => waited.push(PollFd::new(to, PollFlags::OUT)),
            // Nothing is read that cannot be handed on yet.
            Some(_) if input.reading => {
                waited.push(PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN));
            }
            _ => {}
        }
    }

    /// Copies what there is, in both directions.
    pub(crate) fn carry(&mut self) -> Result<()> {
        for output in &mut self.outputs {
            output.carry()?;
        }
        match &mut self.input {
            Some(input) => {
                self.left |= input.carry(self.keys.as_mut())?;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What the container wrote before it ended, and no more: in the host's pid namespace some of it may live on and
    /// write without an end.
    pub(crate) fn drain(&mut self) -> Result<()> {
        for output in &mut self.outputs {
            let Some(from) = &output.from else { continue };
            let mut left = rustix::pipe::fcntl_getpipe_size(from).unwrap_or(MOST_WAITING);
            while left > 0 {
                match output.carry()? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
        }
        Ok(())
    }

    /// Why output was lost, if some was.
    pub(crate) fn lost(&mut self) -> Option<Error> {
        self.outputs.iter_mut().find_map(|output| output.lost.take())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // A terminal that is gone needs nothing put back.
            rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, saved).ok();
        }
    }
}

impl Output {
    fn new(from: OwnedFd, to: BorrowedFd<'static>) -> Result<Self> {
        do_not_wait(&from)?;
        Ok(Self { from: Some(from), to, lost: None })
    }

    /// One block: how many bytes came, 0 when there are none now.
    fn carry(&mut self) -> Result<usize> {
        let Some(from) = &self.from else { return Ok(0) };
        let mut block = [0; BLOCK];
        match rustix::io::read(from, &mut block) {
            // All writers are gone, or the last slave of the terminal is closed (EIO).
            Ok(0) | Err(Errno::IO) => {
                self.from = None;
                Ok(0)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(errno) => Err(Error::system("read", "the container's output", errno)),
            Ok(count) if self.lost.is_some() => Ok(count),
            Ok(count) => match files::write_all(self.to, &block[..count]) {
                Ok(()) => Ok(count),
                // The caller's terminal is gone: go on without one, the container must not notice.
                Err(files::Error::System { errno: Errno::IO, .. }) => Ok(count),
                // Its reader left: so does the container's, which gets SIGPIPE as in any pipeline.
                Err(files::Error::System { errno: Errno::PIPE | Errno::CONNRESET, .. }) => {
                    self.from = None;
                    Ok(0)
                }
                // A full disk, which the container itself may have filled.
                Err(error) => {
                    self.lost = Some(Error::Files(error));
                    Ok(count)
                }
            },
        }
    }
}

impl Input {
    fn new(to: OwnedFd, end: Option<u8>) -> Result<Self> {
        do_not_wait(&to)?;
        Ok(Self { to: Some(to), end, reading: true, pending: Vec::new() })
    }

    /// True once the keys that leave were typed.
    fn carry(&mut self, keys: Option<&mut DetachKeys>) -> Result<bool> {
        let mut left = false;
        if self.to.is_some() && self.reading && self.pending.is_empty() && has_input() {
            left = self.read(keys)?;
        }
        self.write()?;
        Ok(left)
    }

    fn read(&mut self, keys: Option<&mut DetachKeys>) -> Result<bool> {
        let mut block = [0; BLOCK];
        match rustix::io::read(rustix::stdio::stdin(), &mut block) {
            Ok(0) => {
                self.reading = false;
                match self.end {
                    Some(end) => self.pending.push(end),
                    None => self.to = None,
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::IO) => self.reading = false,
            Err(errno) => return Err(Error::system("read", "the standard input", errno)),
            Ok(count) => match keys {
                Some(keys) => return Ok(keys.take(&block[..count], &mut self.pending)),
                None => self.pending.extend_from_slice(&block[..count]),
            },
        }
        Ok(false)
    }

    fn write(&mut self) -> Result<()> {
        let Some(to) = self.to.as_ref().filter(|_| !self.pending.is_empty()) else { return Ok(()) };
        match rustix::io::write(to, &self.pending) {
            Ok(count) => drop(self.pending.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Nobody inside reads any more.
            Err(Errno::IO | Errno::PIPE) => {
                self.pending.clear();
                self.to = None;
            }
            Err(errno) => return Err(Error::system("write", "the container's input", errno)),
        }
        Ok(())
    }
}

/// Whether reading the standard input would not wait: the caller's stream cannot be made not to, others share it.
fn has_input() -> bool {
    let stdin = rustix::stdio::stdin();
    let mut waited = [PollFd::from_borrowed_fd(stdin, PollFlags::IN)];
    rustix::event::poll(&mut waited, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))
        .is_ok_and(|ready| ready > 0)
}

/// What a stream leads to, as far as a pipe in its place depends on it.
#[derive(PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    /// Writing there cannot fail because a reader left.
    has_no_reader: bool,
}

/// `None` for `/dev/null`, which is handed on.
fn identity(stream: BorrowedFd<'_>) -> Result<Option<Identity>> {
    let stat =
        rustix::fs::fstat(stream).map_err(|errno| Error::system("stat", "a standard stream", errno))?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3) {
        return Ok(None);
    }
    let has_no_reader = matches!(kind, FileType::CharacterDevice | FileType::RegularFile);
    Ok(Some(Identity { device: stat.st_dev, inode: stat.st_ino, has_no_reader }))
}

/// A pipe for output: our end to read, theirs to write.
///
/// Where no reader can leave, theirs can read too: if this process is killed, the container is not (SIGPIPE).
fn output_pipe(kind: &Identity) -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe()?;
    if !kind.has_no_reader {
        return Ok((reader, writer));
    }
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let both = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::system("open again", "a pipe", errno))?;
    Ok((reader, both))
}

/// Gives the pipes to the container's root, which gives them to whoever the payload runs as.
pub(crate) fn give(streams: &[Stream], (uid, gid): (u32, u32)) -> Result<()> {
    for (pipe, _) in streams {
        match rustix::fs::fchown(pipe, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
            // Of a plain user's the container's root is the user, who owns them already.
            Ok(()) | Err(Errno::PERM) => {}
            Err(errno) => return Err(Error::system("change the owner of", "a pipe", errno)),
        }
    }
    Ok(())
}

/// `/dev/null` in place of the three standard streams.
pub(crate) fn nothing() -> Result<Vec<Stream>> {
    let open = |number| {
        let file = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::system("open", "/dev/null", errno))?;
        Ok((file, number))
    };
    [0, 1, 2].into_iter().map(open).collect()
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::system("make", "a pipe", errno))
}

fn do_not_wait(descriptor: &OwnedFd) -> Result<()> {
    let failed = |errno| Error::system("set", "the relay", errno);
    let flags = rustix::fs::fcntl_getfl(descriptor).map_err(failed)?;
    rustix::fs::fcntl_setfl(descriptor, flags | OFlags::NONBLOCK).map_err(failed)
}
