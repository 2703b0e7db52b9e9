//! `brig logs`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use clap::Parser;
use container::logs::{self, Entry, Reader, Request, Stream};
use container::value::name::ContainerId;
use container::value::time;
use container::{Containers, LATEST, LifeStatus};
use oci::Moment;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::command;
use crate::command::run::failure;
use crate::error::Failure;
use crate::global::Global;
use crate::site;

/// How often a container that lives is looked at, in seconds: an end that nobody wrote down makes no notice.
const LOOK: i64 = 1;
/// Colours of the names, podman's order: green, yellow, blue, magenta, cyan, red.
const COLOURS: [&str; 6] = ["\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[35m", "\x1b[36m", "\x1b[31m"];
/// Bytes of finished lines after which they are written.
const WRITE: usize = 32 << 10;

/// Print what containers said
#[derive(Debug, Parser)]
#[command(
    override_usage = "brig logs [FLAGS] CONTAINER [CONTAINER...]",
    after_help = "Examples:\n  brig logs -f web\n  brig logs --since 10m --tail 100 -t web db\n\nDates without a zone are in UTC."
)]
struct Logs {
    /// Go on until the containers end
    #[arg(long, short = 'f')]
    follow: bool,
    /// Not what is older: a date, seconds since 1970, or a time ago such as 10m
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Not what is newer
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only the last messages of each container
    #[arg(long, short = 'n', value_name = "NUMBER", default_value = "all", allow_hyphen_values = true)]
    tail: String,
    /// Print the time before each line
    #[arg(long, short = 't')]
    timestamps: bool,
    /// Print what `--log-opt labels=`, `env=` and `tag=` added
    #[arg(long)]
    details: bool,
    /// Print names, not ids, before the lines of several containers
    #[arg(long)]
    names: bool,
    /// Give each container's name or id a colour
    #[arg(long)]
    color: bool,
    /// Those of the container that was made last
    #[arg(long, short = 'l', conflicts_with = "containers")]
    latest: bool,
    /// Names, ids or beginnings of ids
    #[arg(required_unless_present = "latest", value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// One container whose log is read.
struct Source {
    id: ContainerId,
    directory: OwnedFd,
    prefix: String,
    reader: Reader,
    next: Option<Entry>,
    /// Whether a line was begun on the screen: what follows of it gets no time and no name.
    begun: bool,
    live: bool,
}

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let mut flags: Logs = command::parse("brig logs", args)?;
    if flags.latest {
        flags.containers.push(LATEST.to_owned());
    }
    let now = Moment::now();
    let moment = |flag, text: &Option<String>| {
        text.as_deref().map(|text| time::parse_moment(flag, text, now)).transpose().map_err(failure)
    };
    let request = Request {
        tail: tail(&flags.tail)?,
        since: moment("--since", &flags.since)?,
        until: moment("--until", &flags.until)?,
        is_single: false,
    };
    let (store, _) = site::store(global)?;
    let containers = Containers::open(&store, &global.runroot()?).map_err(failure)?;
    let mut sources = Vec::new();
    for (number, name) in flags.containers.iter().enumerate() {
        let source = open(&containers, name, request, &flags, number).map_err(failure)?;
        sources.push(source);
    }
    let mut out = Printer::new(&flags);
    loop {
        // Asked before the last look: what was written before the end is read after it.
        for source in &mut sources {
            source.live = flags.follow && source.live && is_live(&containers, &source.id);
        }
        print_all(&mut sources, &mut out)?;
        sources.retain_mut(|source| {
            let goes_on = source.live && !source.reader.is_past();
            if !goes_on {
                tell_gaps(global, &containers, source);
            }
            goes_on
        });
        if sources.is_empty() {
            return Ok(0);
        }
        wait(&sources)?;
    }
}

fn tail(text: &str) -> Result<Option<u64>, Failure> {
    match text {
        "all" | "-1" => Ok(None),
        number => number.parse().map(Some).map_err(|_| {
            Failure::user(format!("`--tail` cannot be `{}`: use a number, or all", number.escape_debug()))
        }),
    }
}

fn open(
    containers: &Containers<'_>,
    name: &str,
    request: Request,
    flags: &Logs,
    number: usize,
) -> container::Result<Source> {
    let id = containers.find(name)?;
    let record = containers.record(&id)?.unwrap_or_default();
    if record.log.driver == "none"
        || record.log.options.get("cache-disabled").is_some_and(|off| off == "true")
    {
        return Err(container::Error::NoLog { id: id.short().to_owned(), driver: record.log.driver });
    }
    // Whoever looks at a container whose monitor was killed adopts it: what it said meanwhile comes into its log.
    containers.state(&id)?;
    let directory = containers.directory_of(&id)?;
    let is_single = record.log.options.get("max-file").is_some_and(|files| files == "1");
    let mut reader = Reader::open(directory.as_fd(), Request { is_single, ..request })?;
    if flags.follow {
        reader.notice(directory.as_fd())?;
    }
    let prefix = match (flags.names, flags.containers.len()) {
        (true, _) => record.name.unwrap_or_else(|| id.short().to_owned()),
        (false, 1) => String::new(),
        (false, _) => id.short().to_owned(),
    };
    let prefix = match (prefix.is_empty(), flags.color) {
        (true, _) => prefix,
        (false, true) => format!("{}{prefix}\x1b[0m ", COLOURS[number % COLOURS.len()]),
        (false, false) => format!("{prefix} "),
    };
    Ok(Source { id, directory, prefix, reader, next: None, begun: false, live: true })
}

/// Whether more may come.
fn is_live(containers: &Containers<'_>, id: &ContainerId) -> bool {
    containers.state(id).is_ok_and(|state| {
        matches!(state.status, LifeStatus::Running | LifeStatus::Paused | LifeStatus::Restarting)
    })
}

/// Prints all that is there, the oldest first.
fn print_all(sources: &mut [Source], out: &mut Printer<'_>) -> Result<(), Failure> {
    loop {
        let mut oldest: Option<(usize, Moment)> = None;
        for (at, source) in sources.iter_mut().enumerate() {
            if source.next.is_none() {
                source.next = source.reader.entry().map_err(failure)?;
            }
            if let Some(entry) = &source.next
                && oldest.is_none_or(|(_, time)| entry.time < time)
            {
                oldest = Some((at, entry.time));
            }
        }
        let Some((at, _)) = oldest else { return out.flush() };
        let source = &mut sources[at];
        if let Some(entry) = source.next.take() {
            out.print(source, &entry)?;
        }
    }
}

/// Waits until a log or a container's life changed.
fn wait(sources: &[Source]) -> Result<(), Failure> {
    let mut waited: Vec<PollFd<'_>> = sources
        .iter()
        .filter_map(|source| source.reader.notices())
        .map(|notices| PollFd::from_borrowed_fd(notices, PollFlags::IN))
        .collect();
    match poll(&mut waited, Some(&Timespec { tv_sec: LOOK, tv_nsec: 0 })) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(errno) => return Err(Failure::environment(errno)),
    }
    for source in sources {
        source.reader.forget_notices();
    }
    Ok(())
}

/// What a log does not hold, said aloud.
fn tell_gaps(global: &Global, containers: &Containers<'_>, source: &Source) {
    let streams = containers.streams_of(&source.id).ok().flatten();
    let Ok(directory) = logs::log_directory(source.directory.as_fd()) else { return };
    let lost = logs::lost(streams.as_ref().map(AsFd::as_fd), directory.as_fd());
    if lost.messages > 0 {
        let reason = io::Error::from_raw_os_error(i32::try_from(lost.reason).unwrap_or(0));
        let text = format!(
            "{} messages of container `{}` ({} bytes) are in no log: {reason}",
            lost.messages,
            source.id.short(),
            lost.bytes
        );
        global.log.warning(&text);
    }
    let damaged = source.reader.damaged();
    if damaged > 0 {
        let text = format!("{damaged} lines of the log of container `{}` cannot be read", source.id.short());
        global.log.warning(&text);
    }
}

/// Lines on their way to the two standard streams, as they were written inside: escapes of terminals go through, as
/// docker lets them.
struct Printer<'a> {
    flags: &'a Logs,
    lines: Vec<u8>,
    stream: Stream,
}

impl<'a> Printer<'a> {
    fn new(flags: &'a Logs) -> Self {
        Self { flags, lines: Vec::new(), stream: Stream::Stdout }
    }

    fn print(&mut self, source: &mut Source, entry: &Entry) -> Result<(), Failure> {
        if entry.stream != self.stream || self.lines.len() > WRITE {
            self.flush()?;
            self.stream = entry.stream;
        }
        if !std::mem::replace(&mut source.begun, !entry.ends()) {
            self.lines.extend_from_slice(source.prefix.as_bytes());
            if self.flags.timestamps {
                self.lines.extend_from_slice(fixed(entry.time).as_bytes());
            }
            if self.flags.details {
                let details: Vec<String> = entry
                    .attributes
                    .iter()
                    .map(|(key, value)| format!("{}={}", plain(key), plain(value)))
                    .collect();
                self.lines.extend_from_slice(details.join(",").as_bytes());
                self.lines.push(b' ');
            }
        }
        self.lines.extend_from_slice(&entry.text);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let lines = std::mem::take(&mut self.lines);
        let written = match self.stream {
            Stream::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&lines).and_then(|()| out.flush())
            }
            Stream::Stderr => io::stderr().lock().write_all(&lines),
        };
        match written {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::closed_pipe()),
            Err(error) => Err(Failure::environment(error)),
        }
    }
}

/// A time with all nine digits, as docker prints it here.
fn fixed(time: Moment) -> String {
    format!("{} ", time.fixed())
}

/// An attribute as docker prints it: escaped like a part of a URL.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_details_look_as_dockers() {
        let time = Moment { seconds: 951_782_400, nanoseconds: 120_000_000 };
        assert_eq!(fixed(time), "2000-02-29T00:00:00.120000000Z ");
        assert_eq!(plain("a b/é"), "a+b%2F%C3%A9");
    }

    #[test]
    fn the_tail_is_a_number_or_all() {
        for (text, expected) in
            [("all", Some(None)), ("-1", Some(None)), ("0", Some(Some(0))), ("5", Some(Some(5)))]
        {
            assert_eq!(tail(text).ok(), expected, "{text}");
        }
        assert!(tail("x").is_err());
    }
}
