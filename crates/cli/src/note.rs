//! What one command did, for the journal: one record for each command that may change something.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::{SystemTime, UNIX_EPOCH};

use container::Containers;
use container::value::name::ContainerId;
use journal::{Caller, Journal, Kind, Object, Record, forward};

use crate::error::Failure;
use crate::global::Global;

/// Commands that change nothing. Any other is written down: one that is forgotten here is recorded too often, not too rarely.
const READERS: [&str; 23] = [
    "completion",
    "df",
    "diff",
    "doctor",
    "events",
    "exists",
    "generate",
    // Its changes are events of the container's health.
    "healthcheck",
    "help",
    "history",
    "images",
    "info",
    "inspect",
    "list",
    "logs",
    "ls",
    "port",
    "ps",
    "search",
    "stats",
    "top",
    "version",
    "wait",
];
/// Words that another word follows: the command is both.
const GROUPS: [&str; 7] = ["container", "image", "network", "secret", "system", "volume", "generate"];

/// What was done so far.
#[derive(Debug, Default)]
pub(crate) struct Note {
    command: RefCell<String>,
    arguments: RefCell<Vec<String>>,
    objects: RefCell<Vec<Object>>,
    /// Whether nothing is to be written, or it was written already.
    is_done: Cell<bool>,
}

impl Note {
    /// Begins with what was typed: the command, the words after it, all words.
    pub(crate) fn begin(&self, command: &OsString, after: &[OsString], all: &[OsString]) {
        let mut path = command.to_string_lossy().into_owned();
        let mut last = path.clone();
        if GROUPS.contains(&path.as_str()) {
            last = after.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
            path = format!("{path} {last}").trim_end().chars().take(64).collect();
        }
        let is_help = after.iter().any(|word| word == "--help" || word == "-h") && last != "run";
        self.is_done.set(READERS.contains(&last.as_str()) || last.is_empty() || is_help);
        if !self.is_done.get() {
            *self.command.borrow_mut() = path;
            *self.arguments.borrow_mut() =
                all.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        }
    }

    /// Nothing was changed after all.
    pub(crate) fn forget(&self) {
        self.is_done.set(true);
    }

    /// Notes a thing and what happened to it.
    pub(crate) fn object(&self, kind: &str, id: &str, name: &str, actions: &[&str]) {
        let object = Object {
            kind: kind.to_owned(),
            id: id.to_owned(),
            name: name.to_owned(),
            actions: words(actions),
            ..Object::default()
        };
        self.objects.borrow_mut().push(object);
    }

    /// Notes a container before something is done to it; [`Self::happened`] tells that it was.
    pub(crate) fn container(&self, containers: &Containers<'_>, id: &ContainerId) {
        if !self.is_done.get() {
            self.objects.borrow_mut().push(object(containers, id));
        }
    }

    /// Notes the container of an event that comes later, without reading its record once more.
    pub(crate) fn container_of(&self, event: &Event) {
        if !self.is_done.get() {
            self.objects.borrow_mut().push(event.object.clone());
        }
    }

    /// What happened to the container that was noted last.
    pub(crate) fn happened(&self, actions: &[&str]) {
        if let Some(object) = self.objects.borrow_mut().last_mut() {
            object.actions = words(actions);
        }
    }

    /// What the command does to a container by its name in docker's events.
    pub(crate) fn happened_by_command(&self) {
        let command = self.command.borrow();
        let word = command.rsplit(' ').next().unwrap_or_default();
        let actions: &[&str] = match word {
            "start" => &["start"],
            "stop" => &["kill", "stop"],
            "kill" => &["kill"],
            "restart" => &["restart"],
            "rm" => &["destroy"],
            "pause" => &["pause"],
            "unpause" => &["unpause"],
            "rename" => &["rename"],
            "update" => &["update"],
            "exec" => &["exec_create", "exec_start"],
            "attach" => &["attach"],
            "commit" => &["commit"],
            "cp" => &["copy"],
            "export" => &["export"],
            _ => &[],
        };
        self.happened(actions);
    }
}

fn words(actions: &[&str]) -> Vec<String> {
    actions.iter().map(|action| (*action).to_owned()).collect()
}

/// A container as the journal names it; a record that cannot be read leaves the id.
fn object(containers: &Containers<'_>, id: &ContainerId) -> Object {
    let mut object = Object { kind: "container".to_owned(), id: id.to_string(), ..Object::default() };
    if let Ok(Some(record)) = containers.record(id) {
        object.name = record.name.unwrap_or_default();
        object.image = record.image;
        object.digest = record.image_id;
        object.weakenings = record.weakenings.iter().map(ToString::to_string).collect();
        object.attributes = record.labels;
    }
    object
}

/// Writes the command's record, once. `code` is none while its container still runs.
pub(crate) fn write(global: &Global, code: Option<u8>, failure: Option<&Failure>) {
    let note = &global.note;
    if note.is_done.replace(true) || failure.is_some_and(Failure::is_silent) {
        return;
    }
    append(
        global,
        Record {
            kind: Kind::Command,
            command: note.command.borrow().clone(),
            caller: Some(Caller::of_this_process(peer().as_deref())),
            arguments: journal::redact(&note.arguments.borrow()),
            objects: note.objects.borrow_mut().split_off(0),
            code,
            error: failure.map(Failure::chain).unwrap_or_default().chars().take(1024).collect(),
            ..Record::default()
        },
    );
}

/// Something that happened to a container without a command.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    object: Object,
    error: String,
}

impl Event {
    /// Notes the container as long as it is there.
    pub(crate) fn of(containers: &Containers<'_>, id: &ContainerId) -> Self {
        Self { object: object(containers, id), error: String::new() }
    }

    /// Adds to what is known.
    pub(crate) fn with(mut self, name: &str, value: &impl ToString) -> Self {
        self.object.attributes.insert(name.to_owned(), value.to_string());
        self
    }

    /// Why it went wrong.
    pub(crate) fn error(mut self, error: Option<&Failure>) -> Self {
        self.error = error.map(Failure::chain).unwrap_or_default();
        self
    }

    /// Writes what happened.
    pub(crate) fn write(mut self, global: &Global, actions: &[&str]) {
        self.object.actions = words(actions);
        append(
            global,
            Record {
                kind: Kind::Event,
                command: actions.first().map(|action| (*action).to_owned()).unwrap_or_default(),
                objects: vec![self.object],
                error: self.error,
                ..Record::default()
            },
        );
    }
}

/// Appends and sends copies; what fails is a warning, never the end of the command.
fn append(global: &Global, mut record: Record) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    record.time_nano = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    // A store that could not be made has no journal, and nothing in it that could have changed.
    let Ok(root) = global.root() else { return };
    if !root.is_dir() {
        return;
    }
    let appended = Journal::open(&root).and_then(|journal| {
        let line = journal.append(record.clone())?;
        Ok((forward::destinations(&journal)?, line))
    });
    match appended {
        Ok((destinations, line)) => {
            for fault in forward::send(&destinations, &line) {
                global.log.warning(&fault);
            }
        }
        Err(error) => {
            let error = Failure::environment(error);
            global.log.warning(&format!("not written to the journal: {}", error.chain()));
        }
    }
    if rustix::process::geteuid().is_root() {
        // Where the kernel does not take it, it is nobody's to mend.
        let _is_taken = forward::audit(&record);
    }
}

/// Attributes that are labels are everything but these, in events.
pub(crate) fn attributes(object: &Object) -> BTreeMap<String, String> {
    let mut attributes = object.attributes.clone();
    if !object.name.is_empty() {
        attributes.insert("name".to_owned(), object.name.clone());
    }
    if !object.image.is_empty() {
        attributes.insert("image".to_owned(), object.image.clone());
    }
    attributes
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the program that reads the environment for its libraries"
)]
fn peer() -> Option<String> {
    std::env::var("SSH_CONNECTION").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_is_not_written() {
        for (line, written) in [
            ("run img", "run"),
            ("run img ls -h", "run"),
            ("image rm x", "image rm"),
            ("volume create v", "volume create"),
            ("stop --help", ""),
            ("ps -a", ""),
            ("container ls", ""),
            ("image", ""),
            ("healthcheck run x", ""),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let note = Note::default();
            note.begin(&words[0], &words[1..], &words);
            assert_eq!(*note.command.borrow(), written, "{line}");
            assert_eq!(note.is_done.get(), written.is_empty(), "{line}");
        }
    }
}
