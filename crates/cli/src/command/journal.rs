//! `brig journal`: who did what.

use std::collections::VecDeque;
use std::ffi::OsString;

use clap::{Parser, Subcommand};
use journal::forward::{self, Destination};
use journal::{Journal, Kind, Reader, Record};

use crate::command;
use crate::error::{FAILED, Failure};
use crate::format;
use crate::global::Global;
use crate::{note, output};

/// Show who did what, and whether the record of it is whole
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  brig journal --container web      who touched `web`
  brig journal --since 1h --user 1000
  brig journal verify               find records that were altered, removed or reordered
  brig journal forward journald     keep a copy where this user cannot delete it")]
struct Flags {
    #[command(subcommand)]
    part: Option<Part>,
    /// Only what was done to this container (name, id or its beginning)
    #[arg(long, value_name = "CONTAINER")]
    container: Option<String>,
    /// Only from then on: a time, seconds since 1970, or a length of time such as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only until then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only by this user id, as itself or as the one who logged in
    #[arg(long, value_name = "UID")]
    user: Option<u32>,
    /// The last records only
    #[arg(short = 'n', long, value_name = "NUMBER")]
    last: Option<usize>,
    /// The records as they are kept, one a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Find records that were altered, removed, reordered or cut off
    Verify,
    /// Send copies to journald or syslog, or end that
    Forward {
        /// `journald`, `syslog`, `syslog:/PATH` or `none`; none at all prints where they go
        #[arg(value_name = "WHERE")]
        destinations: Vec<String>,
    },
}

/// Most records that `-n` keeps in memory.
const MOST: usize = 100_000;

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Flags = command::parse("brig journal", args)?;
    if !matches!(&flags.part, Some(Part::Forward { destinations }) if !destinations.is_empty()) {
        global.note.forget();
    }
    let (store, _) = crate::site::store(global)?;
    let journal = Journal::open(store.path()).map_err(Failure::environment)?;
    match &flags.part {
        Some(Part::Verify) => verify(global, &journal),
        Some(Part::Forward { destinations }) => forward_to(global, &journal, destinations),
        None => list(&journal, &flags),
    }
}

fn verify(global: &Global, journal: &Journal) -> Result<u8, Failure> {
    let report = journal::verify(journal).map_err(Failure::environment)?;
    for fault in &report.faults {
        global.log.failure(&Failure::environment(fault.to_string()));
    }
    let mut text = format!("{} records", report.records);
    if report.sealed > 0 {
        text.push_str(&format!(", {} half records of killed commands sealed", report.sealed));
    }
    if report.dropped > 0 {
        text.push_str(&format!(", the oldest {} dropped to bound the size", report.dropped));
    }
    text.push_str(&format!(", {} faults\n", report.faults.len()));
    output::print(&text)?;
    Ok(if report.faults.is_empty() { 0 } else { FAILED })
}

fn forward_to(global: &Global, journal: &Journal, texts: &[String]) -> Result<u8, Failure> {
    if texts.is_empty() {
        let mut text = String::new();
        for destination in forward::destinations(journal).map_err(Failure::environment)? {
            text.push_str(&match destination {
                Destination::Journald => "journald\n".to_owned(),
                Destination::Syslog(path) => format!("syslog:{}\n", path.display()),
            });
        }
        output::print(&text)?;
        return Ok(0);
    }
    let named: journal::Result<Vec<_>> = match texts {
        [none] if none == "none" => Ok(Vec::new()),
        _ => texts.iter().map(|text| Destination::parse(text)).collect(),
    };
    let named = named.map_err(Failure::user)?;
    // Before it is so: where copies went until now learns that they end.
    note::write(global, None, None);
    forward::set(journal, &named).map_err(Failure::environment)?;
    Ok(0)
}

/// Reads a moment as nanoseconds since 1970.
pub(crate) fn moment(flag: &str, text: Option<&String>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let seconds = format::parse_moment(text, format::now()).ok_or_else(|| {
        Failure::user(format!("`{flag}` cannot be `{}`", text.escape_debug()))
            .hint("a time is 2026-11-22T20:34:30Z, seconds since 1970, or a length of time such as 10m")
    })?;
    Ok(Some(seconds.saturating_mul(1_000_000_000)))
}

fn list(journal: &Journal, flags: &Flags) -> Result<u8, Failure> {
    let since = moment("--since", flags.since.as_ref())?;
    // The whole second.
    let until = moment("--until", flags.until.as_ref())?.map(|until| until.saturating_add(999_999_999));
    let mut reader = Reader::new(journal).map_err(Failure::environment)?;
    let mut last = VecDeque::new();
    let keep = flags.last.map(|number| number.min(MOST));
    while let Some(record) = reader.next_record().map_err(Failure::environment)? {
        let matches = since.is_none_or(|since| record.time_nano >= since)
            && until.is_none_or(|until| record.time_nano <= until)
            && flags.container.as_ref().is_none_or(|container| is_about(&record, container))
            && flags.user.is_none_or(|user| is_by(&record, user));
        if !matches {
            continue;
        }
        match keep {
            Some(number) => {
                last.push_back(record);
                if last.len() > number {
                    last.pop_front();
                }
            }
            None => print(&record, flags.json)?,
        }
    }
    for record in &last {
        print(record, flags.json)?;
    }
    Ok(0)
}

pub(crate) fn is_about(record: &Record, container: &str) -> bool {
    record.objects.iter().any(|object| {
        object.kind == "container"
            && (object.name == container || (!container.is_empty() && object.id.starts_with(container)))
    })
}

fn is_by(record: &Record, user: u32) -> bool {
    record.caller.as_ref().is_some_and(|caller| caller.uid == user || caller.auid == Some(user))
}

fn print(record: &Record, is_json: bool) -> Result<(), Failure> {
    if is_json {
        return output::print(&format!("{}\n", output::line(record)?));
    }
    let date = format::date(record.time_nano / 1_000_000_000);
    let date = date.strip_suffix(" +0000 UTC").unwrap_or(&date);
    let mut text = format!("{date}Z");
    match &record.caller {
        Some(caller) => {
            text.push_str(&format!(" uid={}", caller.uid));
            if let Some(auid) = caller.auid {
                text.push_str(&format!(" auid={auid}"));
            }
            for (name, value) in [("tty", &caller.terminal), ("by", &caller.parent)] {
                if !value.is_empty() {
                    text.push_str(&format!(" {name}={}", value.escape_debug()));
                }
            }
        }
        None => text.push_str(if record.kind == Kind::Chain { " journal" } else { " event" }),
    }
    match record.code {
        Some(0) => text.push_str(" ok"),
        Some(code) => text.push_str(&format!(" exit={code}")),
        None => {}
    }
    if record.arguments.is_empty() {
        text.push_str(&format!(" {}", record.command.escape_debug()));
    } else {
        text.push_str(&format!(" brig {}", record.arguments.join(" ").escape_debug()));
    }
    for object in &record.objects {
        let name = if object.name.is_empty() { format::short_id(&object.id) } else { &object.name };
        text.push_str(&format!(" [{} {}", object.kind, name.escape_debug()));
        for weakening in &object.weakenings {
            text.push_str(&format!("; {}", weakening.escape_debug()));
        }
        text.push(']');
    }
    if !record.error.is_empty() {
        text.push_str(&format!(" error: {}", record.error.escape_debug()));
    }
    text.push('\n');
    output::print(&text)
}
