//! `brig events`: what happens, from the journal's records, in docker's shape.

use std::ffi::OsString;
use std::mem::MaybeUninit;

use clap::Parser;
use journal::{Journal, Object, Reader, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::command::{self, journal::moment};
use crate::error::Failure;
use crate::format::{self, Filters};
use crate::global::Global;
use crate::{note, output};

/// Print what happens to containers, images and volumes
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  brig events
  brig events --since 1h --until 0s --filter type=container --format json")]
struct Events {
    /// Also what happened since then: a time, seconds since 1970, or a length of time such as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// End then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// container=, image=, event=, type=, label=, volume=, scope=
    #[arg(long, short = 'f', value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// `json`, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Accepted for podman's sake
    #[arg(long, hide = true)]
    no_trunc: bool,
}

const FILTERS: [&str; 7] = ["container", "image", "event", "type", "label", "volume", "scope"];

pub(crate) fn run(global: &Global, args: Vec<OsString>) -> Result<u8, Failure> {
    let flags: Events = command::parse("brig events", args)?;
    let filters = Filters::parse(&flags.filter, &FILTERS)?;
    let since = moment("--since", flags.since.as_ref())?;
    // The whole second.
    let until = moment("--until", flags.until.as_ref())?.map(|until| until.saturating_add(999_999_999));
    let (store, _) = crate::site::store(global)?;
    let journal = Journal::open(store.path()).map_err(Failure::environment)?;
    // Watched before it is read: what comes between is seen by one of both.
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
        .map_err(Failure::environment)?;
    let changes = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE;
    inotify::add_watch(&watch, journal.path(), changes).map_err(Failure::environment)?;
    let start = since.unwrap_or_else(|| format::now().saturating_mul(1_000_000_000));
    let mut reader = Reader::new(&journal).map_err(Failure::environment)?;
    if since.is_none() {
        while reader.next_record().map_err(Failure::environment)?.is_some() {}
    }
    loop {
        while let Some(record) = reader.next_record().map_err(Failure::environment)? {
            let is_in = record.time_nano >= start && until.is_none_or(|until| record.time_nano <= until);
            if is_in {
                print(&record, &filters, flags.format.as_deref())?;
            }
        }
        let left = match until {
            None => None,
            Some(until) => {
                let now = format::now();
                if now >= until / 1_000_000_000 {
                    return Ok(0);
                }
                let seconds = until / 1_000_000_000 - now;
                Some(Timespec { tv_sec: i64::try_from(seconds).unwrap_or(i64::MAX), tv_nsec: 0 })
            }
        };
        match poll(&mut [PollFd::new(&watch, PollFlags::IN)], left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Failure::environment(errno)),
        }
        let mut buffer = [MaybeUninit::uninit(); 4096];
        // What changed is found by reading on; here it is only taken off the queue.
        let mut queue = inotify::Reader::new(&watch, &mut buffer);
        while queue.next().is_ok() {}
    }
}

fn print(record: &Record, filters: &Filters, format: Option<&str>) -> Result<(), Failure> {
    for object in &record.objects {
        for action in &object.actions {
            if !matches(object, action, filters) {
                continue;
            }
            let event = event(record, object, action);
            match format {
                None => output::print(&text(record, object, action))?,
                Some("json") => output::print(&format!("{}\n", output::line(&event)?))?,
                Some(template) => format::print_one(template, &event)?,
            }
        }
    }
    Ok(())
}

fn matches(object: &Object, action: &str, filters: &Filters) -> bool {
    let is_kind = |kind: &str| object.kind == kind;
    filters.any("type", is_kind)
        && filters.any("scope", |scope| scope == "local")
        && filters.any("event", |event| event == action || action.split(':').next() == Some(event))
        && filters.any("container", |text| {
            is_kind("container") && (object.name == text || object.id.starts_with(text))
        })
        && filters.any("image", |text| object.image == text || (is_kind("image") && is_named(object, text)))
        && filters.any("volume", |text| is_kind("volume") && is_named(object, text))
        && filters.labels(|label| object.attributes.get(label).map(String::as_str))
}

fn is_named(object: &Object, text: &str) -> bool {
    object.name == text || object.id.starts_with(text)
}

/// Docker's message.
fn event(record: &Record, object: &Object, action: &str) -> Value {
    let mut event = json!({
        "Type": object.kind,
        "Action": action,
        "Actor": { "ID": object.id, "Attributes": note::attributes(object) },
        "scope": "local",
        "time": record.time_nano / 1_000_000_000,
        "timeNano": record.time_nano,
    });
    // Of containers and images only, from docker's first API.
    if object.kind == "container" || object.kind == "image" {
        event["status"] = json!(action);
        event["id"] = json!(object.id);
    }
    if object.kind == "container" {
        event["from"] = json!(object.image);
    }
    event
}

fn text(record: &Record, object: &Object, action: &str) -> String {
    let (seconds, nanoseconds) = (record.time_nano / 1_000_000_000, record.time_nano % 1_000_000_000);
    let date = format::date(seconds);
    let date = date.strip_suffix(" +0000 UTC").unwrap_or(&date).replace(' ', "T");
    let attributes: Vec<String> = note::attributes(object)
        .iter()
        .map(|(name, value)| format!("{}={}", name.escape_debug(), value.escape_debug()))
        .collect();
    format!(
        "{date}.{nanoseconds:09}Z {} {action} {} ({})\n",
        object.kind,
        object.id.escape_debug(),
        attributes.join(", ")
    )
}
